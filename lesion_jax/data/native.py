"""The photographs of a split in their own pixels, read from the raw dataset again: preprocessed data hold squares alone."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lesion_jax.data.builders.left_out import NAME
from lesion_jax.photograph.crop import Crop

if TYPE_CHECKING:
  from lesion_jax.data.builders.base import LesionBuilder
  from lesion_jax.data.dataset import Dataset


class Native(NamedTuple):
  """One photograph of a raw dataset with its masks, in its own pixels.

  Attributes:
    image: uint8 [H, W, 3].
    crop: the square of it that a network sees.
    present: lesion key -> bool [H, W]; a lesion without a mask is absent.
    unscored: lesion key -> bool [H, W], where the raw dataset leaves open whether the lesion is there. Where a lesion is
      present as well, it counts.
    labels: the rest of Record that the raw dataset says: `id`, `patient`, `grade`, `annotated`.
  """

  image: np.ndarray
  crop: Crop
  present: dict[str, np.ndarray]
  unscored: dict[str, np.ndarray]
  labels: dict[str, Any]


class NativeSource(Sequence):
  """Random access to the photographs of a split and their masks as the raw dataset has them, in the order of the prepared
  examples. Safe to read from threads; a photograph of 12 megapixels takes 0.1 GB and more.

  Args:
    dataset: a preprocessed dataset, whose builder knows where the raw dataset lies.
    split: one of its splits, or 'all'.
    ids: of the photographs to take; None takes all.

  Raises:
    ValueError: of `require_native`, or the raw dataset is another than was prepared.
    FileNotFoundError: of `LesionBuilder.release`.
  """

  def __init__(self, dataset: Dataset, split: str, ids: Collection[str] | None = None):
    self._builder = builder = dataset.builder
    require_native(builder.name, type(builder))
    release, self._items = builder.release().splits, []
    for each in (split,) if split in dataset.splits else dataset.splits:
      left_out = {entry['photograph'] for entry in _left_out(builder) if entry['split'] == each}
      items = [item for item in release[each] if os.fspath(item.path) not in left_out]
      prepared = dataset.source(each).index.id.tolist()
      if len(items) != len(prepared):
        raise ValueError(f'{builder.name}, split {each}: the raw dataset has {len(items)} photographs and its preprocessed copy '
                         f'{len(prepared)}; it was changed since, so delete {builder.data_path}')
      self._items += [pair for pair in zip(items, prepared, strict=True) if ids is None or pair[1] in ids]

  def __len__(self) -> int:
    return len(self._items)

  def __getitem__(self, index: int) -> Native:
    """`labels` have `annotated` in any case. Raises ValueError where the photograph is another than that of the prepared example."""
    item, name = self._items[index]
    found = self._builder.read_native(item)
    if found.labels['id'] != name:
      raise ValueError(f'{self._builder.name}: the raw dataset gives the photograph {found.labels["id"]} where its preprocessed copy has '
                       f'{name}; it was dealt otherwise since, so delete {self._builder.data_path}, and prepare it anew')
    annotated = found.labels.get('annotated')
    return found._replace(labels=found.labels | {
        'annotated': self._builder.ANNOTATED if annotated is None else annotated})


def require_native(name: str, builder: type[LesionBuilder]) -> None:
  """Raises ValueError where a data set has no masks of the photographs' own size, so that nothing can be compared
  there.

  Args:
    name: of the data set.
    builder: its class.
  """
  if not builder.NATIVE:
    why = 'its images are generated at the size of the network' if builder.ANNOTATED else 'it annotates no lesion'
    raise ValueError(f"{name} has nothing to compare in the photographs' own pixels: {why}; evaluate it at the "
                     "network's size")


def _left_out(builder: LesionBuilder) -> list[dict[str, str]]:
  """What could not be read when the data were prepared."""
  path = pathlib.Path(builder.data_path) / NAME
  return json.loads(path.read_text('utf-8'))['unreadable'] if path.is_file() else []
