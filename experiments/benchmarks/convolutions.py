"""3x3 convolutions on a CPU: as prediction computes them by Winograd's algorithm, and as XLA does.

Both in one process, taking turns, at the shapes of the paper's networks and around the limits from which prediction uses it.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import time
from collections.abc import Mapping
from typing import Any
from unittest import mock

import jax
import numpy as np

from experiments import page, record
from experiments.benchmarks.turns import RATIO, compare, ratio_cells
from lesion_jax import runtime
from lesion_jax.cpu import winograd
from lesion_jax.cpu.rewriting import rewritten

# Side of the square, channels in and out.
SHAPES = ((56, 1280, 512), (56, 512, 512), (28, 512, 512), (28, 448, 384), (28, 2048, 256), (112, 256, 256), (112, 256, 128),
          (112, 96, 96), (224, 80, 192), (20, 512, 512), (14, 512, 512), (14, 1280, 512))


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--rounds', type=int, default=9, help='turns of each (default 9)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes convolutions.json and convolutions.md."""
  with mock.patch.multiple(winograd, MIN_CHANNELS=1, MIN_TILES=1):
    rows = [measure(*shape, arguments.rounds) for shape in SHAPES]
  for row in rows:
    row['used'] = (min(row['channels']) >= winograd.MIN_CHANNELS and row['tiles'] >= winograd.MIN_TILES)
  result = {'benchmark': 'convolutions', 'rounds': arguments.rounds, 'rows': rows, 'hardware': record.hardware(),
            'versions': record.versions()}
  print(page.write(arguments.out, 'convolutions', result, render))
  return 0


def measure(size: int, channels: int, features: int, rounds: int) -> dict[str, Any]:
  """Measures one shape."""
  rng = np.random.default_rng(0)
  x = jax.device_put(rng.normal(size=(1, size, size, channels)).astype(np.float32))
  kernel = jax.device_put(rng.normal(size=(3, 3, channels, features)).astype(np.float32) / np.sqrt(9 * channels))
  ways = {'xla': _convolve, 'winograd': rewritten(_convolve, winograd.RULES)}
  compiled = {name: jax.jit(way, compiler_options=runtime.compiler_options('cpu')).lower(x, kernel).compile()
              for name, way in ways.items()}
  results = {name: np.asarray(way(x, kernel)) for name, way in compiled.items()}
  times = {name: [] for name in compiled}
  for _ in range(rounds):
    for name, way in compiled.items():
      start = time.perf_counter()
      jax.block_until_ready(way(x, kernel))
      times[name].append(time.perf_counter() - start)
  return {'size': size, 'channels': [channels, features], 'tiles': (size // 2)**2,
          'seconds': {name: statistics.median(each) for name, each in times.items()},
          'ratio': compare(times['xla'], times['winograd']),
          'difference': float(np.abs(results['xla'] - results['winograd']).max())}


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  return page.join(
      '# Wide convolutions', ' '.join(__doc__.splitlines()),
      f'One photograph, float32, results of about 1; medians of {result["rounds"]} turns.',
      page.table(['side', 'channels', 'tiles', 'XLA, ms', 'Winograd, ms', 'Winograd / XLA', RATIO[-1], 'largest difference',
                  'used'], map(_cells, result['rows'])),
      page.provenance(result)) + '\n'


def _cells(row: Mapping[str, Any]) -> list[str]:
  channels, features = row['channels']
  return [str(row['size']), f'{channels} to {features}', str(row['tiles']),
          *(f'{1e3 * row["seconds"][way]:.1f}' for way in ('xla', 'winograd')), *ratio_cells(row['ratio'])[1:],
          f'{row["difference"]:.1e}', 'yes' if row['used'] else 'no']
