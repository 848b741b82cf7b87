"""The answer of our network through onnxruntime, as `lesion_jax.load(..., backend='onnxruntime')` computes it."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import onnxruntime

from experiments.benchmarks.answers import HEADS, Job, make_images, make_variables
from experiments.benchmarks.bundles import make_config
from lesion_jax.export.source import Source
from lesion_jax.predict.onnx_graph import make_predict_fn
from lesion_jax.weights.bundle import Bundle


class Side:
  """The session and the photographs."""

  def __init__(self, job: Job):
    if job.dtype != 'float32':
      raise ImportError(f'the ONNX graph computes in float32, not in {job.dtype}')
    bundle = Bundle(make_config(job), make_variables(job))
    self._predict_fn = make_predict_fn(Bundle(bundle.config, bundle.variables, Source.of(bundle).digest))
    self._images = make_images(job)

  def answer(self) -> Any:
    """Waits for it."""
    return self._predict_fn(None, self._images)

  def result(self) -> dict[str, np.ndarray]:
    """By head, float32."""
    found = self.answer()
    return {head: getattr(found, head) for head in HEADS}

  def facts(self) -> dict[str, Any]:
    """Versions and memory."""
    return {'versions': {'onnxruntime': onnxruntime.__version__},
            'peak_memory': {'bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 'of': 'process'}}
