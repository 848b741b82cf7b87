"""Memory that the answer of the multi-task network to one photograph needs: ours beside PyTorch's, a process each.

On a CPU the most that a whole process holds which reads the network from the disk and answers once, its programs having been
compiled before; on a GPU what is held there. Of ours XLA's own count of the compiled program too: arguments, results and
temporaries.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from experiments import record
from experiments.benchmarks import bundles, first
from experiments.benchmarks.answers import SIDES, Job
from experiments.benchmarks.predict import add_job
from experiments.benchmarks.predict_page import NAMES, machine_of
from experiments.benchmarks.workers import ask, hear, worker

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
GB, PAPER, TARGET = 1e9, 1.5, 0.75  # GB: what the paper reports, and what is aimed at, on a GPU


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('memory', help=__doc__.splitlines()[0], description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
  add_job(parser)
  parser.add_argument('--sides', choices=SIDES, nargs='+', default=list(first.SIDES),
                      help='which to measure (default: all that a user may choose)')
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the networks are kept (default runs/benchmark)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes memory.json and memory.md, or memory-gpu.* on a GPU."""
  rows, machine = [], {}
  for batch in arguments.batch:
    job = Job(arguments.size, batch, arguments.dtype, arguments.width)
    for side in ('ours', *(side for side in arguments.sides if side != 'ours')):
      with worker('experiments.benchmarks.answers', side, *job.arguments()) as process:
        said = hear(process)
        facts = ask(process, 'facts') if 'missing' not in said else said
      if facts.get('peak_memory', {}).get('of') == 'process':  # It drew the weights, and more.
        facts['peak_memory'] = {'bytes': _peak(side, job, arguments.work), 'of': 'process'}
      rows.append({'batch': batch, 'side': side, **{key: facts.get(key) for key in ('peak_memory', 'program', 'missing')}})
      machine |= {key: facts[key] for key in ('hardware',) if key in facts}
      machine['versions'] = machine.get('versions', {}) | facts.get('versions', {})
  result = {'benchmark': 'memory', 'size': arguments.size, 'dtype': arguments.dtype, 'width': arguments.width, 'rows': rows,
            **machine, 'command': ' '.join(['python -m experiments.benchmark', *sys.argv[1:]])}
  name = 'memory' if result['hardware']['device'] == 'cpu' else 'memory-gpu'
  record.save(arguments.out / f'{name}.json', result)
  page = render(result)
  (arguments.out / f'{name}.md').write_text(page, encoding='utf-8')
  print(page)
  return 0


def _peak(side: str, job: Job, work: pathlib.Path) -> int | None:
  """Bytes of a process that answers once, the second of its kind; None where that is not measured."""
  if side not in first.SIDES or job.batch != 1 or job.dtype != 'float32':
    return None
  work = work / f'network-{job.size}-{job.width:g}'
  bundles.write(work, job)
  with tempfile.TemporaryDirectory() as caches:
    variables = os.environ | first.environment(side, work, pathlib.Path(caches))
    for _ in range(2):  # the first one compiles
      done = subprocess.run(first.command(side, work), check=True, stdout=subprocess.PIPE, text=True, env=variables)
  return json.loads(done.stdout.splitlines()[-1])['peak_bytes']


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  lines = ['# Memory of an answer', '', ' '.join(__doc__.splitlines()), '',
           f'Size {result["size"]}, {result["dtype"]}, width {result["width"]:g}. The paper reports {PAPER:g} GB for one '
           f'photograph on its GPU; {TARGET:g} GB on a GPU are aimed at.', '',
           '| batch | side | peak, GB | of | XLA\'s count, GB | arguments | temporaries | results |',
           '|---|---|---|---|---|---|---|---|']
  for row in result['rows']:
    start = f'| {row["batch"]} | {NAMES[row["side"]]} |'
    if row['missing']:
      lines.append(f'{start} left out: {row["missing"]} | | | | | |')
      continue
    program = row['program'] or {}
    counted = ' | '.join(f'{program[key] / GB:.2f}' if key in program else ''
                         for key in ('bytes', 'arguments', 'temporaries', 'results'))
    peak = row['peak_memory']
    held = f'{peak["bytes"] / GB:.2f}' if peak['bytes'] else 'not measured'
    lines.append(f'{start} {held} | {peak["of"]} | {counted} |')
  return '\n'.join([*lines, '', f'On {machine_of(result["hardware"])}. Versions: '
                    + ', '.join(f'{name} {version}' for name, version in result['versions'].items()) + '.', '',
                    f'Written by `{result["command"]}`.', ''])
