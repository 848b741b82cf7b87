"""Which photograph and which part of it each place of the training stream has, chosen on the host.

Lesions are small and some are rare: of a photograph prepared large enough to show them, training sees a crop, a stated
share of the crops lies on a lesion, and that lesion is sampled before the photograph, so that a rare one is seen as often
as a common one. Every choice depends on (seed, place in the stream) alone, so a resumed run, several devices and several
processes draw the same. Shares, scales and jitter are our choice; nnU-Net centres a third of its patches on foreground.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lesion_jax.core import NUM_GRADES, NUM_LESIONS, UNKNOWN_GRADE, Example
from lesion_jax.data.index import Index
from lesion_jax.photograph.crop import Crop

ENDLESS = 2**40  # places; at a thousand a second, 34 years
JITTER = 0.4  # of the crop's side: how far from its centre the lesion may lie
FIELD_RADIUS = 0.45  # of the square's side: where the centre of a crop anywhere in the field lies
OUTSIDE = 0.25  # of the crop's side: how far it may reach beyond the square


@dataclasses.dataclass(frozen=True)
class Draw:
  """How training draws from one data set. The default draws nothing: whole photographs as they come.

  Attributes:
    crop: side of the crops in pixels; 0: whole photographs.
    centred: share of the draws that begin with a lesion: one of those that any photograph has, then one of the
      photographs that have it, then, with crops, one of its pixels, which lies in the middle part of the crop.
    scale: (low, high), of the crops: magnification of the prepared photograph, sampled uniformly on a logarithmic scale. A
      photograph that preparation enlarged is never enlarged beyond than its own pixels (unless `low` is), so that blur is
      not what tells it from others.
    lesions: how often a centred draw takes each lesion of LESIONS, relative to the others; (): equally often.
    grades: how often other draws take each grade DR0..DR4, relative to the others and however many photographs have it;
      (): every photograph equally often.

  Raises:
    ValueError: for a value that is none of these.
  """

  crop: int = 0
  centred: float = 0.0
  scale: tuple[float, float] = (1.0, 1.0)
  lesions: tuple[float, ...] = ()
  grades: tuple[float, ...] = ()

  def __post_init__(self):
    if self.crop < 0:
      raise ValueError(f'crop={self.crop}: the side of a crop in pixels, or 0 for whole photographs')
    if not 0 <= self.centred <= 1:
      raise ValueError(f'centred={self.centred}: a share of the draws, from 0 to 1')
    if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
      raise ValueError(f'scale={self.scale}: give (low, high) with 0 < low <= high; 1 keeps the prepared size')
    for name, needed in (('lesions', NUM_LESIONS), ('grades', NUM_GRADES)):
      values = getattr(self, name)
      if values and (len(values) != needed or min(values) < 0 or not math.isfinite(sum(values)) or not sum(values)):
        raise ValueError(f'{name}={values}: give {needed} numbers, none negative and not all 0, or ()')

  @property
  def chooses(self) -> bool:
    """Whether it is anything but whole photographs as they come."""
    return bool(self.crop or self.centred or self.grades)

  def weights(self, index: Index) -> np.ndarray:
    """Returns how often a centred draw takes each lesion, float [8]: 0 of those that no photograph has."""
    return np.array(self.lesions or [1.0] * NUM_LESIONS) * (index.areas > 0).any(axis=0)


class Sample(NamedTuple):
  """What a place of the stream has: the photograph, the lesion on which it is centred (None: on none), and the generator
  of what else is drawn there."""

  photograph: int
  lesion: int | None
  rng: np.random.Generator


class Draws(Sequence):
  """An endless sequence of examples sampled from a source. Safe to read from threads.

  Args:
    source: of the data set's training photographs; has `index`. It may be a part of a mixture that has no lesion to draw: its
      draws are then never centred (`sampler.check_draw` asks that some part has one).
    seed: int, 0 or above.
    draw: how.

  Raises:
    ValueError: the photographs have not the grades that the draw needs.
  """

  def __init__(self, source: Any, *, seed: int, draw: Draw):
    self._source, self._seed, self._draw = source, seed, draw
    index: Index = source.index
    weights = draw.weights(index)
    self._lesions = np.cumsum(weights) / weights.sum() if weights.sum() else None
    self._with = [np.flatnonzero(column) for column in (index.areas > 0).T]
    self._any = odds_by_grade(index.grade, draw.grades)
    self._side = index.side

  def __len__(self) -> int:
    return ENDLESS

  def __getitem__(self, place: int) -> Example:
    photograph, lesion, rng = self.sample(place)
    example = self._source[photograph]
    if not self._draw.crop:
      return example
    return self._crop(example, lesion, float(self._side[photograph]), rng)

  def sample(self, place: int) -> Sample:
    """Returns the first choices of a place, for which nothing is read."""
    place = range(ENDLESS)[place]
    rng = np.random.Generator(np.random.Philox(key=[self._seed, place]))
    focus, which, photograph = rng.random(3)
    if self._lesions is not None and focus < self._draw.centred:
      lesion = int(np.searchsorted(self._lesions, which, side='right'))
      among = self._with[lesion]
      return Sample(int(among[int(photograph * len(among))]), lesion, rng)
    return Sample(int(np.searchsorted(self._any, photograph, side='right')), None, rng)

  def _crop(self, example: Example, lesion: int | None, side: float, rng: np.random.Generator) -> Example:
    size, crop, (low, high) = example['image'].shape[0], self._draw.crop, self._draw.scale
    high = max(low, min(high, side / size))
    cut = max(1, round(crop / math.exp(rng.uniform(math.log(low), math.log(high)))))
    if lesion is None:
      radius, angle = size * FIELD_RADIUS * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
      centre = size / 2 + radius * math.sin(angle), size / 2 + radius * math.cos(angle)
    else:
      pixels = np.flatnonzero(example['lesions'] & np.uint8(1 << lesion))
      row, column = divmod(int(pixels[int(rng.random() * len(pixels))]), size)
      centre = row + rng.uniform(-JITTER, JITTER) * cut, column + rng.uniform(-JITTER, JITTER) * cut
    margin = int(cut * OUTSIDE)
    lowest = min(-margin, (size - cut) // 2)
    top, left = (int(np.clip(round(middle - cut / 2), lowest, max(size - cut + margin, lowest))) for middle in centre)
    square = Crop(top=top, left=left, side=cut, height=size, width=size)
    lesions = square.apply_mask(example['lesions'], crop)
    return {**example, 'image': square.apply(example['image'], crop), 'lesions': lesions,
            'ignore': square.apply_mask(example['ignore'], crop) & ~lesions}


class Kept(Sequence):
  """A source that keeps decoded examples in memory, the ones used last, up to a number of bytes. Safe to read from
  threads.

  Args:
    source: the examples; may have `index`.
    limit: bytes in all.
  """

  def __init__(self, source: Any, *, limit: int):
    self._source, self._limit = source, limit
    self._kept: collections.OrderedDict[int, Example] = collections.OrderedDict()
    self._bytes, self._lock = 0, threading.Lock()

  @property
  def index(self) -> Index:
    """Of the source."""
    return self._source.index

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    with self._lock:
      if index in self._kept:
        self._kept.move_to_end(index)
        return self._kept[index]
    example = self._source[index]
    with self._lock:
      if index not in self._kept:
        self._kept[index] = example
        self._bytes += _bytes(example)
      while self._bytes > self._limit and self._kept:
        _, dropped = self._kept.popitem(last=False)
        self._bytes -= _bytes(dropped)
    return example


def _bytes(example: Example) -> int:
  return sum(value.nbytes for value in example.values() if hasattr(value, 'nbytes'))


def odds_by_grade(grade: np.ndarray, wanted: tuple[float, ...]) -> np.ndarray:
  """Returns cumulated probabilities of the photographs, float64 [N].

  Args:
    grade: int [N].
    wanted: `Draw.grades`.

  Raises:
    ValueError: a photograph has no grade, or none has one that is wanted.
  """
  if not wanted:
    return np.arange(1, len(grade) + 1) / len(grade)
  if unknown := int((grade == UNKNOWN_GRADE).sum()):
    raise ValueError(f'grades={wanted} are to be sampled by these frequencies, and {unknown} of {len(grade)} photographs '
                     'have no grade; leave it at ()')
  count = np.bincount(grade, minlength=NUM_GRADES)
  weights = (np.array(wanted) / np.maximum(count, 1))[grade]
  if not weights.sum():
    raise ValueError(f'grades={wanted}: no photograph has a grade that is to be sampled; there are '
                     + ', '.join(f'{number} of DR{each}' for each, number in enumerate(count)))
  return np.cumsum(weights) / weights.sum()
