"""The forward pass of prediction: one pure, jitted function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax import runtime
from lesion_jax.core import Prediction
from lesion_jax.cpu import arranged
from lesion_jax.models.forward import forward

PredictFn = Callable[[Any, Any], Prediction]


def make_predict_fn(model: nn.Module) -> PredictFn:
  """Builds `predict_fn(variables, images) -> Prediction`, pure and jitted; it compiles once for each shape of `images`.

  `load` builds it of the same parts, with `windows.windowed`, `ensemble.average` and `tta.augmented` in between.

  Args:
    model: a network of `lesion_jax.models`.

  Returns:
    The function. `variables` is {'params': ..., 'batch_stats': ...}, `images` uint8 [B, S, S, 3] in RGB, S being the
    size for which the network was trained. It returns probabilities, float32: `maps` [B, S, S, 8], `lesions` [B, 8],
    `grades` [B, 5], `edema` [B, 3], `attention` [B, h, w], each None where the network has no such head.
  """
  return compiled(arranged(forward(model)), plain=forward(model))


def compiled(predict_fn: PredictFn, platform: str | None = None, plain: PredictFn | None = None) -> PredictFn:
  """Returns the function jitted with what is best on a platform, 'cpu' or 'gpu'; None: JAX's default.

  Inside another traced function (`jax.jit`, `grad`, `vmap`, `lax.map`) it is `plain`, without options of the compiler, which
  belong to whole programs, and without `cpu.arranged`, which has no derivatives in forward mode.

  Args:
    predict_fn: pure.
    platform: that it runs on.
    plain: the same function as the networks have it; None: `predict_fn` itself.
  """
  options = runtime.compiler_options(platform or jax.default_backend())
  return _untraced(jax.jit(predict_fn, compiler_options=options), jax.jit(plain or predict_fn)) if options else (
      jax.jit(predict_fn))


def _untraced(alone: Any, inside: PredictFn) -> PredictFn:
  """`alone`, jitted with options of the compiler, which JAX refuses inside another program; there `inside`."""

  @functools.wraps(alone)
  def predict_fn(variables: Any, images: Any) -> Prediction:
    return (inside if _is_tracing(variables, images) else alone)(variables, images)

  for name in ('lower', 'trace', 'eval_shape', 'clear_cache', '_cache_size'):  # of jitted functions
    setattr(predict_fn, name, getattr(alone, name))
  return predict_fn


def _is_tracing(*arguments: Any) -> bool:
  """Whether this is part of another function that JAX traces: by the arguments, or, of constants, by what an operation
  on none gives."""
  leaves = jax.tree.leaves(arguments)
  return any(isinstance(leaf, jax.core.Tracer) for leaf in leaves) or isinstance(jnp.zeros(()), jax.core.Tracer)
