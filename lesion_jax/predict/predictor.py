"""A loaded network that takes photographs."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from lesion_jax.core import LESION_KEYS, Prediction
from lesion_jax.metrics.presence import Rule
from lesion_jax.models.landmarks import Located
from lesion_jax.photograph.crop import FIELD_OF_VIEW
from lesion_jax.photograph.prepare import Photograph, prepare
from lesion_jax.photograph.square import HEADS, PhotographPrediction, Square
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.predict.landmarks import LandmarkFinder

Input = Photograph | Square


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
  """A network with its weights, on the device; `load` makes it.

  Attributes:
    config: the bundle's config.json, with what `load` was told to change; of an ensemble, see `ensemble.join_configs`.
    variables: {'params': ..., 'batch_stats': ...}; of an ensemble, a tuple of those; empty of the onnxruntime backend.
    predict_fn: the pure jitted function underneath, see `make_predict_fn`; or that of `onnx_graph.make_predict_fn`.
    program: the same for one photograph, as an earlier process traced it, see `programs`; None where that was not kept.
    members: the networks in it, of `loading.Member`; () where it computes by another backend.
    origin: the arguments of `load`, by which another process loads it anew: so it is pickled, and refused where other weights lie
      there by then. None: it cannot be.
    landmarks: what looks for optic disc and fovea in the same photographs; None: nothing does.
    photographs: fingerprints of what its networks learned from, uint8 [N, 16, 16, 3] under 'train' and 'validation'; empty where they do
      not say.
    process: that loaded it. JAX's own threads do not live on in a fork of it, which is refused.

  Any number of threads may call one predictor at once: it keeps nothing between calls, and each gets the answer that it would
  get alone.
  """

  config: dict[str, Any]
  variables: Any
  predict_fn: Callable[[Any, Any], Prediction]
  program: Callable[[Any, Any], Prediction] | None = None
  members: tuple[Any, ...] = ()
  origin: Mapping[str, Any] | None = None
  landmarks: LandmarkFinder | None = None
  photographs: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  process: int = dataclasses.field(default_factory=os.getpid)

  def __reduce__(self) -> tuple[Any, ...]:
    if self.origin is None:
      raise TypeError('this predictor was not made by `load` alone, so it cannot be pickled: send the path of its bundle, '
                      'and load it in each process')
    return _load_anew, (dict(self.origin), [member.digest for member in self.members])

  @property
  def size(self) -> int:
    """Side S of the squares that the network takes, in pixels."""
    return self.config['preprocessing']['size']

  @property
  def crop(self) -> bool | None:
    """How its photographs are prepared, see `prepare`: True for a network that was trained on fields of view cut by
    this library. None for one trained on squares as a raw dataset ships them: a square photograph is only resized then, as
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
    """Predicts all photographs and holds all results: 28 MB each at S = 896. `stream` holds two batches.

    Args:
      photographs: one of what `prepare` takes (a path, an array, a Pillow image, bytes, an open file), what it made of one,
        uint8 [B, H, W, 3], or an iterable or an array of any of these, of any sizes.
      batch_size: photographs in one forward pass. 1 is right on a CPU, more pays on an accelerator. The last batch is
        padded, so that one program serves all of them.
      crop: find the field of view. False: the photographs are squares around the field already, only resized. None: as
        the network was trained, see the property `crop`.

    Returns:
      The predictions, in order.

    Raises:
      FileNotFoundError: where there is no such file.
      FloatingPointError: the network outputs something that is not a number.
      ValueError: there is no photograph, the batch size is below 1, or a photograph cannot be taken; it is named.
    """
    each = list(self.stream(photographs, batch_size=batch_size, crop=crop))
    if not each:
      raise ValueError('no photographs came; give a path, an array, or a list of them')
    join = lambda name: None if getattr(each[0], name) is None else np.concatenate([getattr(one, name) for one in each])
    return PhotographPrediction(**{head: join(head) for head in HEADS},
                                squares=tuple(one.squares[0] for one in each), rule=self.rule,
                                landmarks=tuple(one.landmarks[0] for one in each) if self.landmarks else None)

  def stream(
      self, photographs: Input | Iterable[Input], *, batch_size: int = 1, crop: bool | None = None,
  ) -> Iterator[PhotographPrediction]:
    """Predicts like a call, but lazily: takes photographs as it goes and yields the prediction of each (B = 1), in
    order.

    At most two batches and their inputs are held, however many photographs come. They are read while the device works. What is wrong
    with a photograph is raised where its prediction would stand: all before it are yielded.
    """
    if os.getpid() != self.process:
      raise RuntimeError('this predictor was loaded before the process was forked, and would wait for ever for threads that are '
                         "not here: load it in each process, or start processes with the method 'spawn'")
    if batch_size < 1:
      raise ValueError(f'batch_size must be at least 1; got {batch_size}')
    size, rule, crop = self.size, self.rule, self.crop if crop is None else crop
    numbered = enumerate(_as_iterable(photographs))
    one = lambda item: prepare(item[1], size, crop=crop,
                               name=None if isinstance(item[1], str | os.PathLike) else f'photograph {item[0]}')
    squares = ordered_map(one, numbered, ahead=batch_size)
    predict_fn = self.program if self.program and batch_size == 1 else self.predict_fn
    late, failed = None, None  # collected one batch behind, so that the device works while the next one is read
    while failed is None:
      chunk, failed = _take(squares, batch_size)
      if not chunk:
        break
      images = np.zeros((batch_size, size, size, 3), np.uint8)
      images[:len(chunk)] = [square.pixels for square in chunk]
      found = _by_lesion(predict_fn(self.variables, images))
      located = self.landmarks and self.landmarks.start(chunk, batch_size)
      if late:
        yield from self._collect(*late, rule)
      late = found, located, chunk
    if late:
      yield from self._collect(*late, rule)
    if failed is not None:
      raise failed

  def _collect(
      self, found: Prediction, located: Located | None, chunk: list[Square], rule: Rule,
  ) -> Iterator[PhotographPrediction]:
    each = _collect(found, chunk, rule)
    if located is None or self.landmarks is None:
      return iter(each)
    return (dataclasses.replace(one, landmarks=(marks,))
            for one, marks in zip(each, self.landmarks.finish(located, chunk), strict=True))


