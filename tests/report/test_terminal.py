"""A report as text: every figure, aligned, and no silent gap."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import full_report, report
from lesion_jax.metrics import Rule
from lesion_jax.report.terminal import format_report


def test_every_figure_is_there(result):
  text = format_report(result, 'grade: synthetic')
  assert text.startswith('grade: synthetic\n================\n')
  line = next(line for line in text.splitlines() if line.startswith('iHE'))
  assert line.split()[-4:] == [
      f'{result[key]["lesions"]["iHE"]:.3f}' for key in ('pixel_f1', 'pixel_iou', 'image_f1', 'aupr')]
  mean = next(line for line in text.splitlines() if line.startswith('mean'))
  assert mean.split()[-4:] == [f'{result[key]["mean"]:.3f}' for key in ('pixel_f1', 'pixel_iou', 'image_f1', 'aupr')]
  assert f'quadratic weighted kappa   {result["kappa"]["value"]:.3f}' in text
  assert f'sensitivity, referable DR  {result["referable"]["sensitivity"]["value"]:.3f}' in text
  assert [line.split()[2:] for line in text.splitlines() if line.startswith('annotated DR2')] == [
      [str(count) for count in result['confusion'][2]]]


def test_the_data_sets_of_a_mixture_follow_each_by_itself(result):
  text = format_report(result | {'data_sets': {'idrid': result, 'fgadr': result}}, 'mixed')
  alone = [format_report(result, f'mixed; of these {name} alone') for name in ('idrid', 'fgadr')]
  assert text == '\n\n'.join([format_report(result, 'mixed'), *alone])


def test_how_the_network_was_chosen_is_said(result):
  said = lambda **found: format_report(result | {'selection': {'step': 40, **found}}, 'x').splitlines()[-1]
  assert said(criterion='aupr', value=0.1234) == 'chosen on validation by mean AUPR (0.123): step 40'
  assert said(criterion='pixel_image_f1', value=0.5, phase='dual') == (
      'chosen on validation by the mean of pixel and image F1 (0.500): step 40, in the dual phase of its loss')
  assert said(criterion='kappa', value=None) == (
      'the last network, of step 40: none could be chosen on validation by quadratic weighted kappa')
  assert 'dual phase of its loss was never reached' in said(criterion='pixel_f1', value=0.5, phase='segmentation')


def test_missing_values_are_said(result):
  text = format_report(result, 'x')
  assert next(line for line in text.splitlines() if line.startswith('NV')).count('not annotated') == 4
  assert next(line for line in text.splitlines() if line.startswith('pHE')).split()[-3:] == ['undefined'] * 3
  assert 'undefined: pixel F1 of pHE, IoU of pHE, image F1 of pHE (no positive in the ground truth and none predicted)' in text
  assert 'undefined: AUPR of pHE (no positive in the ground truth)' in text


def lesion_table(report):
  lines = format_report(report, 'x').splitlines()
  return lines[lines.index(next(line for line in lines if line.startswith('lesion'))):][:2 + 8 + 2]


def test_tables_are_aligned(result, with_intervals):
  for each in (result, with_intervals):
    assert len({len(line) for line in lesion_table(each)}) == 1


def test_means_and_grading_have_their_intervals(with_intervals):
  text, found = format_report(with_intervals, 'x'), with_intervals['intervals']
  means = [f'{with_intervals[key]["mean"]:.3f} [{found[key]["mean"][0]:.3f}, {found[key]["mean"][1]:.3f}]'
           for key in ('pixel_f1', 'pixel_iou', 'image_f1')]
  aupr = f'{with_intervals["aupr"]["mean"]:.3f}'
  assert next(line for line in text.splitlines() if line.startswith('mean')).split('defined')[1].split() == [
      *' '.join(means).split(), aupr]
  assert f'quadratic weighted kappa   {with_intervals["kappa"]["value"]:.3f} [-0.050, 0.250]\n' in text
  assert f'accuracy                   {with_intervals["accuracy"]["value"]:.3f} [0.500, 0.750]\n' in text
  assert text.endswith('in brackets: 95 % intervals, from 1,000 draws of the images with replacement')


def test_the_figure_before_an_interval_stays_below_those_of_the_lesions(with_intervals):
  table = lesion_table(with_intervals)
  means = re.sub(r'\[.*?\]', lambda found: ' ' * len(found[0]), next(line for line in table if line.startswith('mean')))
  points = [i for i, letter in enumerate(means) if letter == '.']
  assert len(points) == 4  # pixel F1, IoU, image F1, AUPR
  for lesion in ('MA ', 'iHE', 'HaEx', 'CWS'):
    line = next(line for line in table if line.startswith(lesion))
    assert [i for i, letter in enumerate(line) if letter == '.'] == points


def test_without_intervals_there_are_no_brackets(result):
  assert '[' not in format_report(result, 'x')


def test_a_grader_has_no_lesions_and_undefined_figures_have_a_reason():
  text = format_report(report({'confusion': np.zeros((5, 5), int)}, ()), 'grader')
  assert 'lesion' not in text
  assert text.count('undefined: no image has a known grade') == 4  # kappa, accuracy, sensitivity, specificity
  assert 'quadratic weighted kappa   undefined: no image has a known grade' in text
  assert 'annotated DR0' not in text  # no matrix of nothing


def test_a_network_without_grades_has_no_confusion_matrix():
  counts = {f'image_{kind}': np.arange(1, 9) for kind in ('tp', 'fp', 'fn')}
  text = format_report(report(counts, LESION_KEYS), 'classifier')
  assert 'image F1' in text and 'pixel F1' not in text and 'kappa' not in text


def test_calibration_is_a_table_of_its_own_with_what_was_not_judged(evaluation):
  report = evaluation.report
  found, lines = report['calibration'], format_report(report, 'x').splitlines()
  table = lines[lines.index(next(line for line in lines if line.startswith('calibration'))):][:2 + 8 + 3]
  assert len({len(line) for line in table}) == 1
  assert table[0].split('  ')[0] == 'calibration' and table[0].split()[1:] == 'pixel ECE image ECE image Brier'.split()
  assert table[2].count('not learned') == 3 and table[-4].count('not annotated') == 3
  assert table[3].split()[-3:] == [f'{found[level]["lesions"]["iHE"][figure]:.3f}' for level, figure in (
      ('pixel', 'ece'), ('image', 'ece'), ('image', 'brier'))]
  assert set(table[-3]) <= {'-', ' '}
  for line, part in ((table[-2], 'mean'), (table[-1], 'pooled')):
    assert line.split()[-3:] == [f'{found["pixel"][part]["ece"]:.3f}', f'{found["image"][part]["ece"]:.3f}',
                                 f'{found["image"][part]["brier"]:.3f}']
  assert f'ECE of the likeliest grade  {found["grade"]["ece"]:.3f}' in lines
  assert f'Brier score of grades       {found["grade"]["brier"]:.3f}' in lines


def test_a_grader_has_no_table_of_lesions_calibrated_and_unknown_grades_have_a_reason(evaluation):
  counts = {'confusion': np.zeros((60, 5, 5), int), 'grade_probabilities': evaluation.counts['grade_probabilities']}
  text = format_report(full_report(counts, (), resamples=5), 'x')
  assert 'pixel ECE' not in text
  assert 'ECE of the likeliest grade  undefined: no image has a known grade' in text


@pytest.fixture
def judged(evaluation):
  """A report of photographs with a rule of the bundle's own."""
  rng, n = np.random.default_rng(2), 60
  counts = evaluation.counts | {
      'presence_scores': rng.random((n, 8)).astype(np.float32), 'grade': np.arange(n) % 5,
      'maximum_scores': evaluation.counts['lesion_probabilities'], 'patient': np.array([str(i // 2) for i in range(n)]),
      'called_pixels': np.full((n, 8), 12), 'known_pixels': np.full((n, 8), 1000)}
  return full_report(counts, LESION_KEYS[:4], LESION_KEYS[1:], resamples=20, rule=Rule('top500', np.full(8, 0.9)),
                     temperatures={'grades': 2.0})


def test_healthy_eyes_are_said_first_of_all_by_any_lesion(judged):
  lines, group = format_report(judged, 'x').splitlines(), judged['healthy']['graded']
  line = next(line for line in lines if 'graded DR0' in line)
  share, ends = group['any']['value'], group['any']['interval']
  assert line.startswith('12 photographs of 12 patients graded DR0: any lesion called present in '
                         f'{100 * share:.1f} % [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}] (iHE ')
  assert line.endswith(f'by Eq. 1 at 0.5 in {100 * group["maximum"]["any"]:.1f} %')
  assert lines[lines.index(line) + 1].startswith('  area shown per photograph: mean ')
  assert any('graded DR2 to DR4' in line for line in lines)


def test_presence_stands_beside_eq_1(judged):
  lines = format_report(judged, 'x').splitlines()
  header = next(line for line in lines if line.startswith('presence'))
  assert header.count('top500: ') == 3 == header.count('Eq. 1 at 0.5: ')
  row = next(line for line in lines[lines.index(header):] if line.startswith('iHE'))
  figures = [judged['presence'][part][name]['lesions']['iHE'] for part in ('figures', 'maximum')
             for name in ('f1', 'sensitivity', 'specificity')]
  assert row.split()[-6:] == [f'{value:.3f}' for value in figures]
  assert any(line.startswith('with the temperatures of the bundle: ECE of pixels') for line in lines)


def test_eq_1_at_a_half_stands_there_once(judged):
  same = {'rule': 'maximum', 'thresholds': dict.fromkeys(LESION_KEYS, 0.5)}
  header = next(line for line in format_report(judged | {'presence': judged['presence'] | same}, 'x').splitlines()
                if line.startswith('presence'))
  assert header.split()[1:] == ['Eq.', '1:', 'F1', 'Eq.', '1:', 'sensitivity', 'Eq.', '1:', 'specificity']


def test_an_interval_of_fewer_than_ten_images_is_marked(with_intervals):
  few = with_intervals | {'positive_images': {'MA': 30, 'CWS': 9, 'NV': 0}, 'confusion': np.diag([5, 4, 0, 0, 0]).tolist()}
  text = format_report(few, 'x')
  assert text.count('[-0.050, 0.250]*') == 1 and next(line for line in text.splitlines() if line.startswith('mean')).count(']*') == 3
  assert text.endswith('* an interval in which fewer than 10 images count (CWS 9, graded 9): it is too narrow, and says little')
  enough = with_intervals | {'positive_images': {'MA': 30, 'CWS': 10, 'NV': 0}, 'confusion': np.diag([5, 5, 0, 0, 0]).tolist()}
  assert '*' not in format_report(enough, 'x')


@pytest.mark.parametrize(('patients', 'marked'), [(3, True), (9, True), (10, False), (None, False)])
def test_every_interval_of_fewer_than_ten_patients_is_marked_however_many_images_they_have(with_intervals, patients, marked):
  """Of 2 patients with 20 photographs each, 95 % intervals of the bootstrap held the truth in 59 of 100 simulations; of one they are points."""
  share = {'value': 0.5, 'interval': [0.25, 0.75]}
  region = {'f1': share, 'false_per_photograph': share, 'found': 1, 'truth': 2, 'right': 1, 'predicted': 2, 'froc': None,
            'clean': {'count': 0, 'of': 0}}
  many = with_intervals | {
      'positive_images': {'MA': 30}, 'confusion': np.diag([50, 40, 0, 0, 0]).tolist(),
      'intervals': with_intervals['intervals'] | {'patients': patients},
      'regions': {'lesions': {'MA': region}, 'undefined': dict.fromkeys(LESION_KEYS, 'x'), 'mean_f1': 0.5, 'rule': '', 'smallest': {}}}
  text = format_report(many, 'x')
  intervals = re.findall(r'\[-?[0-9.]+, [0-9.]+\](\*?)', text)
  assert len(intervals) > 6 and {bool(mark) for mark in intervals} == {marked}
  assert (f'fewer than 10 images or patients count ({patients} patients): it is too narrow' in text) == marked


def test_a_group_of_fewer_than_ten_images_is_marked(with_intervals):
  share = {'value': 0.5, 'interval': [0.25, 0.75]}
  group = lambda images: {'images': images, 'patients': images, 'any': share, 'lesions': {'MA': share}, 'maximum': {'any': 0.5}}
  healthy = {'graded': group(8), 'annotated': group(10), 'referable': group(0)}
  lines = format_report(with_intervals | {'healthy': healthy}, 'x').splitlines()
  few, enough = (next(line for line in lines if line.startswith(f'{count} photographs')) for count in (8, 10))
  assert few.count('50.0 % [25.0, 75.0]*') == 2 and '*' not in enough
  assert lines[-1].startswith('* an interval in which fewer than 10 images count (graded DR0 8)')


def test_a_group_of_fewer_than_ten_patients_is_marked(with_intervals):
  share = {'value': 0.5, 'interval': [0.25, 0.75]}
  group = {'images': 40, 'patients': 4, 'any': share, 'lesions': {'MA': share}, 'maximum': {'any': 0.5}}
  healthy = {'graded': group, 'annotated': {'images': 0}, 'referable': group | {'patients': 10}, 'separation': {'value': 0.9, 'interval': [0.8, 1]}}
  text = format_report(with_intervals | {'healthy': healthy, 'positive_images': {}, 'confusion': np.diag([50, 40, 0, 0, 0]).tolist()}, 'x')
  assert text.count('50.0 % [25.0, 75.0]*') == 2 == text.count('50.0 % [25.0, 75.0]') - 2 and '0.900 [0.800, 1.000]*' in text
  assert text.splitlines()[-1].startswith('* an interval in which fewer than 10 images or patients count (graded DR0 4 patients)')
