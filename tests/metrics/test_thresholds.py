"""Thresholds hold on the data on which they were chosen, and on data like them."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from lesion_jax.metrics import SCORE_BINS, best_f1_threshold, clean_threshold, joint_ranks, log_odds, raised, widest_margin
from lesion_jax.metrics.curves import bin_thresholds
from lesion_jax.metrics.histogram import score_bin


def histogram(negatives, positives):
  return np.stack([np.bincount(score_bin(np.asarray(each, np.float32)), minlength=SCORE_BINS)
                   for each in (negatives, positives)])


@pytest.mark.parametrize('seed', [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_no_edge_of_a_bin_has_a_better_f1(seed):
  rng = np.random.default_rng(seed)
  negatives, positives = (1 / (1 + np.exp(-rng.normal(mean, 2, size))).astype(np.float32)
                          for mean, size in ((-3, 4000), (1, 300)))
  best = best_f1_threshold(histogram(negatives, positives))
  assert 0 < best < 1 and np.float32(best) == best
  scores, truth = np.concatenate([negatives, positives]), np.arange(4300) >= 4000
  reached = f1_score(truth, scores >= np.float32(best))
  for edge in bin_thresholds()[1::7]:
    assert f1_score(truth, scores >= edge, zero_division=0) <= reached + 1e-12
  # And nearly none anywhere: bins are fine.
  assert max(f1_score(truth, scores >= t) for t in np.sort(positives)) <= reached + 5e-3


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
  assert best_f1_threshold(histogram([0.1] * 9, [0.9] * 9)) == 0.5
  assert 0.6 < best_f1_threshold(histogram([0.6] * 9, [0.9] * 9)) < 0.65
  assert 0.39 < best_f1_threshold(histogram([0.1] * 9, [0.4] * 9)) <= np.float32(0.4)


@pytest.mark.parametrize(('negatives', 'positives'), [([0], [0]), ([1], [1]), ([], [0]), ([], [1]), ([1] * 5, [0])])
def test_a_network_that_is_always_sure_still_gets_a_threshold_between_0_and_1(negatives, positives):
  assert 0 < best_f1_threshold(histogram(negatives, positives)) < 1


def test_without_a_positive_there_is_no_threshold():
  assert best_f1_threshold(histogram([0.2, 0.9], [])) is None
  with pytest.raises(ValueError, match=r'take \[:, lesion\]'):
    best_f1_threshold(np.zeros((2, 8, SCORE_BINS), int))


@pytest.mark.parametrize('specificity', [0.5, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize('count', [1, 2, 7, 18, 19, 20, 39, 100])
def test_a_threshold_holds_its_specificity_on_its_own_data(count, specificity):
  scores = np.random.default_rng(count).random(count)
  scores[: count // 2] = scores[0]  # ties
  found = clean_threshold(scores, specificity)
  assert np.mean(scores > found.threshold) <= 1 - specificity + 1e-12
  # The rank is that of split conformal prediction, or the last.
  rank = int(np.ceil(np.round((count + 1) * specificity, 9)))
  taken = min(rank, count)
  assert found.promised == pytest.approx(taken / (count + 1))
  assert found.threshold == pytest.approx(np.sort(scores)[taken - 1], abs=3e-4)
  assert rank > count or found.promised >= specificity - 1e-12


def test_it_holds_on_further_photographs_too():
  rng = np.random.default_rng(0)
  above = [np.mean(rng.beta(1, 9, 50) > clean_threshold(rng.beta(1, 9, 40), 0.9).threshold) for _ in range(2000)]
  assert np.mean(above) <= 0.1 + 0.003  # three standard deviations of the mean


def test_scores_of_1_are_clean_where_all_are_1():
  assert clean_threshold(np.ones(30), 0.95).threshold == 1
  assert clean_threshold(np.array([]), 0.95) is None
  with pytest.raises(ValueError, match='above 0 and below 1'):
    clean_threshold(np.ones(3), 1.0)


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('specificity', [0.8, 0.95])
def test_any_lesion_is_called_in_no_more_healthy_eyes_than_stated(seed, specificity):
  rng = np.random.default_rng(seed)
  healthy = rng.random((60, 4))
  clean = [np.concatenate([healthy[:, j], rng.random(15 * j) ** 2]) for j in range(4)]
  ranks = joint_ranks(clean, healthy, specificity)
  together = [clean_threshold(scores, specificity, least_rank=rank) for scores, rank in zip(clean, ranks, strict=True)]
  called = healthy > np.array([found.threshold for found in together])
  assert called.any(axis=1).mean() <= 1 - specificity + 1e-12
  alone = [clean_threshold(scores, specificity) for scores in clean]
  assert (healthy > np.array([found.threshold for found in alone])).any(axis=1).mean() > 1 - specificity
  assert all(a.threshold <= t.threshold for a, t in zip(alone, together, strict=True))
  # No further than needed: one rank less for all, and too many eyes are called.
  less = [np.sort(scores)[max(rank - 2, 0)] for scores, rank in zip(clean, ranks, strict=True)]
  allowed = 60 - int(np.ceil(61 * specificity))
  assert (healthy > np.array(less)).any(axis=1).sum() > allowed


def test_lesions_that_err_in_the_same_eyes_need_no_higher_thresholds():
  scores = np.random.default_rng(1).random(99)
  ranks = joint_ranks([scores] * 3, np.stack([scores] * 3, axis=1), 0.9)
  assert ranks == [90] * 3 and clean_threshold(scores, 0.9).promised == 90 / (len(scores) + 1)


def test_a_threshold_is_raised_in_log_odds():
  assert raised(0.5, 1.0) == pytest.approx(expit(1)) and raised(0.999, 2.0) == pytest.approx(expit(logit(0.999) + 2))
  assert raised(1.0, 5.0) == 1 and 0 < raised(0.0, 1.0) < 1e-6


@pytest.mark.parametrize('seed', range(4))
def test_thresholds_may_rise_by_the_margin_and_no_further(seed):
  rng = np.random.default_rng(seed)
  scores, thresholds = expit(rng.normal(3, 3, (40, 4))), expit(rng.normal(-2, 1, 4))
  margin = widest_margin(scores, thresholds, 0.9)
  called = lambda by: (scores > [raised(threshold, by) for threshold in thresholds]).any(axis=1).mean()
  assert margin > 0 and called(margin - 1e-6) >= 0.9 > called(margin + 1e-6)


def test_where_too_few_of_the_sick_are_called_or_there_is_none_nothing_is_raised():
  assert widest_margin(np.full((10, 2), 0.2), [0.5, 0.5], 0.9) == 0
  assert widest_margin(np.zeros((0, 2)), [0.5, 0.5], 0.9) == 0


def test_the_middle_is_not_beyond_what_float32_tells_where_the_sick_are_as_sure_as_can_be():
  healthy, sick = (1 / (1 + np.exp(-np.float32([8.0, 18.0]))))
  assert sick == 1  # of a mean log odds of 16.7 or more
  middle = raised(float(healthy), widest_margin(np.full((20, 1), sick), [float(healthy)], 0.95) / 2)
  assert log_odds(middle) == pytest.approx((8 + 16.64) / 2, abs=0.01)


def test_without_healthy_eyes_or_negatives_nothing_is_raised():
  assert joint_ranks([np.ones(3)], np.zeros((0, 1)), 0.9) == [0]
  assert joint_ranks([], np.zeros((3, 0)), 0.9) == []
  assert joint_ranks([np.array([]), np.arange(3) / 3], np.array([[0.5, 0.1]]), 0.9)[0] == 0
