"""Photographs with eight masks at 896 from disk to batches: this library beside a plain PyTorch DataLoader."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image

from experiments import page, record
from experiments.benchmarks.turns import ask, cpu_seconds, hear, worker
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.data.datasets.retinal_lesions import MASK_NAMES, PRESENT, UNSCORED
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.threads import ordered_map

SEED, QUALITY = 0, 92  # of the synthetic images, and of their JPEG files
PACKAGES = ('grain', 'pillow', 'tensorflow-datasets', 'array-record', 'torch')
PAUSE = 2.0  # seconds between turns, in which a reader fills its buffers instead of another's turn
# Batches read before the clock starts, beyond those that a reader may hold ready, two for each worker of a DataLoader.
WARM = 4
MASKS = {'eight': 'eight masks a photograph', 'present': 'masks of lesions that are there, as in the raw dataset'}


def write_release(root: pathlib.Path, *, count: int, size: int, every_mask: bool) -> None:
  """Writes `count` photographs with their masks and grades, unless that was done before.

  Args:
    root: of the raw dataset.
    count: of the photographs.
    size: side of the squares.
    every_mask: write eight masks each; else only those of lesions that are there, as the raw dataset does.
  """
  table = root / 'dr_grades.csv'
  if table.exists():
    return
  lines = ordered_map(lambda index: _write(root, index, size, every_mask), range(count))
  rows = ['image id,kaggle label,our label', *lines]
  table.write_text('\n'.join([*rows, '']))


def _write(root: pathlib.Path, index: int, size: int, every_mask: bool) -> str:
  """Writes one photograph; returns its row of the table."""
  sample = synthetic.generate(seed=SEED, index=index, size=size)
  photograph = root / 'images_896x896' / f'{sample.id}.jpg'
  masks = root / 'lesion_segs_896x896' / sample.id
  for folder in (photograph.parent, masks):
    folder.mkdir(parents=True, exist_ok=True)
  Image.fromarray(sample.image).save(photograph, quality=QUALITY)
  present, unscored = unpack_bits(sample.lesions), unpack_bits(sample.ignore)
  for j, key in enumerate(LESION_KEYS):
    levels = np.where(present[..., j], PRESENT, np.where(unscored[..., j], UNSCORED, 0)).astype(np.uint8)
    if every_mask or levels.any():
      Image.fromarray(levels).save(masks / f'{MASK_NAMES[key]}.png')
  return f'{sample.id},0,{sample.grade}'


def ours(release: pathlib.Path, prepared: pathlib.Path, batch: int, workers: int) -> tuple[Iterator[Any], str]:
  """Batches of a preprocessed dataset, read by threads of this process, and the digest of its first example."""
  size = _size(release)
  source = load_dataset('retinal_lesions', data_dir=prepared, source_dir=release, size=size, quiet=True).source('train')
  example = source[0]
  masks = unpack_bits(example['lesions']).transpose(2, 0, 1)
  return train_batches(source, batch_size=batch, seed=SEED, threads=workers), _digest(example['image'], masks)


def torch(release: pathlib.Path, prepared: pathlib.Path, batch: int, workers: int) -> tuple[Iterator[Any], str]:
  """Batches of a DataLoader over the same photographs: image uint8 [3, S, S], masks uint8 [8, S, S], read anew."""
  import torch as th

  size, names = _size(release), [MASK_NAMES[key] for key in LESION_KEYS]

  class Photographs(th.utils.data.Dataset):
    """The files of the raw dataset, in the plainest way."""

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
  with Image.open(next((release / 'images_896x896').glob('*.jpg'))) as picture:
    return picture.width


def _digest(image: np.ndarray, masks: np.ndarray) -> str:
  return hashlib.sha256(np.ascontiguousarray(image).tobytes() + np.packbits(masks).tobytes()).hexdigest()


READERS = {'ours': ours, 'torch': torch}


def read(argv: Sequence[str] | None = None) -> None:
  """Reads a raw dataset in batches, a process that is told when to.

    python -m experiments.benchmarks.input ours|torch --release DIR --prepared DIR --batch 8 --workers 16 --cores 1

  It writes a line of JSON first, with the digest of one photograph with its masks, the same for both. Then it replies
  to a line 'N' on stdin, a number of batches, with the seconds that they took.
  """
  parser = argparse.ArgumentParser()
  parser.add_argument('reader', choices=READERS)
  parser.add_argument('--release', type=pathlib.Path, required=True)
  parser.add_argument('--prepared', type=pathlib.Path, required=True)
  for name in ('batch', 'workers', 'cores'):
    parser.add_argument(f'--{name}', type=int, required=True)
  arguments = parser.parse_args(argv)
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.cores])
  batches, digest = READERS[arguments.reader](arguments.release, arguments.prepared, arguments.batch, arguments.workers)
  print(json.dumps({'digest': digest}), flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    for _ in itertools.islice(batches, int(line)):
      pass
    print(json.dumps({'seconds': time.perf_counter() - start}), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the generated raw dataset is kept (default runs/benchmark)')
  parser.add_argument('--count', type=int, default=48, help='images to generate (default 48)')
  parser.add_argument('--size', type=int, default=896)
  parser.add_argument('--batch', type=int, default=8)
  parser.add_argument('--batches', type=int, default=8, help='of one turn (default 8)')
  parser.add_argument('--rounds', type=int, default=5, help='turns of each reader, interleaved (default 5)')
  parser.add_argument('--cores', type=int, nargs='+', default=[1, 2], help='cores that a reader may use (default 1 2)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes input.json and input.md."""
  rows = []
  for masks in MASKS:
    release = arguments.work / f'release-{arguments.size}-{arguments.count}-{masks}'
    write_release(release, count=arguments.count, size=arguments.size, every_mask=masks == 'eight')
    for cores in arguments.cores:
      rows += measure(release, arguments.work / 'prepared', masks, cores, arguments)
  result = {
      'benchmark': 'input', 'size': arguments.size, 'batch': arguments.batch, 'photographs': arguments.count,
      'jpeg_quality': QUALITY, 'seed': SEED, 'rounds': arguments.rounds, 'batches': arguments.batches, 'rows': rows,
      'versions': record.versions() | {name: metadata.version(name) for name in PACKAGES},
      'hardware': record.hardware(),
  }
  print(page.write(arguments.out, 'input', result, render))
  return 0


