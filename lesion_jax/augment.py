"""Random augmentation of a batch, on the device, inside the jitted step.

The paper names the kinds (rotation, crop, flips, changes of brightness, saturation and contrast) and no ranges: the
ranges, and everything else here, are our choice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Example

Range = tuple[float, float]
_RANGES = ('rotation', 'scale', 'shift', 'brightness', 'saturation', 'contrast')
_COLOURS = ('brightness', 'saturation', 'contrast', 'tint')
WHOLE_FIELD = (2.0, 2.0)
BORDER = 12  # of 255: where no channel is brighter is the camera's black surround
_FLIPS = ('horizontal_flip', 'vertical_flip')
_LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B; ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Ranges (low, high) from which each image draws uniformly. Hashable; a kind whose range is neutral costs nothing.

  Attributes:
    rotation: degrees, counter-clockwise, about the centre.
    scale: magnification; above 1 crops to the centre, below 1 leaves a black margin.
    shift: fraction of the side by which the content moves, drawn for each axis.
    horizontal_flip: probability of mirroring left and right.
    vertical_flip: probability of mirroring top and bottom.
    brightness: factor on all channels. Black stays black, as the surround of a photograph should.
    saturation: factor on the distance from the grey of the same luminance.
    contrast: factor on the distance from the mean of the field of view, by channel. What is not brighter than BORDER
      in any channel is no part of the field and keeps its black.
    tint: factor on each channel, drawn for each.
    quarter_turns: turn by a random multiple of 90 degrees as well, which moves pixels and masks exactly.
    field: diameter of a round field of view about the centre of the moved image, as a share of its side; what lies outside is
      black, without lesion and not ignored. From the square root of 2 on it holds all of the image. With `shift` it shows
      what a camera that looks elsewhere shows.

  Raises:
    ValueError: for a range that is not (low, high) in order, a scale that is not positive, a colour factor below 0,
      or a probability outside [0, 1].
  """

  rotation: Range = (-180.0, 180.0)
  scale: Range = (0.9, 1.2)
  shift: Range = (-0.05, 0.05)
  horizontal_flip: float = 0.5
  vertical_flip: float = 0.5
  brightness: Range = (0.8, 1.2)
  saturation: Range = (0.8, 1.2)
  contrast: Range = (0.8, 1.2)
  tint: Range = (1.0, 1.0)
  quarter_turns: bool = False
  field: Range = WHOLE_FIELD

  def __post_init__(self):
    for name in (*_RANGES, 'tint', 'field'):
      value = getattr(self, name)
      if not isinstance(value, tuple) or len(value) != 2 or not value[0] <= value[1]:
        raise ValueError(f'{name} must be a tuple (low, high) with low <= high, got {value!r}')
    if self.scale[0] <= 0:
      raise ValueError(f'scale must be positive, got {self.scale}; 1 keeps the size')
    if self.field[0] <= 0:
      raise ValueError(f'field must be positive, got {self.field}; {WHOLE_FIELD} shows all')
    for name in _COLOURS:
      if getattr(self, name)[0] < 0:
        raise ValueError(f'{name} is a factor and must not be negative, got {getattr(self, name)}; 1 changes nothing')
    for name in _FLIPS:
      if not 0 <= getattr(self, name) <= 1:
        raise ValueError(f'{name} is a probability in [0, 1], got {getattr(self, name)}')

  @property
  def _unmoved(self) -> bool:
    return (self.rotation, self.scale, self.shift) == ((0, 0), (1, 1), (0, 0))

  @property
  def exact(self) -> bool:
    """Whether pixels only change places, by flips and quarter turns."""
    return self._unmoved and not self.cuts

  @property
  def cuts(self) -> bool:
    """Whether a round field of view may be cut out."""
    return self.field[0] < 2 ** 0.5

  @property
  def moves(self) -> bool:
    """Whether any pixel may change its place."""
    return not self._unmoved or self.horizontal_flip > 0 or self.vertical_flip > 0 or self.quarter_turns


