"""The same training step in PyTorch: channels last, autocast to bfloat16, TF32, fused SGD, and compiled if asked to.

Its networks are those that `lesion-jax export --format torch` writes, which compute what ours do.
"""

from __future__ import annotations

import os
import pathlib
import resource
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from flax import traverse_util
from torch.nn.utils.fusion import fuse_conv_bn_eval

import lesion_jax
from experiments.benchmarks.steps import (
    DUAL_WEIGHT, MOMENTUM, NETWORKS, RATE, WEIGHT_DECAY, Job, initial_variables, make_batch)
from lesion_jax.core import unpack_bits
from lesion_jax.weights import names

# By path: the package beside it imports what `lesion-jax export` needs, and this needs torch alone.
sys.path.insert(0, str(pathlib.Path(lesion_jax.__file__).with_name('export')))
import lesion_jax_torch  # noqa: E402

MATMUL = {'cpu': 2048, 'cuda': 8192}  # side of the matrices
REPEATS = 7


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


def fold(module: torch.nn.Module) -> None:
  """Folds every BatchNorm of a frozen network into the convolution before it, in place."""
  for child in module.children():
    if isinstance(getattr(child, 'bn', None), torch.nn.BatchNorm2d) and hasattr(child, 'conv'):
      child.conv, child.bn = fuse_conv_bn_eval(child.conv.eval(), child.bn.eval()), torch.nn.Identity()
    else:
      fold(child)


class Torch:
  """Network and batch on the device, and the step."""

  def __init__(self, job: Job, *, compiled: bool):
    self.job, chosen = job, NETWORKS[job.network]
    self.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_float32_matmul_precision('high')  # TF32 on a GPU; a CPU knows no such thing
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = lesion_jax_torch.build(**job.fields)
    flat = traverse_util.flatten_dict(initial_variables(job), sep='/')
    network.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value))
                             for name, value in names.to_torch(flat).items()}, strict=False)
    if chosen['frozen']:
      fold(getattr(network, chosen['frozen']))
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
    if self.device == 'cuda':
      torch.cuda.synchronize()
    return float(loss)

  @staticmethod
  def is_out_of_memory(error: Exception) -> bool:
    """As PyTorch says it, on either device."""
    return isinstance(error, torch.OutOfMemoryError) or 'not enough memory' in str(error)

  def facts(self) -> dict[str, Any]:
    """Versions, memory, and the rate of its matrix products."""
    peak = ({'bytes': torch.cuda.max_memory_allocated(), 'of': 'accelerator'} if self.device == 'cuda' else
            {'bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 'of': 'process'})
    return {'versions': {'torch': torch.__version__}, 'peak_memory': peak,
            'matmul_flops_per_second': self._matmul_rate()}

  def _matmul_rate(self) -> float:
    import time

    side = MATMUL[self.device]
    x = torch.ones((side, side), dtype=getattr(torch, self.job.dtype), device=self.device)
    times = []
    with torch.inference_mode():
      for _ in range(REPEATS + 1):  # the first one warms up
        start = time.perf_counter()
        self.finish((x @ x)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times[1:])
