"""Presence scores against a sort in float64, and the two rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit

from lesion_jax.core import LESION_KEYS, Prediction, Targets
from lesion_jax.metrics import PAPER_RULE, Rule, presence_scores, segmentation_counts
from lesion_jax.metrics.presence import MAXIMUM, TILE, TOP, top_pixels

KINDS = ['uniform', 'steep', 'ties', 'constant', 'sure']


def draw(rng, kind, shape):
  p = rng.random(shape)
  return {'uniform': p, 'steep': p**20, 'ties': np.round(p * 4) / 4, 'constant': np.full(shape, 0.25),
          'sure': (p > 0.5) * 1.0}[kind].astype(np.float32)


def by_sorting(maps, known, count):
  scores = np.zeros((len(maps), 8))
  for i, j in np.ndindex(*scores.shape):
    values = np.sort(maps[i, ..., j][known[i, ..., j]].astype(np.float64))[-count:]
    odds = np.clip(values, 2.0**-24, 1 - 2.0**-24)
    scores[i, j] = expit(logit(odds).mean()) if len(values) else 0
  return scores


@pytest.mark.parametrize('size', [3, 4, 37, 280])  # fewer pixels than 10, tiles that do not fit, many tiles
@pytest.mark.parametrize('kind', KINDS)
def test_a_score_is_the_mean_log_odds_of_the_most_probable_pixels(rng, size, kind):
  maps = draw(rng, kind, (2, size, size, 8))
  known = rng.random(maps.shape) < 0.8
  known[0, ..., 3] = False  # nothing known
  known[1, ..., 5] = np.arange(size * size).reshape(size, size) < 7  # less than 10
  device = jax.jit(lambda maps, known: presence_scores(Prediction(maps=maps), known))(maps, known)
  host = presence_scores(Prediction(maps=maps), known)
  assert device.dtype == host.dtype == np.float32
  np.testing.assert_allclose(host, by_sorting(maps, known, top_pixels(size, size)), atol=1e-6)
  np.testing.assert_allclose(device, host, atol=1e-6)
  everything = np.ones_like(known)
  for found in (presence_scores(Prediction(maps=jnp.asarray(maps))), presence_scores(Prediction(maps=maps))):
    np.testing.assert_allclose(found, by_sorting(maps, everything, top_pixels(size, size)), atol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_in_half_precision_one_sure_pixel_is_not_certainty(dtype):
  maps = np.full((1, 40, 40, 8), 0.25, np.float32)
  maps[0, 0, 0] = 1
  found = presence_scores(Prediction(maps=jnp.asarray(maps, dtype)))
  np.testing.assert_allclose(found, by_sorting(maps, np.ones_like(maps, bool), top_pixels(40, 40)), atol=1e-6)


def test_the_most_probable_pixels_may_lie_in_one_tile_or_each_in_its_own():
  maps, count = np.full((2, 300, 300, 8), 0.1, np.float32), top_pixels(300, 300)
  maps[0].reshape(-1, 8)[:count] = 0.9
  maps[1].reshape(-1, 8)[::TILE][:count] = 0.9
  np.testing.assert_allclose(presence_scores(Prediction(maps=jnp.asarray(maps))), 0.9, atol=1e-6)


@pytest.mark.parametrize('count', [1, 5, 1000])
def test_another_number_of_pixels(rng, count):
  maps = draw(rng, 'uniform', (1, 40, 40, 8))
  expected = by_sorting(maps, np.ones_like(maps, bool), count)
  np.testing.assert_allclose(presence_scores(Prediction(maps=jnp.asarray(maps)), count=count), expected, atol=1e-6)
  np.testing.assert_allclose(presence_scores(Prediction(maps=maps), count=count), expected, atol=1e-6)


def test_the_number_of_pixels_goes_with_the_area():
  assert [top_pixels(side, side) for side in (1440, 720, 896, 192, 32)] == [500, 125, 194, 10, 10]


def test_of_a_classifier_the_score_is_its_probability(rng):
  lesions = rng.random((3, 8)).astype(np.float32)
  np.testing.assert_array_equal(presence_scores(Prediction(lesions=lesions)), lesions)
  np.testing.assert_array_equal(presence_scores(Prediction(lesions=jnp.asarray(lesions))), lesions)


@pytest.mark.parametrize(('prediction', 'options', 'message'), [
    (Prediction(), {}, 'this network grades'),
    (Prediction(maps=np.zeros((1, 4, 4, 7), np.float32)), {}, r'expected maps \[B, S, S, 8\]'),
    (Prediction(maps=np.zeros((1, 4, 4, 8), np.float32)), {'known': np.ones((1, 4, 4))}, 'the same shape'),
    (Prediction(maps=np.zeros((1, 4, 4, 8), np.float32)), {'count': 0}, 'at least one pixel')])
def test_what_has_no_score_is_refused(prediction, options, message):
  with pytest.raises(ValueError, match=message):
    presence_scores(prediction, **options)


def config(rule=TOP, presence=0.5, pixel=0.5):
  return {'thresholds': dict.fromkeys(LESION_KEYS, pixel),
          'presence': {'rule': rule, 'thresholds': dict.fromkeys(LESION_KEYS, presence)}}


def test_one_hot_pixel_makes_a_lesion_present_by_eq_1_alone():
  maps = np.full((1, 32, 32, 8), 0.05, np.float32)
  maps[0, 4, 4, 0] = 1
  maps[0, :4, :4, 1] = 0.9
  lesions = maps.max((1, 2))
  paper, own = PAPER_RULE, Rule.of(config())
  np.testing.assert_array_equal(paper.decide(paper.score(maps, lesions))[0], np.arange(8) < 2)
  np.testing.assert_array_equal(own.decide(own.score(maps, lesions))[0], np.arange(8) == 1)


def test_a_bundle_without_a_rule_has_eq_1_at_the_thresholds_of_its_pixels():
  old = {'thresholds': dict.fromkeys(LESION_KEYS, 0.3)}
  assert Rule.of(old).name == MAXIMUM
  np.testing.assert_array_equal(Rule.of(old).thresholds, np.full(8, 0.3))
  np.testing.assert_array_equal(Rule.of(old, np.full(8, 0.7)).thresholds, np.full(8, 0.7))
  np.testing.assert_array_equal(Rule.of(config(), np.full(8, 0.7)).thresholds, np.full(8, 0.5))


def test_a_probability_that_is_the_threshold_is_present_by_eq_1_and_a_score_that_is_it_is_not():
  same = np.full((1, 8), 0.5, np.float32)
  assert PAPER_RULE.decide(same).all() and not Rule.of(config()).decide(same).any()
  never = Rule.of(config(presence=1))
  assert not never.decide(np.ones((1, 8), np.float32)).any()


def test_counts_and_calls_agree_on_a_probability_that_is_its_threshold_in_float32(rng):
  thresholds = np.round(rng.uniform(0.01, 0.99, 8), 2)
  maps = np.broadcast_to(thresholds.astype(np.float32), (1, 4, 4, 8))
  targets = Targets(lesions=np.ones(maps.shape, bool), scored=np.ones(maps.shape, bool), grade=np.zeros(1, np.int32))
  counted = segmentation_counts(Prediction(maps=maps, lesions=maps[:, 0, 0]), targets, thresholds)
  assert (thresholds.astype(np.float32) < thresholds).any()  # whom float64 would not call
  assert np.asarray(counted['image_tp']).all()
  assert Rule.of({'thresholds': dict(zip(LESION_KEYS, thresholds, strict=True))}).decide(maps[:, 0, 0]).all()


def test_a_lesion_that_the_network_may_not_speak_of_is_never_present_whatever_its_score_says():
  scores = np.full((2, 8), 0.99, np.float32)
  thresholds = dict.fromkeys(LESION_KEYS, 0.5)
  judged = [key in ('MA', 'CWS') for key in LESION_KEYS]
  for config in ({'thresholds': thresholds}, {'thresholds': thresholds, 'presence': {'rule': 'top500', 'thresholds': thresholds}}):
    assert Rule.of(config).decide(scores).all()
    np.testing.assert_array_equal(Rule.of(config | {'annotated': ['MA', 'CWS']}).decide(scores), [judged] * 2)
  by_pixels = Rule.of({'annotated': ['MA', 'CWS'], 'thresholds': thresholds}, np.full(8, 0.3))
  np.testing.assert_array_equal(by_pixels.decide(scores), [judged] * 2)
