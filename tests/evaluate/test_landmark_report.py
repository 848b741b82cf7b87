"""Figures of the landmarks by hand, and copies of photographs in which one is no longer there."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.evaluate.bootstrap import resampled_sums
from lesion_jax.evaluate.landmarks import BEYOND, Moved, landmark_report
from lesion_jax.metrics.landmarks import DISC_DIAMETER
from lesion_jax.report.terminal import landmark_rows

SIZE = 100
ONE = DISC_DIAMETER * SIZE  # a disc diameter


def counts(errors, confidence=0.9, patient=None):
  """Places that are so many disc diameters to the right of the truth, [N, 2]; NaN for a landmark whose place nobody says."""
  errors = np.asarray(errors, float)
  truth = np.full((*errors.shape, 2), 40.0)
  truth[np.isnan(errors)] = np.nan
  places = truth + np.stack([np.zeros_like(errors), errors * ONE], axis=-1)
  found = {'places': np.nan_to_num(places), 'landmarks': truth, 'confidence': np.broadcast_to(confidence, errors.shape)}
  return found | ({'patient': np.array(patient)} if patient else {})


def test_mean_median_and_shares_are_of_the_photographs_that_show_the_landmark():
  found = landmark_report(counts([[0.1, 0.2], [0.3, np.nan], [0.49, 0.6], [1.5, 0.4]]), SIZE, 0.5, resamples=20)
  disc, fovea = found['landmarks']['disc'], found['landmarks']['fovea']
  assert disc['images'] == 4 and fovea['images'] == 3
  np.testing.assert_allclose([disc['error']['value'], disc['median']], [0.5975, 0.395], rtol=1e-9)
  assert (disc['within']['count'], fovea['within']['count']) == (3, 2)
  np.testing.assert_allclose(found['nearness'], np.mean([0.9, 0.7, 0.51, 0, 0.8, 0.4, 0.6]))


def test_found_is_from_the_threshold_on_and_outside_is_below_it():
  out = counts([[0.0, 0.0]] * 4, confidence=np.array([[0.1, 0.2], [0.6, 0.2], [0.5, 0.2], [0.4, 0.9]]))
  out['landmarks'][:, 0] = -SIZE
  out['landmarks'][:3, 1] = -SIZE  # in the fourth copy the fovea is still there
  found = landmark_report(counts([[0.0, 0.0]] * 4, confidence=0.5), SIZE, 0.5, moved=[out, out], resamples=20)['landmarks']
  assert found['disc']['found']['value'] == 1.0
  assert (found['disc']['outside']['count'], found['disc']['outside']['of']) == (2, 4)
  assert (found['fovea']['outside']['count'], found['fovea']['outside']['of']) == (3, 3)


def test_a_landmark_that_nobody_marked_has_no_figures():
  found = landmark_report(counts([[0.1, np.nan]] * 2), SIZE, 0.5, resamples=5)['landmarks']
  assert found['fovea'] == {'images': 0}


@pytest.mark.parametrize(('name', 'value'), [('places', np.nan), ('places', np.inf), ('confidence', np.nan)])
@pytest.mark.parametrize('copy', [False, True], ids=['photographs', 'copies'])
def test_a_network_that_outputs_no_number_has_no_figures_rather_than_those_of_the_other_photographs(name, value, copy):
  whole, broken = counts([[0.1, 0.2]] * 4), counts([[0.1, 0.2]] * 4)
  broken[name] = np.array(broken[name])
  broken[name][:2, 0] = value
  with pytest.raises(FloatingPointError, match='not a number on 2 of 4 photographs; its weights are not fit for use'):
    landmark_report(whole if copy else broken, SIZE, 0.5, moved=[whole, broken if copy else whole], resamples=5)


def test_patients_are_drawn_whole():
  """Two eyes of one patient come together: with one patient every resample is the whole set."""
  errors = [[0.1, 0.1], [0.9, 0.9]]
  found = landmark_report(counts(5 * errors, patient=10 * ['a']), SIZE, 0.5, resamples=50)
  assert found['patients'] == 1 and landmark_rows(found)[1][1].endswith('[0.500, 0.500]*')
  alone = found['landmarks']['disc']['error']
  np.testing.assert_allclose(alone['interval'], [0.5, 0.5])
  apart = landmark_report(counts(errors, patient=['a', 'b']), SIZE, 0.5, resamples=50)['landmarks']['disc']['error']
  np.testing.assert_allclose(apart['interval'], [0.1, 0.9])


def test_sums_of_resamples_are_of_as_many_patients_as_there_are():
  columns = np.ones((6, 1))
  sums = resampled_sums(columns, np.array(list('aabbcc')), resamples=30)
  assert set(sums.ravel()) == {6.0}
  with pytest.raises(ValueError, match='0 images'):
    resampled_sums(np.zeros((0, 1)), None)


@pytest.mark.parametrize('number', [0, 1])
@pytest.mark.parametrize('mirrored', [False, True])
def test_a_moved_photograph_does_not_show_the_landmark_and_the_other_is_where_its_picture_is(number, mirrored):
  image, places = np.full((SIZE, SIZE, 3), 9, np.uint8), np.array([[48.5, 30.5], [52.5, 62.5]], np.float32)
  for level, (row, column) in zip((100, 200), places, strict=True):
    image[int(row), int(column)] = level
  if mirrored:
    image, places = image[:, ::-1], places * [1, -1] + [0, SIZE]
  moved = Moved([{'image': image, 'landmarks': places.astype(np.float32)}], number)[0]
  level, other = ((100, 200), (200, 100))[number]
  assert (moved['image'] != level).all() and (moved['landmarks'][number] == -SIZE).all()
  row, column = moved['landmarks'][1 - number]
  if row > 0:
    assert moved['image'][int(row), int(column)].tolist() == [other] * 3
  assert moved['image'][0, 0].tolist() == [0, 0, 0]  # the field is round again
  assert 0 < BEYOND < 0.5


def test_what_nobody_marked_is_not_moved():
  example = {'image': np.zeros((SIZE, SIZE, 3), np.uint8), 'landmarks': np.full((2, 2), np.nan, np.float32)}
  assert Moved([example], 0)[0] is example


@pytest.mark.parametrize('place', [(-SIZE, -SIZE), (SIZE / 2, 2 * SIZE), (SIZE + 1, SIZE / 2)])
def test_what_is_outside_already_is_not_moved(place):
  example = {'image': np.zeros((SIZE, SIZE, 3), np.uint8), 'landmarks': np.float32([place, (SIZE / 2, SIZE / 2)])}
  assert Moved([example], 0)[0] is example and Moved([example], 1)[0] is not example
