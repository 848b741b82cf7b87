"""PyTorch's answer: BatchNorm folded into the convolutions, channels last, autocast to bfloat16 if asked to, compiled if
asked to.

Its networks are those that `lesion-jax export --to torch` writes, which compute what ours do.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import sys
import time
from typing import Any

os.environ['JAX_PLATFORMS'] = 'cpu'  # JAX only draws the weights here, and must not take the device's memory

import numpy as np
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

import lesion_jax
from experiments.benchmarks.answers import Job, make_images, make_variables

# By path: the package around it imports what `lesion-jax export` needs, and this needs torch alone.
sys.path.insert(0, str(pathlib.Path(lesion_jax.__file__).with_name('export')))
import lesion_jax_torch

MATMUL = {'cpu': 2048, 'cuda': 8192}  # side of the matrices, as in `machine`
REPEATS = 7


def fold(module: torch.nn.Module) -> None:
  """Folds every BatchNorm into the convolution before it, in place."""
  for child in module.children():
    if isinstance(getattr(child, 'bn', None), torch.nn.BatchNorm2d) and hasattr(child, 'conv'):
      child.conv, child.bn = fuse_conv_bn_eval(child.conv, child.bn), torch.nn.Identity()
    else:
      fold(child)


def prepare(network: torch.nn.Module, device: str, *, compiled: bool) -> Any:
  """The network in its fastest form."""
  torch.set_float32_matmul_precision('high')  # TF32 on a GPU; a CPU knows no such thing
  torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  fold(network.eval())
  network = network.to(device, memory_format=torch.channels_last)
  if not compiled:
    return network
  torch._inductor.config.freezing = True  # weights become constants, laid out as oneDNN and cuDNN like them
  return torch.compile(network, mode='reduce-overhead' if device == 'cuda' else None)


class Side:
  """Network and photographs on the device."""

  def __init__(self, job: Job, *, compiled: bool = False):
    from flax import traverse_util

    from lesion_jax.weights import names

    self._job, self._device = job, 'cuda' if torch.cuda.is_available() else 'cpu'
    network = lesion_jax_torch.build(**job.fields)
    flat = traverse_util.flatten_dict(make_variables(job), sep='/')
    network.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value))
                             for name, value in names.to_torch(flat).items()}, strict=False)
    self._network = prepare(network, self._device, compiled=compiled)
    self._images = torch.from_numpy(make_images(job)).to(self._device)

  def answer(self) -> Any:
    """Waits for it."""
    rounded = (torch.autocast(self._device, torch.bfloat16) if self._job.dtype == 'bfloat16' else
               contextlib.nullcontext())
    with torch.no_grad(), rounded:
      found = self._network(self._images)
    if self._device == 'cuda':
      torch.cuda.synchronize()
    return found

  def result(self) -> dict[str, np.ndarray]:
    """By head, float32."""
    return {head: value.float().cpu().numpy() for head, value in self.answer().items()}

  def facts(self) -> dict[str, Any]:
    """Versions, memory, and the rate of its matrix products."""
    peak = ({'bytes': torch.cuda.max_memory_allocated(), 'of': 'accelerator'} if self._device == 'cuda' else
            {'bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, 'of': 'process'})
    return {'versions': {'torch': torch.__version__}, 'peak_memory': peak,
            'matmul_flops_per_second': self._matmul_rate()}

  def _matmul_rate(self) -> float:
    side = MATMUL[self._device]
    x = torch.ones((side, side), dtype=getattr(torch, self._job.dtype), device=self._device)
    times = []
    with torch.inference_mode():
      for _ in range(REPEATS + 1):  # the first one warms up
        start = time.perf_counter()
        (x @ x)[0, 0].item()
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times[1:])
