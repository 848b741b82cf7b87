"""Inference of the multi-task network (Lesion-Net-16s) on a batch of photographs: ours beside PyTorch's.

Same weights, photographs and precision, each implementation a process of its own, taking turns. PyTorch has BatchNorm
folded, channels last, and is measured both eager and compiled. On a GPU:

  python -m experiments.benchmark predict --dtype bfloat16 --batch 1 32 --implementations ours torch torch_compiled

Needs jax, flax, optax, numpy and torch alone; an implementation that needs more is skipped, with a word, where that is
missing.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # of this process, where it is one of the implementations: before all imports

import argparse
import contextlib
import functools
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import traverse_util

from experiments import page, record
from experiments.benchmarks import machine
from experiments.benchmarks.turns import (
    NAMES, RATIO, ask, compare, hear, pair_name, ratio_cells, summarize, take_turns, worker)
from experiments.memory import program
from lesion_jax import runtime
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.models import get_model
from lesion_jax.predict.step import forward, make_predict_fn
from lesion_jax.weights.initialize import initialize

DTYPES = ('float32', 'bfloat16')
HEADS = ('maps', 'lesions', 'grades')  # what all implementations give
SEED = 0
OURS, PEERS = ('ours', 'onnxruntime'), ('torch', 'torch_compiled', 'plain')
TOLERANCE = {'float32': 1e-4, 'bfloat16': 0.1}  # of a probability, from ours


class Job(NamedTuple):
  """What is computed: photographs by size and number, the type of the computation, and a multiplier of all channels."""

  size: int
  batch: int
  dtype: str
  width: float = 1.0

  @property
  def fields(self) -> dict[str, Any]:
    """Of `get_model`: the multi-task network with Lesion-Net-16s."""
    own = {'dtype': self.dtype, 'width': self.width}
    return {'name': 'multitask', 'lesion': {'name': 'lesion_net_16s', **own}, **own}

  def arguments(self) -> list[str]:
    """Returns the arguments of the command line."""
    return [text for name, value in self._asdict().items() for text in (f'--{name}', str(value))]


def make_images(job: Job) -> np.ndarray:
  """Returns uint8 [B, S, S, 3]: noise, the same each time. The time does not depend on it."""
  return np.random.default_rng(SEED).integers(0, 256, (job.batch, job.size, job.size, 3), np.uint8)


def make_variables(job: Job) -> dict[str, Any]:
  """Returns the weights of all implementations: random, running statistics and BatchNorm's parameters included."""
  example = jax.ShapeDtypeStruct((1, job.size, job.size, 3), np.uint8)
  flat = traverse_util.flatten_dict(initialize(get_model(**job.fields), example, SEED), sep='/')
  rng = np.random.default_rng(SEED)
  for name, value in flat.items():
    if name.endswith(('/scale', '/var')):
      flat[name] = value * rng.uniform(0.8, 1.25, value.shape).astype(np.float32)
    elif name.endswith(('/mean', '/bias')):
      flat[name] = value + rng.normal(0, 0.05, value.shape).astype(np.float32)
  return traverse_util.unflatten_dict(flat, sep='/')


def make_config(job: Job) -> dict[str, Any]:
  """Returns a bundle's config.json."""
  from lesion_jax.photograph.crop import SQUARE

  return {'model': job.fields, 'lesions': list(LESION_KEYS), 'grades': list(GRADE_KEYS), 'annotated': list(LESION_KEYS),
          'thresholds': dict.fromkeys(LESION_KEYS, 0.5), 'preprocessing': {'size': job.size, 'crop': SQUARE}}


class Ours:
  """Our inference, as `lesion_jax.load` runs it by default, or that of unmodified JAX (`plain`)."""

  def __init__(self, job: Job, *, plain: bool = False):
    runtime.use_cache()
    self._job, self._model = job, get_model(**job.fields)
    self._variables, self._images = jax.device_put((make_variables(job), make_images(job)))
    predict_fn = jax.jit(forward(self._model)) if plain else make_predict_fn(self._model)
    self._compiled = predict_fn.lower(self._variables, self._images).compile()

  def infer(self) -> Any:
    """Waits for it."""
    return jax.block_until_ready(self._compiled(self._variables, self._images))

  def text(self) -> str:
    """Returns the text of the compiled program."""
    return self._compiled.as_text()

  def result(self) -> dict[str, np.ndarray]:
    """Returns the outputs by head, float32."""
    found = self.infer()
    return {head: np.asarray(getattr(found, head)) for head in HEADS}

  def facts(self) -> dict[str, Any]:
    """Returns the machine and its limits as measured now, and what the network asks of it."""
    peak = record.peak_memory()  # before anything else
    plain = lambda variables, images: self._model.apply(variables, images, train=False).probabilities()
    works = machine.count(plain, self._variables, self._images)
    return {'versions': record.versions(), 'hardware': record.hardware(), 'peak_memory': peak,
            'program': program(self._compiled), 'work': works, **machine.limits(self._job.dtype)}


