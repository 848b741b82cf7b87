"""Augmentation: exact where it can be, aligned where it interpolates, and the same on any split of the batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from tiny import pack_bits

from lesion_jax.augment import IDENTITY, Augmentation, augment
from lesion_jax.core import unpack_bits

SIZE = 32
COLOURLESS = dataclasses.replace(Augmentation(), brightness=(1.0, 1.0), saturation=(1.0, 1.0), contrast=(1.0, 1.0))


def run(batch, step=0, seed=0, *, spec):
  return augment(batch, seed=seed, step=step, spec=spec)


fused = jax.jit(run, static_argnames='spec')  # as in a training step; the rest runs faster without compiling


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  return {
      'image': rng.integers(0, 256, (8, SIZE, SIZE, 3), dtype=np.uint8),
      'lesions': rng.integers(0, 256, (8, SIZE, SIZE), dtype=np.uint8),
      'ignore': rng.integers(0, 256, (8, SIZE, SIZE), dtype=np.uint8),
      'row': np.arange(8, dtype=np.int32),
      'grade': rng.integers(0, 5, 8).astype(np.int32),
  }


def painted(size=96):
  """A smooth blob in the image, and the mask of the same blob."""
  y, x = np.mgrid[:size, :size]
  distance = np.hypot(y - 0.4 * size, x - 0.62 * size)
  image = (255 * np.clip(8.5 - distance, 0, 1)).astype(np.uint8)
  mask = np.zeros((size, size, 8), bool)
  mask[..., 5] = distance <= 8
  return np.repeat(image[..., None], 3, -1), pack_bits(mask)


def test_identity_returns_exactly_what_came(batch):
  out = run(batch, spec=IDENTITY)
  assert out['image'].dtype == jnp.float32
  for name in batch:
    np.testing.assert_array_equal(out[name], batch[name])


@pytest.mark.parametrize(('change', 'move'), [
    ({'horizontal_flip': 1.0}, lambda x: x[:, ::-1]),
    ({'vertical_flip': 1.0}, lambda x: x[::-1]),
    ({'rotation': (90.0, 90.0)}, lambda x: np.rot90(x, 1)),
    ({'rotation': (180.0, 180.0)}, lambda x: np.rot90(x, 2)),
    ({'rotation': (-90.0, -90.0)}, lambda x: np.rot90(x, 3)),
    ({'shift': (0.25, 0.25)}, lambda x: np.pad(x, [(8, 0), (8, 0)] + [(0, 0)] * (x.ndim - 2))[:SIZE, :SIZE]),
])  # fmt: skip
def test_flips_quarter_turns_and_whole_shifts_are_exact(batch, change, move):
  out = run(batch, spec=dataclasses.replace(IDENTITY, **change))
  for name in ('image', 'lesions', 'ignore'):
    np.testing.assert_array_equal(out[name], np.stack([move(x) for x in batch[name]]))


def test_the_image_is_bilinear_as_by_scipy(batch):
  spec = dataclasses.replace(IDENTITY, rotation=(27.0, 27.0), scale=(1.3, 1.3))
  out = run(batch, spec=spec)['image']
  cos, sin = np.cos(np.deg2rad(27)) / 1.3, np.sin(np.deg2rad(27)) / 1.3
  matrix, centre = np.array([[cos, sin], [-sin, cos]]), np.full(2, (SIZE - 1) / 2)
  for row in range(2):
    for channel in range(3):
      plane = batch['image'][row, ..., channel].astype(np.float64)
      expected = ndimage.affine_transform(plane, matrix, centre - matrix @ centre, order=1, mode='grid-constant')
      np.testing.assert_allclose(out[row, ..., channel], expected, atol=0.02)


def test_moving_a_packed_byte_moves_every_bit_alike(batch):
  out = run(batch, spec=COLOURLESS)
  bits = unpack_bits(batch['lesions'])
  for bit in range(8):
    alone = run(batch | {'lesions': bits[..., bit].astype(np.uint8)}, spec=COLOURLESS)['lesions']
    np.testing.assert_array_equal(unpack_bits(np.asarray(out['lesions']))[..., bit], np.asarray(alone).astype(bool))


def test_a_painted_mask_stays_on_the_painted_image():
  image, lesions = painted()
  rows = 16
  batch = {
      'image': np.repeat(image[None], rows, 0),
      'lesions': np.repeat(lesions[None], rows, 0),
      'ignore': np.zeros((rows, *lesions.shape), np.uint8),
      'row': np.arange(rows, dtype=np.int32),
  }
  out = jax.tree.map(np.asarray, run(batch, spec=COLOURLESS))
  for row in range(rows):
    mask = unpack_bits(out['lesions'][row])[..., 5]
    assert 100 < mask.sum() < 500  # pi * 8^2 = 201 at scale 1
    there = ndimage.center_of_mass(mask)
    np.testing.assert_allclose(there, ndimage.center_of_mass(out['image'][row, ..., 0]), atol=0.3)
    assert np.hypot(*np.subtract(there, ndimage.center_of_mass(unpack_bits(lesions)[..., 5]))) > 0.1  # it did move


def test_from_outside_comes_black_without_lesion_and_not_ignored(batch):
  full = batch | {name: np.full_like(batch[name], 255) for name in ('image', 'lesions', 'ignore')}
  out = run(full, spec=dataclasses.replace(IDENTITY, scale=(0.5, 0.5)))
  for name in ('image', 'lesions', 'ignore'):
    corner = np.asarray(out[name])[:, :7, :7]
    np.testing.assert_array_equal(corner, 0)
    np.testing.assert_array_equal(np.asarray(out[name])[:, 12:20, 12:20], 255)


def test_content_far_outside_is_no_trouble(batch):
  out = run(batch, spec=dataclasses.replace(IDENTITY, shift=(5.0, 5.0)))
  assert not any(np.any(out[name]) for name in ('image', 'lesions', 'ignore'))


@pytest.mark.parametrize('change', [{'brightness': (0.5, 1.5)}, {'saturation': (0.5, 1.5)}, {'contrast': (0.5, 1.5)}])
def test_colour_changes_the_image_alone_and_stays_in_range(batch, change):
  out = run(batch, spec=dataclasses.replace(IDENTITY, **change))
  np.testing.assert_array_equal(out['lesions'], batch['lesions'])
  assert np.abs(out['image'] - batch['image'].astype(np.float32)).mean() > 1
  assert out['image'].min() >= 0 and out['image'].max() <= 255


def test_brightness_is_a_factor_and_contrast_turns_about_the_mean(batch):
  batch = batch | {'image': batch['image'] // 4 + 90}
  image = batch['image'].astype(np.float64)
  darker = run(batch, spec=dataclasses.replace(IDENTITY, brightness=(0.8, 0.8)))['image']
  np.testing.assert_allclose(darker, 0.8 * image, rtol=1e-5)
  flatter = run(batch, spec=dataclasses.replace(IDENTITY, contrast=(0.8, 0.8)))['image']
  mean = image.mean((1, 2), keepdims=True)
  np.testing.assert_allclose(flatter, mean + 0.8 * (image - mean), rtol=1e-5)


def test_saturation_is_a_factor_on_the_distance_from_grey_whatever_else_is_done(batch):
  out = fused(batch, spec=dataclasses.replace(COLOURLESS, saturation=(0.8, 0.8)))['image']
  moved = np.asarray(run(batch, spec=COLOURLESS)['image'], np.float64)
  grey = moved @ np.array([0.299, 0.587, 0.114])
  np.testing.assert_allclose(out, grey[..., None] + 0.8 * (moved - grey[..., None]), atol=0.02)


def test_saturation_0_is_grey_and_black_stays_black(batch):
  batch = batch | {'image': batch['image'] * (np.arange(SIZE) > 4)[:, None, None].astype(np.uint8)}
  grey = run(batch, spec=dataclasses.replace(IDENTITY, saturation=(0.0, 0.0)))['image']
  np.testing.assert_allclose(grey, np.repeat(grey[..., :1], 3, -1), atol=1e-3)
  vivid = run(batch, spec=dataclasses.replace(IDENTITY, saturation=(1.5, 1.5), brightness=(1.2, 1.2)))['image']
  np.testing.assert_array_equal(vivid[:, :5], 0)


def test_rows_steps_and_seeds_draw_differently_and_again_the_same(batch):
  same = batch | {'image': np.repeat(batch['image'][:1], 8, 0)}
  first = np.asarray(run(same, step=1, spec=Augmentation())['image'])
  np.testing.assert_array_equal(first, run(same, step=1, spec=Augmentation())['image'])
  others = [run(same, step=2, spec=Augmentation()), run(same, step=1, seed=1, spec=Augmentation())]
  for other in (*(np.asarray(o['image']) for o in others), np.roll(first, 1, 0)):
    assert np.all(np.abs(first - other).mean((1, 2, 3)) > 1)


def test_any_split_over_devices_gives_the_same_batch(batch):
  whole = fused(batch, step=7, spec=Augmentation())
  per_device = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), batch)
  split = jax.pmap(lambda b: augment(b, seed=0, step=7, spec=Augmentation()))(per_device)
  for name in ('lesions', 'ignore'):
    np.testing.assert_array_equal(np.asarray(split[name]).reshape(whole[name].shape), whole[name])
  np.testing.assert_allclose(np.asarray(split['image']).reshape(whole['image'].shape), whole['image'], atol=1e-2)


def test_a_new_step_or_seed_compiles_nothing(batch):
  step = jax.jit(lambda b, step, seed: augment(b, seed=seed, step=step, spec=Augmentation()))
  for i in range(3):
    step(batch, jnp.int32(i), jnp.int32(10 * i))
  assert step._cache_size() == 1


def test_a_grading_batch_without_masks_is_moved_too(batch):
  grading = {name: batch[name] for name in ('image', 'row', 'grade')}
  out = run(grading, spec=Augmentation())
  assert set(out) == set(grading)
  np.testing.assert_array_equal(out['image'], run(batch, spec=Augmentation())['image'])


@pytest.mark.parametrize('shape', [(8, 32, 40, 3), (8, 32, 32, 4), (32, 32, 3)])
def test_images_that_are_not_square_rgb_are_refused(batch, shape):
  with pytest.raises(ValueError, match='square RGB'):
    augment(batch | {'image': np.zeros(shape, np.uint8)}, seed=0, step=0, spec=IDENTITY)


@pytest.mark.parametrize('wrong', [
    {'rotation': (10.0, -10.0)},
    {'rotation': 10.0},
    {'shift': [0.0, 0.1]},
    {'scale': (0.0, 1.0)},
    {'contrast': (-0.1, 1.0)},
    {'horizontal_flip': 1.5},
])  # fmt: skip
def test_a_wrong_range_is_named(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    Augmentation(**wrong)


def test_colours_change_inside_the_field_of_view_alone(batch):
  inside = np.hypot(*(np.mgrid[:SIZE, :SIZE] - SIZE / 2)) < 12
  image = np.where(inside[..., None], batch['image'] // 2 + 60, 3).astype(np.uint8)  # a border is not quite black
  spec = dataclasses.replace(IDENTITY, contrast=(0.6, 0.6))
  out = np.asarray(run(batch | {'image': image}, spec=spec)['image'])
  np.testing.assert_array_equal(out[:, ~inside], 3)
  field = image[:, inside].astype(np.float64)
  mean = field.mean(1, keepdims=True)
  np.testing.assert_allclose(out[:, inside], mean + 0.6 * (field - mean), rtol=1e-5)


def test_tint_is_a_factor_of_each_channel(batch):
  batch = batch | {'image': batch['image'] // 2 + 20}
  out = np.asarray(run(batch, spec=dataclasses.replace(IDENTITY, tint=(0.9, 1.1)))['image'])
  factors = out / batch['image']
  np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], factors.shape), rtol=1e-4)
  assert np.ptp(factors[:, 0, 0], axis=1).min() > 1e-3 and 0.9 <= factors.min() and factors.max() <= 1.1


def test_quarter_turns_are_exact_and_all_four_are_drawn(batch):
  same = {name: np.repeat(value[:1], 8, 0) for name, value in batch.items()} | {'row': batch['row']}
  seen = set()
  for step in range(3):
    out = run(same, step=step, spec=dataclasses.replace(IDENTITY, quarter_turns=True))
    for row in range(8):
      turns, = [k for k in range(4) if np.array_equal(out['image'][row], np.rot90(batch['image'][0], k))]
      np.testing.assert_array_equal(out['lesions'][row], np.rot90(batch['lesions'][0], turns))
      np.testing.assert_array_equal(out['ignore'][row], np.rot90(batch['ignore'][0], turns))
      seen.add(turns)
  assert seen == {0, 1, 2, 3}


def test_what_is_not_asked_for_changes_no_draw(batch):
  plain = run(batch, spec=COLOURLESS)
  tinted = run(batch, spec=dataclasses.replace(COLOURLESS, tint=(0.9, 1.1)))
  np.testing.assert_array_equal(plain['lesions'], tinted['lesions'])


class TestAnImageThatShrinks:
  """Half of the small lesions would vanish from a mask whose pixels look at one source pixel each."""

  SHRINK = dataclasses.replace(IDENTITY, scale=(0.8, 0.8), rotation=(33.0, 33.0))

  def _dots(self, rng, count=60):
    mask = np.zeros((count, SIZE, SIZE), np.uint8)
    mask[np.arange(count), rng.integers(8, 24, count), rng.integers(8, 24, count)] = 0b10
    return {'image': np.zeros((count, SIZE, SIZE, 3), np.uint8), 'lesions': mask, 'ignore': np.zeros_like(mask),
            'row': np.arange(count, dtype=np.int32)}

  def test_a_lesion_of_one_pixel_is_found_or_ignored_never_healthy(self):
    batch = self._dots(np.random.default_rng(0))
    out = jax.tree.map(np.asarray, run(batch, spec=self.SHRINK))
    assert ((out['lesions'] | out['ignore']).reshape(60, -1) == 0b10).any(1).all()
    assert not (out['lesions'] & out['ignore']).any()

  def test_the_area_of_larger_lesions_shrinks_as_the_image_does(self):
    image, lesions = painted()
    batch = {'image': image[None], 'lesions': lesions[None], 'ignore': np.zeros_like(lesions)[None],
             'row': np.zeros(1, np.int32)}
    out = jax.tree.map(np.asarray, run(batch, spec=self.SHRINK))
    assert np.count_nonzero(out['lesions']) == pytest.approx(np.count_nonzero(lesions) * 0.64, rel=0.1)
    assert np.count_nonzero(out['ignore']) < np.count_nonzero(out['lesions']) / 2

  def test_an_image_that_grows_has_nothing_ignored(self):
    batch = self._dots(np.random.default_rng(1))
    spec = dataclasses.replace(IDENTITY, scale=(0.8, 1.4), rotation=(10.0, 10.0))
    out = jax.tree.map(np.asarray, run(batch, spec=spec))
    seen = (out['lesions'] == 0b10).any((1, 2))
    assert 0.4 < seen.mean() and not out['ignore'][np.count_nonzero(out['lesions'], axis=(1, 2)) > 1].any()


def test_landmarks_move_with_what_is_painted_there():
  """The centre of mass of a dot is where its place was moved."""
  size, rng = 65, np.random.default_rng(1)
  image, places = np.zeros((6, size, size, 3), np.uint8), np.zeros((6, 2, 2), np.float32)
  for i, j in np.ndindex(6, 2):
    row, column = rng.integers(20, 45, 2)
    image[i, row - 1:row + 2, column - 1:column + 2, j] = 255
    places[i, j] = row + 0.5, column + 0.5
  spec = dataclasses.replace(COLOURLESS, rotation=(-40.0, 40.0), scale=(0.8, 1.3), shift=(-0.1, 0.1))
  out = run({'image': image, 'landmarks': places, 'row': np.arange(6, dtype=np.int32)}, spec=spec)
  for i, j in np.ndindex(6, 2):
    centre = np.array(ndimage.center_of_mass(np.asarray(out['image'])[i, ..., j])) + 0.5
    np.testing.assert_allclose(out['landmarks'][i, j], centre, atol=0.15)


def test_a_landmark_that_a_round_field_cuts_off_is_outside_and_an_unknown_one_stays_unknown(batch):
  places = np.full((8, 2, 2), np.nan, np.float32)
  places[:, 0] = 2.0, 2.0  # in the corner
  spec = dataclasses.replace(IDENTITY, field=(0.9, 0.9))
  out = run({**batch, 'landmarks': places}, spec=spec)
  assert (np.asarray(out['landmarks'])[:, 0] == -SIZE).all() and np.isnan(np.asarray(out['landmarks'])[:, 1]).all()
  rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
  seen = np.hypot(rows, columns) <= 0.45 * SIZE
  for name in ('image', 'lesions', 'ignore'):
    kept = np.where(seen[..., None] if name == 'image' else seen, batch[name], 0)
    np.testing.assert_array_equal(out[name], kept)
  middle = np.full((8, 2, 2), SIZE / 2, np.float32)
  np.testing.assert_array_equal(run({**batch, 'landmarks': middle}, spec=spec)['landmarks'], middle)


def test_a_field_of_no_size_is_refused():
  with pytest.raises(ValueError, match='field must be positive'):
    Augmentation(field=(0.0, 1.0))
