"""The patch FCN against loops over patches and windows, each shown to the FCN alone."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import pictures, variables_of
from scipy.special import expit, logit
from tiny import TinyEncoder

from lesion_jax.models.fcn import FCN
from lesion_jax.models.patches import PatchFCN, join, split, window_starts
from lesion_jax.weights.initialize import initialize

TINY = PatchFCN(encoder=TinyEncoder)
ALONE = FCN(encoder=TinyEncoder, stride=32)
SHAPES = [(2, 64, 64), (1, 45, 61), (1, 33, 50)]


def of_fcn(variables):
  return {collection: tree['fcn'] for collection, tree in variables.items()}


@functools.cache
def forward(network, train=False):
  """`(variables, images) -> (outputs, updates)`, compiled."""
  return jax.jit(functools.partial(network.apply, train=train, mutable=['batch_stats']))


def blocks(height, width, grid):
  """The slices of all patches, row by row."""
  high, wide = -(-height // grid), -(-width // grid)
  return [(slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide))
          for i in range(grid) for j in range(grid)]


def cut_out(images, grid):
  """Patches as `split` must give them."""
  high, wide = -(-images.shape[1] // grid), -(-images.shape[2] // grid)
  patches = []
  for image in images:
    for block in blocks(*image.shape[:2], grid):
      patch = np.zeros((high, wide, image.shape[2]), image.dtype)
      part = image[block]
      patch[:part.shape[0], :part.shape[1]] = part
      patches.append(patch)
  return np.stack(patches)


@pytest.mark.parametrize(('shape', 'grid'), [
    ((2, 8, 12, 3), 4), ((2, 45, 61, 3), 4), ((1, 5, 7, 1), 3), ((1, 6, 6, 2), 1)])
def test_images_are_cut_into_a_uniform_grid_and_put_together_again(shape, grid):
  images = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
  patches = split(images, grid)
  np.testing.assert_array_equal(patches, cut_out(images, grid))
  np.testing.assert_array_equal(join(patches, grid, shape[1:3]), images)


def test_the_papers_patches_and_windows():
  assert split(np.zeros((1, 896, 896, 3), np.uint8), 4).shape == (16, 224, 224, 3)
  assert window_starts(896, 224, 112) == [0, 112, 224, 336, 448, 560, 672]


@pytest.mark.parametrize(('side', 'window', 'stride', 'expected'), [
    (45, 12, 6, [0, 6, 12, 18, 24, 30, 33]), (12, 12, 6, [0]), (13, 12, 6, [0, 1]), (24, 12, 6, [0, 6, 12]),
])
def test_the_last_window_ends_where_the_image_ends(side, window, stride, expected):
  assert window_starts(side, window, stride) == expected


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('grid', [4, 3])
def test_training_runs_the_fcn_on_all_patches_as_one_batch(shape, grid):
  network, images = TINY.clone(grid=grid), pictures(*shape)
  variables = variables_of(network)
  found, updates = forward(network, train=True)(variables, images)
  alone, expected_updates = forward(ALONE, train=True)(of_fcn(variables), cut_out(images, grid))
  maps = np.empty((*shape, 8), np.float32)
  places = [(row, *block) for row in range(shape[0]) for block in blocks(*shape[1:], grid)]
  for patch, place in zip(np.asarray(alone.maps), places, strict=True):
    view = maps[place]
    view[:] = patch[:view.shape[0], :view.shape[1]]
  np.testing.assert_allclose(found.maps, maps, rtol=1e-3, atol=1e-4)
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
               of_fcn(updates)['batch_stats'], expected_updates['batch_stats'])


class Unnormalised(nn.Module):
  """An encoder without BatchNorm, so that nothing but the image itself couples its pixels."""

  padding: str
  output_stride: int
  width: float
  dtype: jnp.dtype
  bn_axis: str | None
  remat: bool
  norm: str

  @nn.compact
  def __call__(self, images, *, train):
    x = images / 255
    for layer in range(3):
      x = nn.relu(nn.Conv(8, (3, 3), (2, 2), name=f'conv_{layer}')(x))
    return {32: x}


def test_in_training_a_patch_sees_nothing_of_its_neighbours():
  network, images = PatchFCN(encoder=Unnormalised, grid=2), pictures(2, 32, 32)
  variables = variables_of(network)
  changed = images.copy()
  changed[1, 15, 16] ^= 255  # in the upper right patch of the second image, at its left border
  before, after = (forward(network, train=True)(variables, x)[0].maps for x in (images, changed))
  differs = (np.asarray(before) != np.asarray(after)).any(-1)
  assert differs[1, :16, 16:].any()
  differs[1, :16, 16:] = False
  assert not differs.any()


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('grid', [4, 3])
def test_otherwise_the_probabilities_of_overlapping_windows_are_averaged(shape, grid):
  network, images = TINY.clone(grid=grid), pictures(*shape)
  variables = variables_of(network)
  high, wide = -(-shape[1] // grid), -(-shape[2] // grid)
  total, count = np.zeros((*shape, 8)), np.zeros((*shape, 1))
  for top in {min(i * (high // 2), shape[1] - high) for i in range(shape[1])}:
    for left in {min(j * (wide // 2), shape[2] - wide) for j in range(shape[2])}:
      window = (slice(None), slice(top, top + high), slice(left, left + wide))
      total[window] += expit(np.float64(forward(ALONE)(of_fcn(variables), images[window])[0].maps))
      count[window] += 1
  found, _ = forward(network)(variables, images)
  assert count.min() == 1 < count.max()
  np.testing.assert_allclose(found.maps, logit(total / count), rtol=1e-3, atol=1e-4)
  np.testing.assert_array_equal(found.lesions, np.asarray(found.maps).max((1, 2)))


def test_a_grid_of_one_is_the_fcn_itself():
  network, images = TINY.clone(grid=1), pictures(2, 45, 61)
  variables = variables_of(network)
  for train in (False, True):
    found, _ = forward(network, train)(variables, images)
    alone, _ = forward(ALONE, train)(of_fcn(variables), images)
    np.testing.assert_allclose(found.maps, alone.maps, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('value', [-1e4, -80, -30, -1, 0, 1, 30, 80, 1e4])
def test_extreme_logits_stay_finite_and_come_back_as_far_as_float32_goes(value):
  """In float32 the sigmoid is 1 from 17 on, and its logit infinite."""
  variables = jax.tree.map(np.zeros_like, variables_of(TINY))
  variables['params']['fcn']['score_32']['bias'] += np.float32(value)
  maps = np.asarray(forward(TINY)(variables, pictures(1, 45, 61))[0].maps)
  assert np.isfinite(maps).all()
  if abs(value) <= 80:
    np.testing.assert_allclose(maps, value, rtol=1e-5, atol=1e-6)
  else:
    assert (maps * np.sign(value) > 85).all()


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('shape', SHAPES[:2])
def test_bfloat16_gives_float32_logits(shape, train):
  variables, images = variables_of(TINY), pictures(*shape)
  whole, half = (forward(TINY.clone(dtype=dtype), train)(variables, images)[0] for dtype in (jnp.float32, jnp.bfloat16))
  assert half.maps.shape == (*shape, 8)
  assert half.maps.dtype == half.lesions.dtype == jnp.float32
  np.testing.assert_allclose(half.maps, whole.maps, atol=0.1 * max(1, np.abs(whole.maps).max()))


def test_windows_go_through_the_network_one_row_at_a_time():
  seen = set()

  class Recording(TinyEncoder):
    def __call__(self, images, *, train):
      seen.add(images.shape)
      return super().__call__(images, train=train)

  images = jax.ShapeDtypeStruct((2, 64, 64, 3), np.uint8)
  jax.eval_shape(functools.partial(PatchFCN(encoder=Recording).init, train=False), jax.random.key(0), images)
  assert seen == {(2 * 7, 16, 16, 3)}


def test_pretrained_weights_go_to_the_encoder_of_the_fcn():
  assert set(variables_of(TINY)['params']) == {'fcn'}
  shapes = (jax.tree.map(np.shape, tree) for tree in (of_fcn(variables_of(TINY)), variables_of(ALONE)))
  assert next(shapes) == next(shapes)


@pytest.mark.parametrize(('network', 'message'), [
    (PatchFCN(grid=0), 'PatchFCN cannot cut an image into 0 x 0 patches; grid must be 1 or more'),
    (PatchFCN(), 'PatchFCN cuts an image of 64x100 into 4 x 4 patches: an image of 16x25 is too small'),
])
def test_patches_that_cannot_be_are_an_error(network, message):
  with pytest.raises(ValueError, match=message):
    initialize(network, jax.ShapeDtypeStruct((1, 64, 100, 3), np.uint8), seed=0)
