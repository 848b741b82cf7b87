"""The network of the landmarks beside the one that predicts: disc and fovea of every photograph."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from lesion_jax import pretrained
from lesion_jax.core import LANDMARKS
from lesion_jax.metrics.landmarks import DISC_DIAMETER
from lesion_jax.models.landmarks import MULTIPLE, Located, get_landmark_net, locate
from lesion_jax.photograph.landmarks import Landmark, Landmarks
from lesion_jax.photograph.square import Square
from lesion_jax.predict.step import compiled
from lesion_jax.weights.bundle import MAX_SIZE, load_bundle


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkFinder:
  """A network of landmarks with its weights, on the device; `load_landmarks` makes it.

  Attributes:
    config: of its bundle.
    variables: on the device.
    locate_fn: `(variables, images uint8 [B, s, s, 3]) -> models.landmarks.Located`, pure and jitted.
    digest: of its weights.
  """

  config: dict[str, Any]
  variables: Any
  locate_fn: Any
  digest: str

  @property
  def size(self) -> int:
    """Side of the pictures that it takes, in pixels."""
    return self.config['preprocessing']['size']

  def start(self, squares: Sequence[Square], batch_size: int) -> Located:
    """Begins to look; what comes back may still be computed.

    Args:
      squares: at most `batch_size`.
      batch_size: of the pass, which is filled up.
    """
    images = np.zeros((batch_size, self.size, self.size, 3), np.uint8)
    for row, square in enumerate(squares):
      images[row] = Image.fromarray(square.view).resize((self.size, self.size), Image.Resampling.BILINEAR)
    return self.locate_fn(self.variables, images)

  def finish(self, located: Located, squares: Sequence[Square]) -> list[Landmarks]:
    """What was found, in the photographs' own pixels. Raises FloatingPointError where it is no number."""
    places, confidence = (np.asarray(each, np.float64) for each in located)
    if not np.isfinite(places).all() or not np.isfinite(confidence).all():
      raise FloatingPointError('the network of landmarks outputs something that is not a number; its weights are not fit for use')
    found = []
    for square, at, sure in zip(squares, places[:len(squares)], confidence[:len(squares)], strict=True):
      crop, scale = square.crop, square.crop.side / self.size
      disc, fovea = (Landmark(float(crop.top + row * scale), float(crop.left + column * scale), float(each), bool(each >= self.config['found']))
                     for (row, column), each in zip(at, sure, strict=True))
      found.append(Landmarks(disc, fovea, DISC_DIAMETER * crop.side))
    return found


def load_landmarks(path: str | os.PathLike[str], device: jax.Device | None = None) -> LandmarkFinder:
  """Loads a network of landmarks.

  Args:
    path: its bundle, or the name of one in this package.
    device: where; None: JAX's default.

  Raises:
    FileNotFoundError: there is no such bundle.
    ValueError: it is damaged, or of another kind of network.
  """
  found = pretrained.find_landmarks(path)
  bundle = load_bundle(found)
  check_landmarks(bundle.config, found)
  model = get_landmark_net(bundle.config['model'])
  size = bundle.config['preprocessing']['size']

  def locate_fn(variables: Any, images: Any) -> Located:
    return locate(model.apply(variables, images, train=False).landmarks, size)

  shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, size, size, 3), np.uint8), train=False))
  same = jax.tree.map(lambda one: tuple(one.shape), dict(shapes)) == jax.tree.map(lambda one: tuple(one.shape), bundle.variables)
  if not same:
    raise ValueError(f'{found}: config.json and the weights do not make a network of landmarks')
  platform = device.platform if device else jax.default_backend()
  return LandmarkFinder(bundle.config, jax.device_put(bundle.variables, device), compiled(locate_fn, platform), bundle.digest)


def check_landmarks(config: Mapping[str, Any], path: pathlib.Path) -> None:
  """Holds the configuration of a bundle, at `path`, to what a network of landmarks needs. Raises ValueError, naming what it lacks."""
  if config.get('landmarks') != list(LANDMARKS):
    raise ValueError(f'{path} is no bundle of a network of {" and ".join(LANDMARKS)}; train one with configs/landmarks.py')
  if not isinstance(config.get('model'), Mapping):
    raise ValueError(f'{path}: model is {str(config.get("model"))[:60]!r}; it must be an object with the name of a network and its fields')
  preprocessing = config.get('preprocessing')
  size = preprocessing.get('size') if isinstance(preprocessing, Mapping) else None
  if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_SIZE or size % MULTIPLE:
    raise ValueError(f'{path}: preprocessing.size is {size!r}; it must be a multiple of {MULTIPLE} up to {MAX_SIZE}')
  if isinstance(found := config.get('found'), bool) or not isinstance(found, int | float) or not 0 < found < 1:
    raise ValueError(f'{path}: found is {found!r}; it must be a confidence above 0 and below 1')
