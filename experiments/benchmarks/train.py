"""A training step of Lesion-Net-16s and of the multi-task network with a frozen lesion branch: ours beside PyTorch's.

Same weights, inputs, precision, losses and optimiser, each side a process of its own, taking turns. Neither augments,
and the batch lies on the device, unpacked for PyTorch. On a GPU:

  python -m experiments.benchmark train --size 896 --dtype bfloat16 --batch 8 16 32 64 --sides ours torch torch_compiled

Needs jax, flax, optax, numpy and torch alone. A batch for which a device has too little memory is reported.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from experiments import record
from experiments.benchmarks import train_page
from experiments.benchmarks.rounds import compare, take_turns
from experiments.benchmarks.steps import NETWORKS, SIDES
from experiments.benchmarks.workers import ask, hear, summarize, worker

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
# How far the losses of two sides may lie apart, as a part of their value: the first is of the same weights. After a step
# batch statistics of few pixels have magnified roundings.
TOLERANCE, AFTER_A_STEP = {'float32': 1e-3, 'bfloat16': 3e-2}, 20


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('train', help=__doc__.splitlines()[0], description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--network', choices=NETWORKS, nargs='+', default=list(NETWORKS))
  parser.add_argument('--size', type=int, default=256, help='side of the photographs (default 256)')
  parser.add_argument('--batch', type=int, nargs='+', default=[2], help='photographs in a step (default 2)')
  parser.add_argument('--dtype', choices=TOLERANCE, default='float32')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1: the whole)')
  parser.add_argument('--sides', choices=SIDES, nargs='+', default=list(SIDES), help='which to measure (default: all)')
  parser.add_argument('--steps', type=int, help='of one turn (default 1 on a CPU, 10 on an accelerator)')
  parser.add_argument('--rounds', type=int, default=7, help='turns of each side, interleaved (default 7)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes train.json and train.md, or train-gpu.* on a GPU; returns 1 where losses differ."""
  rows, machine = [], {}
  for network in arguments.network:
    for batch in arguments.batch:
      found, facts = measure(network, batch, arguments)
      rows.append(found)
      machine |= facts
      print(*train_page.lines_of(found), sep='\n', flush=True)
      if 'hardware' in machine:  # A larger batch may fail; what is known is written.
        page = _write(arguments, rows, machine)
  if 'hardware' not in machine:
    print('no batch fits into the memory of the device; choose a smaller --batch or --size', file=sys.stderr)
    return 1
  print(page)
  apart = [row for row in rows if row['loss_difference'] is not None
           and not _agree(row['loss_difference'], row['loss_difference_after_a_step'], arguments.dtype)]
  for row in apart:
    print(f'{row["network"]}, batch {row["batch"]}: the losses differ by {row["loss_difference"]:.1e}, after a step by '
          f'{row["loss_difference_after_a_step"]:.1e}', file=sys.stderr)
  return 1 if apart else 0


def _write(arguments: argparse.Namespace, rows: Sequence[Any], machine: dict[str, Any]) -> str:
  """Writes what was measured so far; returns the page."""
  result = {'benchmark': 'train', 'size': arguments.size, 'dtype': arguments.dtype, 'width': arguments.width,
            'rounds': arguments.rounds, 'rows': rows, **machine,
            'command': ' '.join(['python -m experiments.benchmark', *sys.argv[1:]])}
  name = 'train' if result['hardware']['device'] == 'cpu' else 'train-gpu'
  record.save(arguments.out / f'{name}.json', result)
  page = train_page.render(result)
  (arguments.out / f'{name}.md').write_text(page, encoding='utf-8')
  return page


def _agree(first: float, second: float, dtype: str) -> bool:
  return first <= TOLERANCE[dtype] and second <= AFTER_A_STEP * TOLERANCE[dtype]


def measure(network: str, batch: int, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
  """One network and batch: the row of the result, and facts about the machine.

  All sides are kept ready side by side. Where that is too much for the device's memory, each is started alone, twice.
  """
  sides = tuple(side for side in SIDES if side in ('ours', *arguments.sides))
  found = _together(sides, network, batch, arguments, arguments.rounds)
  together = not any('error' in one for one in found.values())
  if not together:
    half = math.ceil(arguments.rounds / 2)
    found = {}
    for side in sides * 2:
      one = _together((side,), network, batch, arguments, half)[side]
      if side in found and 'error' not in one:
        one['seconds'] = found[side]['seconds'] + one['seconds']
        one['cpu_seconds'] = found[side]['cpu_seconds'] + one['cpu_seconds']
      found[side] = one
  return _row(network, batch, found, together), _machine(found)


def _together(sides: Sequence[str], network: str, batch: int, arguments: argparse.Namespace, rounds: int,
              ) -> dict[str, dict[str, Any]]:
  """Starts all sides and lets them take turns; by side what it said, or {'error': ...} where memory is short."""
  with contextlib.ExitStack() as stack:
    running, found = {}, {}
    for side in sides:
      process = stack.enter_context(worker(
          'experiments.benchmarks.steps', side, '--network', network, '--size', arguments.size, '--batch', batch,
          '--dtype', arguments.dtype, '--width', arguments.width))
      found[side] = hear(process)
      if 'error' in found[side]:
        return found
      running[side] = process
    try:
      for side, process in running.items():
        found[side] |= ask(process, 'facts')
      on_cpu = any(one.get('hardware', {}).get('device') == 'cpu' for one in found.values())
      steps = arguments.steps or (1 if on_cpu else 10)
      times = take_turns(running, rounds, steps)
    except (RuntimeError, BrokenPipeError):  # A side has ended, and said why.
      return {side: {'error': 'ended before its time'} for side in sides}
    return {side: one | times[side] for side, one in found.items()}


def _row(network: str, batch: int, found: dict[str, dict[str, Any]], together: bool) -> dict[str, Any]:
  measured = {side: one for side, one in found.items() if 'error' not in one}
  ours, peers = measured.get('ours'), {side: one for side, one in measured.items() if side != 'ours'}
  row = {'network': network, 'batch': batch, 'side_by_side': together, 'flops': ours and ours['flops'],
         'sides': {side: one if 'error' in one else {
             'seconds': summarize(one['seconds']), 'cpu_seconds': summarize(one['cpu_seconds']), 'losses': one['losses'],
             'peak_memory': one['peak_memory'], 'seconds_to_ready': one['seconds_to_ready']}
             for side, one in found.items()}}
  if not (ours and peers):
    return row | {'loss_difference': None, 'ratios': {}}
  difference = lambda k: max(abs(one['losses'][k] / ours['losses'][k] - 1) for one in peers.values())
  return row | {
      'loss_difference': difference(0), 'loss_difference_after_a_step': difference(1),
      'ratios': {side: compare(ours['seconds'], one['seconds']) for side, one in peers.items()}}


def _machine(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """What the sides know of the machine; its rate of matrix products is the best that one of them reached."""
  measured = [one for one in found.values() if 'error' not in one]
  if not any('hardware' in one for one in measured):
    return {}
  ours = next(one for one in measured if 'hardware' in one)
  versions = {name: value for one in measured for name, value in one['versions'].items()}
  return {'hardware': ours['hardware'], 'versions': versions, 'copy_bytes_per_second': ours['copy_bytes_per_second'],
          'matmul_flops_per_second': max(one['matmul_flops_per_second'] for one in measured)}
