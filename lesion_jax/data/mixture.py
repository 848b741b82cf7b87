"""Several data sets to learn from at once, each with what it annotates."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

from lesion_jax.core import LESION_KEYS
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.sampler import Joined
from lesion_jax.data.splits import SPLITS
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE

SEPARATOR = '+'  # between the names of data sets


@dataclasses.dataclass(frozen=True)
class Mixture:
  """Data sets as one, in place of a `Dataset`.

  Data sets may hold the same photographs, in splits that do not know of one another: `stages.leaks` looks for those.

  Each photograph keeps what its own data set annotates: a lesion that is unknown there, or a grade, reaches neither the
  loss nor a metric.

  Attributes:
    parts: the data sets, all prepared at one size.
    weights: how often training draws from each, relative to the others; () draws every photograph equally often.

  Raises:
    ValueError: two parts have one name, weights are not positive or not one for each part, or a weight is given to a
      part that has nothing to train on.
  """

  parts: tuple[Dataset, ...]
  weights: tuple[float, ...] = ()

  def __post_init__(self):
    names = [part.name for part in self.parts]
    check_weights(self.weights, names)
    if empty := [part.name for part in self.parts if not part.lengths['train']]:
      raise ValueError(f'{", ".join(empty)} has no examples in the split \'train\', so there is nothing to mix')

  @property
  def name(self) -> str:
    """The names of the parts, with SEPARATOR between them."""
    return SEPARATOR.join(part.name for part in self.parts)

  @property
  def annotated(self) -> tuple[str, ...]:
    """Keys of the lesions that any part annotates."""
    found = {key for part in self.parts for key in part.annotated}
    return tuple(key for key in LESION_KEYS if key in found)

  @property
  def graded(self) -> bool:
    """Whether any part has grades."""
    return any(part.graded for part in self.parts)

  @property
  def crop(self) -> str:
    """SQUARE where all parts came as squares; else FIELD_OF_VIEW, which suits any photograph (our choice)."""
    return SQUARE if all(part.crop == SQUARE for part in self.parts) else FIELD_OF_VIEW

  @property
  def lengths(self) -> dict[str, int]:
    """Split -> number of examples in all parts together."""
    return {split: sum(part.lengths[split] for part in self.parts) for split in SPLITS}

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits that have examples in any part."""
    return tuple(split for split, length in self.lengths.items() if length)

  @property
  def description(self) -> str:
    """A paragraph for each part."""
    return '\n\n'.join(f'`{part.name}`: {part.description.strip()}' for part in self.parts)

  @property
  def citation(self) -> str:
    """BibTeX of all parts, what two of them share once."""
    found = dict.fromkeys(part.citation.strip() for part in self.parts)
    return '\n'.join(citation for citation in found if citation)

  @property
  def licence(self) -> str:
    """The licence of each part, under its name."""
    return '; '.join(f'{part.name}: {part.licence}' for part in self.parts)

  def source(self, split: str) -> Joined:
    """Gives random access to one split: the parts behind one another.

    Raises:
      ValueError: where there is no such split, or it is empty in all parts.
    """
    if split not in self.splits:
      sizes = ', '.join(f'{name} {length}' for name, length in self.lengths.items())
      raise ValueError(f'{self.name} has no examples in the split {split!r}; its splits are: {sizes}')
    sources = [part.source(split) for part in self.parts if part.lengths[split]]
    return Joined(sources, self.weights if split == 'train' else ())


def check_weights(weights: tuple[float, ...], names: list[str]) -> None:
  """Raises ValueError where these are not weights for data sets of these names, or a name is there twice."""
  if len(set(names)) < len(names):
    raise ValueError(f'{SEPARATOR.join(names)} names a data set twice; give it a larger weight instead')
  if weights and len(weights) != len(names):
    raise ValueError(f'weights={weights}: give one for each of the {len(names)} data sets of {SEPARATOR.join(names)}, '
                     'or none, which draws every photograph equally often')
  if not all(weight > 0 and math.isfinite(weight) for weight in weights):
    raise ValueError(f'weights={weights}: each must be above 0; leave out a data set that is not to be sampled from')


def shares(dataset: Dataset | Mixture, split: str) -> Iterator[tuple[Dataset, slice]]:
  """Yields the parts of a mixture that have examples in a split, and where those lie in its source. A data set has
  none."""
  parts = [part for part in getattr(dataset, 'parts', ()) if part.lengths[split]]
  ends = itertools.accumulate((part.lengths[split] for part in parts), initial=0)
  for part, (start, end) in zip(parts, itertools.pairwise(ends), strict=True):
    yield part, slice(start, end)
