"""A photograph that is unlike those learned from is found, held to drawn photographs and to scikit-learn and SciPy."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from lesion_jax.data import synthetic
from lesion_jax.photograph import likeness
from lesion_jax.photograph.fingerprint import fingerprint

SIDE = 64
TRAIN, VALIDATION = 60, 20


@pytest.fixture(scope='module')
def drawn():
  """Fingerprints of a hundred photographs of one kind."""
  return np.stack([fingerprint(synthetic.generate(seed=3, index=index, size=SIDE).image) for index in range(100)])


@pytest.fixture(scope='module')
def group(drawn):
  return likeness.fit(drawn[:TRAIN], drawn[TRAIN:TRAIN + VALIDATION], name='drawn')


def entries(*groups):
  return [{'data': 'drawn', 'groups': list(groups)}]


def flagged(known, prints):
  return np.array([not likeness.judge(known, each).like for each in prints])


def grey(prints):
  return np.repeat(np.round(prints.mean(axis=-1, keepdims=True)).astype(np.uint8), 3, axis=-1)


def square(draw):
  """The fingerprint of a picture [256, 256, 3] of numbers."""
  return fingerprint(np.clip(draw, 0, 255).astype(np.uint8))


ROWS, COLUMNS = np.mgrid[:256, :256] / 255
DISC = (np.hypot(ROWS - 0.5, COLUMNS - 0.5) < 0.49)[..., None]
SPECKLE = np.random.default_rng(0).gamma(2, 0.5, (256, 256, 1))
LAYERS = sum(150 * np.exp(-((ROWS - 0.3 - 0.08 * k - 0.04 * np.sin(4 * COLUMNS)) / 0.02)**2) for k in range(5))
TEXT = np.random.default_rng(1).random((32, 32)).repeat(8, 0).repeat(8, 1) < 0.3
ODD = {
    'a B-scan of OCT': np.repeat((LAYERS + 20)[..., None] * SPECKLE, 3, axis=-1),
    'a page with text': np.repeat(np.where(TEXT & (np.abs(COLUMNS - 0.5) < 0.4), 40, 245)[..., None], 3, axis=-1),
    'a landscape': np.where(ROWS[..., None] < 0.5, [110, 160, 230], [90, 120, 50]) * (0.7 + 0.3 * ROWS[..., None]),
    'noise': np.random.default_rng(2).integers(0, 256, (256, 256, 3)),
    'a circle of one colour': DISC * np.array([130, 70, 40]),
    'nothing': np.zeros((256, 256, 3)),
}


def test_further_photographs_of_the_same_kind_are_like_those_learned_from(group, drawn):
  further = drawn[TRAIN + VALIDATION:]
  assert flagged(entries(group), further).mean() <= 0.1  # two of twenty
  assert group['photographs'] == TRAIN
  assert group['held_out'] == TRAIN + VALIDATION  # validation alone is too small for a quantile of 99 %
  assert group['false_alarms'] == pytest.approx(2 / (TRAIN + VALIDATION + 1), rel=1e-5)


@pytest.mark.parametrize('change', [grey, lambda prints: 255 - grey(prints), lambda prints: prints[..., ::-1],
                                    lambda prints: prints[..., [1, 0, 2]]], ids=['grey', 'angiogram', 'BGR', 'GRB'])
def test_other_colours_are_unlike_by_their_colours(group, drawn, change):
  verdicts = [likeness.judge(entries(group), each) for each in change(drawn)[-20:]]
  assert all(likeness.COLOURS in verdict.reasons for verdict in verdicts)


@pytest.mark.parametrize('picture', ODD.values(), ids=ODD)
def test_what_is_no_retina_is_unlike(group, picture):
  verdict = likeness.judge(entries(group), square(picture))
  assert not verdict.like and verdict.ratio > 1.2


def test_the_same_colours_without_a_retina_are_unlike_by_appearance(group, drawn):
  shuffled = drawn[-1].copy()  # the pixels inside the field in another order: no number of the colours changes
  field = ndimage.binary_erosion(shuffled @ likeness.WEIGHTS > 10)
  shuffled[field] = np.random.default_rng(0).permutation(shuffled[field])
  assert likeness.judge(entries(group), shuffled).reasons == (likeness.APPEARANCE,)


def test_the_description_is_that_of_scikit_learn_and_the_distance_that_of_scipy(group, drawn):
  numbers = likeness.describe(drawn[:TRAIN])
  centre = np.median(numbers, axis=0)
  scale = np.maximum(1.4826 * np.median(np.abs(numbers - centre), axis=0), likeness.FLOOR)
  z = (numbers - centre) / scale
  z = np.where(np.abs(z) <= 3, z, np.sign(z) * 3 * (1 + np.log(np.maximum(np.abs(z), 3) / 3)))
  oracle = LedoitWolf().fit(z)
  covariance = np.zeros((18, 18))
  for row, values in enumerate(group['covariance']):
    covariance[row, :row + 1] = covariance[:row + 1, row] = values
  np.testing.assert_allclose(group['centre'], centre, rtol=1e-5, atol=1e-9)
  np.testing.assert_allclose(group['mean'], oracle.location_, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(covariance, oracle.covariance_, rtol=1e-4, atol=1e-4)

  strange = likeness.describe(drawn[-1:, ..., ::-1])[0]
  away = (strange - centre) / scale
  away = np.where(np.abs(away) <= 3, away, np.sign(away) * 3 * (1 + np.log(np.maximum(np.abs(away), 3) / 3)))
  ratios = [mahalanobis(away[:size], oracle.location_[:size], np.linalg.inv(oracle.covariance_[:size, :size]))
            / group['thresholds'][view] for view, size in likeness.VIEWS.items()]
  assert likeness.judge(entries(group), drawn[-1][..., ::-1]).ratio == pytest.approx(max(ratios), rel=1e-3)


def test_enough_photographs_of_validation_choose_the_thresholds_alone_and_by_rank(drawn):
  held = drawn[40:]
  found = likeness.fit(drawn[:40], held, rate=0.2)
  rank = math.ceil(61 * 0.9)
  assert found['held_out'] == 60 and found['false_alarms'] == pytest.approx(2 * (1 - rank / 61), rel=1e-5)
  assert 60 - rank <= flagged(entries(found), held).sum() <= 2 * (60 - rank)


def test_a_photograph_has_to_be_like_some_group_of_every_network(group, drawn):
  green = likeness.fit(drawn[:TRAIN][..., [1, 0, 2]], drawn[TRAIN:][..., [1, 0, 2]], name='green')
  own, other = drawn[-1], drawn[-1][..., [1, 0, 2]]
  both = entries(group, green)
  assert likeness.judge(both, own).like and likeness.judge(both, other).like
  two = [*entries(group), {'data': 'green', 'groups': [green]}]
  assert likeness.judge(two, own).data == 'green' and not likeness.judge(two, own).like
  assert likeness.judge(two, other).data == 'drawn' and not likeness.judge(two, other).like


def test_networks_that_learned_from_the_same_are_named_once(group):
  assert likeness.union([entries(group), [], entries(copy.deepcopy(group))]) == entries(group)


def test_of_too_few_photographs_nothing_is_known(drawn):
  assert likeness.fit(drawn[:likeness.LEAST - 1], drawn[50:]) is None
  assert likeness.entry('few', {'few': (drawn[:9], likeness.NONE)}) is None
  assert likeness.judge(None, drawn[0]) is None and likeness.judge([], drawn[0]) is None


def test_each_part_of_a_mixture_is_a_group_and_needs_no_validation(drawn):
  found = likeness.entry('mixed', {'one': (drawn[:40], likeness.NONE), 'few': (drawn[:5], drawn[:5]),
                                   'two': (drawn[40:80], drawn[80:])})
  assert [each['name'] for each in found['groups']] == ['one', 'two'] and found['groups'][0]['held_out'] == 40


def test_of_very_many_photographs_some_are_taken(drawn, monkeypatch):
  monkeypatch.setattr(likeness, 'MOST', 30)
  assert likeness.fit(drawn, drawn)['photographs'] == 30


def test_what_a_bundle_keeps_is_what_is_used(group, drawn):
  kept = json.loads(json.dumps(entries(group)))
  likeness.check(kept)
  assert likeness.judge(kept, drawn[-1]) == likeness.judge(entries(group), drawn[-1])


def damaged(group, **changes):
  return entries({**copy.deepcopy(group), **changes})


@pytest.mark.parametrize('damage', [
    lambda group: {}, lambda group: [{'data': 'x'}], lambda group: [{'data': 'x', 'groups': []}], lambda group: [5],
    lambda group: damaged(group, centre=[0.0] * 17), lambda group: damaged(group, centre=['a'] * 18),
    lambda group: damaged(group, mean=[float('nan')] * 18), lambda group: damaged(group, scale=[0.0] * 18),
    lambda group: damaged(group, covariance=group['covariance'][:-1]), lambda group: damaged(group, covariance=5),
    lambda group: damaged(group, covariance=[[0.0] * number for number in range(1, 19)]),
    lambda group: damaged(group, thresholds={'colours': 1.0}),
    lambda group: damaged(group, thresholds={'colours': 0.0, 'appearance': 1.0})])
def test_damaged_statistics_are_refused(group, damage):
  with pytest.raises(ValueError, match='a list of|made of'):
    likeness.check(damage(group))


@pytest.mark.parametrize('rate', [0, 1, -0.5])
def test_a_rate_is_a_share(drawn, rate):
  with pytest.raises(ValueError, match='rate='):
    likeness.fit(drawn, drawn, rate=rate)


@pytest.mark.parametrize('prints', [np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 32, 32, 3))])
def test_only_fingerprints_are_described(prints):
  with pytest.raises(ValueError, match='expected fingerprints'):
    likeness.describe(prints)
