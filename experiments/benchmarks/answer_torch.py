"""PyTorch's answer: BatchNorm folded into the convolutions, channels last, autocast to bfloat16 if asked to, compiled if
asked to.

Its networks are those that `lesion-jax export --to torch` writes, which compute what ours do.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

os.environ['JAX_PLATFORMS'] = 'cpu'  # JAX only draws the weights here, and must not take the device's memory

import numpy as np
import torch

from experiments.benchmarks import peer
from experiments.benchmarks.answers import Job, make_images, make_variables


def prepare(network: torch.nn.Module, device: str, *, compiled: bool) -> Any:
  """Folded, channels last, and compiled if asked to."""
  peer.fold(network.eval())
  network = network.to(device, memory_format=torch.channels_last)
  if not compiled:
    return network
  torch._inductor.config.freezing = True  # weights become constants, laid out as oneDNN and cuDNN like them
  return torch.compile(network, mode='reduce-overhead' if device == 'cuda' else None)


class Side:
  """Network and photographs on the device."""

  def __init__(self, job: Job, *, compiled: bool = False):
    self._job, self._device = job, peer.set_up()
    self._network = prepare(peer.build(job.fields, make_variables(job)), self._device, compiled=compiled)
    self._images = torch.from_numpy(make_images(job)).to(self._device)

  def answer(self) -> Any:
    """Waits for it."""
    rounded = (torch.autocast(self._device, torch.bfloat16) if self._job.dtype == 'bfloat16' else
               contextlib.nullcontext())
    with torch.no_grad(), rounded:
      found = self._network(self._images)
    peer.wait(self._device)
    return found

  def result(self) -> dict[str, np.ndarray]:
    """By head, float32."""
    return {head: value.float().cpu().numpy() for head, value in self.answer().items()}

  def facts(self) -> dict[str, Any]:
    """Versions, memory, and the rate of its matrix products."""
    return peer.facts(self._device, self._job.dtype)
