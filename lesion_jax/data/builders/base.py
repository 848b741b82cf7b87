"""What the builders share: the canonical features, where a preprocessed dataset lies, and how it is written.

TFDS without TensorFlow: records are array_record files, images reach it encoded, nothing is downloaded.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from lesion_jax.core import LANDMARKS, LESION_KEYS, NUM_LESIONS, UNKNOWN_EDEMA, UNKNOWN_GRADE, lesion_bits, unpack_bits
from lesion_jax.data import index, origin
from lesion_jax.data.builders.left_out import UNGRADABLE, LeftOut
from lesion_jax.data.builders.resume import Partial
from lesion_jax.data.native import Native
from lesion_jax.data.scales import ICDR
from lesion_jax.data.splits import SPLITS, Dealing
from lesion_jax.photograph.fingerprint import SIDE, fingerprint
from lesion_jax.photograph.png import decode_picture, encode_png
from lesion_jax.photograph.threads import PHOTOGRAPH, ordered_map
from lesion_jax.places import home, real

MIN_SIZE = 32
# Lesions on so much of the square's border, or on so much of the field, are said (our choice): no mask of a raw dataset has it.
BORDER_SHARE, FIELD_SHARE, BORDER_LEVEL = 0.01, 0.5, 12
COUNTED = 1000  # of so many photographs at most all are read to count those that cannot be
_INDEX_ALONE = ('side', 'areas', 'fingerprint', 'outside', *index.LATER)  # what the index has and a record has not


@dataclasses.dataclass(eq=False, kw_only=True)
class LesionConfig(tfds.core.BuilderConfig):
  """What a preprocessed dataset depends on; its name becomes a folder, so two configurations never share one.

  Attributes:
    size: side of the square example, in pixels.
    source_dir: root of the raw dataset, read where it lies and never written.
    split, split_seed, folds, fold: how photographs are dealt where the raw dataset does not say, see `splits.Dealing`.
  """

  name: str = dataclasses.field(default='', init=False)
  size: int = 896
  source_dir: str | os.PathLike[str] | None = None
  split: str = Dealing.name
  split_seed: int = Dealing.seed
  folds: int = 0
  fold: int = 0

  def __post_init__(self):
    if self.size < MIN_SIZE:
      raise ValueError(f'size={self.size} pixels: a retina needs at least {MIN_SIZE}, the paper uses 896')
    self.name = f'{self.size}-{self.origin()}{self.dealing.suffix}'

  @property
  def dealing(self) -> Dealing:
    """How photographs are dealt where the raw dataset does not say."""
    return Dealing(self.split, self.split_seed, self.folds, self.fold)

  def origin(self) -> str:
    """Names the raw dataset apart from others: a digest of its absolute path."""
    if self.source_dir is None:
      raise ValueError('source_dir is missing: give the root folder of the raw dataset, as its authors lay it out')
    self.source_dir = real(home(self.source_dir))
    return digest_of(self.source_dir)

  def places(self) -> tuple[pathlib.Path, ...]:
    """The folders that are read, in which nothing may be prepared."""
    return () if self.source_dir is None else (self.source_dir,)


def digest_of(*paths: pathlib.Path) -> str:
  """A short name for a place on disk, or for several together."""
  return hashlib.sha256(b'\0'.join(map(os.fsencode, paths))).hexdigest()[:12]


class Release(NamedTuple):
  """What a builder found on disk.

  Attributes:
    splits: split name -> items, each enough for `LesionBuilder.read` to make an example.
    counts: what was counted, under the names of `LesionBuilder.PUBLISHED`; under UNGRADABLE the photographs that the
      raw dataset itself gives no grade and that are in no split, which is said.
  """

  splits: dict[str, list[Any]]
  counts: dict[str, int]


class Record(NamedTuple):
  """One example before encoding.

  Attributes:
    image: uint8 [S, S, 3], or a file's bytes where those are a picture of S x S pixels already.
    lesions: as in core.Example.
    ignore: as in core.Example.
    id: names the photograph within the raw dataset.
    patient: names the patient; the photograph's id where the raw dataset does not say.
    grade: 0..4, UNKNOWN_GRADE where the raw dataset does not say.
    annotated: keys of the lesions that this photograph annotates; None: those of the data set, ANNOTATED.
    side: of the square in the photograph's own pixels; None: of the record.
    edema: 0..2, UNKNOWN_EDEMA where the release does not say.
    landmarks: (row, column) of each of core.LANDMARKS in pixels of the square; None where the release does not say.
  """

  image: np.ndarray | bytes
  lesions: np.ndarray
  ignore: np.ndarray
  id: str
  patient: str
  grade: int = UNKNOWN_GRADE
  annotated: tuple[str, ...] | None = None
  side: int | None = None
  edema: int = UNKNOWN_EDEMA
  landmarks: tuple[tuple[float, float], ...] | None = None


class _LocalInfo(tfds.core.DatasetInfo):
  """Metadata that does not look for itself in TFDS's public bucket."""

  def initialize_from_bucket(self) -> None:
    """Does nothing. (TFDS's own also leaves an empty temporary folder behind.)"""


class LesionBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A data set of canonical examples (core.Example, all but `weight` and `row`).

  A subclass says what it is (ANNOTATED, CROPPED, PUBLISHED and the texts), finds its files in `release` and turns one
  item into a record in `read`, which runs in several threads. Items of which `read` raises ValueError are skipped, see
  `left_out`: a warning counts them, and left_out.json beside the preprocessed data names each. ANNOTATED and GRADED say
  what a raw dataset can have; where raw datasets differ, `contents` says what one of them has, and that is kept with the prepared
  data.
  """

  CONFIG: ClassVar[type[LesionConfig]] = LesionConfig
  ANNOTATED: ClassVar[tuple[str, ...]] = ()  # keys of the lesions that any photograph of this data set annotates
  GRADED: ClassVar[bool] = True  # whether it grades any image
  # Whether its grades say of lesions that they are absent (`dataset.Dataset.with_negatives`) unless a configuration says
  # otherwise.
  GRADES_AS_LESIONS: ClassVar[bool] = False
  NATIVE: ClassVar[bool] = False  # whether `read_native` reads photographs with masks of their own size
  CROPPED: ClassVar[bool]  # to the field of view, by `read`; False: the raw dataset is square already
  PUBLISHED: ClassVar[dict[str, int]] = {}  # the counts of the whole raw dataset
  DEALT: ClassVar[tuple[str, ...]] = SPLITS  # the splits that are ours; the others, or all, are the raw dataset's
  SPLIT: ClassVar[str] = 'stratified'  # by which kind of `splits.Dealing`, unless another is asked for
  READS: ClassVar[tuple[str, ...]] = ()  # what is read below `source_dir`; (): all of it
  DESCRIPTION: ClassVar[str]
  CITATION: ClassVar[str]
  HOMEPAGE: ClassVar[str]
  LICENCE: ClassVar[str]

  scale: dict[str, Any] = ICDR  # of the grades, as `scales.Scale.describe` says it
  partial: Partial | None = None  # where finished examples are kept until all are
  url_infos = None  # Nothing is downloaded, so there are no checksums to look for.

  @abc.abstractmethod
  def release(self) -> Release:
    """Lists the raw dataset. Raises FileNotFoundError or ValueError where its layout is another, naming the path."""

  @abc.abstractmethod
  def read(self, item: Any) -> Record:
    """Reads one item of the raw dataset.

    Raises:
      ValueError: naming the file, where this item cannot be an example. Anything else that is raised, such as
        FileNotFoundError, ends the preparation.
    """

  def read_native(self, item: Any) -> Native:
    """Reads one item of the raw dataset with its masks, in the photograph's own pixels; what `read` crops.

    Raises:
      ValueError: as `read` does, and where this data set has no masks of the photographs' own size.
    """
    del item
    raise ValueError(f'{self.name} has no masks of the photographs\' own size')

  def contents(self, release: Release) -> tuple[tuple[str, ...], bool]:
    """Keys of the lesions that a raw dataset annotates at all, and whether it grades any photograph."""
    del release  # Those of one data set are alike.
    return self.ANNOTATED, self.GRADED

  def reads(self) -> tuple[pathlib.Path, ...]:
    """The files and folders from which data are prepared: what changes in them makes preprocessed data old."""
    root = self.builder_config.source_dir
    return tuple(root / part for part in self.READS) or self.builder_config.places()

  def examine(self) -> tuple[list[str], list[str]]:
    """Looks once at what `release` listed, before anything is prepared.

    Returns:
      (notes, warnings), a sentence each: what was taken for what, and what may be wrong. Both are logged and kept.

    Raises:
      ValueError: it contradicts itself.
    """
    return [], []

  def deals(self) -> bool:
    """Whether any split of the raw dataset that `release` listed is ours."""
    return bool(self.DEALT)

  @property
  def annotated(self) -> tuple[str, ...]:
    """Keys of the lesions that any photograph of the preprocessed data annotates."""
    return tuple(self.info.metadata['annotated'])

  @property
  def graded(self) -> bool:
    """Whether any photograph of the preprocessed data is graded."""
    return self.info.metadata['graded']

  def _info(self) -> tfds.core.DatasetInfo:
    side = self.builder_config.size
    masks = tfds.features.Image(shape=(side, side, 1), encoding_format='png')
    return _LocalInfo(
        builder=self, description=self.DESCRIPTION, citation=self.CITATION, homepage=self.HOMEPAGE,
        license=self.LICENCE, disable_shuffling=True,
        metadata=tfds.core.MetadataDict(annotated=list(self.ANNOTATED), graded=self.GRADED),
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(side, side, 3)),
            'lesions': masks,
            'ignore': masks,
            'annotated': tfds.features.Scalar(np.uint8),
            'grade': tfds.features.Scalar(np.int32),
            'id': tfds.features.Text(),
            'patient': tfds.features.Text(),
        }))

  def _log_download_bytes(self) -> None:
    """Keeps TFDS from printing to stdout that it downloads; `load_dataset` logs what happens."""

  def _log_download_done(self) -> None:
    """Likewise."""

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager  # Releases are read where they lie.
    self._source = origin.survey(self.reads())  # before it is read
    splits, counts = release = self.release()
    annotated, graded = self.contents(release)
    notes, warnings = self.examine()
    for note in notes:
      logging.info('%s: %s', self.name, note)
    for warning in warnings:
      logging.warning('%s', warning)
    self.info.metadata.update(annotated=list(annotated), graded=graded,
                              dealing=self.builder_config.dealing.describe() if self.deals() else None,
                              scale=self.scale, notes=notes, warnings=warnings)
    differing = [
        f'{what} {counts.get(what, 0)} (published: {published})'
        for what, published in self.PUBLISHED.items() if counts.get(what, 0) != published
    ]
    if differing:
      logging.warning('%s: this copy differs from the published dataset: %s', self.name, '; '.join(differing))
    if not (photographs := sum(map(len, splits.values()))):
      raise ValueError(f'{self.name}: there is no photograph to prepare in {" and ".join(map(str, self.builder_config.places()))}; was the '
                       'raw dataset unpacked whole, and are its files as its authors name them?')
    self._index: dict[str, list[dict[str, Any]]] = {}
    self._waiting = {split: items for split, items in splits.items() if items}
    self._odd: dict[str, list[str]] = {}
    self._left_out = LeftOut(self.name, photographs=photographs, ungradable=counts.get(UNGRADABLE, 0))
    if self.partial:
      self.partial.expect(photographs)
    return {split: self._generate_examples(split, items) for split, items in splits.items() if items}

  def _generate_examples(self, split: str, items: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    self._waiting.pop(split, None)
    for number, made in enumerate(ordered_map(self._example, items, each=PHOTOGRAPH)):
      if isinstance(made, ValueError):
        self._left_out.add(split, items[number], made)
        if self._left_out.too_many:
          self._count_the_rest(split, items[number + 1:])
          self._left_out.refuse()
      else:
        features = {key: value for key, value in made.items() if key not in _INDEX_ALONE}
        self._index.setdefault(split, []).append({key: made[key] for key in index.FIELDS})
        if self.builder_config.source_dir is not None:
          self._note_odd(made)
        yield number, features

  def _count_the_rest(self, split: str, items: list[Any]) -> None:
    """Reads what else there is, so that the error counts all photographs that cannot be read; of a small data set alone."""
    rest = {split: items} | self._waiting
    if self._left_out.photographs > COUNTED:
      return
    for name, those in rest.items():
      for item, made in zip(those, ordered_map(self._example, those, each=PHOTOGRAPH), strict=True):
        if isinstance(made, ValueError):
          self._left_out.add(name, item, made)

  def _example(self, item: Any) -> dict[str, Any] | ValueError:
    """The encoded example, or why there is none."""
    make = lambda item: self._encode(self.read(item))
    try:
      return self.partial.example(item, make) if self.partial else make(item)
    except ValueError as error:
      return error

  def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
    """Prepares all splits; here `data_dir` is the folder that appears in its place when all is done."""
    super()._download_and_prepare(*args, **kwargs)
    index.save(self.data_dir, {split: _stack(rows) for split, rows in self._index.items()})
    self._left_out.write(self.data_dir)
    origin.write(self.data_dir, self._source)
    self._left_out.say()
    if odd := self._say_odd():
      for warning in odd:
        logging.warning('%s', warning)
      self.info.metadata.update(warnings=[*self.info.metadata.get('warnings', []), *odd])

  def _note_odd(self, made: dict[str, Any]) -> None:
    """Keeps in mind where a lesion is marked on the camera's border, or on more than half of the field."""
    square = self.builder_config.size ** 2
    for key, area, outside in zip(LESION_KEYS, made['areas'], made.get('outside', made['areas']), strict=True):
      if 'outside' in made and outside > BORDER_SHARE * square:
        self._odd.setdefault(f'{key} is marked on the black border', []).append(made['id'])
      elif area > FIELD_SHARE * math.pi / 4 * square:
        self._odd.setdefault(f'{key} covers more than half of the field', []).append(made['id'])

  def _say_odd(self) -> list[str]:
    """A sentence for each."""
    return [f'{self.name}: {what} in {len(ids)} photographs ({", ".join(ids[:5])}{", ..." if len(ids) > 5 else ""}): is the '
            'mask inverted, or of the field of view?' for what, ids in self._odd.items()]

  def _encode(self, record: Record) -> dict[str, Any]:
    pixels = decode_picture(record.image) if isinstance(record.image, bytes) else record.image
    return {
        'image': record.image if isinstance(record.image, bytes) else encode_png(record.image),
        'lesions': encode_png(record.lesions),
        'ignore': encode_png(record.ignore),
        'annotated': lesion_bits(self.ANNOTATED if record.annotated is None else record.annotated),
        'grade': record.grade,
        'id': record.id,
        'patient': record.patient,
        'side': int(record.side or self.builder_config.size),
        'areas': np.count_nonzero(unpack_bits(record.lesions), axis=(0, 1)).tolist(),
        'fingerprint': fingerprint(pixels).tobytes(),
        'outside': _outside(pixels, record.lesions),
        'edema': record.edema,
        'landmarks': [list(place) for place in record.landmarks or ((math.nan, math.nan),) * len(LANDMARKS)],
    }


def _outside(pixels: np.ndarray, lesions: np.ndarray) -> list[int]:
  """Pixels of each lesion where the photograph is black."""
  if not lesions.any():
    return [0] * NUM_LESIONS
  black = pixels.max(axis=-1) < BORDER_LEVEL
  return np.count_nonzero(unpack_bits(lesions[black]), axis=0).tolist()


def _stack(rows: list[dict[str, Any]]) -> index.Index:
  """The index of a split from what `_encode` says of each photograph."""
  column = lambda name, dtype: np.array([row[name] for row in rows], dtype)
  prints = np.frombuffer(b''.join(row['fingerprint'] for row in rows), np.uint8)
  return index.Index(
      id=column('id', str), patient=column('patient', str), grade=column('grade', np.int32),
      annotated=column('annotated', np.uint8), side=column('side', np.int32), areas=column('areas', np.int32),
      fingerprint=prints.reshape(len(rows), SIDE, SIDE, 3), edema=column('edema', np.int32),
      landmarks=column('landmarks', np.float32).reshape(len(rows), len(LANDMARKS), 2))
