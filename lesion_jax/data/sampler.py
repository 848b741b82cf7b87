"""The order in which training draws examples, of one source or of several with weights."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from lesion_jax.core import Example
from lesion_jax.data.crops import Draw, Draws, Kept, odds_by_grade
from lesion_jax.data.index import Index, join
from lesion_jax.extras import needs

with needs('train'):
  import grain
  from grain import experimental


class Source(Protocol):
  """Random access to examples, each without a leading axis and without `row`."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Example: ...


class Joined(Sequence):
  """Several sources behind one another.

  Attributes:
    parts: the sources, all of examples of one shape.
    weights: how often training draws from each, relative to the others; () draws every example equally often.
  """

  def __init__(self, parts: Sequence[Source], weights: Sequence[float] = ()):
    self.parts, self.weights = tuple(parts), tuple(weights)
    self._ends = list(itertools.accumulate(map(len, self.parts)))

  def __len__(self) -> int:
    return self._ends[-1]

  @property
  def index(self) -> Index:
    """What is known of the photographs without decoding any."""
    return join([part.index for part in self.parts])

  def __getitem__(self, index: int) -> Example:
    index = range(len(self))[index]  # raises IndexError, counts from the end
    part = bisect.bisect_right(self._ends, index)
    return self.parts[part][index - self._ends[part] + len(self.parts[part])]


def keep_decoded(source: Source, limit: int) -> Source:
  """Returns the source, whose decoded examples are kept in memory up to `limit` bytes in all, see `crops.Kept`.

  Args:
    source: the examples; of a `Joined` one each part gets a share by its length.
    limit: bytes; 0 keeps none.
  """
  if not limit:
    return source
  if isinstance(source, Joined):
    return Joined([Kept(part, limit=limit * len(part) // len(source)) for part in source.parts], source.weights)
  return Kept(source, limit=limit)


def training_order(source: Source, *, batch_size: int, seed: int, draw: Draw = Draw()) -> grain.MapDataset[Example]:
  """Returns an endless stream of shuffled examples, in another order each epoch.

  Every len(source) examples of the stream are each example once. Of a `Joined` source with weights, each part is such a
  stream of its own, however long the others are, and the stream takes from each by its weight: every batch as nearly as
  whole examples can. Grain rounds weights down to hundredths of the smallest. Within a batch the rows are shuffled
  once more, or every P-th of them could come from one part, and one of P hosts would see nothing else.

  A `draw` that chooses draws with replacement instead, from each part or from the whole source; the source then needs
  an index.

  Args:
    source: the examples.
    batch_size: rows in all shards together.
    seed: of the order, 0..2**32-1.
    draw: how a photograph, and a crop of it, is chosen.

  Raises:
    ValueError: of `check_draw`.
  """
  check_draw(source, draw)

  def stream(source: Source, seed: int) -> grain.MapDataset[Example]:
    if draw.chooses:
      return grain.MapDataset.source(Draws(source, seed=seed, draw=draw))
    return grain.MapDataset.source(source).seed(seed).shuffle().repeat()

  if not _weighted(source):
    return stream(source, seed)
  # Parts of equal length would meet in the same pairs for ever if one seed ordered them all.
  *seeds, last = np.random.SeedSequence([seed, len(source.parts)]).generate_state(len(source.parts) + 1)
  streams = [stream(part, int(number)) for part, number in zip(source.parts, seeds, strict=True)]
  mixed = grain.MapDataset.mix(streams, source.weights)
  # Half the range of seeds: grain adds the number of the batch to it.
  return experimental.WindowShuffleMapDataset(mixed, window_size=batch_size, seed=int(last) // 2)


def check_draw(source: Source, draw: Draw) -> None:
  """Holds training photographs to what a draw needs of them.

  Args:
    source: the photographs; where the draw chooses, it has an index.
    draw: how they are drawn.

  Raises:
    ValueError: draws are to be centred on a lesion and no photograph has one that may be drawn, or of those that are drawn from
      together, all photographs or each part of a `Joined` with weights, the grades are not as `odds_by_grade` needs them.
  """
  if draw.centred and not draw.weights(source.index).any():
    which = f'of those that lesions={draw.lesions} draws' if draw.lesions else 'at all'
    raise ValueError(f'centred={draw.centred}: no training photograph has a lesion, {which}, so no draw can begin with one; set it to 0')
  if draw.grades:
    for part in source.parts if _weighted(source) else (source,):
      odds_by_grade(part.index.grade, draw.grades)


def _weighted(source: Source) -> bool:
  return isinstance(source, Joined) and bool(source.weights)
