"""The network of the landmarks, its loss, and what its answers mean, against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from landmark_release import CHANNELS

from lesion_jax.core import Outputs, Targets
from lesion_jax.losses.landmarks import LANDMARK_CROSS_ENTROPY, landmark_cross_entropy_sums, landmark_truth
from lesion_jax.losses.reduce import mean_value
from lesion_jax.metrics.landmarks import DISC_DIAMETER, landmark_errors
from lesion_jax.models.landmarks import WINDOW, LandmarkNet, get_landmark_net, locate
from lesion_jax.weights.initialize import initialize

GRID, SIZE = 8, 64
PLACES = np.array([[[20.0, 31.5], [60.0, 3.0]], [[-64.0, -64.0], [33.0, 70.0]], [[np.nan, np.nan], [0.0, 64.0]]], np.float32)


def gaussian(place, sigma=1.0):
  """The truth by its definition, in float64."""
  if not all(0 <= at <= SIZE for at in place):
    return np.eye(GRID * GRID + 1)[-1]
  rows, columns = np.mgrid[:GRID, :GRID] + 0.5
  at = np.asarray(place, float) * GRID / SIZE
  cells = np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / (2 * sigma ** 2))
  return np.append(cells.ravel() / cells.sum(), 0)


def test_the_truth_is_a_gaussian_of_one_cell_or_not_in_the_picture():
  truth = np.asarray(landmark_truth(PLACES[:2], GRID, SIZE))
  expected = [[gaussian(place) for place in both] for both in PLACES[:2]]
  np.testing.assert_allclose(truth, expected, atol=1e-6)
  np.testing.assert_allclose(truth.sum(axis=-1), 1, atol=1e-6)


def test_the_loss_is_the_mean_cross_entropy_of_the_places_that_are_known(rng):
  logits = rng.normal(size=(3, 2, GRID * GRID + 1))
  shifted = logits - logits.max(axis=-1, keepdims=True)
  logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
  terms = [-(gaussian(PLACES[i, j]) * logs[i, j]).sum() for i in range(3) for j in range(2) if (i, j) != (2, 0)]
  found = mean_value(landmark_cross_entropy_sums(jnp.asarray(logits, jnp.float32), PLACES, SIZE))
  np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)
  halves = [landmark_cross_entropy_sums(logits[rows], PLACES[rows], SIZE) for rows in (slice(0, 1), slice(1, 3))]
  np.testing.assert_allclose(sum(each.total for each in halves) / sum(each.count for each in halves), np.mean(terms), rtol=1e-5)


def test_an_unknown_place_has_no_gradient_and_one_alone_costs_nothing():
  nothing = np.full((1, 2, 2), np.nan, np.float32)
  logits = jnp.full((1, 2, GRID * GRID + 1), jnp.nan)
  value, gradient = jax.value_and_grad(lambda x: mean_value(landmark_cross_entropy_sums(x, nothing, SIZE)))(logits)
  assert value == 0 and not np.asarray(gradient).any()


def test_cells_that_are_no_grid_and_outputs_of_another_network_are_refused():
  with pytest.raises(ValueError, match='no square grid'):
    landmark_cross_entropy_sums(jnp.zeros((1, 2, 60)), PLACES[:1], SIZE)
  masks = jnp.zeros((1, SIZE, SIZE, 8), bool)
  with pytest.raises(ValueError, match=r'needs outputs.landmarks \[B, 2, g'):
    LANDMARK_CROSS_ENTROPY.sums(Outputs(), Targets(masks, masks, jnp.zeros(1, int), landmarks=PLACES[:1]))


@pytest.mark.parametrize('place', [(20.0, 31.5), (37.2, 44.9), (28.0, 28.0)])
def test_the_place_of_its_own_truth_is_found_again(place):
  """Away from the edge, where the window is whole, the mean of a Gaussian is its middle within a hundredth of the side."""
  logits = np.log(np.maximum(np.stack([gaussian(place), gaussian((-1, -1))]), 1e-12))[None]
  found = locate(jnp.asarray(logits, jnp.float32), SIZE)
  np.testing.assert_allclose(found.places[0, 0], place, atol=SIZE / 100)
  assert found.confidence[0, 0] > 0.9 > 0.01 > found.confidence[0, 1]


def test_confidence_is_what_lies_about_the_place_alone():
  """Two places as likely as one another: each has half."""
  both = (gaussian((12.0, 12.0), 0.3) + gaussian((52.0, 52.0), 0.3)) / 2
  found = locate(jnp.asarray(np.log(np.maximum(both, 1e-12)), jnp.float32)[None, None], SIZE)
  np.testing.assert_allclose(found.confidence, 0.5, atol=1e-3)
  assert WINDOW * SIZE / GRID < 40 / 2


def test_errors_are_in_disc_diameters_of_the_field():
  truth = np.array([[10.0, 10.0], [np.nan, 1.0], [-64.0, -64.0]])
  found = landmark_errors(truth + np.array([3.0, 4.0]), truth, SIZE)
  np.testing.assert_allclose(found, [5 / (DISC_DIAMETER * SIZE), np.nan, np.nan])


def test_the_network_answers_for_every_cell_of_eight_pixels_and_one_more(rng):
  net = LandmarkNet(CHANNELS)
  variables = initialize(net, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), 0)
  images = rng.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
  found = net.apply(variables, images, train=False)
  assert found.landmarks.shape == (2, 2, GRID * GRID + 1) and found.landmarks.dtype == jnp.float32
  assert found.maps is found.lesions is found.grades is None
  with pytest.raises(ValueError, match='multiple of 32'):
    net.apply(variables, images[:, :40, :40], train=False)


@pytest.mark.parametrize('fields, message', [
    ({'name': 'lesion_net_4s'}, "described by the name 'landmark_net'"),
    ({'name': 'landmark_net', 'width': 1.0}, 'its channels; got'),
    ({'name': 'landmark_net', 'channels': 'many'}, 'give five whole numbers'),
])
def test_another_network_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    get_landmark_net(fields)


def test_four_levels_are_too_few():
  with pytest.raises(ValueError, match='give five numbers from 1 to 512'):
    jax.eval_shape(lambda: LandmarkNet((8,) * 4).init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.uint8), train=False))
