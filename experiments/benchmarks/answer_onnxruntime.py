"""The answer of our network through onnxruntime with its default options, from the graph that `lesion-jax export --to onnx`
writes."""

from __future__ import annotations

import pathlib
import resource
import tempfile
from typing import Any

import numpy as np
import onnxruntime

from experiments.benchmarks.answers import HEADS, Job, make_images, make_variables


class Side:
  """The session and the photographs."""

  def __init__(self, job: Job):
    if job.dtype != 'float32':
      raise ImportError(f'the ONNX graph computes in float32, not in {job.dtype}')
    from lesion_jax.core import GRADE_KEYS, LESION_KEYS
    from lesion_jax.export import to_onnx
    from lesion_jax.export.source import Source
    from lesion_jax.weights.bundle import Bundle

    config = {'model': job.fields, 'lesions': list(LESION_KEYS), 'grades': list(GRADE_KEYS), 'annotated': [],
              'thresholds': {}, 'preprocessing': {'size': job.size}}
    self._images = make_images(job)
    with tempfile.TemporaryDirectory() as folder:
      to_onnx.write(Source.of(Bundle(config, make_variables(job))), pathlib.Path(folder))
      self._session = onnxruntime.InferenceSession(pathlib.Path(folder, to_onnx.FILE))

  def answer(self) -> Any:
    """Waits for it."""
    return self._session.run(list(HEADS), {'images': self._images})

  def result(self) -> dict[str, np.ndarray]:
    """By head, float32."""
    return dict(zip(HEADS, self.answer(), strict=True))

  def facts(self) -> dict[str, Any]:
    """Versions and memory."""
    return {'versions': {'onnxruntime': onnxruntime.__version__},
            'peak_memory': {'bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 'of': 'process'}}
