"""Tables show our results beside the paper's, what is missing and why, and under which conditions."""

from __future__ import annotations

import re

import numpy as np
import pytest
from invented import make_memory, make_result

from experiments import captions
from experiments.collect import ROWS, title
from experiments.render import chance, cost, photographs, summary, table2, table3, table4
from lesion_jax.core import LESION_KEYS


def cells(text, heading=''):
  """{first cell: the others} of the first table behind a heading."""
  body = text[text.index(heading):]
  lines = re.search(r'(?:^\|.*\n?)+', body, re.MULTILINE).group().splitlines()
  rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
  return {name: others for name, *others in rows if name != '---'}


def test_table_two_has_every_system_with_ours_and_the_papers(results):
  text = table2(results)
  pixel, image = (cells(text, f'### Lesion {half}') for half in ('segmentation', 'classification'))
  titles = [row.title for row in ROWS.values() if row.table == 2]
  assert list(image)[1:] == titles
  assert list(pixel)[1:] == [name for name in titles if name not in ('Inception-v3', 'ABN-lesion')]
  mean, paper, ma, *_ = pixel['FCN-8s']
  assert (mean, paper, ma) == ('0.536 [0.516, 0.556]', '0.586', '0.319 (0.369)')
  assert image['ABN-lesion'][:2] == ['0.676 [0.656, 0.696]', '0.726']
  assert pixel['system'][2:] == ['MA', 'iHE', 'HaEx', 'CWS', 'vHE', 'pHE', 'NV', 'FiP']


def test_a_network_of_the_dual_loss_that_never_saw_it_is_said_in_every_table(results):
  never = {'criterion': 'pixel_image_f1', 'value': 0.5, 'step': 75, 'phase': 'segmentation'}
  changed = [result | ({'report': result['report'] | {'selection': never}} if result['row'] == 'lesion_net_32s' else {})
             for result in results]
  for text, times in ((table2(changed), 3), (summary(changed), 1), (cost(changed), 1)):
    assert text.count('| Lesion-Net-32s, Dice alone |') == times and '| Lesion-Net-32s |' not in text


def test_only_the_largest_of_a_column_is_bold(results):
  pixel = cells(table2(results), '### Lesion segmentation')
  assert [name for name, row in pixel.items() if row[0].startswith('**')] == ['Lesion-Net-8s']
  assert pixel['Lesion-Net-8s'][0].startswith('**0.552** [')
  for column in range(2, 10):
    assert sum('**' in row[column] for row in pixel.values()) == 1
  kappas = cells(table3(results))
  assert [name for name, (ours, _) in kappas.items() if '**' in ours] == ['Multi-task, Conv, Lesion-Net-16s']


def test_a_check_of_the_programs_ranks_nothing(results):
  smoke = [result | {'preset': 'smoke'} for result in results]
  for text in (table2(smoke), table3(smoke)):
    assert '**' not in text and 'bold' not in text and 'The results rank nothing' in text


def test_a_lesion_network_that_was_trained_again_is_said(results):
  assert 'trained again' not in table3(results)
  changed = [result | ({'weights': 'others'} if result['row'] == 'unet' else {}) for result in results]
  assert 'The lesion network in Multi-task, Conv, U-Net (seed 0) was trained again' in table3(changed)


def test_the_summary_has_a_line_for_each_row_that_was_run(results):
  lines = [line for line in summary(results).splitlines() if line.startswith('| ')][2:]
  assert [line.split(' | ')[0].removeprefix('| ') for line in lines] == [title(key, [make_result(key)]) for key in ROWS]
  found = cells(summary(results))
  assert found['FCN-8s'] == ['0.536 (0.586)', '0.728 (0.778)', '']
  assert found['ABN-grading'] == ['', '', '0.747 (0.797)']
  assert found['Multi-task, Conv, Lesion-Net-16s'] == ['0.540', '0.751', '0.753 (0.803)']  # maps: Lesion-Net-16s's
  assert 'Data: synthetic' in summary(results) and summary([]) == ''
  assert list(cells(summary([make_result('unet')])))[1:] == ['U-Net']


def test_a_system_that_was_not_run_has_dashes_beside_the_papers_metrics():
  text = table2([make_result('fcn_8s')])
  assert cells(text)['DANet'][:3] == ['–', '0.585', '– (0.351)']
  assert '–: not run' in text
  assert 'DANet' not in cells(text, '### Cost')
  assert cells(table3([]))['Inception-v3'] == ['–', '0.774']
  assert 'Nothing was measured yet' in table3([])


