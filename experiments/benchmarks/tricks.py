"""What each of our arrangements for a CPU earns: an inference and a training step with all of them, and with all but one.

All in one process, taking turns; the network is the same, and so is what it computes but for roundings. An arrangement is left out
where the program is traced and compiled. 'One less / all' says how many times as long it takes without it.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import jax

from experiments import page, record
from experiments.benchmarks import predict, train
from experiments.benchmarks.turns import RATIO, compare, ratio_cells
from lesion_jax import runtime
from lesion_jax.cpu import arrangement, kernels, pools, sums, winograd
from lesion_jax.machine import keep_from_here, keep_memory

ALL = 'all'
TRICKS = {  # what is left out, and of what it is a part
    'pools': 'pools and their gradients from slices', 'winograd': "wide 3x3 convolutions by Winograd's algorithm",
    'kernels': 'gradients of kernels from arrays with their border in them', 'sums': 'sums over pixels as matrix products',
    'options': "XLA's older way of compiling all but matrix products"}
OF = {'inference': ('pools', 'winograd', 'options'), 'step': tuple(TRICKS)}
LITTLE = 1.05  # below, an arrangement earns less than 5 %


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--inference_size', type=int, default=896, help='side of the photograph of the multi-task network (default 896)')
  parser.add_argument('--network', nargs='+', choices=train.NETWORKS, default=list(train.NETWORKS), help='of the steps (default: both)')
  parser.add_argument('--size', type=int, default=256, help='side of the photographs in a step (default 256)')
  parser.add_argument('--batch', type=int, default=2, help='photographs in a step (default 2)')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')
  parser.add_argument('--rounds', type=int, default=9, help='turns of each (default 9)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes tricks.json and tricks.md."""
  keep_memory()
  job = predict.Job(arguments.inference_size, 1, 'float32', arguments.width)
  rows = [measure('inference', 'multitask', lambda: predict.Ours(job).infer, arguments.rounds)]
  for network in arguments.network:
    rows.append(measure('step', network, lambda network=network: _step(
        train.Job(network, arguments.size, arguments.batch, 'float32', arguments.width)), arguments.rounds))
  result = {'benchmark': 'tricks', **{name: getattr(arguments, name) for name in ('inference_size', 'size', 'batch', 'width', 'rounds')},
            'rows': rows, 'hardware': record.hardware(), 'versions': record.versions()}
  print(page.write(arguments.out, 'tricks', result, render))
  return 0


def _step(job: train.Job) -> Callable[[], Any]:
  ours = train.Ours(job)
  return lambda: ours.finish(ours.step())


@contextlib.contextmanager
def without(trick: str) -> Iterator[None]:
  """Leaves one of TRICKS out of what is traced and compiled inside; ALL leaves nothing out."""
  leave = lambda *_, **__: None
  with contextlib.ExitStack() as stack:
    if trick == 'pools':
      stack.enter_context(mock.patch.dict(arrangement.RULES, dict.fromkeys(pools.RULES, leave)))
    elif trick == 'sums':
      stack.enter_context(mock.patch.dict(sums.RULES, dict.fromkeys(sums.RULES, leave)))
    elif trick in ('winograd', 'kernels'):
      stack.enter_context(mock.patch.object({'winograd': winograd, 'kernels': kernels}[trick], 'convolve', leave))
    elif trick == 'options':
      stack.enter_context(mock.patch.object(runtime, 'compiler_options', leave))
    yield


def measure(what: str, network: str, make: Callable[[], Callable[[], Any]], rounds: int) -> dict[str, Any]:
  """Measures one computation with all tricks, and without each of `OF[what]`.

  Args:
    what: 'inference' or 'step'.
    network: its name.
    make: builds it, under `without`; a call of what it returns computes once, and waits.
    rounds: turns of each.
  """
  programs = {}
  for trick in (ALL, *OF[what]):
    with without(trick):
      programs[trick] = make()
      programs[trick]()  # traced and compiled here
  keep_from_here()
  times = {trick: [] for trick in programs}
  for _ in range(rounds):
    for trick, compute in programs.items():
      start = time.perf_counter()
      compute()
      times[trick].append(time.perf_counter() - start)
  jax.clear_caches()
  return {'what': what, 'network': network, 'seconds': times,
          'ratios': {trick: compare(times[ALL], times[trick]) for trick in OF[what]}}


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  parts = []
  for row in result['rows']:
    size, batch = (result['inference_size'], 1) if row['what'] == 'inference' else (result['size'], result['batch'])
    title = {'inference': 'An inference', 'step': 'A training step'}[row['what']]
    parts += [f'## {title} of {row["network"]}',
              f'{batch} of {size}x{size}; with all of them {statistics.median(row["seconds"][ALL]):.3g} s.',
              page.table(['left out', 's', *(f'one less / all, {name}' for name in RATIO)], _lines(row))]
    if little := [trick for trick, ratio in row['ratios'].items() if ratio['median'] < LITTLE]:
      parts.append(f'Earns less than 5 % here: {", ".join(little)}.')
  return page.join('# What each arrangement for a CPU earns', ' '.join(__doc__.splitlines()),
                   f'Float32, width {result["width"]:g}; medians of {result["rounds"]} turns.', *parts, page.provenance(result)) + '\n'


def _lines(row: Mapping[str, Any]) -> Sequence[list[str]]:
  return [[f'{trick}: {TRICKS[trick]}', f'{statistics.median(row["seconds"][trick]):.3g}', *ratio_cells(ratio)]
          for trick, ratio in row['ratios'].items()]
