"""A loaded network that takes photographs."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lesion_jax.core import LESION_KEYS, Prediction, lesion_index
from lesion_jax.data.fundus import FIELD_OF_VIEW, Crop
from lesion_jax.data.threads import ordered_map
from lesion_jax.metrics.presence import Rule
from lesion_jax.predict.photographs import Photograph, Square, prepare

Input = Photograph | Square
HEADS = ('maps', 'lesions', 'grades', 'attention')


@dataclasses.dataclass(frozen=True, eq=False)
class PhotographPrediction:
  """What a network says of B photographs, NumPy float32 in [0, 1], each None where it has no such head.

  Attributes:
    maps: [B, S, S, 8], probabilities at the network's size S.
    lesions: [B, 8], probabilities.
    grades: [B, 5], probabilities.
    attention: [B, h, w], see `core.Prediction`, over the same square as the maps.
    crops: B squares, where the maps lie in the photographs.
    rule: by which a lesion is called present; None where nobody said.
  """

  maps: np.ndarray | None
  lesions: np.ndarray | None
  grades: np.ndarray | None
  attention: np.ndarray | None
  crops: tuple[Crop, ...]
  rule: Rule | None = None

  @functools.cached_property
  def presence(self) -> np.ndarray | None:
    """float32 [B, 8], the scores by which the rule judges: its most probable pixels, or `lesions`; computed when asked
    for. None where the network finds no lesions, or there is no rule."""
    return None if self.lesions is None or self.rule is None else self.rule.score(self.maps, self.lesions)

  @property
  def present(self) -> np.ndarray | None:
    """bool [B, 8], which lesions are called present; None as `presence`. For a lesion that the network did not learn,
    see `annotated` in the bundle's configuration, it means nothing."""
    return None if self.presence is None else self.rule.decide(self.presence)

  def __len__(self) -> int:
    return len(self.crops)

  def __getitem__(self, index: int) -> PhotographPrediction:
    """One photograph's, with the leading axis kept (B = 1)."""
    row = range(len(self))[index]  # raises IndexError, counts from the end
    rows = slice(row, row + 1)
    heads = (getattr(self, head) for head in HEADS)
    return PhotographPrediction(*(None if x is None else x[rows] for x in heads), crops=self.crops[rows],
                                rule=self.rule)

  def on_photograph(self, lesion: str, index: int = 0) -> np.ndarray:
    """One lesion's map in the photograph's own pixels: float32 [H, W], 0 outside the square that the network saw.

    Args:
      lesion: a key of LESIONS.
      index: of the photograph.

    Raises:
      IndexError: there is no such photograph.
      ValueError: there is no such lesion, or the network makes no maps.
    """
    if self.maps is None:
      raise ValueError('this network makes no lesion maps; load the bundle of a segmentation or multi-task network')
    return self.crops[index].invert(self.maps[index, ..., lesion_index(lesion)])


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
  """A network with its weights, on the device; `load` makes it.

  Attributes:
    config: the bundle's config.json, with what `load` was told to change; of an ensemble, see `ensemble.join_configs`.
    variables: {'params': ..., 'batch_stats': ...}; of an ensemble, a tuple of those; empty of the onnxruntime backend.
    predict_fn: the pure jitted function underneath, see `make_predict_fn`; or that of `onnx_graph.make_predict_fn`.
    program: the same for one photograph, as an earlier process traced it, see `programs`; None where that was not kept.
  """

  config: dict[str, Any]
  variables: Any
  predict_fn: Callable[[Any, Any], Prediction]
  program: Callable[[Any, Any], Prediction] | None = None

  @property
  def size(self) -> int:
    """Side S of the squares that the network takes, in pixels."""
    return self.config['preprocessing']['size']

  @property
  def crop(self) -> bool | None:
    """How its photographs are prepared, see `prepare`: True for a network that was trained on fields of view cut by
    this library. None for one trained on squares as a release ships them: a square photograph is only resized then, as
    those were, and one that is not square is cropped to its field of view."""
    return True if self.config['preprocessing']['crop'] == FIELD_OF_VIEW else None

  @property
  def thresholds(self) -> np.ndarray:
    """float64 [8]: from this probability on a pixel counts as the lesion. Without a rule of the bundle's own, a lesion is
    present in a photograph where any pixel does (Eq. 1)."""
    return np.array([self.config['thresholds'][key] for key in LESION_KEYS])

  @property
  def rule(self) -> Rule:
    """By which a lesion is called present in a photograph."""
    return Rule.of(self.config)

  def __call__(
      self, photographs: Input | Iterable[Input], *, batch_size: int = 1, crop: bool | None = None,
  ) -> PhotographPrediction:
    """Predicts all photographs and holds all results: 26 MB each at S = 896. `stream` holds two batches.

    Args:
      photographs: uint8 [B, H, W, 3] or [H, W, 3] in RGB, a path, what `prepare` made of either, or an iterable of
        these, of any sizes.
      batch_size: photographs in one forward pass. 1 is right on a CPU, more pays on an accelerator. The last batch is
        padded, so that one program serves all of them.
      crop: find the field of view. False: the photographs are squares around the field already, only resized. None: as
        the network was trained, see the property `crop`.

    Returns:
      The predictions, in order.

    Raises:
      FileNotFoundError: where there is no such file.
      FloatingPointError: the network answers with something that is no number.
      ValueError: there is no photograph, the batch size is below 1, or a photograph cannot be taken; it is named.
    """
    batches = list(self._batches(photographs, batch_size, crop))
    if not batches:
      raise ValueError('no photographs came; give a path, an array, or a list of them')
    join = lambda name: None if getattr(batches[0], name) is None else np.concatenate(
        [getattr(batch, name) for batch in batches])
    return PhotographPrediction(*map(join, HEADS),
                                crops=tuple(itertools.chain.from_iterable(batch.crops for batch in batches)),
                                rule=self.rule)

  def stream(
      self, photographs: Input | Iterable[Input], *, batch_size: int = 1, crop: bool | None = None,
  ) -> Iterator[PhotographPrediction]:
    """Like a call, but lazy: takes photographs as it goes and yields the prediction of each (B = 1), in order.

    At most two batches and their inputs are held, however many photographs come. They are read while the device works.
    """
    for batch in self._batches(photographs, batch_size, crop):
      yield from (batch[index] for index in range(len(batch)))

  def _batches(self, photographs: Any, batch_size: int, crop: bool | None) -> Iterator[PhotographPrediction]:
    if batch_size < 1:
      raise ValueError(f'batch_size must be at least 1; got {batch_size}')
    named = ((photograph, f'photograph {i}') for i, photograph in enumerate(_as_iterable(photographs)))
    crop = self.crop if crop is None else crop
    squares = ordered_map(functools.partial(_prepare_named, size=self.size, crop=crop), named, ahead=batch_size)
    predict_fn = self.program if self.program and batch_size == 1 else self.predict_fn
    late = None  # collected one batch behind, so that the device works while the next one is read
    while chunk := list(itertools.islice(squares, batch_size)):
      images = np.zeros((batch_size, self.size, self.size, 3), np.uint8)
      images[:len(chunk)] = [square.pixels for square in chunk]
      found = predict_fn(self.variables, images)
      if late:
        yield _collect(*late, self.rule)
      late = found, chunk
    if late:
      yield _collect(*late, self.rule)