def test_what_is_undefined_has_a_footnote():
  reasons = {'vHE': 'no positive in the ground truth and none predicted', 'NV': 'not annotated', 'FiP': 'not annotated'}
  text = table2([make_result('fcn_8s', missing=reasons)])
  row = cells(text, '### Lesion segmentation')['FCN-8s']
  assert row[0].partition(' [')[0].endswith(' (a)')
  assert row[-4:] == ['(b) (0.640)', '**0.534** (0.534)', '(c) (0.583)', '(c) (0.639)']
  for line in ('(a) without vHE, undefined', f'(b) {reasons["vHE"]}', '(c) not annotated'):
    assert f'\n{line}\n' in text


def test_seeds_give_a_mean_and_a_spread_and_the_caption_says_so():
  text = table3([make_result('abn_grader', seed, move=move) for seed, move in enumerate((0.0, 0.01, 0.05))])
  assert cells(text)['ABN-grading'] == ['**0.817** ± 0.026 [0.797, 0.837]', '0.797']
  assert 'the mean over the seeds ± the standard deviation' in text and 'seeds 0, 1, 2;' in text
  assert '±' not in table3([make_result('abn_grader')])


def test_table_three_names_the_resolutions_and_leaves_unprinted_metrics_empty(results):
  text = table3(results)
  rows = cells(text)
  assert rows['Inception-v3 (224 x 224), here 32 x 32'] == ['0.610 [0.590, 0.630]', '0.660']
  assert rows['Multi-task, Conv, Lesion-Net-16s, joint'][1] == ''
  assert 'input 32 x 32, 64 x 64 and 128 x 128 pixels' in text


def test_a_caption_has_all_that_is_needed_to_judge(results):
  text = table2([*results, make_result('fcn_8s', 1, steps=90, versions={'python': '3.12', 'jax': '0.10.2'})])
  for part in ('synthetic, 120 test photographs', 'input 128 x 128 pixels', '90 to 160 steps', 'seeds 0, 1 (1 to 2 a row)',
               '2 CPU cores', 'python 3.11.9 and 3.12, jax 0.10.2', '95 % interval of 200 resamples',
               '\npython -m experiments.table2 --preset=small --seeds=0,1\n'):
    assert part in text, part


def test_hardware_is_named_with_its_number():
  gpus = make_result('unet', hardware={'device': 'NVIDIA H200', 'devices': 2, 'cpus': 16})
  assert '2 x NVIDIA H200, 16 CPU cores' in table2([gpus])


@pytest.mark.parametrize('data', ['synthetic', 'idrid', 'retinal_lesions'])
def test_only_the_papers_data_may_be_held_against_the_paper(data):
  text = table2([make_result('unet', data=data, config={'segment': {'pretrained': 'imagenet.pth'}})])
  assert 'starting from imagenet.pth' in text
  assert (captions.OTHER_DATA in text) == (data != 'retinal_lesions')
  assert (captions.RELEASED_DATA in text) == (data == 'retinal_lesions')


def test_random_initial_weights_are_said():
  text = table2([make_result('unet', data='retinal_lesions')])
  assert 'starting from random weights' in text
  assert captions.RANDOM_START in text and captions.RELEASED_DATA not in text


def test_one_row_of_other_data_makes_the_whole_table_incomparable():
  text = table2([make_result('unet', data='retinal_lesions'), make_result('fcn_8s', data='synthetic')])
  assert captions.OTHER_DATA in text


def test_commands_that_differ_in_rows_and_seeds_are_one():
  made = [make_result(key, seed) for key in ('fcn_8s', 'unet') for seed in (0, 1)]
  command = 'python -m experiments.table2 --preset=small --rows=danet --seeds=0 --pretrained=W'
  other = make_result('danet', command=command)
  assert captions.commands([*made, other]) == [
      'python -m experiments.table2 --preset=small --rows=fcn_8s,unet --seeds=0,1',
      'python -m experiments.table2 --preset=small --pretrained=W --rows=danet --seeds=0']
  assert captions.command_for(made, ['multitask']) == (
      'python -m experiments.table3 --preset=small --rows=multitask --seeds=0,1')
  with pytest.raises(ValueError, match='no results'):
    captions.command_for([], ['multitask'])


