"""The answer of the multi-task network (Lesion-Net-16s) to a batch of photographs: ours beside PyTorch's.

Same weights, photographs and precision, each side a process of its own, taking turns. PyTorch has BatchNorm folded, channels
last, and is measured both as it is and compiled. On a GPU:

  python -m experiments.benchmark predict --dtype bfloat16 --batch 1 32 --sides ours torch torch_compiled

Needs jax, flax, optax, numpy and torch alone; a side that needs more is left out, with a word, where that is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import record
from experiments.benchmarks import machine, predict_page
from experiments.benchmarks.answers import DTYPES, HEADS, SIDES, Job
from experiments.benchmarks.rounds import compare, take_turns
from experiments.benchmarks.workers import ask, hear, summarize, worker

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
OURS, PEERS = ('ours', 'onnxruntime'), ('torch', 'torch_compiled', 'plain')
TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.1}  # of a probability, from ours


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('predict', help=__doc__.splitlines()[0], description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
  add_job(parser)
  parser.add_argument('--sides', choices=SIDES, nargs='+', default=list(SIDES), help='which to measure (default: all)')
  parser.add_argument('--rounds', type=int, default=11, help='turns of each side, interleaved (default 11)')
  parser.add_argument('--count', type=int, default=1, help='answers in a turn (default 1; try 10 on a GPU)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def add_job(parser: argparse.ArgumentParser) -> None:
  """Adds what says which answer is measured."""
  parser.add_argument('--size', type=int, default=896, help='side of the photographs (default 896)')
  parser.add_argument('--batch', type=int, nargs='+', default=[1], help='photographs in an answer (default 1)')
  parser.add_argument('--dtype', choices=DTYPES, default='float32')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes predict.json and predict.md, or predict-gpu.* on a GPU; returns 1 where answers differ."""
  jobs = [Job(arguments.size, batch, arguments.dtype, arguments.width) for batch in arguments.batch]
  command = ' '.join(['python -m experiments.benchmark', *sys.argv[1:]])
  result = {'benchmark': 'predict', **measure(jobs, arguments.sides, arguments.rounds, arguments.count), 'command': command}
  name = 'predict' if result['hardware']['device'] == 'cpu' else 'predict-gpu'
  record.save(arguments.out / f'{name}.json', result)
  page = predict_page.render(result)
  (arguments.out / f'{name}.md').write_text(page, encoding='utf-8')
  print(page)
  apart = [(row['batch'], side, found['difference']) for row in result['rows'] for side, found in row['sides'].items()
           if not found['difference'] <= TOLERANCE[arguments.dtype]]
  for batch, side, difference in apart:
    print(f'{side}, batch {batch}: its probabilities differ from ours by {difference:.1e}', file=sys.stderr)
  return 1 if apart else 0


def measure(jobs: Sequence[Job], sides: Sequence[str], rounds: int, count: int) -> dict[str, Any]:
  """The result: a row for each job, and the machine. 'ours' is measured always, as all else is compared with it."""
  rows, facts = [], {}
  for job in jobs:
    found, said, missing = _measure_one(job, [side for side in SIDES if side in (*sides, 'ours')], rounds, count)
    facts |= said
    works = [machine.Work(*work) for work in said['work']]
    rows.append({'batch': job.batch, 'sides': found, 'ratios': _ratios(found), 'works': works,
                 'flops': sum(work.flops for work in works)})
  limits = {'matmul_flops_per_second': facts['matmul_flops_per_second'],
            'copy_bytes_per_second': facts['copy_bytes_per_second']}
  for row in rows:
    row['floor_seconds'] = machine.floor(row.pop('works'), *limits.values())
  return {'size': jobs[0].size, 'dtype': jobs[0].dtype, 'width': jobs[0].width, 'rounds': rounds, 'count': count,
          'rows': rows, 'missing': missing, **limits, 'hardware': facts['hardware'], 'versions': facts['versions']}


def _measure_one(job: Job, sides: Sequence[str], rounds: int, count: int,
                 ) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
  """By side what was measured; what all of them know, their best rate of matrix products; what is missing, by side."""
  with contextlib.ExitStack() as stack:
    running, ready, missing = {}, {}, {}
    for side in sides:
      process = stack.enter_context(worker('experiments.benchmarks.answers', side, *job.arguments()))
      said = hear(process)
      if 'missing' in said:
        missing[side] = said['missing']
      else:
        running[side], ready[side] = process, said['seconds_to_ready']
    differences = _differences(running)
    times = take_turns(running, rounds, count)
    facts = {side: ask(process, 'facts') for side, process in running.items()}
  found = {side: {'seconds': summarize(times[side]['seconds']), 'cpu_seconds': summarize(times[side]['cpu_seconds']),
                  'seconds_to_ready': ready[side], 'difference': differences[side],
                  'peak_memory': facts[side]['peak_memory']} for side in running}
  said = dict(facts['ours'])
  said['versions'] = {name: value for one in facts.values() for name, value in one['versions'].items()}
  said['matmul_flops_per_second'] = max(one.get('matmul_flops_per_second', 0) for one in facts.values())
  return found, said, missing


def _differences(running: Mapping[str, Any]) -> dict[str, float]:
  """By side, the largest difference in probability from ours, of all heads."""
  with tempfile.TemporaryDirectory() as folder:
    answers = {}
    for side, process in running.items():
      ask(process, f'save {folder}/{side}.npz')
      with np.load(f'{folder}/{side}.npz') as file:
        answers[side] = {head: file[head] for head in HEADS}
  return {side: max(float(np.abs(answer[head] - answers['ours'][head]).max()) for head in HEADS)
          for side, answer in answers.items()}


def _ratios(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """'PEER / OURS': how many times as long as one of OURS each of PEERS took."""
  seconds = {side: one['seconds']['all'] for side, one in found.items()}
  return {f'{peer} / {own}': compare(seconds[own], seconds[peer])
          for own in OURS for peer in PEERS if own in seconds and peer in seconds}