IDENTITY = Augmentation((0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 0.0, 0.0, (1.0, 1.0), (1.0, 1.0), (1.0, 1.0))


def augment(batch: Example, *, seed: Array | int, step: Array | int, spec: Augmentation) -> Example:
  """Moves and colours every image of a batch, and moves its masks with it.

  The draw depends on (seed, step, row) alone, so a batch comes out the same on any number of devices. What enters
  from outside the image is black, without lesion and not ignored.

  Args:
    batch: uint8 `image` [B, S, S, 3], int32 `row` [B], and, where present, packed uint8 `lesions` and `ignore`
      [B, S, S], `landmarks` float32 [B, 2, 2], and `found` [B, h, h, 8], which moves as the image does, so by flips and
      quarter turns alone; other keys pass through.
    seed: int, may be traced.
    step: int, may be traced.
    spec: the ranges; static.

  Returns:
    The batch with `image` as float32 in [0, 255] (bilinear) and moved uint8 masks (nearest neighbour, which moves all
    eight bits of a byte alike; where an image shrinks, a lesion is there where half a pixel has it, and ignored where
    less has). `landmarks` move along; one that a round field cuts off is as one outside the image, at (-S, -S). With IDENTITY
    the values are exactly those that came.

  Raises:
    ValueError: when the images are not square RGB, or `found` would have to be turned or magnified.
  """
  if batch['image'].ndim != 4 or batch['image'].shape[1] != batch['image'].shape[2] or batch['image'].shape[3] != 3:
    raise ValueError(f"image must be square RGB [B, S, S, 3], got {list(batch['image'].shape)}; crop to the field of "
                     'view first')
  masks = {name: batch[name] for name in ('lesions', 'ignore') if name in batch}
  grid = batch['found'] if 'found' in batch and batch['found'].ndim == 4 else None
  if grid is not None and not spec.exact:
    raise ValueError('what the lesion network found moves by flips and quarter turns alone; leave rotation, scale and shift '
                     f'neutral, got {spec}')
  base = jax.random.fold_in(jax.random.key(seed), step)

  def one(image: jax.Array, masks: dict[str, jax.Array], row: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    draw = _draw(jax.random.fold_in(base, row), spec)
    if spec.moves:
      image, masks = _warp(image, masks, draw, spec)
    if spec.cuts:
      seen = _seen(image.shape[0], draw)
      image = jnp.where(seen[..., None], image, jnp.zeros((), image.dtype))
      masks = {name: jnp.where(seen, mask, jnp.zeros((), mask.dtype)) for name, mask in masks.items()}
    return _colour(image.astype(jnp.float32), draw, spec), masks

  image, masks = jax.vmap(one)(batch['image'], masks, batch['row'])
  moved = {**batch, 'image': image, **masks}
  if 'landmarks' in batch and (spec.moves or spec.cuts):
    size = batch['image'].shape[1]
    moved['landmarks'] = jax.vmap(lambda places, row: _move_places(places, size, _draw(jax.random.fold_in(base, row), spec), spec))(
        batch['landmarks'], batch['row'])
  if grid is None or not spec.moves:
    return moved
  return {**moved, 'found': jax.vmap(lambda found, row: _move_grid(found, _draw(jax.random.fold_in(base, row), spec)))(
      grid, batch['row'])}


def _move_places(places: jax.Array, size: int, draw: dict[str, jax.Array], spec: Augmentation) -> jax.Array:
  """Places [..., 2], rows and columns in pixels from the upper left corner, where `_warp` moves them: the inverse of
  `_source`."""
  centre = size / 2  # of places, whose first pixel is centred at 0.5
  if spec.moves:
    y = jnp.where(draw['vertical_flip'], -1, 1) * (places[..., 0] - centre)
    x = jnp.where(draw['horizontal_flip'], -1, 1) * (places[..., 1] - centre)
    cos, sin = _cos_sin(draw['rotation'])
    y, x = cos * y - sin * x, sin * y + cos * x
    places = jnp.stack([at * draw['scale'] + centre + draw['shift'][i] * size for i, at in enumerate((y, x))], axis=-1)
  if not spec.cuts:
    return places
  outside = jnp.sum((places - centre) ** 2, axis=-1, keepdims=True) > (draw['field'] * size / 2) ** 2
  return jnp.where(outside, -size, places)  # not of NaN, which nothing is true of


def _seen(size: int, draw: dict[str, jax.Array]) -> jax.Array:
  """bool [S, S]: the pixels whose centres are in the round field."""
  at = (jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2) ** 2
  return at[:, None] + at[None, :] <= (draw['field'] * size / 2) ** 2


def _move_grid(grid: jax.Array, draw: dict[str, jax.Array]) -> jax.Array:
  """[h, h, 8], flipped and turned by quarters as `_warp` does it with the image."""
  y, x = _source(grid.shape[0], draw)
  return grid[jnp.round(y).astype(jnp.int32), jnp.round(x).astype(jnp.int32)]


def _draw(key: jax.Array, spec: Augmentation) -> dict[str, jax.Array]:
  """One value for each field of `spec`: float32 scalars, [2] for the shift, bool for the flips."""
  # One call for all: every call of a random function is another hash to compile.
  first, second = jax.random.uniform(key, (2, len(_RANGES) + len(_FLIPS)))
  draw = {}
  for u, v, name in zip(first, second, _RANGES + _FLIPS, strict=True):
    if name in _FLIPS:
      draw[name] = u < getattr(spec, name)
    else:
      low, high = getattr(spec, name)
      draw[name] = low + (high - low) * (jnp.stack([u, v]) if name == 'shift' else u)
  further = jax.random.uniform(jax.random.fold_in(key, 1), (4,))  # apart, so that what is not asked for changes nothing
  low, high = spec.tint
  draw['tint'] = low + (high - low) * further[:3]
  if spec.cuts:
    low, high = spec.field
    draw['field'] = low + (high - low) * jax.random.uniform(jax.random.fold_in(key, 2), ())
  if spec.quarter_turns:
    draw['rotation'] = draw['rotation'] + 90 * jnp.floor(4 * further[3])
  return draw


def _warp(
    image: jax.Array, masks: dict[str, jax.Array], draw: dict[str, jax.Array], spec: Augmentation
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """Pulls one image (bilinear) and its masks (nearest; see `_reduced` where it shrinks) through one affine map.

  A gather costs by the element, so the channels of a pixel travel as one word: four gathers for the image, one for
  both masks. A border of one zero pixel answers for everything outside.
  """
  size = image.shape[0]
  # One rounding for all: were the taps and their weights to come from two computations of y and x, a coordinate just
  # below an integer in one and just above in the other would pick the wrong pixel.
  y, x = jax.lax.optimization_barrier(_source(size, draw))
  whole_y, whole_x = y, x
  y, x = jnp.clip(y, -1, size), jnp.clip(x, -1, size)  # beyond the border everything is the same
  top, left = jnp.floor(y), jnp.floor(x)
  dy, dx = (y - top)[..., None], (x - left)[..., None]
  words = jnp.pad(_pack(image), 1).reshape(-1)
  corner = (top.astype(jnp.int32) + 1) * (size + 2) + left.astype(jnp.int32) + 1
  below = jnp.where(top < size, size + 2, 0)  # stay inside the border, where the weight is 0 anyway
  right = jnp.where(left < size, 1, 0)

  def tap(index: jax.Array) -> jax.Array:
    return _unpack(words[index], 3).astype(jnp.float32)

  upper = tap(corner) * (1 - dx) + tap(corner + right) * dx
  lower = tap(corner + below) * (1 - dx) + tap(corner + below + right) * dx
  image = upper * (1 - dy) + lower * dy
  if not masks:
    return image, masks
  packed = jnp.pad(_pack(jnp.stack(list(masks.values()), -1)), 1).reshape(-1)

  def nearest(y: jax.Array, x: jax.Array) -> jax.Array:
    rows, columns = (jnp.floor(jnp.clip(at, -1, size) + 0.5).astype(jnp.int32) + 1 for at in (y, x))
    return packed[rows * (size + 2) + columns]

  moved = nearest(y, x)
  if spec.scale[0] < 1:
    moved = jnp.where(draw['scale'] < 1, _reduced(nearest, whole_y, whole_x, draw, list(masks)), moved)
  moved = _unpack(moved, len(masks))
  return image, {name: moved[..., i] for i, name in enumerate(masks)}


def _reduced(
    nearest: Callable[[jax.Array, jax.Array], jax.Array], y: jax.Array, x: jax.Array, draw: dict[str, jax.Array],
    names: list[str],
) -> jax.Array:
  """Packed masks of an image that shrinks: the nearest pixel alone would miss lesions of a pixel or two, which the image
  still shows. Each output pixel looks at four places, less than a source pixel apart where the scale is above a half. A
  lesion is there where two or more have it (as preparation reduces masks, by area), and ignored where one has."""
  step = 0.25 / draw['scale']
  cos, sin = _cos_sin(draw['rotation'])
  taps = [nearest(y + (cos * dy + sin * dx) * step, x + (cos * dx - sin * dy) * step)
          for dy in (-1, 1) for dx in (-1, 1)]
  once = twice = jnp.zeros_like(taps[0])
  for tap in taps:  # bit by bit: seen at least once, at least twice
    once, twice = once | tap, twice | (once & tap)
  if set(names) != {'lesions', 'ignore'}:
    return twice
  of = {name: jnp.uint32(8 * names.index(name)) for name in names}
  lesions, fringe = (twice >> of['lesions']) & 0xFF, ((once & ~twice) >> of['lesions']) & 0xFF
  seldom, mostly = (each >> of['ignore'] & 0xFF for each in (once, twice))
  ignore = mostly | (seldom & ~lesions) | fringe  # a lesion that is mostly not ignored stays scored
  return (lesions << of['lesions']) | (ignore << of['ignore'])


def _source(size: int, draw: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
  """Where each output pixel comes from: rows and columns, float32 [S, S].

  The inverse of: flip, turn, magnify about the centre, then shift. Written out in elementwise products, which are exact
  for flips and quarter turns (a matrix product may run in reduced precision on an accelerator).
  """
  centre = (size - 1) / 2
  dy, dx = (draw['shift'][i] * size for i in range(2))
  y = (jnp.arange(size, dtype=jnp.float32)[:, None] - centre - dy) / draw['scale']
  x = (jnp.arange(size, dtype=jnp.float32)[None, :] - centre - dx) / draw['scale']
  cos, sin = _cos_sin(draw['rotation'])
  y, x = cos * y + sin * x, cos * x - sin * y  # rows point down, so counter-clockwise has this sign
  return (
      jnp.where(draw['vertical_flip'], -1, 1) * y + centre,
      jnp.where(draw['horizontal_flip'], -1, 1) * x + centre,
  )


def _cos_sin(degrees: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Cosine and sine, exact at multiples of 90 degrees, where a float32 pi is not."""
  quarters = jnp.round(degrees / 90)
  rest = jnp.deg2rad(degrees - 90 * quarters)
  cos, sin = jnp.cos(rest), jnp.sin(rest)
  turn = quarters.astype(jnp.int32) % 4
  return jnp.stack([cos, -sin, -cos, sin])[turn], jnp.stack([sin, cos, -sin, -cos])[turn]


def _colour(image: jax.Array, draw: dict[str, jax.Array], spec: Augmentation) -> jax.Array:
  """Tint, brightness, saturation, contrast of one float32 image in [0, 255], each only where `spec` may change it."""
  neutral = (1, 1)
  if all(getattr(spec, name) == neutral for name in _COLOURS):
    return image
  field = jnp.max(image, axis=-1, keepdims=True) > BORDER
  if spec.tint != neutral:
    image = image * draw['tint']
  if spec.brightness != neutral:
    image = image * draw['brightness']  # adding a constant would lift the black surround
  if spec.saturation != neutral:
    # Not by way of the hue: finding it by `value == red` fails where XLA computes the two in different fusions.
    grey = sum(weight * image[..., i, None] for i, weight in enumerate(_LUMINANCE))
    image = grey + draw['saturation'] * (image - grey)
  if spec.contrast != neutral:
    # About the mean of the field: about that of the whole image it would lift the black surround.
    mean = jnp.sum(jnp.where(field, image, 0), axis=(0, 1)) / jnp.maximum(jnp.sum(field), 1)
    image = jnp.where(field, mean + draw['contrast'] * (image - mean), image)
  return jnp.clip(image, 0, 255)


def _pack(channels: jax.Array) -> jax.Array:
  """uint8 [..., n] -> uint32 [...], n <= 4."""
  shifts = 8 * jnp.arange(channels.shape[-1], dtype=jnp.uint32)
  return jnp.sum(channels.astype(jnp.uint32) << shifts, axis=-1, dtype=jnp.uint32)


def _unpack(words: jax.Array, channels: int) -> jax.Array:
  """uint32 [...] -> uint8 [..., n], the inverse of `_pack`."""
  return (words[..., None] >> (8 * jnp.arange(channels, dtype=jnp.uint32))).astype(jnp.uint8)