def test_cost_is_of_each_row_over_its_seeds():
  made = [make_result('fcn_8s'), make_result('unet', 0, seconds=100.0, best_step=80),
          make_result('unet', 1, seconds=200.0, cpu_seconds=380.0, best_step=160, resumed=True,
                      peak_memory={'bytes': 2_345_000_000, 'of': 'accelerator'})]
  text = cost(made)
  assert cells(text)['FCN-8s'] == ['3,400,000', '1', '160 (80)', '61', '', '1.50']
  assert cells(text)['U-Net'] == ['3,400,000', '2', '160 (80 to 160)', '150*', '380', '2.35']
  assert 'of the process or accelerator' in text and r'\* interrupted' in text
  assert r'\*' not in cost(made[:1])


def test_table_four_has_three_tasks_by_four_systems(results, memories):
  rows = cells(table4(results, memories))
  assert rows['FCN-8s'] == ['0.536 [0.516, 0.556] (0.586)', '0.728 [0.708, 0.748] (0.778)', '']
  assert rows['ABN-grading'] == ['', '', '0.747 [0.727, 0.767] (0.797)']
  ours = rows['**Multi-task, Conv, Lesion-Net-16s**']
  assert [cell.partition(' ')[0] for cell in ours] == ['0.540', '0.751', '0.753']
  assert [cell[-7:] for cell in ours] == ['(0.591)', '(0.801)', '(0.803)']


def test_memory_is_three_networks_against_one():
  sizes = {'fcn_8s': 0.1, 'deeplab_v3_plus': 0.2, 'abn_grader': 0.3, 'multitask': 0.4}
  made = [make_memory(system, weights=size, temporaries=2 * size, peak=10 * size) for system, size in sizes.items()]
  rows = cells(text := table4([], made), '### Memory')
  assert rows['the three baselines beside each other'] == ['1.80', '6.00', '3.2']
  assert rows['**Multi-task, Conv, Lesion-Net-16s**'] == ['1.20', '4.00', '1.5']
  assert rows['one network against three beside each other'] == ['0.67', '0.67', '0.47']
  # 0.1 + 0.2 + 0.3 of weights and the largest temporaries, 0.6
  assert rows['the three baselines in turn, temporaries shared'] == ['1.20', '', '']
  assert rows['one network against three in turn'] == ['1.00', '', '']
  assert 'Neither count is memory of a GPU' in text
  gpu = {'device': 'NVIDIA H200', 'devices': 1, 'cpus': 16}
  assert 'Neither count' not in table4([], [made_of | {'hardware': gpu} for made_of in made])
  assert 'python -m experiments.memory predict --model=abn_grader' in text


def test_a_sum_waits_for_all_of_its_parts(memories):
  rows = cells(table4([], memories[:2]), '### Memory')
  assert rows['FCN-8s'] == ['0.50', '1.00', ''] and rows['ABN-grading'] == ['–', '–', '']
  assert rows['the three baselines beside each other'] == ['–', '–', '3.2']
  assert rows['the three baselines in turn, temporaries shared'] == ['–', '', '']
  assert rows['one network against three beside each other'] == ['–', '–', '0.47']
  assert cells(table4([], []), '### Memory')['FCN-8s'] == ['–', '–', '']


def test_memories_of_different_sizes_are_not_added(memories):
  with pytest.raises(ValueError, match='different settings cannot be added'):
    table4([], [*memories[1:], make_memory('fcn_8s', size=448)])
  gpu = {'device': 'NVIDIA H200', 'devices': 1, 'cpus': 16}
  with pytest.raises(ValueError, match='different settings cannot be added'):
    table4([], [*memories[1:], make_memory('fcn_8s', hardware=gpu)])


class TestChance:

  def result(self, aupr, prevalence=0.01):
    made = make_result('lesion_net_8s')
    made['report'] |= {'aupr': {'mean': aupr, 'lesions': {'MA': aupr, 'NV': None}, 'undefined': {}},
                       'precision_recall': {'recall': [0.0], 'precision': {'MA': [aupr]}, 'prevalence': {'MA': prevalence}}}
    return made

  def test_an_aupr_below_twice_the_prevalence_is_named(self):
    assert chance([self.result(0.019)]) == 'Near chance (an AUPR below twice the prevalence): Lesion-Net-8s (seed 0): AUPR of MA is 1.9 times its prevalence.'
    assert chance([self.result(0.3)]) == 'No row is near chance: the smallest AUPR is 30 times the prevalence of its lesion.'

  def test_a_kappa_whose_interval_holds_zero_is_named(self):
    made = make_result('multitask')
    assert chance([made]) == 'No row is near chance.'
    made['report']['intervals']['kappa'] = [-0.1, 0.3]
    assert 'the interval of kappa holds 0' in chance([made])

  def test_results_without_prevalence_and_checks_of_the_programs_say_nothing(self):
    assert chance([make_result('lesion_net_8s')]) == chance([self.result(0.019) | {'preset': 'smoke'}]) == ''