class Onnxruntime:
  """Inference of our network in onnxruntime, as `lesion_jax.load(..., backend='onnxruntime')` runs it."""

  def __init__(self, job: Job):
    if job.dtype != 'float32':
      raise ImportError(f'the ONNX graph computes in float32, not in {job.dtype}')
    import onnxruntime

    from lesion_jax.export.source import Source
    from lesion_jax.predict import onnx_graph
    from lesion_jax.weights.bundle import Bundle

    bundle = Bundle(make_config(job), make_variables(job))
    graph = onnx_graph.find_graph(Bundle(bundle.config, bundle.variables, Source.of(bundle).digest))
    self._predict_fn = onnx_graph.make_predict_fn(graph)
    self._images, self._version = make_images(job), onnxruntime.__version__

  def infer(self) -> Any:
    """Waits for it."""
    return self._predict_fn(None, self._images)

  def result(self) -> dict[str, np.ndarray]:
    """Returns the outputs by head, float32."""
    found = self.infer()
    return {head: getattr(found, head) for head in HEADS}

  def facts(self) -> dict[str, Any]:
    """Returns versions and memory."""
    return {'versions': {'onnxruntime': self._version},
            'peak_memory': {'bytes': record.process_peak(), 'of': 'process'}}


class Torch:
  """Inference in PyTorch: BatchNorm folded into the convolutions, channels last, autocast to bfloat16 if asked to,
  compiled if asked to. Its network is that which `lesion-jax export --to torch` writes, which computes what ours
  does."""

  def __init__(self, job: Job, *, compiled: bool = False):
    jax.config.update('jax_platforms', 'cpu')  # JAX only draws the weights here, and must not take the device's memory
    import torch

    from experiments.benchmarks import peer

    self._torch, self._peer, self._job, self._device = torch, peer, job, peer.set_up()
    network = peer.build(job.fields, make_variables(job))
    peer.fold(network.eval())
    self._network = network.to(self._device, memory_format=torch.channels_last)
    if compiled:
      torch._inductor.config.freezing = True  # weights become constants, laid out as oneDNN and cuDNN like them
      self._network = torch.compile(self._network, mode='reduce-overhead' if self._device == 'cuda' else None)
    self._images = torch.from_numpy(make_images(job)).to(self._device)

  def infer(self) -> Any:
    """Waits for it."""
    torch = self._torch
    rounded = (torch.autocast(self._device, torch.bfloat16) if self._job.dtype == 'bfloat16' else
               contextlib.nullcontext())
    with torch.no_grad(), rounded:
      found = self._network(self._images)
    self._peer.wait(self._device)
    return found

  def result(self) -> dict[str, np.ndarray]:
    """Returns the outputs by head, float32."""
    return {head: value.float().cpu().numpy() for head, value in self.infer().items()}

  def facts(self) -> dict[str, Any]:
    """Returns versions, memory, and the rate of its matrix products."""
    return self._peer.facts(self._device, self._job.dtype)


IMPLEMENTATIONS: dict[str, Callable[[Job], Any]] = {
    'ours': Ours, 'plain': functools.partial(Ours, plain=True), 'onnxruntime': Onnxruntime, 'torch': Torch,
    'torch_compiled': functools.partial(Torch, compiled=True)}


def add_job(parser: argparse.ArgumentParser, *, batches: str | None = None) -> None:
  """Adds what says which inference is measured: of one batch, or with `batches='+'` of several."""
  parser.add_argument('--size', type=int, default=896, help='side of the photographs (default 896)')
  parser.add_argument('--batch', type=int, nargs=batches, default=[1] if batches else 1,
                      help='photographs in a batch (default 1)')
  parser.add_argument('--dtype', choices=DTYPES, default='float32')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1, the whole network)')


