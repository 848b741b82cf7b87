"""Intervals of the figures: against plain loops over the same draws, against formulas, and between models."""

import json
import sys

import numpy as np
import pytest

from lesion_jax import metrics
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import bootstrap, intervals, report, totals
from lesion_jax.evaluate.bootstrap import SEED

N, R = 23, 40
ANNOTATED = ('MA', 'iHE', 'CWS', 'vHE', 'pHE')  # CWS: no positive anywhere; vHE: in one image alone


def one_hot(truth, predicted):
  return (np.eye(5, dtype=np.int64)[truth][:, :, None] * np.eye(5, dtype=np.int64)[predicted][:, None, :])


def make_counts(seed, length=N):
  """Counts of images, as a network that finds lesions and grades would give them."""
  rng = np.random.default_rng(seed)
  counts = {f'pixel_{kind}': rng.integers(0, 800_000, (length, 8)) for kind in ('tp', 'fp', 'fn')}
  kind = rng.integers(0, 4, (length, 8))
  counts |= {f'image_{name}': (kind == i).astype(np.int64) for i, name in enumerate(('tp', 'fp', 'fn', 'tn'))}
  for name, value in counts.items():
    value[:, LESION_KEYS.index('CWS')] = name == 'image_tn'
    value[:, LESION_KEYS.index('vHE')] = name == 'image_tn'
    value[0, LESION_KEYS.index('vHE')] = name.endswith('_tp')
  truth = rng.integers(0, 5, length)
  counts['confusion'] = one_hot(truth, np.clip(truth + rng.integers(-1, 2, length), 0, 4))
  counts['confusion'][rng.random(length) < 0.2] = 0  # grade unknown
  return counts


@pytest.fixture(scope='module')
def counts():
  return make_counts(0)


def drawn(length=N, resamples=R, seed=SEED):
  generator = np.random.Generator(np.random.Philox([seed, length]))
  return [generator.integers(length, size=length) for _ in range(resamples)]


def test_it_is_what_a_loop_over_resampled_sets_reports(counts):
  found = bootstrap(counts, ANNOTATED, resamples=R)
  assert set(found) == {'pixel_f1', 'mean_pixel_f1', 'pixel_iou', 'mean_pixel_iou', 'image_f1', 'mean_image_f1', 'kappa',
                        'accuracy'}
  for r, images in enumerate(drawn()):
    figures = report(totals({name: value[images] for name, value in counts.items()}), ANNOTATED)
    for name in ('pixel_f1', 'pixel_iou', 'image_f1'):
      np.testing.assert_array_equal(found[name][r], np.array(list(figures[name]['lesions'].values()), float))
      assert found[f'mean_{name}'][r] == pytest.approx(figures[name]['mean'], rel=1e-14)
    for name in ('kappa', 'accuracy'):
      assert found[name][r] == figures[name]['value']


def test_the_area_under_the_curve_has_an_interval_where_the_histograms_of_the_images_were_kept(counts, monkeypatch):
  monkeypatch.setattr(sys.modules[bootstrap.__module__], 'SUMMED', 7)
  rng = np.random.default_rng(1)
  kept = rng.integers(0, 3, (N, 2, 8, metrics.SCORE_BINS)).astype(np.int32) * (rng.random((N, 1, 8, 1)) < 0.5)
  kept[:, 1, LESION_KEYS.index('CWS')] = 0  # no positive anywhere
  found = bootstrap(counts | {'histograms': kept}, ANNOTATED, resamples=R)
  for r, images in enumerate(drawn()):
    figures = report({'histogram': kept[images].sum(0)}, ANNOTATED)['aupr']
    np.testing.assert_allclose(found['aupr'][r], np.array(list(figures['lesions'].values()), float), rtol=1e-12)
    assert found['mean_aupr'][r] == pytest.approx(figures['mean'], rel=1e-12)
  ends = intervals(found)['aupr']
  assert ends['lesions']['CWS'] is ends['lesions']['NV'] is None and ends['mean'][0] < ends['mean'][1]
  with pytest.raises(ValueError, match='the same images in each'):
    bootstrap(counts | {'histograms': kept[1:]}, ANNOTATED)


def test_small_blocks_change_nothing(counts, monkeypatch):
  whole = bootstrap(counts, ANNOTATED, resamples=R)
  monkeypatch.setattr(sys.modules[bootstrap.__module__], 'BLOCK', 3 * N)
  for name, value in bootstrap(counts, ANNOTATED, resamples=R).items():
    np.testing.assert_array_equal(value, whole[name], err_msg=name)


def test_the_seed_decides_and_fewer_resamples_are_the_first_of_more(counts):
  first, more, other = (bootstrap(counts, ANNOTATED, **options)['kappa'] for options in (
      {'resamples': 10}, {'resamples': 30}, {'resamples': 10, 'seed': 1}))
  np.testing.assert_array_equal(first, more[:10])
  assert not np.array_equal(first, other)


def test_equal_models_differ_by_exactly_nothing(counts):
  one, other = (bootstrap(dict(counts), ANNOTATED) for _ in range(2))
  found = intervals({name: one[name] - other[name] for name in one})
  assert found['kappa'] == found['accuracy'] == found['pixel_f1']['mean'] == found['image_f1']['mean'] == [0, 0]
  assert found['pixel_f1']['lesions']['MA'] == [0, 0]


