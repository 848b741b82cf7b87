"""Makes abn.npz: what an Attention Branch Network written in torch computes, for tests/golden/test_abn_golden.py.

Needs torch, which the project itself does not: PYTHONPATH=tests python tests/golden/make_abn.py

The network is the one that `lesion-jax export --to torch` writes, on the shallow encoder. Weights come from their names
(`make_inception_v3.make_weights`). In float64, at rest and normalised by the batch.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from make_inception_v3 import make_weights

PATH = pathlib.Path(__file__).with_name('abn.npz')
IMAGE_SHAPE = (3, 77, 61, 3)
CLASSES = {'lesions': 8, 'grades': 5}


def run(task: str, mode: str, images: np.ndarray) -> tuple[dict[str, tuple[int, ...]], dict[str, np.ndarray]]:
  """(shapes of the weights by name, what the network computes with the golden weights) at 'rest' or in 'train'."""
  import tiny_torch
  import torch

  model = tiny_torch.build(name='abn_classifier', task=task).double().train(mode == 'train')
  shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
  model.load_state_dict({name: torch.from_numpy(value) for name, value in make_weights(shapes).items()})
  seen = []
  model.attention['map_bn'].register_forward_hook(lambda *call: seen.append(call[-1].sigmoid()))
  with torch.no_grad():
    found = model(torch.from_numpy(images), logits=True)
  found = {'logits': found[task], 'auxiliary': found['auxiliary'], 'attention': seen[0].permute(0, 2, 3, 1)}
  return shapes, {name: value.numpy() for name, value in found.items()}


def main() -> None:
  images = np.random.Generator(np.random.Philox(key=0)).integers(0, 256, IMAGE_SHAPE, np.uint8)
  arrays = {'images': images}
  for task in CLASSES:
    for mode in ('rest', 'train'):
      shapes, found = run(task, mode, images)
      arrays[f'{task}/shapes'] = np.array(json.dumps(shapes))
      for name, value in found.items():
        arrays[f'{task}/{mode}/{name}'] = value.astype(np.float32)
        print(task, mode, name, value.shape, f'standard deviation {value.std():.3f}')
  np.savez_compressed(PATH, **arrays)
  print(f'{PATH.name}: {PATH.stat().st_size} bytes')


if __name__ == '__main__':
  main()
