"""The forward pass of prediction: one pure, jitted function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from lesion_jax import runtime
from lesion_jax.core import Prediction
from lesion_jax.models.forward import forward
from lesion_jax.predict import pools, winograd
from lesion_jax.predict.rewriting import rewritten

PredictFn = Callable[[Any, Any], Prediction]


def make_predict_fn(model: nn.Module) -> PredictFn:
  """Builds `predict_fn(variables, images) -> Prediction`, pure and jitted; it compiles once for each shape of `images`.

  `load` builds it of the same parts, with `windows.windowed`, `ensemble.average` and `tta.augmented` in between.

  Args:
    model: a network of `lesion_jax.models`.

  Returns:
    The function. `variables` is {'params': ..., 'batch_stats': ...}, `images` uint8 [B, S, S, 3] in RGB, S being the
    size for which the network was trained. It returns probabilities, float32: `maps` [B, S, S, 8], `lesions` [B, 8],
    `grades` [B, 5], `attention` [B, h, w], each None where the network has no such head.
  """
  return compiled(arranged(forward(model)))


def arranged(predict_fn: PredictFn, platform: str | None = None) -> PredictFn:
  """The same function as a platform computes it fastest; None: JAX's default. On a CPU, pools are taken from slices, and
  wide 3x3 convolutions by Winograd's algorithm."""
  on_cpu = (platform or jax.default_backend()) == 'cpu'
  return rewritten(predict_fn, pools.RULES | winograd.RULES) if on_cpu else predict_fn


def compiled(predict_fn: PredictFn, platform: str | None = None) -> PredictFn:
  """The function jitted with what is best on a platform, 'cpu' or 'gpu'; None: JAX's default."""
  return jax.jit(predict_fn, compiler_options=runtime.compiler_options(platform or jax.default_backend()))
