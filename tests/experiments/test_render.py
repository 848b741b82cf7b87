"""Tables from results alone: every figure stands where it belongs, and what is missing is said."""

import json

import pytest
from invented import make_memory, make_result

from experiments import collect, render
from experiments.collect import ROWS


def line(text, start):
  """The cells of the first line of a table that begins with this title."""
  return [cell.strip() for cell in next(x for x in text.splitlines() if x.startswith(f'| {start} |')).split('|')[1:-1]]


def test_table_2_has_our_figure_its_interval_and_the_papers(results):
  text = render.table2(results)
  assert line(text, 'FCN-8s')[:4] == ['FCN-8s', '0.536 [0.516, 0.556]', '0.586', '0.319 (0.369)']
  segmentation, classification = text.split('### Lesion classification')
  assert 'ABN-lesion' not in segmentation
  assert line(classification, 'ABN-lesion')[1:3] == ['0.676 [0.656, 0.696]', '0.726']


def test_the_largest_of_a_column_is_bold(results):
  assert line(render.table2(results), 'Lesion-Net-8s')[1].startswith('**0.553**')
  assert line(render.table3(results), 'Multi-task, Conv, Lesion-Net-16s')[1].startswith('**0.753**')


def test_several_seeds_give_mean_and_spread():
  three = [make_result('fcn_8s', move=move, seed=seed) for seed, move in enumerate((-0.1, 0.0, 0.1))]
  assert line(render.table2(three), 'FCN-8s')[1].replace('**', '').startswith('0.586 ± 0.100')
  assert 'seeds 0, 1, 2' in render.table2(three)


def test_rows_that_were_not_run_have_a_dash(results):
  text = render.table2([result for result in results if result['row'] != 'unet'])
  assert line(text, 'U-Net')[1] == '–'
  assert line(text, 'U-Net')[2] == '0.570'


def test_an_undefined_figure_has_its_reason():
  text = render.table2([make_result('fcn_8s', undefined=('NV',))])
  assert '(a)' in line(text, 'FCN-8s')[9]
  assert '(a) not annotated' in text


def test_table_3_names_the_size_that_was_used(results):
  assert line(render.table3(results), 'Inception-v3 (224 x 224), here 128 x 128')[2] == '0.660'


def test_table_4_sums_the_memory_of_the_three_baselines(results):
  memories = [make_memory(system, size) for system, size in
              (('fcn_8s', 1.0), ('deeplab_v3_plus', 2.0), ('abn_grader', 0.5), ('multitask', 1.75))]
  text = render.table4(results, memories)
  assert line(text, 'the three baselines beside each other')[1:] == ['3.50', '7.00', '3.2']
  assert line(text, 'one network against three')[1:] == ['0.50', '0.50', '0.47']


def test_a_caption_tells_what_was_measured_and_how(results):
  text = render.table2(results)
  for words in ('synthetic, 100 test photographs', '128 x 128 pixels', '150 steps', 'seed 0', '2 CPU cores', 'jax 0.10',
                'python -m experiments.table2 --preset=smoke'):
    assert words in text
  assert 'comparable' in text or 'compare' in text


def test_results_are_read_in_the_order_of_the_rows(results, memories, folder):
  path = folder(results[::-1] + memories)
  assert [result['row'] for result in collect.load(path)] == list(ROWS)
  assert collect.load(path) == results
  assert [memory['system'] for memory in collect.load_memories(path)] == [memory['system'] for memory in memories]


def test_an_empty_folder_has_no_results(tmp_path):
  assert collect.load(tmp_path) == []
  with pytest.raises(FileNotFoundError):
    collect.load(tmp_path / 'none')


@pytest.mark.parametrize(('content', 'message'), [
    ('{"schema"', 'fcn_8s-0.json'),
    ('[]', 'fcn_8s-0.json'),
    (json.dumps(make_result('fcn_8s') | {'schema': 99}), 'schema'),
    (json.dumps(make_result('fcn_8s') | {'row': 'resnet'}), "row 'resnet', which no table has"),
    (json.dumps(make_result('unet')), 'row and seed'),
    (json.dumps(make_result('fcn_8s', preset='small')), 'preset'),
    (json.dumps(make_result('fcn_8s') | {'seconds': float('nan')}), 'NaN'),
], ids=['torn', 'not an object', 'schema', 'row', 'other row', 'preset', 'NaN'])
def test_a_foreign_or_damaged_file_is_named(folder, content, message):
  path = folder([])
  (path / 'fcn_8s-0.json').write_text(content)
  with pytest.raises(ValueError, match=message) as error:
    collect.load(path)
  assert 'fcn_8s-0.json' in str(error.value)