def serve(argv: Sequence[str] | None = None) -> None:
  """Runs one implementation, a process that is told when to compute.

    python -m experiments.benchmarks.predict ours|plain|onnxruntime|torch|torch_compiled --size 896 --batch 1

  It writes one line of JSON after its first inference. Then it replies to lines on stdin: to 'N' with the seconds
  that one of N further ones took, to 'save PATH' by writing its output there, to, 'facts' with what it knows. Where a
  package is missing, the line is {"missing": ...} and the process ends.
  """
  parser = argparse.ArgumentParser()
  parser.add_argument('implementation', choices=IMPLEMENTATIONS)
  add_job(parser)
  arguments = vars(parser.parse_args(argv))
  try:
    implementation = IMPLEMENTATIONS[arguments.pop('implementation')](Job(**arguments))
  except ImportError as error:
    print(json.dumps({'missing': str(error)}), flush=True)
    return
  implementation.infer()
  print(json.dumps({'seconds_to_ready': time.perf_counter() - STARTED}), flush=True)
  implementation.infer()  # a second one of the same shape is the first that is like all others
  for line in map(str.strip, sys.stdin):
    start = time.perf_counter()
    if line == 'facts':
      found = implementation.facts()
    elif line.startswith('save '):
      np.savez(line.removeprefix('save '), **implementation.result())
      found = {}
    else:
      for _ in range(int(line)):
        implementation.infer()
      found = {'seconds': (time.perf_counter() - start) / int(line)}
    print(json.dumps(found), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  add_job(parser, batches='+')
  parser.add_argument('--implementations', '--sides', dest='implementations',
                      choices=IMPLEMENTATIONS, nargs='+', default=list(IMPLEMENTATIONS), help='which to measure (default: all)')
  parser.add_argument('--rounds', type=int, default=11, help='turns of each implementation, interleaved (default 11)')
  parser.add_argument('--count', type=int, default=1, help='inferences in a turn (default 1; try 10 on a GPU)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes predict.json and predict.md, or predict-gpu.* on a GPU; returns 1 where outputs differ."""
  jobs = [Job(arguments.size, batch, arguments.dtype, arguments.width) for batch in arguments.batch]
  result = {'benchmark': 'predict', **measure(jobs, arguments.implementations, arguments.rounds, arguments.count)}
  print(page.write(arguments.out, page.on_gpu('predict', result['hardware']), result, render))
  apart = [(row['batch'], name, found['difference']) for row in result['rows'] for name, found in row['sides'].items()
           if not found['difference'] <= TOLERANCE[arguments.dtype]]
  for batch, name, difference in apart:
    print(f'{name}, batch {batch}: its probabilities differ from ours by {difference:.1e}', file=sys.stderr)
  return 1 if apart else 0


def measure(jobs: Sequence[Job], implementations: Sequence[str], rounds: int, count: int) -> dict[str, Any]:
  """Returns the result: a row for each job, and the machine. 'ours' is measured always, as all else is compared with
  it."""
  rows, facts = [], {}
  for job in jobs:
    found, said, missing = _measure_one(job, [name for name in IMPLEMENTATIONS if name in (*implementations, 'ours')], rounds, count)
    facts |= said
    works = [machine.Work(*work) for work in said['work']]
    rows.append({'batch': job.batch, 'sides': found, 'ratios': _ratios(found), 'works': works,
                 'flops': sum(work.flops for work in works)})
  limits = {'matmul_flops_per_second': facts['matmul_flops_per_second'],
            'copy_bytes_per_second': facts['copy_bytes_per_second']}
  for row in rows:
    row['floor_seconds'] = machine.roofline(row.pop('works'), *limits.values())
  return {'size': jobs[0].size, 'dtype': jobs[0].dtype, 'width': jobs[0].width, 'rounds': rounds, 'count': count,
          'rows': rows, 'missing': missing, **limits, 'hardware': facts['hardware'], 'versions': facts['versions']}


def start(name: str, job: Job) -> Any:
  """Starts the process of an implementation, a context."""
  return worker('experiments.benchmarks.predict', name, *job.arguments())


def _measure_one(job: Job, implementations: Sequence[str], rounds: int, count: int,
                 ) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
  """By implementation what was measured; what all of them know, their best rate of matrix products; what is missing, by implementation."""
  with contextlib.ExitStack() as stack:
    running, ready, missing = {}, {}, {}
    for name in implementations:
      process = stack.enter_context(start(name, job))
      said = hear(process)
      if 'missing' in said:
        missing[name] = said['missing']
      else:
        running[name], ready[name] = process, said['seconds_to_ready']
    differences = _differences(running)
    times = take_turns(running, rounds, count)
    facts = {name: ask(process, 'facts') for name, process in running.items()}
  found = {name: {'seconds': summarize(times[name]['seconds']), 'cpu_seconds': summarize(times[name]['cpu_seconds']),
                  'seconds_to_ready': ready[name], 'difference': differences[name],
                  'peak_memory': facts[name]['peak_memory']} for name in running}
  said = dict(facts['ours'])
  said['versions'] = {name: value for one in facts.values() for name, value in one['versions'].items()}
  said['matmul_flops_per_second'] = max(one.get('matmul_flops_per_second', 0) for one in facts.values())
  return found, said, missing


def _differences(running: Mapping[str, Any]) -> dict[str, float]:
  """By implementation, the largest difference in probability from ours, of all heads."""
  with tempfile.TemporaryDirectory() as folder:
    outputs = {}
    for name, process in running.items():
      ask(process, f'save {folder}/{name}.npz')
      with np.load(f'{folder}/{name}.npz') as file:
        outputs[name] = {head: file[head] for head in HEADS}
  return {name: max(float(np.abs(found[head] - outputs['ours'][head]).max()) for head in HEADS)
          for name, found in outputs.items()}


def _ratios(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """'PEER / OURS': how many times as long as one of OURS each of PEERS took."""
  seconds = {name: one['seconds']['all'] for name, one in found.items()}
  return {f'{peer} / {own}': compare(seconds[own], seconds[peer])
          for own in OURS for peer in PEERS if own in seconds and peer in seconds}


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  matmul, copied, rows = result['matmul_flops_per_second'], result['copy_bytes_per_second'], result['rows']
  return page.join(
      '# Inference',
      f'The multi-task network with Lesion-Net-16s at {result["size"]}x{result["size"]}, {result["dtype"]}, width '
      f'{result["width"]:g}: from uint8 photographs on the device to all probabilities. The median of {result["rounds"]} '
      'turns, which the implementations took one after another, and the lowest and highest. Same weights and photographs. '
      'Unmodified JAX: our network without our options of the compiler, pools and convolutions for a CPU. PyTorch has '
      'BatchNorm folded '
      'and is channels last; compiled, its weights are frozen. The difference is that in probability from '
      'ours in JAX. Time to ready: from the start of the program to its first result; ours may find its program in the '
      'cache of an earlier run.',
      page.table(['batch', 'implementation', 's an inference', 'range', 'photographs/s', 'CPU s', 'fraction of roofline',
                  'largest difference', 's to ready'],
                 [_cells(row, name, found) for row in rows for name, found in row['sides'].items()]),
      '\n'.join(f'- {NAMES[name]} was skipped: {why}.' for name, why in result['missing'].items()),
      page.table(['batch', 'how many times as long', *RATIO],
                 [[str(row['batch']), pair_name(pair), *ratio_cells(ratio)]
                  for row in rows for pair, ratio in row['ratios'].items()]),
      f'The roofline: the network\'s convolutions and matrix products, {rows[0]["flops"] / 1e9:.0f} GFLOP for '
      f'{rows[0]["batch"]} counted from their shapes, each as long as its arithmetic takes at '
      f'{matmul / 1e9:.4g} GFLOP/s, the rate of one large matrix product on this machine in this run, or as its '
      f'operands and result take at {copied / 1e9:.3g} GB/s, the rate of copying, whichever is longer: '
      + ', '.join(f'{row["floor_seconds"]:.3g} s for {row["batch"]}' for row in rows)
      + '. A fraction above 1 means that the product was disturbed, or that multiplications were saved.',
      page.provenance(result)) + '\n'


def _cells(row: Mapping[str, Any], name: str, found: Mapping[str, Any]) -> list[str]:
  seconds = found['seconds']
  return [str(row['batch']), NAMES[name], f'{seconds["median"]:.3g}',
          page.span(seconds['lowest'], seconds['highest'], '.3g'), f'{row["batch"] / seconds["median"]:.3g}',
          f'{found["cpu_seconds"]["median"]:.3g}', f'{row["floor_seconds"] / seconds["median"]:.2f}',
          '' if name == 'ours' else f'{found["difference"]:.1e}', f'{found["seconds_to_ready"]:.1f}']


if __name__ == '__main__':
  serve()
