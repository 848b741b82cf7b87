"""Makes segmentation.npz: what torch computes for the segmentation baselines, for test_segmentation_golden.py.

Needs torch, which the project itself does not: PYTHONPATH=tests python tests/golden/make_segmentation.py

The networks that `lesion-jax export --to torch` writes run in float64, on the shallow encoder. Weights come
from names and shapes alone, as for Inception-v3, and inputs from a generator, so that the file holds results only.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from make_inception_v3 import make_weights, sample

PATH = pathlib.Path(__file__).with_name('segmentation.npz')
IMAGE_SHAPE = (2, 45, 61, 3)  # odd at every stride, so that a wrong crop or a shifted grid shows
WIDTH = 1 / 16
GAMMA = 0.75  # of the attention blocks, in place of a gate that is shut
# Shape and scale of what single blocks are given: room for every dilation; energies at which no softmax is one-hot.
FEATURES = {
    'aspp': ((2, 21, 23, 16), 1.0),
    'position_attention': ((2, 6, 7, 16), 1.0),
    'channel_attention': ((2, 6, 7, 16), 0.2),
}


def make_images() -> np.ndarray:
  """uint8 of IMAGE_SHAPE."""
  return np.random.Generator(np.random.Philox(key=1)).integers(0, 256, IMAGE_SHAPE, np.uint8)


def make_features(block: str) -> np.ndarray:
  """float32 [B, h, w, C]: the input of a single block."""
  shape, scale = FEATURES[block]
  return (scale * np.random.Generator(np.random.Philox(key=2)).standard_normal(shape)).astype(np.float32)


def make_state(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
  """`make_weights`, with open gates."""
  return {name: np.full(shapes[name], GAMMA, np.float32) if name.endswith('gamma') else array
          for name, array in make_weights(shapes).items()}


def make_modules():
  """The networks and single blocks in torch by name, in float64 and in inference mode."""
  import tiny_torch

  from lesion_jax.export.lesion_jax_torch import baselines

  networks = {f'fcn_{stride}s': f'fcn_{stride}s' for stride in (32, 16, 8)}
  networks |= {'unet': 'unet', 'deeplab': 'deeplab_v3_plus', 'danet': 'danet'}
  modules = {name: tiny_torch.build(name=network, width=WIDTH) for name, network in networks.items()}
  modules |= {'aspp': baselines.ASPP(16, 16), 'position_attention': baselines.PositionAttention(16),
              'channel_attention': baselines.ChannelAttention()}
  return {name: module.double().eval() for name, module in modules.items()}


def run(name: str, module) -> np.ndarray:
  """What a module of `make_modules` computes with the golden weights: float64 [B, h, w, C]."""
  import torch

  shapes = {key: tuple(x.shape) for key, x in module.state_dict().items()}
  module.load_state_dict({key: torch.from_numpy(x) for key, x in make_state(shapes).items()})
  with torch.no_grad():
    if name in FEATURES:
      x = make_features(name).transpose(0, 3, 1, 2).astype(np.float64)
      return module(torch.from_numpy(x)).numpy().transpose(0, 2, 3, 1)
    return module(torch.from_numpy(make_images()), logits=True)['maps'].numpy()


def main() -> None:
  arrays, shapes = {}, {}
  for name, module in make_modules().items():
    y = run(name, module)
    shapes[name] = {key: tuple(x.shape) for key, x in module.state_dict().items()}
    values, means = sample(y)
    kept = {'values': values.astype(np.float32), 'means': means.astype(np.float32), 'shape': np.array(y.shape)}
    arrays |= {f'{name}/{what}': array for what, array in kept.items()}
    print(name, y.shape, f'mean {y.mean():.3f}, standard deviation {y.std():.3f}')
  arrays['shapes'] = np.array(json.dumps(shapes))
  np.savez_compressed(PATH, **arrays)
  print(f'{PATH.name}: {PATH.stat().st_size} bytes')


if __name__ == '__main__':
  main()
