"""Makes inception_v3.npz: what torchvision's Inception-v3 computes, for tests/golden/test_inception_v3_golden.py.

Needs torch and torchvision, which the project itself does not: python tests/golden/make_inception_v3.py

Weights come from their names and shapes alone (`make_weights`), so the file holds none, and the other side makes the
same without torch. The network runs in float64, twice: as it is ('VALID') and with 1 pixel of padding on each side of
every 3x3 convolution and max pool that has none ('SAME').
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import pathlib
from unittest import mock

import numpy as np

PATH = pathlib.Path(__file__).with_name('inception_v3.npz')
TAPS = {2: 'Conv2d_2b_3x3', 4: 'Conv2d_4a_3x3', 8: 'Mixed_5d', 16: 'Mixed_6e', 32: 'Mixed_7c'}
UNPADDED = (
    'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_4a_3x3', 'Mixed_6a.branch3x3', 'Mixed_6a.branch3x3dbl_3',
    'Mixed_7a.branch3x3_2', 'Mixed_7a.branch7x7x3_4',
)
IMAGE_SHAPE = (1, 83, 107, 3)  # odd, so that a wrong side of padding shows
SAMPLES = 3500  # values kept of each tap, beside the mean of every channel


def make_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """Weights by torch's names, float32; scaled so that activations stay of order 1 through the depth."""
  return {name: _make(name, tuple(shape)) for name, shape in shapes.items()}


def _make(name: str, shape: tuple[int, ...]) -> np.ndarray:
  if name.endswith('num_batches_tracked'):
    return np.zeros(shape, np.int64)
  key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], 'little')
  rng = np.random.Generator(np.random.Philox(key=key))
  if len(shape) > 1:
    x = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
  elif name.endswith(('running_var', 'weight')):
    x = rng.uniform(0.6, 1.4, shape)
  else:
    x = rng.standard_normal(shape) / 10
  return x.astype(np.float32)


def sample(tap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """What is kept of a tap [1, H, W, C]: SAMPLES values spread over it, and the mean over pixels of every channel."""
  index = np.linspace(0, tap.size - 1, SAMPLES).astype(np.int64)
  return tap.reshape(-1)[index], tap.mean(axis=(0, 1, 2))


def import_inception():
  """torchvision's module, also where its compiled operators are absent: the network uses none of them."""
  import torch

  library = torch.library.Library('torchvision', 'DEF')
  for operator in ('nms', 'qnms'):
    with contextlib.suppress(RuntimeError):
      library.define(f'{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
  from torchvision.models import inception

  return inception


def _run(model, images: np.ndarray) -> dict[int, np.ndarray]:
  """The taps, as NHWC float64."""
  import torch

  taps = {}
  hooks = [
      model.get_submodule(name).register_forward_hook(lambda _, __, y, stride=stride: taps.update({stride: y}))
      for stride, name in TAPS.items()
  ]
  x = torch.from_numpy((images.transpose(0, 3, 1, 2).astype(np.float64) / 255 - 0.5) / 0.5)
  with torch.no_grad():
    model(x)
  for hook in hooks:
    hook.remove()
  return {stride: y.numpy().transpose(0, 2, 3, 1) for stride, y in taps.items()}


def main() -> None:
  import torch

  inception = import_inception()
  model = inception.inception_v3(weights=None, init_weights=False, transform_input=False).double().eval()
  shapes = {name: tuple(x.shape) for name, x in model.state_dict().items()}
  model.load_state_dict({name: torch.from_numpy(x) for name, x in make_weights(shapes).items()})
  images = np.random.Generator(np.random.Philox(key=0)).integers(0, 256, IMAGE_SHAPE, np.uint8)

  taps = {'VALID': _run(model, images)}
  for name in UNPADDED:
    model.get_submodule(name).conv.padding = (1, 1)
  unpadded = torch.nn.functional.max_pool2d
  padded = lambda x, kernel_size, stride=None, *args, **kwargs: unpadded(x, kernel_size, stride, padding=1)
  with mock.patch.object(torch.nn.functional, 'max_pool2d', padded):
    taps['SAME'] = _run(model, images)

  arrays = {'images': images, 'shapes': np.array(json.dumps(shapes))}
  for padding, strides in taps.items():
    for stride, tap in strides.items():
      values, means = sample(tap)
      kept = {'values': values.astype(np.float32), 'means': means.astype(np.float32), 'shape': np.array(tap.shape)}
      arrays |= {f'{padding}/{stride}/{what}': array for what, array in kept.items()}
      print(padding, stride, tap.shape, f'mean {tap.mean():.3f}, standard deviation {tap.std():.3f}')
  np.savez_compressed(PATH, **arrays)
  print(f'{PATH.name}: {PATH.stat().st_size} bytes')


if __name__ == '__main__':
  main()
