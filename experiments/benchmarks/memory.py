"""Memory that inference of the multi-task network on one photograph needs: ours beside PyTorch's, a process each.

On a CPU the most that a whole process holds which reads the network from the disk and runs it once, its programs having
been compiled before; on a GPU what is held there. Of ours XLA's own count of the compiled program too: arguments,
results and temporaries.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from experiments import page
from experiments.benchmarks import predict, startup
from experiments.benchmarks.turns import NAMES, ask, hear

GB, PAPER, TARGET = 1e9, 1.5, 0.75  # GB: what the paper reports, and what is aimed at, on a GPU


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  predict.add_job(parser, batches='+')
  parser.add_argument('--implementations', '--sides', dest='implementations',
                      choices=predict.IMPLEMENTATIONS, nargs='+', default=list(startup.IMPLEMENTATIONS),
                      help='which to measure (default: all that a user may choose)')
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the networks are kept (default runs/benchmark)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes memory.json and memory.md, or memory-gpu.* on a GPU."""
  rows, machine = [], {}
  for batch in arguments.batch:
    job = predict.Job(arguments.size, batch, arguments.dtype, arguments.width)
    for name in ('ours', *(name for name in arguments.implementations if name != 'ours')):
      with predict.start(name, job) as process:
        said = hear(process)
        facts = ask(process, 'facts') if 'missing' not in said else said
      if facts.get('peak_memory', {}).get('of') == 'process':  # It drew the weights, and more.
        facts['peak_memory'] = {'bytes': _peak(name, job, arguments.work), 'of': 'process'}
      rows.append({'batch': batch, 'side': name, **{key: facts.get(key) for key in ('peak_memory', 'program', 'missing')}})
      machine |= {key: facts[key] for key in ('hardware',) if key in facts}
      machine['versions'] = machine.get('versions', {}) | facts.get('versions', {})
  result = {'benchmark': 'memory', 'size': arguments.size, 'dtype': arguments.dtype, 'width': arguments.width, 'rows': rows,
            **machine}
  print(page.write(arguments.out, page.on_gpu('memory', result['hardware']), result, render))
  return 0


def _peak(name: str, job: predict.Job, work: pathlib.Path) -> int | None:
  """Bytes of a process that runs the network once, the second of its kind; None where that is not measured."""
  if name not in startup.IMPLEMENTATIONS or job.batch != 1 or job.dtype != 'float32':
    return None
  network = startup.write_networks(work, job.size, job.width)
  with tempfile.TemporaryDirectory() as caches:
    startup.run_first(name, network, pathlib.Path(caches))  # compiles
    return startup.run_first(name, network, pathlib.Path(caches))[1]


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  return page.join(
      '# Memory of inference', ' '.join(__doc__.splitlines()),
      f'Size {result["size"]}, {result["dtype"]}, width {result["width"]:g}. The paper reports {PAPER:g} GB for one '
      f'photograph on its GPU; {TARGET:g} GB on a GPU are aimed at.',
      page.table(['batch', 'implementation', 'peak, GB', 'of', 'XLA\'s count, GB', 'arguments', 'temporaries', 'results'],
                 map(_cells, result['rows'])),
      page.provenance(result)) + '\n'


def _cells(row: Mapping[str, Any]) -> list[str]:
  first = [str(row['batch']), NAMES[row['side']]]
  if row['missing']:
    return [*first, f'skipped: {row["missing"]}', *[''] * 5]
  program, peak = row['program'] or {}, row['peak_memory']
  return [*first, f'{peak["bytes"] / GB:.2f}' if peak['bytes'] else 'not measured', peak['of'],
          *(f'{program[key] / GB:.2f}' if key in program else '' for key in ('bytes', 'arguments', 'temporaries', 'results'))]
