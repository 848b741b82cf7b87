"""Where a network has diverged, no loss says 0."""

import jax
import numpy as np
import pytest

from lesion_jax import runtime
from lesion_jax.core import NUM_GRADES, NUM_LESIONS, Outputs, Targets
from lesion_jax.losses import LOSSES, get_loss

SIDE = 16


def sample(rows=2):
  rng = np.random.default_rng(0)
  lesions = rng.random((rows, SIDE, SIDE, NUM_LESIONS)) < 0.1
  lesions[0] = False
  targets = Targets(lesions, np.ones_like(lesions), np.arange(rows, dtype=np.int32))
  maps = rng.normal(size=lesions.shape).astype(np.float32)
  return maps, rng.normal(size=(rows, NUM_GRADES)).astype(np.float32), targets


@pytest.mark.parametrize('name', [*LOSSES, 'hard negatives'])
@pytest.mark.parametrize('everywhere', [True, False])
def test_nan_in_gives_nan(name, everywhere):
  maps, grades, targets = sample()
  spoil = lambda x: np.where(everywhere | (np.arange(x.size).reshape(x.shape) == 5), np.nan, x).astype(x.dtype)
  loss = get_loss('dice_cross_entropy', hard=0.5) if name == 'hard negatives' else get_loss(name)
  part = 'hard_negatives' if name == 'hard negatives' else 'loss'

  def value(maps, grades):
    return loss.value(loss.sums(Outputs(maps=maps, lesions=maps.max((1, 2)), grades=grades), targets), np.float32(0.8))[part]

  run = jax.jit(value, compiler_options=runtime.compiler_options('cpu'))
  assert np.isfinite(run(maps, grades))
  assert np.isnan(run(spoil(maps), spoil(grades)))


@pytest.mark.parametrize('name', LOSSES)
def test_nothing_scored_is_0_as_before(name):
  maps, grades, targets = sample()
  nothing = Targets(targets.lesions, np.zeros_like(targets.scored), np.full_like(targets.grade, -1))
  loss = get_loss(name)
  found = loss.value(loss.sums(Outputs(maps=maps, lesions=maps.max((1, 2)), grades=grades), nothing), np.float32(0.8))
  assert found['loss'] == 0


@pytest.mark.parametrize('name', ['dual_dice', 'presence_dice'])
def test_what_is_not_scored_has_no_gradient_even_where_it_is_no_number(name):
  maps, grades, targets = sample()
  scored = np.random.default_rng(1).random(maps.shape) < 0.7
  scored[0], scored[..., 5] = False, False
  targets = targets.replace(scored=scored)
  loss, evaluated = get_loss(name), scored.any((1, 2))

  def value(maps, lesions):
    outputs = Outputs(maps=None if name == 'presence_dice' else maps, lesions=lesions, grades=grades)
    return loss.value(loss.sums(outputs, targets), 0.8)['loss']

  gradients = jax.grad(value, (0, 1))(np.where(scored, maps, np.float32(np.nan)), np.where(evaluated, maps.max((1, 2)), np.float32(np.nan)))
  for gradient, counts in zip(gradients, (scored, evaluated), strict=True):
    assert np.isfinite(gradient).all() and not np.asarray(gradient)[~counts].any()
  assert any(np.any(gradient) for gradient in gradients)
