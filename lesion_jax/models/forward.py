"""The forward pass of inference, as everything that predicts or evaluates takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from lesion_jax.core import Prediction


def forward(model: nn.Module) -> Callable[[Any, Any], Prediction]:
  """Returns `(variables, images uint8 [B, S, S, 3]) -> Prediction` of one network, pure. JAX traces it once for the
  same shapes, wherever this function is jitted."""

  def predict_fn(variables: Any, images: Any) -> Prediction:
    return model.apply(variables, images, train=False).probabilities()

  return predict_fn
