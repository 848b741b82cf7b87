"""From the start of a program to its first answer for one photograph: ours beside PyTorch, fresh processes in turn.

Import, weights, compilation and the answer itself. With warm caches each side finds what an earlier process compiled, ours
the traced program or the ONNX graph as well; with cold ones nothing, but for the ONNX graph, which is made once for a
bundle.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from experiments import record
from experiments.benchmarks import bundles
from experiments.benchmarks.answers import Job
from experiments.benchmarks.first import SIDES, command, environment
from experiments.benchmarks.predict_page import NAMES, machine_of
from experiments.benchmarks.rounds import compare
from experiments.benchmarks.workers import summarize

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
IMPORTS = {code: code for code in ('import lesion_jax', 'from lesion_jax import load')}
MOST_IMPORT = 2.0  # seconds
COMPILED = ('ours', 'torch_compiled')  # sides for which a cold cache makes a difference in every process


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('startup', help=__doc__.splitlines()[0], description=__doc__,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the networks are kept (default runs/benchmark)')
  parser.add_argument('--size', type=int, default=896, help='side of the photograph (default 896)')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')
  parser.add_argument('--rounds', type=int, default=5, help='processes of each side (default 5)')
  parser.add_argument('--cold', type=int, default=1, help='of them with empty caches (default 1)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes startup.json and startup.md; returns 1 where an import takes over MOST_IMPORT."""
  work = arguments.work / f'network-{arguments.size}-{arguments.width:g}'
  bundles.write(work, Job(arguments.size, 1, 'float32', arguments.width))
  with tempfile.TemporaryDirectory() as warm:
    for side in SIDES:
      _first(side, work, pathlib.Path(warm))  # fills the caches
    warm_times = {side: [] for side in SIDES}
    imports = {name: [] for name in IMPORTS}
    for _ in range(arguments.rounds):
      for name, code in IMPORTS.items():
        imports[name].append(_time([sys.executable, '-c', code], {}))
      for side in SIDES:
        warm_times[side].append(_first(side, work, pathlib.Path(warm)))
  cold_times = {side: [] for side in COMPILED}
  for _ in range(arguments.cold):
    for side in COMPILED:
      with tempfile.TemporaryDirectory() as empty:
        cold_times[side].append(_first(side, work, pathlib.Path(empty)))
  return _finish(arguments, warm_times, cold_times, imports)


def _first(side: str, work: pathlib.Path, caches: pathlib.Path) -> float:
  """Seconds of one process with its caches there."""
  return _time(command(side, work), environment(side, work, caches))


def _time(command: list[str], environment: Mapping[str, str]) -> float:
  start = time.perf_counter()
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)
  return time.perf_counter() - start


def _finish(arguments: argparse.Namespace, warm: Mapping[str, list[float]], cold: Mapping[str, list[float]],
            imports: Mapping[str, list[float]]) -> int:
  summary = lambda times: {name: summarize(found) for name, found in times.items() if found}
  result = {'benchmark': 'startup', 'size': arguments.size, 'width': arguments.width, 'rounds': arguments.rounds,
            'imports': summary(imports), 'warm': summary(warm), 'cold': summary(cold),
            'ratios': {f'{peer} / {own}': compare(warm[own], warm[peer])
                       for own in ('ours', 'onnxruntime') for peer in ('torch', 'torch_compiled')},
            'hardware': record.hardware(),
            'versions': record.versions() | {name: metadata.version(name) for name in ('torch', 'onnxruntime')},
            'command': ' '.join(['python -m experiments.benchmark', *sys.argv[1:]])}
  record.save(arguments.out / 'startup.json', result)
  page = render(result)
  (arguments.out / 'startup.md').write_text(page, encoding='utf-8')
  print(page)
  slow = [name for name, found in result['imports'].items() if found['median'] > MOST_IMPORT]
  for name in slow:
    print(f'{name} takes {result["imports"][name]["median"]:.1f} s, over {MOST_IMPORT:g} s', file=sys.stderr)
  return 1 if slow else 0


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  line = lambda name, found: (f'| {name} | {found["median"]:.2f} | {found["lowest"]:.2f}–{found["highest"]:.2f} | '
                              f'{len(found["all"])} |')
  lines = ['# Time to the first answer', '', ' '.join(__doc__.splitlines()),
           '', f'The multi-task network with Lesion-Net-16s, {result["size"]}x{result["size"]}, width {result["width"]:g}.',
           '', '| | s, median | range | processes |', '|---|---|---|---|',
           *(line(f'`{name}`', found) for name, found in result['imports'].items()),
           *(line(f'{NAMES[side]}, warm', found) for side, found in result['warm'].items()),
           *(line(f'{NAMES[side]}, cold', found) for side, found in result['cold'].items()), '',
           '| how many times as long, warm | by medians | median of the rounds | 95 % interval |', '|---|---|---|---|']
  for pair, ratio in result['ratios'].items():
    peer, own = pair.split(' / ')
    lines.append(f'| {NAMES[peer]} / {NAMES[own]} | {ratio["of_medians"]:.2f} | {ratio["median"]:.2f} | '
                 f'{ratio["low"]:.2f}–{ratio["high"]:.2f} |')
  return '\n'.join([*lines, '', f'On {machine_of(result["hardware"])}. Versions: '
                    + ', '.join(f'{name} {version}' for name, version in result['versions'].items()) + '.', '',
                    f'Written by `{result["command"]}`.', ''])
