"""Cold start: from the start of a program to its first result, ours beside PyTorch, fresh processes in turn.

Import, weights, compilation and the inference itself. With warm caches each implementation finds what an earlier
process compiled, ours the traced program or the ONNX graph as well; with cold ones nothing, but for the ONNX graph,
which is made once for a bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from experiments import page, record
from experiments.benchmarks.turns import NAMES, RATIO, compare, pair_name, ratio_cells, summarize

IMPLEMENTATIONS = ('ours', 'onnxruntime', 'torch', 'torch_compiled')
IMPORTS = ('import lesion_jax', 'from lesion_jax import load')
MOST_IMPORT = 2.0  # seconds
COMPILED = ('ours', 'torch_compiled')  # implementations for which a cold cache makes a difference in every process


def write_networks(work: pathlib.Path, size: int, width: float) -> pathlib.Path:
  """Writes our bundle and the folder of PyTorch, each unless it is there; returns their folder, which the size and the width
  name. Raises ImportError where torch is missing."""
  # Not above: what is measured here starts in this file as well.
  from experiments.benchmarks.predict import Job, make_config, make_variables
  from lesion_jax.export import export
  from lesion_jax.weights.bundle import load_bundle, save_bundle

  root, job = work / f'network-{size}-{width:g}', Job(size, 1, 'float32', width)
  if not (root / 'bundle').exists():
    save_bundle(root / 'bundle', config=make_config(job), variables=make_variables(job), card='')
  if not (root / 'torch').exists():
    export(load_bundle(root / 'bundle'), 'torch', root / 'torch')
  return root


def ours(work: pathlib.Path, backend: str) -> Any:
  """Predicts as a user of this library does it, with one heap as `lesion-jax predict` has it on few processors."""
  import lesion_jax
  from lesion_jax import machine

  machine.share_heaps(1)
  predictor = lesion_jax.load(work / 'bundle', backend=backend)
  return predictor(np.zeros((predictor.size, predictor.size, 3), np.uint8), crop=False).grades


def torch(work: pathlib.Path, compiled: bool) -> Any:
  """Predicts as a user of the exported folder does it who wants the fastest inference."""
  import torch as th

  from experiments.benchmarks import peer

  sys.path.insert(0, str(work / 'torch'))
  import lesion_jax_torch

  peer.set_up()
  network = lesion_jax_torch.load(work / 'torch')
  peer.fold(network)
  network = network.to(memory_format=th.channels_last)
  if compiled:
    network = th.compile(network)  # not frozen, unlike where inference is timed: what is frozen is not kept in its cache
  size = json.loads((work / 'torch' / 'config.json').read_text('utf-8'))['preprocessing']['size']
  with th.no_grad():
    return network(th.zeros((1, size, size, 3), dtype=th.uint8))['grades'].numpy()


def first(argv: Sequence[str] | None = None) -> None:
  """Runs one process from nothing to the first result for one photograph; it prints a line of JSON when it has it, and
  ends.

    python -m experiments.benchmarks.startup ours|onnxruntime|torch|torch_compiled --work DIR

  DIR is of `write_networks`.
  """
  parser = argparse.ArgumentParser()
  parser.add_argument('implementation', choices=IMPLEMENTATIONS)
  parser.add_argument('--work', type=pathlib.Path, required=True)
  arguments = parser.parse_args(argv)
  if arguments.implementation.startswith('torch'):
    grades = torch(arguments.work, arguments.implementation == 'torch_compiled')
  else:
    grades = ours(arguments.work, 'jax' if arguments.implementation == 'ours' else arguments.implementation)
  print(json.dumps({'grades': [round(float(grade), 3) for grade in grades[0]], 'peak_bytes': record.process_peak()}), flush=True)


def run_first(name: str, work: pathlib.Path, caches: pathlib.Path) -> tuple[float, int]:
  """Returns seconds of one such process with its caches there, and the most bytes that it held. The graph of
  onnxruntime is kept beside the network."""
  compiled = work / 'graphs' if name == 'onnxruntime' else caches / 'jax'
  seconds, said = _time([sys.executable, '-m', 'experiments.benchmarks.startup', name, '--work', str(work)],
                        {'JAX_COMPILATION_CACHE_DIR': str(compiled), 'TORCHINDUCTOR_CACHE_DIR': str(caches / 'torch')})
  return seconds, json.loads(said.splitlines()[-1])['peak_bytes']


def _time(command: list[str], environment: Mapping[str, str]) -> tuple[float, str]:
  """Seconds that a process takes, and what it prints."""
  start = time.perf_counter()
  done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment)
  return time.perf_counter() - start, done.stdout


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark'),
                      help='where the networks are kept (default runs/benchmark)')
  parser.add_argument('--size', type=int, default=896, help='side of the photograph (default 896)')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')
  parser.add_argument('--rounds', type=int, default=5, help='processes of each implementation (default 5)')
  parser.add_argument('--cold', type=int, default=1, help='of them with empty caches (default 1)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes startup.json and startup.md; returns 1 where an import takes over MOST_IMPORT."""
  work = write_networks(arguments.work, arguments.size, arguments.width)
  with tempfile.TemporaryDirectory() as warm:
    for name in IMPLEMENTATIONS:
      run_first(name, work, pathlib.Path(warm))  # fills the caches
    warm_times = {name: [] for name in IMPLEMENTATIONS}
    imports = {code: [] for code in IMPORTS}
    for _ in range(arguments.rounds):
      for code in IMPORTS:
        imports[code].append(_time([sys.executable, '-c', code], {})[0])
      for name in IMPLEMENTATIONS:
        warm_times[name].append(run_first(name, work, pathlib.Path(warm))[0])
  cold_times = {name: [] for name in COMPILED}
  for _ in range(arguments.cold):
    for name in COMPILED:
      with tempfile.TemporaryDirectory() as empty:
        cold_times[name].append(run_first(name, work, pathlib.Path(empty))[0])
  return _finish(arguments, warm_times, cold_times, imports)


