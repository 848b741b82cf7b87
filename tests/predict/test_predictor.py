"""A predictor answers for photographs of any kind and size, in order and in the photograph's own pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import oracle
import pytest
from oracle import BLUE, GREEN, SIZE, iou, photograph
from PIL import Image
from scipy.special import expit, logit

import lesion_jax
from lesion_jax.core import LESION_KEYS
from lesion_jax.predict import load, prepare

GRADES = [3, 0, 4, 1, 2]


@pytest.fixture
def mixed():
  """Five photographs of five sizes and grades."""
  return [photograph(180 + 30 * i, 300 - 20 * i, grade, center=(90 + 10 * i, 120)) for i, grade in enumerate(GRADES)]


def test_maps_come_back_to_where_the_lesions_are(predictor):
  # The field reaches past the upper edge, so the square begins above the photograph.
  boxes = {'MA': (100, 20, 139, 59), 'HaEx': (180, 70, 229, 89)}
  image = photograph(220, 400, center=(70, 180), radius=100, lesions=[(GREEN, boxes['MA']), (BLUE, boxes['HaEx'])])
  found = predictor(image)
  assert found.crops[0].top < 0
  for lesion, (x0, y0, x1, y1) in boxes.items():
    truth = np.zeros(image.shape[:2], bool)
    truth[y0:y1 + 1, x0:x1 + 1] = True
    map_ = found.on_photograph(lesion)
    assert (map_.dtype, map_.shape) == (np.float32, (220, 400))
    assert iou(map_ >= 0.5, truth) > 0.85  # one pixel of the network is three of the photograph
  assert found.on_photograph('NV').max() < 0.01


def test_shapes_and_types(predictor, mixed):
  found = predictor(mixed)
  assert (found.maps.shape, found.lesions.shape, found.grades.shape) == ((5, SIZE, SIZE, 8), (5, 8), (5, 5))
  assert {x.dtype for x in (found.maps, found.lesions, found.grades)} == {np.dtype(np.float32)}
  assert len(found) == len(found.crops) == 5
  assert [(crop.height, crop.width) for crop in found.crops] == [image.shape[:2] for image in mixed]


@pytest.mark.parametrize('batch_size', [1, 2, 5, 8])
def test_any_batch_size_gives_the_same_answers_in_order(predictor, mixed, batch_size):
  found, alone = predictor(mixed, batch_size=batch_size), predictor(mixed)
  assert found.grades.argmax(-1).tolist() == GRADES
  np.testing.assert_allclose(found.maps, alone.maps, atol=1e-6)


def test_the_last_batch_is_padded_so_that_nothing_compiles_again(predictor, mixed):
  predictor(mixed, batch_size=2)
  assert predictor.predict_fn._cache_size() == 1
  list(predictor.stream(mixed[:3], batch_size=2))
  assert predictor.predict_fn._cache_size() == 1


def test_paths_arrays_and_stacks_are_equal(predictor, mixed, tmp_path):
  image = mixed[0]
  path = tmp_path / 'photograph.png'
  Image.fromarray(image).save(path)
  expected = predictor(image).maps
  for photographs in (path, str(path), [path], [image], image[None], (x for x in [image]), [prepare(image, SIZE)]):
    np.testing.assert_array_equal(predictor(photographs).maps, expected)


def test_a_stream_takes_photographs_as_it_goes(predictor):
  taken = []

  def endless():
    while True:
      taken.append(photograph(grade=len(taken) % 5))
      yield taken[-1]

  stream = predictor.stream(endless(), batch_size=2)
  assert [next(stream).grades.argmax() for _ in range(7)] == [0, 1, 2, 3, 4, 0, 1]
  assert len(taken) <= 7 + 3 * 2 + 1
  stream.close()


@pytest.mark.parametrize('batch_size', [1, 2, 3])
def test_all_before_a_photograph_that_cannot_be_taken_are_answered(predictor, mixed, batch_size):
  stream, answers = predictor.stream([*mixed, np.zeros((90, 90, 3), np.uint8), mixed[0]], batch_size=batch_size), []
  with pytest.raises(ValueError, match='photograph 5: no field of view'):
    answers.extend(found.grades.argmax() for found in stream)
  assert answers == GRADES


def test_one_of_several_predictions(predictor, mixed):
  found = predictor(mixed)
  last = found[-1]
  assert (len(last), last.crops, last.maps.shape) == (1, found.crops[-1:], (1, SIZE, SIZE, 8))
  np.testing.assert_array_equal(last.on_photograph('MA'), found.on_photograph('MA', index=4))
  with pytest.raises(IndexError):
    found[5]


def test_without_cropping_a_square_photograph_is_only_resized(predictor):
  image = photograph(100, 100, center=(50, 50), radius=20, lesions=[(GREEN, (0, 0, 24, 24))])
  found = predictor(image, crop=False)
  assert (found.crops[0].top, found.crops[0].left, found.crops[0].side) == (0, 0, 100)
  truth = np.zeros((100, 100), bool)
  truth[:25, :25] = True
  assert iou(found.on_photograph('MA') >= 0.5, truth) > 0.85


@pytest.mark.parametrize('trained_on, crop, square, wide', [
    ('field of view', None, 161, 161),
    ('square', None, 200, 161),
    ('square', True, 161, 161),
])
def test_the_bundle_says_what_is_cropped_and_the_caller_overrules(make_bundle, trained_on, crop, square, wide):
  predictor = load(make_bundle(preprocessing={'size': SIZE, 'crop': trained_on}))
  found = predictor([photograph(200, 200, center=(100, 100)), photograph(200, 300)], crop=crop)
  assert [found.crops[0].side, found.crops[1].side] == pytest.approx([square, wide], abs=2)


def test_a_network_without_maps(make_bundle):
  predictor = load(make_bundle(model={'name': 'oracle', 'heads': ['grades']}))
  found = predictor(photograph(grade=2))
  assert found.maps is None and found.lesions is None
  assert found.grades.argmax() == 2
  with pytest.raises(ValueError, match='makes no lesion maps'):
    found.on_photograph('MA')


def test_thresholds_and_size_are_the_bundles(make_bundle):
  thresholds = oracle.oracle_config()['thresholds'] | {'HaEx': 0.25}
  predictor = load(make_bundle(thresholds=thresholds))
  assert predictor.size == SIZE
  assert predictor.thresholds.tolist() == [0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize('photographs, message', [
    ([], 'no photographs came'),
    (np.zeros(4, np.uint8), r'expected photographs uint8 \[B, H, W, 3\]'),
    (np.zeros((4, 4), np.uint8), 'photograph 0: 4x4 pixels are too few'),  # grey
    ([photograph(), np.zeros((99, 99, 3), np.uint8)], 'photograph 1: no field of view'),
    ([np.zeros((9, 9, 3), np.float32)], r'photograph 0: expected an RGB photograph, uint8 .* got float32 \[9, 9, 3\]'),
])
def test_what_cannot_be_predicted_is_said(predictor, photographs, message):
  with pytest.raises(ValueError, match=message):
    predictor(photographs)


def test_a_file_without_a_field_of_view_is_named(predictor, tmp_path):
  Image.new('RGB', (90, 90)).save(tmp_path / 'black.png')
  with pytest.raises(ValueError, match=r'black\.png: no field of view.*crop=False'):
    predictor([tmp_path / 'black.png'])
  with pytest.raises(FileNotFoundError, match=r'absent\.png'):
    predictor(tmp_path / 'absent.png')


def test_other_mistakes_are_said(predictor):
  with pytest.raises(ValueError, match='batch_size must be at least 1; got 0'):
    predictor(photograph(), batch_size=0)
  with pytest.raises(ValueError, match="unknown lesion 'drusen'"):
    predictor(photograph()).on_photograph('drusen')


def test_load_is_exported_and_importing_the_package_stays_light(make_bundle):
  assert lesion_jax.load(make_bundle())(photograph(grade=4)).grades.argmax() == 4
  assert 'load' in dir(lesion_jax)
  with pytest.raises(AttributeError, match="no attribute 'lode'"):
    lesion_jax.lode  # noqa: B018
  code = 'import sys, lesion_jax, lesion_jax.cli; print({"jax", "numpy"} & set(sys.modules))'
  assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == 'set()\n'


def top500(threshold):
  return {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, threshold)}


def test_a_bundle_without_a_rule_calls_present_what_reaches_its_threshold_as_before(predictor):
  found = predictor(photograph(lesions=[(GREEN, (120, 100, 124, 104))]))
  np.testing.assert_array_equal(found.present, found.lesions >= 0.5)
  np.testing.assert_array_equal(found.presence, found.lesions)
  assert found.present[0, 0] and predictor.rule.name == 'maximum'


@pytest.mark.parametrize('batch_size', [1, 2])
def test_its_own_rule_looks_at_more_than_one_pixel(make_bundle, batch_size):
  predictor = load(make_bundle(presence=top500(0.5)))
  speck, spot = (photograph(lesions=[(GREEN, box)]) for box in ((120, 100, 124, 104), (100, 80, 139, 119)))
  found = predictor([speck, spot], batch_size=batch_size)
  assert found.present[:, 0].tolist() == [False, True] and found.presence.dtype == np.float32
  assert (found.lesions[:, 0] > 0.99).all()
  expected = np.clip(np.sort(found.maps[..., 0].reshape(2, -1).astype(float))[:, -10:], 2.0**-24, 1 - 2.0**-24)
  expected = expit(logit(expected).mean(axis=1))
  np.testing.assert_allclose(found.presence[:, 0], expected, atol=1e-6)
  np.testing.assert_array_equal(found[1].present, found.present[1:])
  assert [one.present[0, 0] for one in predictor.stream([speck, spot])] == [False, True]


def test_eq_1_stays_available(make_bundle):
  path = make_bundle(presence=top500(0.5))
  predictor = load(path, rule='maximum', thresholds=0.25)
  assert predictor.rule.name == 'maximum' and predictor.rule.thresholds.tolist() == [0.25] * 8
  assert load(path, thresholds=0.25).rule.thresholds.tolist() == [0.5] * 8
  with pytest.raises(ValueError, match="unknown rule 'median'; choose bundle or maximum"):
    load(path, rule='median')


def test_a_grading_network_calls_nothing_present(make_bundle):
  found = load(make_bundle(model={'name': 'oracle', 'heads': ['grades']}, presence=top500(0.5)))(photograph())
  assert found.presence is None and found.present is None
