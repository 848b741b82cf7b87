"""What a bundle ships: thresholds, a rule and temperatures that hold on the split on which they were chosen."""

import json

import numpy as np
import oracle
import pytest

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import calibration, choose, healthy_eyes, tempered
from lesion_jax.metrics import SCORE_BINS, Rule, best_f1_threshold
from lesion_jax.metrics.histogram import score_bin
from lesion_jax.predict.config import check_config

SCORED = ('MA', 'iHE', 'HaEx')
N = 120


def make_counts(seed=0, *, healthy=60, lesions=0.6, maps=True, graded=True):
  """Counts of N images: `healthy` eyes graded DR0, that nobody annotated, then eyes with lesions, all annotated."""
  rng = np.random.default_rng(seed)
  annotated = (np.arange(N) >= healthy)[:, None] & (np.arange(8) < 3)
  present = annotated & (rng.random((N, 8)) < lesions)
  scores = np.clip(rng.beta(2, 8, (N, 8)) + 0.35 * present, 0, 1).astype(np.float32)
  maximum = np.clip(scores + 0.4, 0, 1).astype(np.float32)
  grade = np.where(np.arange(N) < healthy, 0, 2) if graded else np.full(N, -1)
  called = maximum >= 0.5
  counts = {
      'image_tp': annotated & present & called, 'image_fp': annotated & ~present & called,
      'image_fn': annotated & present & ~called, 'image_tn': annotated & ~present & ~called}
  counts = {name: value.astype(np.int64) for name, value in counts.items()} | {
      'presence_scores': scores, 'maximum_scores': maximum, 'lesion_probabilities': maximum * annotated, 'grade': grade,
      'patient': np.array([f'p{i // 2}' for i in range(N)])}
  if maps:
    right = rng.normal(-1, 1.5, 10_000)  # logits; those of the network are twice too sure
    truth, said = rng.random(10_000) < 1 / (1 + np.exp(-right)), (1 / (1 + np.exp(-2 * right))).astype(np.float32)
    one = np.stack([np.bincount(score_bin(said[truth == side]), minlength=SCORE_BINS) for side in (False, True)])
    counts['histogram'] = np.repeat(one[:, None], 8, axis=1)
  return counts


@pytest.mark.parametrize('specificity', [0.8, 0.95])
@pytest.mark.parametrize('seed', range(3))
def test_the_rule_holds_its_specificity_on_the_split_it_was_chosen_on(seed, specificity):
  counts = make_counts(seed)
  found = choose(counts, SCORED, specificity=specificity)
  called = Rule.of(found).decide(counts['presence_scores'])
  healthy = counts['grade'] == 0
  assert called[healthy][:, :3].any(axis=1).mean() <= 1 - specificity
  for j, key in enumerate(SCORED):
    clean = healthy | (counts['image_fp'] + counts['image_tn'])[:, j].astype(bool)
    assert called[clean, j].mean() <= 1 - specificity
    assert found['presence']['negatives'][key] == clean.sum()
    assert found['presence']['validation']['specificity'][key] == pytest.approx(1 - called[clean, j].mean())
    sick = (counts['image_tp'] + counts['image_fn'])[:, j].astype(bool)
    assert found['presence']['validation']['sensitivity'][key] == pytest.approx(called[sick, j].mean())
  assert (found['presence']['rule'], found['presence']['healthy']) == ('top500', 60)
  assert found['presence']['validation']['healthy_clean'] >= specificity


def test_pixels_count_from_the_best_f1_and_lesions_that_are_not_scored_keep_a_half():
  counts = make_counts()
  counts['histogram'][1, 1] = 0  # no positive pixel of iHE
  found = choose(counts, SCORED)
  assert found['thresholds']['MA'] == best_f1_threshold(counts['histogram'][:, 0]) != 0.5
  for key in ('iHE', *LESION_KEYS[3:]):
    assert found['thresholds'][key] == 0.5
  assert set(found['presence']['negatives']) == set(SCORED)
  assert found['temperatures']['lesions'].keys() == {'MA', 'HaEx'}


def test_without_a_photograph_that_lacks_a_lesion_the_rule_stays_eq_1_and_says_so():
  counts = make_counts(healthy=0, lesions=1.0)
  presence = choose(counts, SCORED)['presence']
  assert presence['rule'] == 'maximum' and set(presence['thresholds'].values()) == {0.5}
  assert (presence['negatives'], presence['healthy']) == (dict.fromkeys(SCORED, 0), 0)


