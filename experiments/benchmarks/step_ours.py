"""Our training step, as `lesion_jax.train` runs it, on one device, with our options of the compiler or without."""

from __future__ import annotations

import contextlib
from typing import Any
from unittest import mock

import jax
import numpy as np

from experiments import record
from experiments.benchmarks.machine import limits
from experiments.benchmarks.steps import (
    DUAL_WEIGHT, MOMENTUM, NETWORKS, RATE, WEIGHT_DECAY, Job, initial_variables, make_batch)
from lesion_jax import runtime
from lesion_jax.losses import get_loss
from lesion_jax.models import get_model
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import create_state, sgd, split_frozen
from lesion_jax.train.step import Knobs, make_train_step


class Side:
  """State and batch on the device, and the compiled step."""

  def __init__(self, job: Job, *, plain: bool = False):
    runtime.use_cache()
    self.job, chosen = job, NETWORKS[job.network]
    optimizer = sgd(momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    trainable, frozen = split_frozen(initial_variables(job), chosen['frozen'])
    devices = Devices(jax.devices()[:1])
    step = make_train_step(get_model(**job.fields).apply, get_loss(chosen['loss']), optimizer, axis_name=AXIS)
    with mock.patch.object(runtime, 'compiler_options', lambda platform: None) if plain else contextlib.nullcontext():
      self._program = devices.train(step)
    self._state = devices.replicate(create_state(trainable, optimizer))
    self._frozen = devices.replicate(frozen)
    self._batch = jax.device_put(devices.shard(make_batch(job)), jax.devices()[0])
    self._knobs = Knobs(np.float32(RATE), np.float32(DUAL_WEIGHT))

  def step(self) -> Any:
    """One step; its loss, on the device."""
    self._state, metrics = self._program(self._state, self._batch, self._frozen, self._knobs)
    return metrics['loss']

  def finish(self, loss: Any) -> float:
    """Waits for the step, whole."""
    jax.block_until_ready(self._state)
    return float(loss)

  def text(self) -> str:
    """Of the compiled program, which takes the steps from here on."""
    lowered = self._program.lower(self._state, self._batch, self._frozen, self._knobs)
    # Those of the `jit` around `pmap` would be forgotten here.
    self._program = lowered.compile(runtime.compiler_options(jax.default_backend()))
    return self._program.as_text()

  @staticmethod
  def is_out_of_memory(error: Exception) -> bool:
    """As XLA says it."""
    return isinstance(error, jax.errors.JaxRuntimeError) and 'RESOURCE_EXHAUSTED' in str(error)

  def facts(self) -> dict[str, Any]:
    """The machine, its limits as measured now, and the arithmetic of a step."""
    return {'hardware': record.hardware(), 'versions': record.versions(), 'peak_memory': record.peak_memory(),
            'flops': self._flops(), **limits(self.job.dtype)}

  def _flops(self) -> float:
    """XLA's count for the step as it is written: before any optimisation, which may move it into libraries that XLA
    cannot look into."""
    lowered = self._program.lower(self._state, self._batch, self._frozen, self._knobs)
    return lowered.cost_analysis()['flops']
