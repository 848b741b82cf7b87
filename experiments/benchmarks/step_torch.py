"""The same training step in PyTorch: channels last, autocast to bfloat16, TF32, fused SGD, and compiled if asked to.

Its networks are those that `lesion-jax export --to torch` writes, which compute what ours do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ['JAX_PLATFORMS'] = 'cpu'  # JAX only draws the weights here, and must not take the device's memory

import torch
import torch.nn.functional as F

from experiments.benchmarks import peer
from experiments.benchmarks.steps import (
    DUAL_WEIGHT, MOMENTUM, NETWORKS, RATE, WEIGHT_DECAY, Job, initial_variables, make_batch)
from lesion_jax.core import unpack_bits


def dual_dice(found: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
  """Eq. 2 of the paper; every pixel of the batch is scored."""
  maps = found['maps'].float().sigmoid()  # [B, S, S, 8], a view of channels second
  segmentation = dice(maps, batch['masks'])
  # The maximum of the logits: a float32 sigmoid makes ties of everything above 17.
  classification = dice(found['maps'].float().amax((1, 2)).sigmoid(), batch['present'])
  return DUAL_WEIGHT * segmentation + (1 - DUAL_WEIGHT) * classification


def dice(p: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
  """Eq. 3."""
  return 1 - 2 * (p * t).sum() / (p.square().sum() + t.sum())


def grade_cross_entropy(found: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
  """Mean over the batch."""
  return F.cross_entropy(found['grades'].float(), batch['grade'])


LOSSES = {'dual_dice': dual_dice, 'grade_cross_entropy': grade_cross_entropy}


class Side:
  """Network and batch on the device, and the step."""

  def __init__(self, job: Job, *, compiled: bool = False):
    self.job, chosen = job, NETWORKS[job.network]
    self.device = peer.set_up()
    network = peer.build(job.fields, initial_variables(job))
    if chosen['frozen']:
      peer.fold(getattr(network, chosen['frozen']))
    network = network.to(self.device, memory_format=torch.channels_last).train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    self._optimizer = torch.optim.SGD(trained, RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)
    self._batch, loss = self._targets(), LOSSES[chosen['loss']]

    def loss_of(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
      with torch.autocast(self.device, torch.bfloat16, enabled=job.dtype == 'bfloat16'):
        found = network(batch['image'], logits=True)
      return loss(found, batch)

    self._loss_of = torch.compile(loss_of) if compiled else loss_of

  def _targets(self) -> dict[str, torch.Tensor]:
    """The batch on the device, unpacked once, as the loss takes it."""
    batch = make_batch(self.job)
    masks = torch.from_numpy(unpack_bits(batch['lesions'])).to(self.device)
    return {'image': torch.from_numpy(batch['image']).to(self.device), 'masks': masks, 'present': masks.amax((1, 2)),
            'grade': torch.from_numpy(batch['grade']).long().to(self.device)}

  def step(self) -> torch.Tensor:
    """One step; its loss, on the device."""
    self._optimizer.zero_grad(set_to_none=True)
    loss = self._loss_of(self._batch)
    loss.backward()
    self._optimizer.step()
    return loss.detach()

  def finish(self, loss: torch.Tensor) -> float:
    """Waits for the step, whole."""
    peer.wait(self.device)
    return float(loss)

  @staticmethod
  def is_out_of_memory(error: Exception) -> bool:
    """As PyTorch says it, on either device."""
    return isinstance(error, torch.OutOfMemoryError) or 'not enough memory' in str(error)

  def facts(self) -> dict[str, Any]:
    """Versions, memory, and the rate of its matrix products."""
    return peer.facts(self.device, self.job.dtype)
