"""What the programs in PyTorch share. Imports torch and no JAX, as a user of an exported network would."""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from experiments import record

MATMUL = {'cpu': 2048, 'cuda': 8192}  # side of the matrices, as in `machine`
REPEATS = 7
ENOUGH = 5.0  # seconds: PyTorch takes a quarter of a minute for a product in bfloat16 where a CPU does not know that type


def set_up() -> str:
  """Chooses the fastest settings; returns the device."""
  torch.set_float32_matmul_precision('high')  # TF32 on a GPU; a CPU knows no such thing
  torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
  torch.set_num_threads(len(os.sched_getaffinity(0)))
  return 'cuda' if torch.cuda.is_available() else 'cpu'


def build(fields: Mapping[str, Any], variables: Mapping[str, Any]) -> torch.nn.Module:
  """Returns the network that `lesion-jax export --to torch` writes for these fields of `get_model`, with our
  weights."""
  import numpy as np
  from flax import traverse_util

  import lesion_jax
  from lesion_jax.weights import names

  # By path: the package around it imports what `lesion-jax export` needs, and this needs torch alone.
  sys.path.insert(0, str(pathlib.Path(lesion_jax.__file__).with_name('export')))
  import lesion_jax_torch

  network = lesion_jax_torch.build(**fields)
  flat = traverse_util.flatten_dict(variables, sep='/')
  network.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value))
                           for name, value in names.to_torch(flat).items()}, strict=False)
  return network


def fold(module: torch.nn.Module) -> None:
  """Folds BatchNorm into the convolution before it, wherever both are a `ConvBN`, in place, for inference."""
  for child in module.children():
    if isinstance(getattr(child, 'bn', None), torch.nn.BatchNorm2d) and hasattr(child, 'conv'):
      child.conv, child.bn = fuse_conv_bn_eval(child.conv.eval(), child.bn.eval()), torch.nn.Identity()
    else:
      fold(child)


def wait(device: str) -> None:
  """Waits until the device has done all."""
  if device == 'cuda':
    torch.cuda.synchronize()


def facts(device: str, dtype: str) -> dict[str, Any]:
  """Returns versions, memory, and the rate of matrix products."""
  peak = ({'bytes': torch.cuda.max_memory_allocated(), 'of': 'accelerator'} if device == 'cuda' else
          {'bytes': record.process_peak(), 'of': 'process'})
  return {'versions': {'torch': torch.__version__}, 'peak_memory': peak,
          'matmul_flops_per_second': _matmul_rate(device, dtype)}


def _matmul_rate(device: str, dtype: str) -> float:
  side = MATMUL[device]
  x = torch.randn((side, side), device=device).to(getattr(torch, dtype))
  times = []
  with torch.inference_mode():
    for _ in range(REPEATS + 1):  # the first one warms up
      start = time.perf_counter()
      (x @ x)[0, 0].item()
      times.append(time.perf_counter() - start)
      if sum(times) > ENOUGH:
        break
  return 2 * side**3 / min(times[1:] or times)
