"""Figures by region, held to loops over scipy's labels written here in the plainest way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lesion_jax.clinical.findings import Smallest
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.evaluate.regions import (
    FROC_THRESHOLDS, RATES, SHARE, choose_smallest, f1_of, evaluate_regions, match, region_counts)
from lesion_jax.report.terminal import format_report

SIDE = 48
MA, HAEX = LESION_KEYS.index('MA'), LESION_KEYS.index('HaEx')


def _regions(mask):
  labels, count = ndimage.label(mask, np.ones((3, 3)))
  return [labels == number for number in range(1, count + 1)]


def _oracle(predicted, truth, least=1):
  """(found, truth, right, predicted), one region after the other."""
  ours = [region for region in _regions(predicted) if region.sum() >= least]
  kept = np.any(ours, axis=0) if ours else np.zeros_like(predicted)
  found = sum((region & kept).sum() / region.sum() >= SHARE for region in _regions(truth))
  right = sum((region & truth).sum() / region.sum() >= SHARE for region in ours)
  return found, len(_regions(truth)), right, len(ours)


def _blobs(seed, level):
  return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 1.3) > level


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('least', [1, 2, 5, 9, 40])
def test_matches_are_those_of_loops_over_all_regions(seed, least):
  truth = _blobs(seed, 0.25)
  predicted = np.roll(truth, (1, 2), (0, 1)) & _blobs(seed + 100, -0.1) | _blobs(seed + 200, 0.4)
  assert match(predicted, truth).counts(least) == _oracle(predicted, truth, least)


def test_a_large_prediction_finds_many_and_pieces_are_each_right():
  truth, predicted = np.zeros((2, 20, 20), bool)
  truth[2:4, 2:4] = truth[2:4, 6:8] = truth[12:16, 2:12] = True
  predicted[2:4, 2:8] = predicted[12:16, 2:5] = predicted[12:16, 8:12] = True
  assert match(predicted, truth).counts() == (3, 3, 3, 3)


@pytest.mark.parametrize('covered, found', [(1, False), (2, True)])
def test_a_fifth_is_enough_on_either_side(covered, found):
  truth, predicted = np.zeros((2, 4, 40), bool)
  truth[0, :10] = True  # of ten pixels
  predicted[0, 10 - covered:20 - covered] = True
  assert match(predicted, truth).counts() == (found, 1, found, 1)


def test_nothing_in_either_mask():
  empty = np.zeros((5, 5), bool)
  assert match(empty, empty).counts() == (0, 0, 0, 0) and match(~empty, empty).counts() == (0, 0, 0, 1)
  assert match(empty, ~empty).counts() == (0, 1, 0, 0)


@pytest.mark.parametrize('tally, expected', [((1, 2, 3, 4), 0.6), ((0, 2, 0, 5), 0), ((0, 2, 0, 0), 0), ((0, 0, 0, 5), np.nan)])
def test_f1_is_the_harmonic_mean_of_found_and_right(tally, expected):
  assert f1_of(*tally) == pytest.approx(expected, nan_ok=True)


class _Set:
  """Photographs with soft maps, and what is drawn on them; of the last one MA is not annotated."""

  def __init__(self, count=5):
    rng = np.random.default_rng(5)
    self.maps, self.examples = [], []
    for number in range(count):
      values = 1 / (1 + np.exp(-6 * ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE, 8)), (1.3, 1.3, 0))))
      drawn = np.roll(values, 1, 0) + rng.normal(size=values.shape) * 0.05 > 0.85
      ignore = rng.random((SIDE, SIDE)) < 0.02
      lesions = drawn[..., MA] * np.uint8(1 << MA) | (drawn[..., HAEX] & (number != 1)) * np.uint8(1 << HAEX)
      self.maps.append(values.astype(np.float32))
      self.examples.append({
          'image': np.full((SIDE, SIDE, 3), number, np.uint8), 'lesions': lesions.astype(np.uint8),
          'ignore': ignore * np.uint8(1 << MA), 'id': str(number),
          'annotated': np.uint8(lesion_bits(['HaEx'] if number == count - 1 else ['MA', 'HaEx']))})

  def predict(self, image):
    return self.maps[image[0, 0, 0]]

  def masks(self, number, j, threshold):
    known = (self.examples[number]['ignore'] >> j & 1) == 0
    truth = (self.examples[number]['lesions'] >> j & 1).astype(bool) & known
    return (self.maps[number][..., j] >= threshold) & known, truth


def test_counts_of_a_set_are_those_of_its_photographs_without_ignored_pixels():
  drawn = _Set()
  counts = region_counts(drawn.predict, drawn.examples, ('MA', 'HaEx'), 0.7, smallest={'HaEx': Smallest(4)})
  for number in range(5):
    for j, least in ((MA, 1), (HAEX, 4)):
      known = not (j == MA and number == 4)
      assert counts['region_known'][number, j] == known
      expected = _oracle(*drawn.masks(number, j, 0.7), least) if known else (0, 0, 0, 0)
      assert tuple(counts[f'region_{name}'][number, j] for name in ('found', 'truth', 'right', 'called')) == expected
      for place, threshold in enumerate(FROC_THRESHOLDS if known else ()):
        found, _, right, called = _oracle(*drawn.masks(number, j, threshold), least)
        assert (counts['froc_found'][number, j, place], counts['froc_false'][number, j, place]) == (found, called - right)
  assert not counts['region_known'][:, LESION_KEYS.index('CWS')].any()


def test_figures_are_sums_over_photographs_and_froc_takes_the_best_threshold_of_each_rate():
  drawn = _Set()
  counts = region_counts(drawn.predict, drawn.examples, ('MA', 'HaEx'), 0.7)
  report = evaluate_regions(counts, ('MA', 'HaEx'), resamples=200, seed=1)
  for key, j, photographs in (('MA', MA, 4), ('HaEx', HAEX, 5)):
    found, truth, right, called = np.sum([_oracle(*drawn.masks(n, j, 0.7)) for n in range(photographs)], axis=0)
    told = report['lesions'][key]
    assert (told['found'], told['truth'], told['right'], told['predicted'], told['photographs']) == (
        found, truth, right, called, photographs)
    sensitivity, precision = found / truth, right / called
    assert told['f1']['value'] == pytest.approx(2 * sensitivity * precision / (sensitivity + precision))
    assert told['false_per_photograph']['value'] == pytest.approx((called - right) / photographs)
    for name in ('f1', 'sensitivity', 'precision', 'false_per_photograph'):
      low, high = told[name]['interval']
      assert low <= told[name]['value'] <= high
    froc = told['froc']
    for rate in RATES:
      allowed = [s for s, f in zip(froc['sensitivity'], froc['false_per_photograph'], strict=True) if f <= rate]
      assert froc['at'][f'{rate:g}'] == max(allowed, default=0)
    assert froc['mean'] == pytest.approx(np.mean(list(froc['at'].values())))
  assert report['mean_f1'] == pytest.approx(np.mean([report['lesions'][key]['f1']['value'] for key in ('MA', 'HaEx')]))
  assert report['lesions']['HaEx']['clean']['of'] == 1 and report['undefined']['CWS'] == 'not annotated'
  said = format_report({'regions': report}, 'title')
  assert 'at least 0.2 of its pixels are predicted' in said and 'FROC' in said and 'not annotated' in said


def test_a_set_of_healthy_eyes_has_a_specificity_and_no_f1_of_0():
  drawn = _Set()
  for example in drawn.examples:
    example['lesions'], example['ignore'] = np.zeros_like(example['lesions']), np.zeros_like(example['ignore'])
  drawn.maps[0][...] = drawn.maps[1][...] = 0
  drawn.examples[1]['ignore'][3, 4] = 1 << MA  # what is there may be the lesion, so that nobody knows whether the photograph is clean
  report = evaluate_regions(region_counts(drawn.predict, drawn.examples, ('MA',), 0.7), ('MA',), resamples=20, seed=1)
  told = report['lesions']['MA']
  assert told['f1'] is None and told['sensitivity'] is None and told['froc'] is None and report['mean_f1'] is None
  assert report['undefined']['MA'] == 'no positive in the ground truth, yet some predicted'
  assert told['clean'] == {'value': pytest.approx(1 / 3), 'count': 1, 'of': 3} and told['false_per_photograph']['value'] > 0
  assert '1 of 3 clean' in format_report({'regions': report}, 'title')


def test_the_smallest_region_is_that_of_the_largest_f1_on_validation():
  drawn = _Set()
  for values in drawn.maps:  # specks of one pixel everywhere, which nobody drew
    values[::4, ::4, MA] = np.maximum(values[::4, ::4, MA], 0.9)
  chosen = choose_smallest(drawn.predict, drawn.examples, ('MA', 'HaEx', 'CWS'), 0.7)

  def f1(key, least):
    j = LESION_KEYS.index(key)
    sums = np.sum([_oracle(*drawn.masks(n, j, 0.7), least) for n in range(4 if key == 'MA' else 5)], axis=0)
    return float(f1_of(*sums))

  sizes = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128)
  for key in ('MA', 'HaEx'):
    best = max(sizes, key=lambda least: (f1(key, least), -least))
    assert chosen.get(key, {'value': 1})['value'] == best
  assert chosen['MA']['value'] > 1 and chosen['MA']['unit'] == 'pixels' and 'CWS' not in chosen


def test_a_network_that_answers_with_no_number_is_refused():
  drawn = _Set(2)
  drawn.maps[1][3, 3, 0] = np.nan
  with pytest.raises(FloatingPointError, match='not a number on 1'):
    region_counts(drawn.predict, drawn.examples, ('MA',), 0.5)
