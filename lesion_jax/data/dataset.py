"""A preprocessed dataset: random access to the examples of its splits, and which of them count for what."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax.core import EVIDENCE, LESION_KEYS, UNKNOWN_GRADE, Example, lesion_bits
from lesion_jax.data.index import DAMAGE, Index
from lesion_jax.data.index import read as read_index
from lesion_jax.data.sampler import Joined, Source
from lesion_jax.data.scales import ICDR
from lesion_jax.data.splits import SPLITS, shuffled
from lesion_jax.extras import needs
from lesion_jax.photograph.fingerprint import reduced, twins_of
from lesion_jax.photograph.png import decode_mask, decode_picture

with needs('train'):
  import tensorflow_datasets as tfds

ALL = 'all'  # the splits of a data set as one
MILD_LESION, = (entry.lesion for entry in EVIDENCE if entry.grade == 1)  # what DR1 may have


class ExampleSource(Sequence):
  """Random access to the examples of one split, decoded, each an Example without `row`. Safe to read from threads.

  Args:
    builder: of a preprocessed dataset.
    split: one of its splits.
    negatives: keys of the lesions of which a grade says that they are absent, see `Dataset.with_negatives`.
    whole: keep photographs that then say nothing of any lesion.
    dropped: ids of photographs that are excluded as well.
    grades: by id, of photographs that have none of their own.

  Attributes:
    index: what is known of the photographs without decoding any.
  """

  def __init__(self, builder: tfds.core.DatasetBuilder, split: str, negatives: Sequence[str] = (),
               dropped: Collection[str] = (), *, whole: bool = False, grades: Mapping[str, int] | None = None):
    # TFDS decodes masks with three channels, of which it drops two.
    encoded = dict.fromkeys(('image', 'lesions', 'ignore'), tfds.decode.SkipDecoding())
    self._folder = builder.data_path
    try:
      self._records = builder.as_data_source(split, decoders=encoded)
      found = read_index(builder.data_path, split)
    except (FileNotFoundError, *DAMAGE) as error:
      raise self._damaged(error) from error
    self._rows = np.arange(len(found))
    if grades:
      lent = np.array([grades.get(name, UNKNOWN_GRADE) for name in found.id.tolist()], np.int32)
      found = dataclasses.replace(found, grade=np.where(found.grade == UNKNOWN_GRADE, lent, found.grade))
    if negatives:
      found = dataclasses.replace(found, annotated=found.annotated | absent_by_grade(found.grade, negatives))
      self._rows = self._rows if whole else np.flatnonzero(found.annotated)
    if dropped:
      self._rows = self._rows[~np.isin(found.id[self._rows], list(dropped))]
    self.index = found.take(self._rows)

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Example:
    index = range(len(self))[index]  # raises IndexError, counts from the end
    try:
      return self._decode(index)
    except (RuntimeError, OSError, ValueError, struct.error, zlib.error) as error:
      raise self._damaged(error) from error

  def _decode(self, index: int) -> Example:
    record = self._records[int(self._rows[index])]
    return Example(
        image=decode_picture(record['image']),
        lesions=decode_mask(record['lesions']),
        ignore=decode_mask(record['ignore']),
        annotated=self.index.annotated[index],
        grade=np.int32(self.index.grade[index]),
        edema=np.int32(self.index.edema[index]),
        landmarks=self.index.landmarks[index],
        weight=np.float32(1),
        id=record['id'].decode(),
        patient=record['patient'].decode(),
    )

  def _damaged(self, error: Exception) -> ValueError:
    said = str(error).splitlines() or [type(error).__name__]
    return ValueError(f'the preprocessed data in {self._folder} are damaged ({said[0][:200]}); prepare them again: delete that '
                      'folder, and run the same command')

  def ids(self) -> list[str]:
    """Returns the photographs in their order, without decoding any."""
    return self.index.id.tolist()


def absent_by_grade(grade: np.ndarray, keys: Sequence[str]) -> np.ndarray:
  """Returns which of the lesions `keys` a grade says to be absent, by Table I of the paper: all of them of DR0, all but
  microaneurysms of DR1, which is 'microaneurysms, exclusively', none of the others and of unknown grades.

  Args:
    grade: int [N].
    keys: of lesions.

  Returns:
    uint8 [N], bit j set where LESIONS[j] is absent.
  """
  all_of_them, mild = lesion_bits(tuple(keys)), lesion_bits(tuple(key for key in keys if key != MILD_LESION))
  return np.select([grade == 0, grade == 1], [all_of_them, mild], 0).astype(np.uint8)


class Subset(Sequence):
  """Some examples of a source, in its order.

  Args:
    source: random access to examples.
    indices: which, ascending.
  """

  def __init__(self, source: Sequence[Example], indices: Sequence[int]):
    self._source, self._indices = source, list(indices)

  @property
  def index(self) -> Index:
    """What is known of the photographs without decoding any."""
    return self._source.index.take(np.array(self._indices, int))

  def __len__(self) -> int:
    return len(self._indices)

  def __getitem__(self, index: int) -> Example:
    return self._source[self._indices[index]]


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A preprocessed dataset.

  Attributes:
    name: as in DATASETS.
    annotated: keys of the lesions that it annotates at all; () where it has grades alone.
    graded: whether it has grades.
    crop: FIELD_OF_VIEW where its photographs were cropped to it, SQUARE where they came as squares and were only
      resized.
    lengths: split -> number of examples.
    description: what it is, in a paragraph.
    citation: BibTeX.
    licence: under which its authors release it.
    dealing: how its photographs were dealt to splits, as `splits.Dealing.describe` says it; None where the raw dataset says it
      of all of them.
    builder: the TFDS builder behind it.
    grades_as_lesions: whether its grades say of lesions that they are absent unless a configuration says otherwise.
    negatives: keys of the lesions of which a grade says that they are absent, see `with_negatives`.
    whole: training photographs that then say nothing of any lesion are kept.
    aside: share of the training patients whose photographs are in validation, see `with_negatives`.
    sick: photographs of validation and test that then say nothing of any lesion are kept.
    dropped: split -> ids of the photographs that `without` excluded from it.
    grades: by id, those that photographs without a grade have from their twins, see `graded_by`.
    scale: of the grades, as `scales.Scale.describe` says it.
    notes: what was taken for what when it was prepared, and what may be wrong, a sentence each.
  """

  name: str
  annotated: tuple[str, ...]
  graded: bool
  crop: str
  lengths: dict[str, int]
  description: str
  citation: str
  licence: str
  builder: tfds.core.DatasetBuilder = dataclasses.field(repr=False)
  grades_as_lesions: bool = False
  negatives: tuple[str, ...] = ()
  whole: bool = False
  aside: float = 0.0
  sick: bool = True
  dealing: dict[str, Any] | None = None
  dropped: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
  grades: Mapping[str, int] = dataclasses.field(default_factory=dict)
  scale: Mapping[str, Any] = dataclasses.field(default_factory=lambda: ICDR)
  notes: tuple[str, ...] = ()

  def graded_by(self, others: Sequence[Dataset]) -> Dataset:
    """Returns the same data set, where photographs without a grade have that of the same photograph in graded data
    sets, if it is there under whatever name (`fingerprint.twins`). Twins that contradict one another give none."""
    lenders = [other.source(split).index for other in others if other.graded for split in other.splits]
    if not lenders:
      return self
    grade = np.concatenate([index.grade for index in lenders])
    prints = reduced(np.concatenate([index.fingerprint for index in lenders]))[grade != UNKNOWN_GRADE]
    grade, lent = grade[grade != UNKNOWN_GRADE], {}
    for split in self.splits:
      index = self.source(split).index
      bare = np.flatnonzero(index.grade == UNKNOWN_GRADE)
      for row, found in zip(bare, twins_of(reduced(index.fingerprint[bare]), prints), strict=True):
        if len(of_twins := set(grade[found].tolist())) == 1:
          lent[str(index.id[row])] = of_twins.pop()
    return dataclasses.replace(self, grades=lent, graded=True) if lent else self

  def with_negatives(self, keys: Sequence[str], *, whole: bool = False, aside: float = 0.0, sick: bool = True) -> Dataset:
    """Returns the same photographs as a data set of lesions, in which a grade says what is not there
    (`absent_by_grade`): no mask is needed for that. Photographs that then say nothing of any lesion are excluded from
    training, unless `whole`, as there is nothing to learn from them; in the other splits they tell how many of the sick
    are called so. Lengths are counted anew.

    Args:
      keys: of the lesions that are claimed absent: those that something is learned of elsewhere, for a network that
        never saw a lesion can claim nothing of it.
      whole: keep them in training too, for a network that is asked what it calls present there.
      aside: share of the training patients, in [0, 1), whose photographs are moved to validation, in the order of
        `splits.shuffled`.
      sick: keep those that say nothing of any lesion in validation and test, see above; False: as in training.

    Raises:
      ValueError: there are no grades.
    """
    if not self.graded:
      raise ValueError(f'{self.name} has no grades, so they cannot say which lesions are absent; leave '
                       'grades_as_lesions at its default')
    if not self.scale['steps']:
      raise ValueError(f'the grades of {self.name} are on the scale {self.scale["name"]}, which does not say which lesions '
                       'are absent; leave grades_as_lesions at its default')
    keys = tuple(key for key in LESION_KEYS if key in keys)
    if not keys:
      return self
    annotated = tuple(key for key in LESION_KEYS if key in {*self.annotated, *keys})
    return dataclasses.replace(self, annotated=annotated, negatives=keys, whole=whole, aside=aside, sick=sick)._counted()

  def idle(self) -> Source | None:
    """Returns the training photographs that say nothing of any lesion, which `with_negatives` excludes; None where
    there are none, or nobody asks about the sick. Nothing is learned from them, so they tell how many of the sick are called so."""
    if not self.negatives or self.whole or not self.sick or not self.lengths['train']:
      return None
    every = dataclasses.replace(self, whole=True)._source('train')
    rows = np.flatnonzero(every.index.annotated == 0)
    return Subset(every, rows.tolist()) if len(rows) else None

  def without(self, ids: Mapping[str, Collection[str]]) -> Dataset:
    """Returns the same data set without some photographs, by split; lengths are counted anew. Splits that are not
    named, and those without such ids, stay as they are."""
    more = {split: frozenset(some) for split, some in ids.items() if some}
    if not more:
      return self
    dropped = dict(self.dropped) | {split: self.dropped.get(split, frozenset()) | some for split, some in more.items()}
    return dataclasses.replace(self, dropped=dropped)._counted()

  def _counted(self) -> Dataset:
    """The same with its lengths as they are now."""
    return dataclasses.replace(self, lengths={
        split: len(self._source(split)) if length or self._gains(split) else 0 for split, length in self.lengths.items()})

  def _gains(self, split: str) -> bool:
    return bool(self.aside and split == 'validation' and self.lengths['train'])

  def _source(self, split: str) -> Source:
    """One split of the builder; with `aside` training gives some of its photographs to validation."""
    read = lambda of: ExampleSource(self.builder, of, self.negatives, self.dropped.get(split, ()),
                                    whole=self.whole or self.sick and split != 'train', grades=self.grades)
    if not self.aside or split not in SPLITS[:2]:
      return read(split)
    training = read('train')
    patients = shuffled(read_index(self.builder.data_path, 'train').patient.tolist())
    moved = np.isin(training.index.patient, patients[:round(self.aside * len(patients))])
    if split == 'train':
      return Subset(training, np.flatnonzero(~moved).tolist())
    own = [read(split)] if split in self.builder.info.splits else []
    return Joined([*own, Subset(training, np.flatnonzero(moved).tolist())])

  @property
  def size(self) -> int:
    """Side of the square examples, in pixels."""
    return self.builder.info.features['image'].shape[0]

  @property
  def ids(self) -> dict[str, list[str]]:
    """Split -> its photographs, in their order."""
    return {split: self.source(split).index.id.tolist() for split in self.splits}

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits that have examples."""
    return tuple(split for split, length in self.lengths.items() if length)

  def source(self, split: str) -> Source:
    """Gives random access to one split, or with ALL to all of them behind one another.

    Raises:
      ValueError: where there is no such split, or it is empty.
    """
    if split == ALL and self.splits:
      return Joined([self.source(each) for each in self.splits])
    if split not in self.splits:
      sizes = ', '.join(f'{name} {length}' for name, length in self.lengths.items())
      raise ValueError(f'{self.name} has no examples in the split {split!r}; its splits are: {sizes}')
    return self._source(split)

  def choose(self, split: str, *, only: Collection[str] | None = None, without: Collection[str] = ()) -> Sequence[Example]:
    """Gives random access to some photographs of one split, or with ALL of all of them.

    Args:
      split: as of `source`.
      only: ids of those to take; None takes all.
      without: ids of those to exclude.

    Raises:
      ValueError: there is no such split or id, naming it, or no photograph is left.
    """
    source = self.source(split)
    if only is None and not without:
      return source
    ids = [name for each in (self.splits if split == ALL else (split,)) for name in self.source(each).index.id.tolist()]
    if unknown := sorted({*(only or ()), *without} - set(ids)):
      raise ValueError(f'{self.name}, split {split}, has no photograph {", ".join(unknown[:5])}'
                       f'{f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""}; an id is as `lesion-jax data '
                       f'{self.name} --ids` lists it, {ids[0]} for instance')
    chosen = [i for i, name in enumerate(ids) if (only is None or name in only) and name not in without]
    if not chosen:
      raise ValueError(f'no photograph of {self.name}, split {split}, is left to take')
    return Subset(source, chosen)