def measure(
    release: pathlib.Path, prepared: pathlib.Path, masks: str, cores: int, arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
  """Returns one row for each reader: images/s of each of its turns. The turns of all readers are interleaved."""
  readers = {'ours, 16 threads': ('ours', 16), 'DataLoader, 0 workers': ('torch', 0)}
  readers |= {f'DataLoader, {n} workers': ('torch', n) for n in sorted({cores, 2 * cores})}
  speeds: dict[str, list[float]] = {name: [] for name in readers}
  work: dict[str, list[float]] = {name: [] for name in readers}
  images = arguments.batches * arguments.batch
  with contextlib.ExitStack() as stack:
    running = {name: stack.enter_context(_reader(*reader, release, prepared, cores, arguments.batch))
               for name, reader in readers.items()}
    digests = {hear(process)['digest'] for process in running.values()}
    if len(digests) != 1:
      raise ValueError(f'the readers do not read the same: {digests}')
    for _ in range(arguments.rounds):
      for name, process in running.items():
        time.sleep(PAUSE)
        ask(process, str(WARM + 2 * max(workers for kind, workers in readers.values() if kind == 'torch')))
        before = cpu_seconds(process.pid)
        speeds[name].append(round(images / ask(process, str(arguments.batches))['seconds'], 2))
        work[name].append(round(1000 * (cpu_seconds(process.pid) - before) / images, 2))
  return [{'masks': masks, 'cores': cores, 'reader': name, 'images_per_second': speeds[name],
           'median': statistics.median(speeds[name]), 'cpu_ms_per_image': work[name],
           'cpu_ms': statistics.median(work[name])} for name in readers]


def _reader(kind: str, workers: int, release: pathlib.Path, prepared: pathlib.Path, cores: int, batch: int) -> Any:
  """The process of a reader, a context."""
  more_than_cores = 'ignore:This DataLoader will create:UserWarning'  # they wait for the disk too
  return worker('experiments.benchmarks.input', kind, '--release', release, '--prepared', prepared, '--batch', batch,
                '--workers', workers, '--cores', cores, environment={'PYTHONWARNINGS': more_than_cores})


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
  for row in result['rows']:
    groups.setdefault((row['masks'], row['cores']), []).append(row)
  return page.join(
      '# Reading speed',
      f'Photographs of {result["size"]}x{result["size"]} pixels with masks, from disk to batches of {result["batch"]}: '
      f'images/s, the median of {result["rounds"]} turns of {result["batches"]} batches that the readers took one '
      'after another, and the lowest and highest; and the CPU time of an image, which depends less on what else the '
      'machine does. `ours` reads a preprocessed dataset; `DataLoader` is plain PyTorch on the JPEG and PNG files of the '
      'same raw dataset. Both give the same pixels.',
      page.table(['masks', 'cores', 'reader', 'images/s', 'per core', 'range', 'ours / this', 'CPU ms an image', 'this / ours'],
                 [_cells(row, rows) for rows in groups.values() for row in rows]),
      page.provenance(result)) + '\n'


def _cells(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
  mine, found, cores = next(each for each in rows if each['reader'].startswith('ours')), row['images_per_second'], row['cores']
  times, less = ('', '') if row is mine else (
      f'{mine["median"] / row["median"]:.2f}', f'{row["cpu_ms"] / mine["cpu_ms"]:.2f}')
  return [MASKS[row['masks']], str(cores), row['reader'], f'{row["median"]:.1f}', f'{row["median"] / cores:.1f}',
          page.span(min(found), max(found), '.1f'), times, f'{row["cpu_ms"]:.1f}', less]


if __name__ == '__main__':
  read()