def _as_iterable(photographs: Any) -> Iterable[Any]:
  if isinstance(photographs, str | os.PathLike | Square):
    return [photographs]
  if hasattr(photographs, 'ndim'):
    if photographs.ndim not in (3, 4):
      raise ValueError(f'expected photographs uint8 [B, H, W, 3] or [H, W, 3]; got {list(photographs.shape)}')
    return [photographs] if photographs.ndim == 3 else list(photographs)
  return photographs


def _prepare_named(item: tuple[Any, str], *, size: int, crop: bool | None) -> Square:
  photograph, name = item
  return prepare(photograph, size, crop=crop, name=None if isinstance(photograph, str | os.PathLike) else name)


def _collect(found: Prediction, chunk: list[Square], rule: Rule) -> PhotographPrediction:
  """To the host, without the rows that only filled the batch."""
  rows = lambda x: None if x is None else np.asarray(x)[:len(chunk)]
  for head in HEADS:  # a sum of probabilities is finite if all are
    if (found_rows := rows(getattr(found, head))) is not None and not np.isfinite(found_rows.sum()):
      raise FloatingPointError(f'the network answers with something that is no number ({head}); its weights are not fit for '
                               'use, or overflow in the type in which it computes')
  return PhotographPrediction(*(rows(getattr(found, head)) for head in HEADS),
                              crops=tuple(square.crop for square in chunk), rule=rule)