def _finish(arguments: argparse.Namespace, warm: Mapping[str, list[float]], cold: Mapping[str, list[float]],
            imports: Mapping[str, list[float]]) -> int:
  summary = lambda times: {name: summarize(found) for name, found in times.items() if found}
  result = {'benchmark': 'startup', 'size': arguments.size, 'width': arguments.width, 'rounds': arguments.rounds,
            'imports': summary(imports), 'warm': summary(warm), 'cold': summary(cold),
            'ratios': {f'{peer} / {own}': compare(warm[own], warm[peer])
                       for own in ('ours', 'onnxruntime') for peer in ('torch', 'torch_compiled')},
            'hardware': record.hardware(),
            'versions': record.versions() | {name: metadata.version(name) for name in ('torch', 'onnxruntime')}}
  print(page.write(arguments.out, 'startup', result, render))
  slow = [name for name, found in result['imports'].items() if found['median'] > MOST_IMPORT]
  for name in slow:
    print(f'{name} takes {result["imports"][name]["median"]:.1f} s, over {MOST_IMPORT:g} s', file=sys.stderr)
  return 1 if slow else 0


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  cells = lambda name, found: [name, f'{found["median"]:.2f}', page.span(found['lowest'], found['highest']),
                               str(len(found['all']))]
  return page.join(
      '# Cold start', ' '.join(__doc__.splitlines()),
      f'The multi-task network with Lesion-Net-16s, {result["size"]}x{result["size"]}, width {result["width"]:g}.',
      page.table(['', 's, median', 'range', 'processes'],
                 [*(cells(f'`{name}`', found) for name, found in result['imports'].items()),
                  *(cells(f'{NAMES[name]}, {caches}', found) for caches in ('warm', 'cold')
                    for name, found in result[caches].items())]),
      page.table(['how many times as long, warm', *RATIO],
                 [[pair_name(pair), *ratio_cells(ratio)]
                  for pair, ratio in result['ratios'].items()]),
      page.provenance(result)) + '\n'


if __name__ == '__main__':
  first()
