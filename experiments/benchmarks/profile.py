"""Where the time goes in one inference or one training step of ours: by kind of operation, and by part of the network.

From one trace of JAX's profiler. On a CPU it runs on one core, since XLA tells its operations apart there alone; shares are
what to look at, not seconds. On a GPU it is the device's own time. What XLA makes itself has no name: of a training step
most gradients of kernels.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import importlib.util
import json
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from experiments import page, record

NETWORKS = ('lesion_net_16s', 'multitask')
# Of an operation in the text of a compiled program: its name, what it is, and what JAX calls its source, if it says so.
OPERATION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\((?:.*?metadata=\{[^}\n]*op_name="([^"\n]*)")?', re.MULTILINE)
DEPTH = 3  # of the names of modules that make a part
CLASSES = ('MultiTask', 'LesionNet')  # of NETWORKS
INFERENCE = ('inference', 'answer')  # the second is its name in older results
FUNCTIONS = re.compile(r'\bp?jit\([^()/]*\)')  # of the names of a source: compiled functions
AROUND = re.compile(r'\b\w+\(')  # and transformations, which may hold several names
UNNAMED = 'without a name'


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('what', choices=['inference', 'step'], type=lambda text: 'inference' if text in INFERENCE else text)
  parser.add_argument('--network', choices=NETWORKS, default='lesion_net_16s', help='of a step; inference is of multitask')
  parser.add_argument('--size', type=int, default=896)
  parser.add_argument('--batch', type=int, default=1)
  parser.add_argument('--dtype', choices=['float32', 'bfloat16'], default='float32')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')
  parser.add_argument('--top', type=int, default=15, help='rows of each table (default 15)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Profiles, and writes profile-inference.* or profile-step.*; on a GPU with -gpu behind it."""
  if not any(importlib.util.find_spec(f'jax_cuda{version}_plugin') for version in (12, 13)):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
  # One core on a CPU; on a GPU each kernel by itself, as what is launched together has no name.
  os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), '--xla_cpu_multi_thread_eigen=false',
                                      '--xla_gpu_enable_command_buffer='])
  os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'  # operations in it may have other names than in the text
  compute, text = (_inference if arguments.what == 'inference' else _step)(arguments)
  compute()
  seconds = times(trace(compute))
  result = {'benchmark': 'profile', **{name: getattr(arguments, name) for name in (
      'what', 'size', 'batch', 'dtype', 'width')}, 'network': 'multitask' if arguments.what == 'inference' else arguments.network,
      **tables(seconds, text), 'hardware': record.hardware(), 'versions': record.versions()}
  print(page.write(arguments.out, page.on_gpu(f'profile-{arguments.what}', result['hardware']), result,
                   lambda result: render(result, arguments.top)))
  return 0


def _inference(arguments: argparse.Namespace) -> tuple[Callable[[], Any], str]:
  from experiments.benchmarks.predict import Job, Ours

  ours = Ours(Job(arguments.size, arguments.batch, arguments.dtype, arguments.width))
  return ours.infer, ours.text()


def _step(arguments: argparse.Namespace) -> tuple[Callable[[], Any], str]:
  from experiments.benchmarks.train import Job, Ours

  ours = Ours(Job(arguments.network, arguments.size, arguments.batch, arguments.dtype, arguments.width))
  return lambda: ours.finish(ours.step()), ours.text()


def trace(compute: Callable[[], Any]) -> list[dict[str, Any]]:
  """Returns the events of the profiler while it computes once."""
  import jax

  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, create_perfetto_trace=True):
      compute()
    path, = pathlib.Path(folder).rglob('perfetto_trace.json.gz')
    with gzip.open(path) as file:
      return json.load(file)['traceEvents']


def times(events: list[dict[str, Any]]) -> dict[str, float]:
  """Returns seconds by operation of the compiled program: on a GPU of what ran in its streams, on a CPU of all."""
  names = {(event['pid'], event.get('tid')): event['args']['name'] for event in events
           if event.get('ph') == 'M' and event['name'] in ('process_name', 'thread_name')}
  of_device = {place for place, name in names.items() if name.startswith('Stream')}
  found = collections.Counter()
  for event in events:
    if event.get('ph') == 'X' and (not of_device or (event['pid'], event['tid']) in of_device):
      found[event.get('args', {}).get('hlo_op') or event['name']] += event['dur'] / 1e6
  return dict(found)


def tables(seconds: Mapping[str, float], text: str) -> dict[str, Any]:
  """Returns seconds by kind and by part, of the operations that the text of the program has."""
  kinds, parts = collections.Counter(), collections.Counter()
  for name, kind, source in OPERATION.findall(text):
    if name in seconds:
      kinds[kind] += seconds[name]
      parts[part_of(source) if source else f'{UNNAMED}: {kind}'] += seconds[name]
  return {'seconds': sum(kinds.values()), 'kinds': dict(kinds.most_common()), 'parts': dict(parts.most_common())}


def part_of(source: str) -> str:
  """Returns 'lesion/encoder/Mixed_5b, backward' of
  'jit(step)/transpose(jvp(MultiTask))/lesion/encoder/Mixed_5b/conv_general_dilated', and of
  'jit(step)/transpose(jvp(MultiTask/lesion/encoder/Mixed_5b))/conv_general_dilated', without the names of classes, methods and
  functions."""
  *names, primitive = AROUND.sub('', FUNCTIONS.sub('', source)).replace(')', '').split('/')
  names = [name for name in names if name and '.' not in name and name not in CLASSES]
  return ('/'.join(names[:DEPTH]) or primitive) + (', backward' if 'transpose(' in source else '')


def render(result: Mapping[str, Any], top: int) -> str:
  """Renders the page of a result, in Markdown."""
  return page.join(
      f'# Profile of {"inference" if result["what"] in INFERENCE else "a training step"}', ' '.join(__doc__.splitlines()),
      f'{result["network"]}, {result["batch"]} of {result["size"]}x{result["size"]}, {result["dtype"]}, width '
      f'{result["width"]:g}: {result["seconds"]:.3g} s in all.',
      *(page.table([title, 'share', 's'], [[name, f'{seconds / result["seconds"]:.1%}', f'{seconds:.3g}']
                                           for name, seconds in list(rows.items())[:top]])
        for title, rows in (('operation', result['kinds']), ('part of the network', result['parts']))),
      page.provenance(result)) + '\n'
