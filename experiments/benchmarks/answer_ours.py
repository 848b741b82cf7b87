"""Our answer, as `lesion_jax.load` computes it by default, or as JAX computes the network as it is."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from experiments import record
from experiments.benchmarks import machine
from experiments.benchmarks.answers import HEADS, Job, make_images, make_variables
from experiments.memory import program
from lesion_jax import runtime
from lesion_jax.models import get_model
from lesion_jax.predict.step import forward, make_predict_fn


class Side:
  """Variables and photographs on the device, and the compiled function."""

  def __init__(self, job: Job, *, plain: bool = False):
    runtime.use_cache()
    self._job, self._model = job, get_model(**job.fields)
    self._variables, self._images = jax.device_put((make_variables(job), make_images(job)))
    predict_fn = jax.jit(forward(self._model)) if plain else make_predict_fn(self._model)
    self._compiled = predict_fn.lower(self._variables, self._images).compile()

  def answer(self) -> Any:
    """Waits for it."""
    return jax.block_until_ready(self._compiled(self._variables, self._images))

  def text(self) -> str:
    """Of the compiled program."""
    return self._compiled.as_text()

  def result(self) -> dict[str, np.ndarray]:
    """By head, float32."""
    found = self.answer()
    return {head: np.asarray(getattr(found, head)) for head in HEADS}

  def facts(self) -> dict[str, Any]:
    """The machine and its limits as measured now, and what the network asks of it."""
    peak = record.peak_memory()  # before anything else
    plain = lambda variables, images: self._model.apply(variables, images, train=False).probabilities()
    works = machine.count(plain, self._variables, self._images)
    return {'versions': record.versions(), 'hardware': record.hardware(), 'peak_memory': peak,
            'program': program(self._compiled), 'work': works, **machine.limits(self._job.dtype)}