def test_a_single_lesion_without_a_negative_keeps_a_half():
  counts = make_counts(healthy=0)
  missing = counts['image_tp'] + counts['image_fn'] == 0
  counts['image_tp'][missing[:, 0], 0] = 1
  counts['image_fp'][:, 0] = counts['image_tn'][:, 0] = 0
  presence = choose(counts, SCORED)['presence']
  assert presence['rule'] == 'top500' and presence['negatives']['MA'] == 0 and presence['thresholds']['MA'] == 0.5
  assert presence['negatives']['iHE'] > 0 and presence['promised'].keys() == {'iHE', 'HaEx'}


def test_few_negatives_promise_less_than_was_asked_for():
  counts = make_counts(healthy=7, lesions=1.0)
  presence = choose(counts, SCORED)['presence']
  assert presence['negatives']['MA'] == 7 and presence['promised']['MA'] == pytest.approx(7 / 8)


def test_where_nobody_graded_those_annotated_without_a_lesion_are_the_healthy_eyes():
  counts = make_counts(healthy=0, lesions=0.3, graded=False)
  present = (counts['image_tp'] + counts['image_fn'])[:, :3].any(axis=1)
  np.testing.assert_array_equal(healthy_eyes(counts, SCORED), ~present)
  found = choose(counts, SCORED)['presence']
  assert found['healthy'] == (~present).sum()
  assert Rule.of({'presence': found}).decide(counts['presence_scores'])[~present][:, :3].any(1).mean() <= 0.05


def test_an_eye_graded_healthy_that_has_a_lesion_is_not_healthy():
  counts = make_counts()
  counts['grade'][100] = 0
  counts['image_tp'][100, 0], counts['image_fp'][100, 0], counts['image_tn'][100, 0] = 1, 0, 0
  assert healthy_eyes(counts, SCORED).sum() == 60


def test_of_a_classifier_probabilities_are_judged_and_of_a_grader_the_temperature_and_cut_points():
  counts = make_counts(maps=False)
  found = choose(counts, SCORED)
  assert found.keys() == {'presence', 'temperatures'} and found['temperatures']['lesions'].keys() == set(SCORED)
  rng = np.random.default_rng(0)
  grades = {'grade_probabilities': rng.dirichlet(np.ones(5), N).astype(np.float32), 'grade': rng.integers(0, 5, N)}
  assert choose(grades, ()).keys() == {'temperatures', 'cut_points', 'referral'} and choose(grades, ())['temperatures'].keys() == {'grades'}
  assert choose(grades | {'grade': np.full(N, -1)}, ()) == {}


def test_what_is_chosen_goes_into_a_bundle():
  found = choose(make_counts(), SCORED)
  config = json.loads(json.dumps(oracle.oracle_config() | found, allow_nan=False))
  check_config(config, 'here')
  assert config['thresholds'] == found['thresholds']


def test_tempered_counts_are_better_calibrated_and_nothing_else_moves():
  counts = make_counts()
  temperatures = choose(counts, SCORED)['temperatures']
  found = tempered(counts, temperatures)
  for name in ('image_tp', 'presence_scores', 'grade'):
    np.testing.assert_array_equal(found[name], counts[name])
  before, after = (calibration(each, SCORED)['pixel']['mean'] for each in (counts, found))
  assert after['ece'] < before['ece']
  np.testing.assert_array_equal(found['histogram'][:, 3:], counts['histogram'][:, 3:])


@pytest.mark.parametrize('specificity', [0, 1, 1.5])
def test_another_specificity_is_refused(specificity):
  with pytest.raises(ValueError, match='above 0 and below 1'):
    choose(make_counts(), SCORED, specificity=specificity)


def test_more_of_the_sick_say_how_far_thresholds_may_be_raised():
  counts = make_counts()
  scores = np.where(counts['grade'][:, None] == 0, counts['presence_scores'] / 10, np.float32(0.9999))
  counts |= {'presence_scores': scores.astype(np.float32),
             **{f'image_{kind}': np.zeros((N, 8), np.int64) for kind in ('tp', 'fp', 'fn', 'tn')}}  # nobody drew a mask
  alone = choose(counts, SCORED)['presence']
  assert alone['margin'] > 0
  found = choose(counts, SCORED, sick=np.full((2 * N, 8), 0.01, np.float32))['presence']  # that healthy eyes have more of
  assert found['referable'] == alone['referable'] + 2 * N and found['margin'] == 0
  assert all(found['thresholds'][key] < alone['thresholds'][key] for key in SCORED)
  assert found['validation']['referable_called'] < 0.5 < alone['validation']['referable_called'] == 1
  assert found['validation']['healthy_clean'] >= 0.95
  assert choose(counts, SCORED, sick=np.full((N, 8), 0.9999, np.float32))['presence']['margin'] == alone['margin']