def _load_anew(origin: dict[str, Any], digests: list[str]) -> Predictor:
  from lesion_jax.predict.loading import load

  found = load(**origin)
  if [member.digest for member in found.members] != digests:
    raise ValueError(f'{", ".join(origin["path"])}: the weights there are no longer those of the predictor that was pickled; load it anew '
                     'where it is pickled')
  return found


def _take(squares: Iterator[Square], count: int) -> tuple[list[Square], Exception | None]:
  """The next squares, at most so many, and what was raised in the place of the one after them."""
  chunk: list[Square] = []
  try:
    for square in itertools.islice(squares, count):
      chunk.append(square)
  except Exception as error:  # noqa: BLE001 (it is raised when those before it are done)
    return chunk, error
  return chunk, None


def _as_iterable(photographs: Any) -> Iterable[Any]:
  if isinstance(photographs, str | os.PathLike | Square | Image.Image | bytes | bytearray | memoryview) or hasattr(
      photographs, 'read'):
    return [photographs]
  if getattr(getattr(photographs, 'dtype', None), 'kind', '') in ('O', 'U'):  # of paths, or of anything else, or a column of a table
    return [str(each) if isinstance(each, np.str_) else each for each in np.asarray(photographs, object).ravel()]
  if hasattr(photographs, 'ndim'):
    if photographs.ndim not in (2, 3, 4):
      raise ValueError(f'expected photographs uint8 [B, H, W, 3] or [H, W, 3]; got {list(photographs.shape)}')
    return list(photographs) if photographs.ndim == 4 else [photographs]
  return photographs


@jax.jit
def _lesions_first(maps: jax.Array) -> jax.Array:
  return jnp.moveaxis(maps, -1, 1)


def _by_lesion(found: Prediction) -> Prediction:
  """A prediction whose maps are [B, 8, S, S]: laid out lesion by lesion, as they are looked at afterwards, while they are still on the
  device."""
  if found.maps is None:
    return found
  maps = _lesions_first(found.maps) if isinstance(found.maps, jax.Array) else np.moveaxis(found.maps, -1, 1)
  return dataclasses.replace(found, maps=maps)


def _collect(found: Prediction, chunk: list[Square], rule: Rule) -> list[PhotographPrediction]:
  """To the host, one by one, without the rows that only filled the batch; of `_by_lesion`."""
  heads = {head: None if (values := getattr(found, head)) is None else np.asarray(values)[:len(chunk)] for head in HEADS}
  for name, values in heads.items():  # a sum of probabilities is finite if all are
    if values is not None and not np.isfinite(values.sum()):
      raise FloatingPointError(f'the network outputs something that is not a number ({name}); its weights are not fit for '
                               'use, or overflow in the type in which it computes')
  if heads['maps'] is not None:
    heads['maps'] = np.moveaxis(heads['maps'], 1, -1)
  return [PhotographPrediction(**{head: None if x is None else x[row:row + 1] for head, x in heads.items()}, squares=(square,), rule=rule)
          for row, square in enumerate(chunk)]
