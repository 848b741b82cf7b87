"""Two programs that read a release in batches, each a process of its own that is told when to read.

  python -m experiments.benchmarks.readers ours|torch --release DIR --prepared DIR --batch 8 --workers 16 --cores 1

It answers a line 'N' on stdin, a number of batches, with the seconds that they took; first it says the digest of one
photograph with its masks, the same for both.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

SIDES = ('ours', 'torch')
SEED = 0


def ours(release: pathlib.Path, prepared: pathlib.Path, batch: int, workers: int) -> tuple[Iterator[Any], str]:
  """Batches of a prepared data set, read by threads of this process, and the digest of its first example."""
  from lesion_jax.core import unpack_bits
  from lesion_jax.data.pipeline import train_batches
  from lesion_jax.data.registry import load_dataset

  size = _size(release)
  source = load_dataset('retinal_lesions', data_dir=prepared, source_dir=release, size=size, quiet=True).source('train')
  example = source[0]
  masks = unpack_bits(example['lesions']).transpose(2, 0, 1)
  return train_batches(source, batch_size=batch, seed=SEED, threads=workers), _digest(example['image'], masks)


def torch(release: pathlib.Path, prepared: pathlib.Path, batch: int, workers: int) -> tuple[Iterator[Any], str]:
  """Batches of a DataLoader over the same photographs: image uint8 [3, S, S], masks uint8 [8, S, S], read anew."""
  import torch as th
  from PIL import Image

  from lesion_jax.core import LESION_KEYS
  from lesion_jax.data.datasets.retinal_lesions import MASK_NAMES, PRESENT
  from lesion_jax.data.registry import load_dataset

  size, names = _size(release), [MASK_NAMES[key] for key in LESION_KEYS]

  class Photographs(th.utils.data.Dataset):
    """The files of the release, in the plainest way."""

    def __init__(self, ids: Sequence[str]):
      self.ids = ids

    def __len__(self) -> int:
      return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
      name = self.ids[index]
      with Image.open(release / 'images_896x896' / f'{name}.jpg') as picture:
        image = th.from_numpy(np.array(picture)).permute(2, 0, 1)
      masks = th.zeros((len(names), size, size), dtype=th.uint8)
      for j, lesion in enumerate(names):
        path = release / 'lesion_segs_896x896' / name / f'{lesion}.png'
        if path.exists():
          with Image.open(path) as mask:
            masks[j] = th.from_numpy(np.array(mask))
      return image, masks

  ids = load_dataset('retinal_lesions', data_dir=prepared, source_dir=release, size=size, quiet=True).source('train').ids()
  dataset = Photographs(ids)
  image, masks = dataset[0]
  sampler = th.utils.data.RandomSampler(dataset, replacement=True, num_samples=10**7,
                                        generator=th.Generator().manual_seed(SEED))
  loader = th.utils.data.DataLoader(dataset, batch_size=batch, sampler=sampler, num_workers=workers)
  return iter(loader), _digest(image.permute(1, 2, 0).numpy(), masks.numpy() == PRESENT)


def _size(release: pathlib.Path) -> int:
  from PIL import Image

  with Image.open(next((release / 'images_896x896').glob('*.jpg'))) as picture:
    return picture.width


def _digest(image: np.ndarray, masks: np.ndarray) -> str:
  return hashlib.sha256(np.ascontiguousarray(image).tobytes() + np.packbits(masks).tobytes()).hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
  """Answers lines until stdin ends."""
  parser = argparse.ArgumentParser()
  parser.add_argument('side', choices=SIDES)
  parser.add_argument('--release', type=pathlib.Path, required=True)
  parser.add_argument('--prepared', type=pathlib.Path, required=True)
  for name in ('batch', 'workers', 'cores'):
    parser.add_argument(f'--{name}', type=int, required=True)
  arguments = parser.parse_args(argv)
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.cores])
  reader = {'ours': ours, 'torch': torch}[arguments.side]
  batches, digest = reader(arguments.release, arguments.prepared, arguments.batch, arguments.workers)
  print(digest, flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    for _ in itertools.islice(batches, int(line)):
      pass
    print(time.perf_counter() - start, flush=True)


if __name__ == '__main__':
  main()