def test_maps_of_a_multi_task_network_tested_without_masks_are_those_of_its_lesion_network():
  multitask, inside, other = make_result('multitask'), make_result('lesion_net_16s', move=0.1), make_result('lesion_net_16s', 1)
  multitask['report'] = {name: value for name, value in multitask['report'].items() if not name.endswith('_f1')}
  row = lambda *made: cells(table4([*made], []))['**Multi-task, Conv, Lesion-Net-16s**']
  assert row(multitask, inside, other)[0].startswith('0.690 [') and row(multitask, other)[0].startswith('(a)')


def test_table_three_says_of_how_many_photographs_where_that_differs():
  made = [make_result('multitask', test_images=100), make_result('inception_v3')]
  rows = cells(table3(made))
  assert rows['Multi-task, Conv, Lesion-Net-16s'][-1] == '100' and rows['Inception-v3'][-1] == '120' and rows['ABN-grading'][-1] == ''
  assert 'photographs' not in table3(made[1:]).splitlines()[2]


def test_the_papers_means_are_of_the_lesions_that_are_evaluated():
  made = [make_result('unet', preset='idrid', missing=dict.fromkeys(LESION_KEYS[4:], 'not annotated'))]
  header, _, unet = [[cell.strip() for cell in line.split('|')[1:-1]] for line in summary(made).splitlines() if line[:1] == '|']
  assert header[-2:] == ["paper's pixel F1 of these lesions, another data set", "paper's image F1 of these lesions, another data set"]
  assert unet[-2:] == ['0.569', '0.835']  # (.384 + .598 + .730 + .565) / 4 and (.888 + .855 + .843 + .755) / 4
  assert '| U-Net | **0.569** [0.549, 0.589] | 0.569 | **0.384** | ' in table2(made) and 'paper, of these lesions (another data set)' in table2(made)


def test_an_image_f1_below_that_of_calling_everything_is_named():
  """Two of four photographs have the lesion: calling all of them has an F1 of 2 / 3."""
  counts = {f'image_{kind}': np.zeros((4, 8), np.int64) for kind in ('tp', 'fp', 'fn', 'tn')} | {'known_pixels': np.ones((4, 8))}
  counts['image_tp'][:2, 0], counts['image_tn'][2:, 0] = 1, 1
  made = [make_result(key, preset='idrid', counts=(counts, ('MA',))) for key in ('unet', 'danet')]
  for result, value in zip(made, (0.6, 0.7), strict=True):
    result['report']['image_f1']['mean'] = value
  assert photographs(made) == (
      'F1 are of 4 test photographs, of which 2 have masks with one of these lesions. Whoever calls every lesion present in every photograph has an '
      'image F1 of 0.667; below it: U-Net.')
  lucky = make_result('unet', 1, preset='idrid', counts=made[0]['counts'])
  lucky['report']['image_f1']['mean'] = 0.7
  assert photographs([*made, lucky]).endswith('0.667; below it: U-Net (seed 0).')
  counts['image_tn'][3] = 0  # nobody knows
  assert '(whether it is there is known for MA of 3)' in photographs(made) and 'an image F1 of 0.800' in photographs(made)


def test_on_other_patients_the_papers_numbers_stand_in_columns_of_their_own():
  made = [make_result('unet', preset='idrid'), make_result('unet', 1, preset='idrid'), make_result('inception_v3_classifier', preset='idrid')]
  for result in made[:2]:
    result['report']['aupr'] = {'mean': 0.3, 'lesions': {}, 'undefined': {}}
    result['report']['intervals']['aupr'] = {'mean': [0.2, 0.4], 'lesions': {}}
  header, _, unet, classifier = [[cell.strip() for cell in line.split('|')[1:-1]] for line in summary(made).splitlines() if line[:1] == '|']
  assert header == ['system', 'seeds', 'AUPR', 'pixel F1', 'image F1', "paper's pixel F1, another data set", "paper's image F1, another data set"]
  assert unet[:4] == ['U-Net', '2', '0.300 ± 0.000 [0.200, 0.400]', '0.570 ± 0.000 [0.550, 0.590]'] and unet[5:] == ['0.570', '0.757']
  assert classifier[2:4] == ['', ''] and classifier[5:] == ['', '0.716']
