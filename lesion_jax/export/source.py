"""What every format starts from: the network as a pure function, and its weights by flat name."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from lesion_jax.core import Array
from lesion_jax.models import get_model
from lesion_jax.weights import tensors
from lesion_jax.weights.bundle import Bundle, taken_size

HEADS = ('maps', 'lesions', 'grades', 'edema', 'attention')  # outputs of every format, in this order


class Refused(ValueError):
  """A format does not have the network; the message lists those that it has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
  """A bundle on its way out.

  Attributes:
    config: the bundle's configuration, `predict.config.check_config` has passed it.
    weights: arrays by flat name, 'params/...' and 'batch_stats/...'.
    function: see `make_function`.
    stored: SHA-256 of the bundle's file of weights, in whatever storage; '' where it was not read from one.
  """

  config: dict[str, Any]
  weights: dict[str, np.ndarray]
  function: Callable[[Mapping[str, Array], Array], dict[str, Array]]
  stored: str = ''

  @classmethod
  def of(cls, bundle: Bundle) -> Source:
    """Raises ValueError for a configuration that describes no network."""
    weights = traverse_util.flatten_dict(bundle.variables, sep='/')
    return cls(bundle.config, weights, make_function(bundle.config['model']), bundle.digest)

  @property
  def size(self) -> int:
    """Side S of the images that the export takes, in pixels: where the bundle says windows, of those."""
    return taken_size(self.config)

  @property
  def window(self) -> int:
    """Side of the windows by which the network is to be asked; 0: none, it takes whole squares."""
    return self.config['preprocessing'].get('window', 0)

  @functools.cached_property
  def file(self) -> bytes:
    """The weights as a safetensors file: byte by byte that of a bundle stored as float32, and so what another becomes
    when it is loaded."""
    return tensors.encode(self.weights)

  @property
  def digest(self) -> str:
    """The SHA-256 of the bundle's weights, which its config.json states as well."""
    return self.stored or hashlib.sha256(self.file).hexdigest()


def make_function(model: Mapping[str, Any]) -> Callable[[Mapping[str, Array], Array], dict[str, Array]]:
  """Returns the pure function that is exported.

  Args:
    model: arguments of `get_model`. The network computes in float32 whatever `dtype` says, as the parameters are that
      and the other frameworks' bfloat16 rounds differently.

  Returns:
    `(weights by flat name, uint8 images [B, S, S, 3]) -> probabilities`, float32: those of maps [B, S, S, 8],
    lesions [B, 8], grades [B, 5] and edema [B, 3] that the network has, and its attention [B, h, w], see `core.Prediction`.

  Raises:
    ValueError: there is no such network.
  """
  network = get_model(**_in_float32(model))

  def probabilities(weights: Mapping[str, Array], images: Array) -> dict[str, Array]:
    variables = {'params': {}, 'batch_stats': {}} | traverse_util.unflatten_dict(weights, sep='/')
    found = network.apply(variables, images, train=False).probabilities()
    return {head: value for head in HEADS if (value := getattr(found, head)) is not None}

  return probabilities


def _in_float32(model: Mapping[str, Any]) -> dict[str, Any]:
  """The fields without `dtype`, whose default is float32, in the network and in the one inside it."""
  return {key: _in_float32(value) if isinstance(value, Mapping) else value
          for key, value in model.items() if key != 'dtype'}
