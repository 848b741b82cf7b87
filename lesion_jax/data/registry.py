"""Prepared data sets by name: `load_dataset` gives random access to canonical examples."""

from __future__ import annotations

import contextlib
import dataclasses
import logging as std_logging
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from lesion_jax import plugins
from lesion_jax.core import EVIDENCE, LESION_KEYS, UNKNOWN_GRADE, Example, lesion_bits
from lesion_jax.data import origin
from lesion_jax.data.builders.base import LesionBuilder, LesionConfig
from lesion_jax.data.builders.resume import prepare, put_back, set_aside
from lesion_jax.data.datasets.aptos2019 import Aptos2019
from lesion_jax.data.datasets.ddr import Ddr
from lesion_jax.data.datasets.ddr_grading import DdrGrading
from lesion_jax.data.datasets.diaretdb1 import Diaretdb1
from lesion_jax.data.datasets.e_ophtha import EOphtha
from lesion_jax.data.datasets.eyepacs import Eyepacs
from lesion_jax.data.datasets.fgadr import Fgadr
from lesion_jax.data.datasets.folder import Folder
from lesion_jax.data.datasets.idrid import Idrid
from lesion_jax.data.datasets.idrid_grading import IdridGrading
from lesion_jax.data.datasets.idrid_landmarks import IdridLandmarks
from lesion_jax.data.datasets.maples_dr import MaplesDr
from lesion_jax.data.datasets.messidor2 import Messidor2
from lesion_jax.data.datasets.retinal_lesions import RetinalLesions
from lesion_jax.data.datasets.synthetic import Synthetic
from lesion_jax.data.datasets.tjdr import Tjdr
from lesion_jax.data.index import Index
from lesion_jax.data.index import read as read_index
from lesion_jax.data.progress import Progress, silent
from lesion_jax.data.sampler import Joined, Source
from lesion_jax.data.scales import ICDR
from lesion_jax.data.splits import SPLIT_SEED, SPLITS, Dealing, shuffled
from lesion_jax.extras import needs
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE
from lesion_jax.photograph.fingerprint import reduced, twins_of
from lesion_jax.photograph.png import decode_mask, decode_picture
from lesion_jax.places import home, real

with needs('train'):
  import tensorflow_datasets as tfds

ALL = 'all'  # the splits of a data set as one
DATASETS: dict[str, type[LesionBuilder]] = {
    'synthetic': Synthetic,
    'retinal_lesions': RetinalLesions,
    'idrid': Idrid,
    'idrid_grading': IdridGrading,
    'idrid_landmarks': IdridLandmarks,
    'ddr': Ddr,
    'ddr_grading': DdrGrading,
    'fgadr': Fgadr,
    'tjdr': Tjdr,
    'e_ophtha': EOphtha,
    'maples_dr': MaplesDr,
    'diaretdb1': Diaretdb1,
    'eyepacs': Eyepacs,
    'aptos2019': Aptos2019,
    'messidor2': Messidor2,
    'folder': Folder,
}

MILD_LESION, = (entry.lesion for entry in EVIDENCE if entry.grade == 1)  # what DR1 may have

# TFDS warns of these at every start, and they are as they should be: each configuration is made from its options.
EXPECTED = ('Using custom data configuration',)


def _is_news(record: std_logging.LogRecord) -> bool:
  return not str(record.msg).startswith(EXPECTED)


logging.get_absl_logger().addFilter(_is_news)


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
    except (RuntimeError, FileNotFoundError, KeyError, zipfile.BadZipFile) as error:
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