def test_a_difference_over_shared_resamples_is_surer_than_two_intervals():
  """A model that is right on 10 of 200 images more, and else the same, is better in nearly every resample."""
  truth = np.tile(np.arange(5), 40)
  predicted = np.where(np.arange(200) % 3 == 0, (truth + 1) % 5, truth)
  better = np.where(np.arange(200) < 30, truth, predicted)
  one, other = (bootstrap({'confusion': one_hot(truth, model)}, ()) for model in (predicted, better))
  low, high = intervals({'accuracy': other['accuracy'] - one['accuracy']})['accuracy']
  (_, top), (bottom, _) = intervals(one)['accuracy'], intervals(other)['accuracy']
  assert 0 < low < 0.05 < high and bottom < top


def test_the_interval_of_an_accuracy_is_the_binomials():
  right = np.arange(400) < 320
  found = intervals(bootstrap({'confusion': one_hot(np.full(400, 2), np.where(right, 2, 3))}, ()))
  half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
  assert found['accuracy'] == pytest.approx([0.8 - half, 0.8 + half], abs=0.1 * half)


def test_nineteen_of_twenty_intervals_cover_the_truth():
  """Of the image F1 of eight independent lesions, 2 * 0.4 / (2 * 0.4 + 0.15 + 0.15) in the long run."""
  rng, covered = np.random.default_rng(3), []
  for seed in range(100):
    kind = rng.choice(4, size=(100, 8), p=[0.4, 0.15, 0.15, 0.3])
    counts = {f'image_{name}': kind == i for i, name in enumerate(('tp', 'fp', 'fn'))}
    found = intervals(bootstrap(counts, LESION_KEYS, resamples=400, seed=seed))['image_f1']['lesions']
    covered += [low <= 0.8 / 1.1 <= high for low, high in found.values()]
  assert 0.92 <= np.mean(covered) <= 0.97


def test_a_wider_level_has_a_wider_interval_around_the_figure(counts):
  replicates = bootstrap(counts, ANNOTATED)
  figure = report(totals(counts), ANNOTATED)['pixel_f1']['mean']
  (low, high), (lowest, highest) = (intervals(replicates, level)['pixel_f1']['mean'] for level in (0.5, 0.99))
  assert lowest < low < figure < high < highest
  inside = (replicates['mean_pixel_f1'] >= low) & (replicates['mean_pixel_f1'] <= high)
  assert inside.mean() == 0.5


def test_what_has_no_value_in_any_resample_has_no_interval(counts):
  found = intervals(bootstrap(counts, ANNOTATED))
  assert (found['level'], found['resamples']) == (0.95, 1000)
  for name in ('pixel_f1', 'image_f1'):
    assert {key for key, ends in found[name]['lesions'].items() if ends is None} == {'HaEx', 'NV', 'FiP', 'CWS'}
  assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_lesion_of_one_image_is_judged_where_that_image_was_drawn(counts):
  scores = bootstrap(counts, ANNOTATED, resamples=1000)['image_f1'][:, LESION_KEYS.index('vHE')]
  present = np.array([0 in images for images in drawn(resamples=1000)])
  np.testing.assert_array_equal(np.isnan(scores), ~present)
  assert intervals(bootstrap(counts, ANNOTATED))['image_f1']['lesions']['vHE'] == [1, 1]


def test_without_annotated_lesions_and_known_grades_everything_is_none(counts):
  found = intervals(bootstrap(counts | {'confusion': np.zeros((N, 5, 5), int)}, (), resamples=R))
  assert found['kappa'] is found['accuracy'] is found['pixel_f1']['mean'] is None
  assert set(found['image_f1']['lesions'].values()) == {None}


def test_only_what_the_network_computes_has_intervals(counts):
  classifier = {name: value for name, value in counts.items() if name.startswith('image')}
  assert intervals(bootstrap(classifier, ANNOTATED, resamples=R)).keys() == {'level', 'resamples', 'image_f1'}
  grader = {'confusion': counts['confusion'], 'histogram': np.zeros((2, 8, metrics.SCORE_BINS))}
  assert intervals(bootstrap(grader, (), resamples=R)).keys() == {'level', 'resamples', 'kappa', 'accuracy'}


@pytest.mark.parametrize(('changes', 'options'), [
    ({}, {'resamples': 0}), ({'pixel_tp': np.zeros((N - 1, 8), int)}, {}), ('nothing', {}), ('empty', {})])
def test_what_cannot_be_resampled_is_refused(counts, changes, options):
  given = {'nothing': {}, 'empty': {'confusion': np.zeros((0, 5, 5), int)}}[changes] \
      if isinstance(changes, str) else counts | changes
  with pytest.raises(ValueError, match='resamples=0: give|there must be a count and an image'):
    bootstrap(given, (), **options)


def test_mistakes_are_named(counts):
  with pytest.raises(ValueError, match="unknown lesion 'hemorrhage'"):
    bootstrap(counts, ('hemorrhage',))
  with pytest.raises(ValueError, match='level=95'):
    intervals({'kappa': np.zeros(3)}, level=95)