def load_dataset(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    size: int = 896,
    source_dir: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    progress: Progress | None = None,
    split: str = '',
    split_seed: int = SPLIT_SEED,
    folds: int = 0,
    fold: int = 0,
    anew: bool = False,
    **options: Any,
) -> Dataset:
  """Opens a data set, after preparing it once under `data_dir`.

  What is prepared lies in data_dir/name/configuration/version, where the configuration names the size and where the
  data came from. Where the raw dataset was changed in place since (`origin.change`), that is refused, or with `anew` prepared
  again. It appears there whole or not at all; what an
  interrupted preparation has finished lies in data_dir/.preparing, and the next one resumes from there. Of several
  processes one prepares, and the others wait. Nothing is written elsewhere and nothing is downloaded.

  Args:
    name: one of DATASETS.
    data_dir: where preprocessed datasets are kept.
    size: side of the square examples, in pixels.
    source_dir: root of the raw dataset, for the data sets that have one.
    quiet: show no progress while it is prepared; else a bar on stderr, if that is a terminal.
    progress: called instead, with how many photographs are done and how many there are.
    split: how photographs are dealt where the raw dataset does not say, 'hash' or 'stratified'; '' is the data set's own way.
      Where all splits are the raw dataset's it changes nothing.
    split_seed: of that.
    folds, fold: of `splits.Dealing`; of a data set with an official test set they deal its training set.
    anew: prepare again what is damaged or was made from what has changed since.
    **options: of the data set; 'synthetic' takes `seed` and `count`, 'maples_dr' takes `images_dir`, 'folder' takes `scale`,
      `values` and `indices`.

  Raises:
    FileNotFoundError: where a file of the raw dataset's layout is missing, naming it.
    ValueError: for another name or option, or a raw dataset that does not keep its own rules, naming file and value; for
      preprocessed data that are damaged, or old, unless `anew`.
  """
  builder_class = require_known(name)
  allowed = _fields(builder_class.CONFIG) - _fields(LesionConfig)
  if unknown := options.keys() - allowed:
    raise ValueError(
        f'{name} has no option {", ".join(sorted(unknown))}; it takes {", ".join(sorted(allowed)) or "none"}')
  dealing = _dealing(name, builder_class, split, split_seed, folds, fold)
  config = builder_class.CONFIG(size=size, source_dir=source_dir, split=dealing.name, split_seed=dealing.seed,
                                folds=folds, fold=fold, **options)
  root = real(home(data_dir))
  if inside := [place for place in config.places() if root.is_relative_to(place)]:
    raise ValueError(f'data_dir={root} lies inside the raw dataset {inside[0]}, which is never written; choose another')
  open_builder = lambda: builder_class(config=config, data_dir=root, file_format='array_record')
  target = root / name / config.name / str(builder_class.VERSION)
  put_back(target)
  with _fresh(target, open_builder, config.places(), anew):
    prepare(builder := open_builder(), progress or (silent if quiet else None))
  return _dataset(name, builder)


def _fresh(
    target: pathlib.Path, open_builder: Callable[[], LesionBuilder], places: tuple[pathlib.Path, ...], anew: bool,
) -> contextlib.AbstractContextManager[None]:
  """Puts preprocessed data aside that cannot be taken. Raises ValueError where there are such, and not `anew`."""
  stale = _stale(target, open_builder, places) if target.exists() else ''
  if stale and not anew:
    raise ValueError(f'{stale}; `lesion-jax prepare` of the same source and size prepares it anew, or delete {target}')
  if stale:
    logging.warning('%s; it is prepared anew', stale)
  return set_aside(target) if stale else contextlib.nullcontext()


def _stale(target: pathlib.Path, open_builder: Callable[[], LesionBuilder], places: tuple[pathlib.Path, ...]) -> str:
  """Why preprocessed data cannot be taken, '' where they can."""
  if wrong := origin.damage(target):
    return f'the preprocessed data in {target} are damaged: {wrong}'
  if changed := origin.change(target, open_builder().reads()):
    return f'{" and ".join(map(str, places))} has changed since {target} was prepared from it: {changed}'
  return ''


def _dealing(name: str, builder: type[LesionBuilder], split: str, seed: int, folds: int, fold: int) -> Dealing:
  """How a data set is dealt when that is asked for. Raises ValueError for folds of one whose splits are all official."""
  dealing = Dealing(split or builder.SPLIT, seed, folds, fold)
  if folds and not builder.DEALT:
    raise ValueError(f'{name} has official splits for training, validation and test, on which results are compared, so it has no '
                     'folds; leave folds at 0')
  return dealing if builder.DEALT else Dealing()  # prepared once, whatever is asked for


def find_prepared(name: str, *, data_dir: str | os.PathLike[str], size: int = 896) -> Dataset:
  """Opens what was prepared of a data set at that size, wherever the raw dataset lies now.

  Raises:
    FileNotFoundError: nothing was.
    ValueError: for an unknown name, or where several raw datasets were, naming them.
  """
  builder_class = require_known(name)
  folder = real(home(data_dir)) / name
  found = sorted(folder.glob(f'{size}-*/{builder_class.VERSION}'))
  if not found:
    raise FileNotFoundError(f'nothing is prepared in {folder}/{size}-*/{builder_class.VERSION}; prepare it, or give '
                            'source_dir of the raw dataset or an option of the data set')
  if wrong := [f'{path}: {what}' for path in found if (what := origin.damage(path))]:
    raise ValueError(f'preprocessed data are damaged: {wrong[0]}; prepare them again with source_dir, or delete that folder')
  if len(found) > 1:
    raise ValueError(f'{name} is prepared from {len(found)} places: {", ".join(map(str, found))}; say which, by '
                     'source_dir or an option')
  return _dataset(name, tfds.builder_from_directory(found[0]))


def _dataset(name: str, builder: tfds.core.DatasetBuilder) -> Dataset:
  kind, info = DATASETS[name], builder.info
  return Dataset(
      name=name, annotated=tuple(info.metadata.get('annotated', kind.ANNOTATED)),
      graded=info.metadata.get('graded', kind.GRADED), crop=FIELD_OF_VIEW if kind.CROPPED else SQUARE,
      lengths={split: info.splits[split].num_examples if split in info.splits else 0 for split in SPLITS},
      description=info.description, citation=info.citation, licence=kind.LICENCE, builder=builder,
      dealing=info.metadata.get('dealing', Dealing().describe() if kind.DEALT else None),
      grades_as_lesions=kind.GRADES_AS_LESIONS, scale=info.metadata.get('scale') or ICDR,
      notes=(*info.metadata.get('notes', ()), *info.metadata.get('warnings', ())))


def register_dataset(name: str, builder: type[LesionBuilder]) -> None:
  """Adds a data set of one's own: `load_dataset`, configurations and `lesion-jax evaluate` then know it by name.

  Args:
    name: the builder's own, which is that of its class in lower case with underscores: 'my_clinic' of MyClinic.
    builder: a subclass of `data.builders.base.LesionBuilder`.

  Raises:
    ValueError: another data set has the name, or it is not the builder's.
    TypeError: it is no such class.
  """
  plugins.check_new('data set', name, builder, DATASETS)
  if not (isinstance(builder, type) and issubclass(builder, LesionBuilder)):
    raise TypeError(f'{builder!r} is no builder; a data set is a subclass of lesion_jax.data.builders.base.LesionBuilder')
  if name != builder.name:
    raise ValueError(f'{name!r} is not the name of the builder {builder.__name__}, under which its data are prepared; that '
                     f'is {builder.name!r}')
  DATASETS[name] = builder


def find_builder(name: str) -> type[LesionBuilder] | None:
  """Returns the builder of a data set, also of one that an installed package brings; None where there is none."""
  return DATASETS[name] if plugins.look_up('data set', name, DATASETS) else None


def require_known(name: str) -> type[LesionBuilder]:
  """Returns the builder of a data set. Raises ValueError, listing the names, where there is none."""
  if found := find_builder(name):
    return found
  raise ValueError(f'unknown data set {name!r}; there are: {plugins.names("data set", DATASETS)}')


def _fields(config_class: type[LesionConfig]) -> set[str]:
  return {field.name for field in dataclasses.fields(config_class)}
