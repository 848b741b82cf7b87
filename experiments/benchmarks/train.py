"""A training step of Lesion-Net-16s and of the multi-task network with a frozen lesion branch: ours beside PyTorch's.

Same weights, inputs, precision, losses and optimiser, each implementation a process of its own, taking turns. Neither
augments, and the batch lies on the device, unpacked for PyTorch. On a GPU:

  python -m experiments.benchmark train --size 896 --dtype bfloat16 --batch 8 16 32 64 --implementations ours torch
  torch_compiled

Needs jax, flax, optax, numpy and torch alone. A batch for which a device has too little memory is reported.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # of this process, where it is one of the implementations: before all imports

import argparse
import contextlib
import functools
import json
import math
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np

from experiments import page, record
from experiments.benchmarks.machine import limits
from experiments.benchmarks.turns import RATIO, ask, compare, hear, ratio_cells, summarize, take_turns, worker
from lesion_jax import runtime
from lesion_jax.core import unpack_bits
from lesion_jax.losses import get_loss
from lesion_jax.machine import keep_from_here, keep_memory
from lesion_jax.models import get_model
from lesion_jax.train.parallel import Devices
from lesion_jax.train.state import create_state, sgd, split_frozen
from lesion_jax.train.step import StepParams, make_train_step
from lesion_jax.weights.initialize import initialize

LESION = {'name': 'lesion_net_16s'}
# What is trained: the network, the name of its loss, and the branch that is not trained.
NETWORKS: dict[str, dict[str, Any]] = {
    'lesion_net_16s': {'fields': LESION, 'loss': 'dual_dice', 'frozen': None},
    'multitask': {'fields': {'name': 'multitask', 'lesion': LESION}, 'loss': 'grade_cross_entropy', 'frozen': 'lesion'},
}
RATE, MOMENTUM, WEIGHT_DECAY, DUAL_WEIGHT = 1e-3, 0.95, 1e-4, 0.8  # IV-A and III-A of the paper
SEED = 0
AS_WRITTEN = 'none'  # a platform for which nothing is arranged
MACHINE = ('hardware', 'versions', 'copy_bytes_per_second', 'matmul_flops_per_second')  # of a result, beside its rows
LOSSES = 2  # of so many first steps; the second is the first that depends on a gradient
# How far the losses of two implementations may lie apart, as a part of their value: the first is of the same weights.
# After a step batch statistics of few pixels have magnified roundings.
TOLERANCE, AFTER_A_STEP = {'float32': 1e-3, 'bfloat16': 3e-2}, 20


class Job(NamedTuple):
  """What one process trains."""

  network: str
  size: int
  batch: int
  dtype: str
  width: float

  @property
  def fields(self) -> dict[str, Any]:
    """Of `get_model`, every network in it with the width and the dtype."""
    own = {'width': self.width, 'dtype': self.dtype}
    fields = NETWORKS[self.network]['fields']
    return {key: value | own if isinstance(value, dict) else value for key, value in fields.items()} | own


def make_batch(job: Job) -> dict[str, np.ndarray]:
  """Returns noise with lesions on a twentieth of the area and all grades: the same each time. The time of a step does
  not depend on it."""
  rng = np.random.default_rng(SEED)
  square = (job.batch, job.size, job.size)
  return {
      'image': rng.integers(0, 256, (*square, 3), np.uint8),
      'lesions': rng.integers(0, 256, square, np.uint8) * (rng.random(square) < 0.1).astype(np.uint8),
      'ignore': np.zeros(square, np.uint8),
      'annotated': np.full(job.batch, 255, np.uint8),
      'grade': np.arange(job.batch, dtype=np.int32) % 5,
      'weight': np.ones(job.batch, np.float32),
  }


def initial_variables(job: Job) -> dict[str, Any]:
  """Returns the weights from which both implementations start."""
  images = jax.ShapeDtypeStruct((1, job.size, job.size, 3), np.uint8)
  return initialize(get_model(**job.fields), images, SEED)


class Ours:
  """Our training step, as `lesion_jax.train` runs it, on one device, with what we arrange for a CPU and our options of the compiler
  or without them (`plain`): state and batch on the device, and the compiled step."""

  def __init__(self, job: Job, *, plain: bool = False):
    runtime.use_cache()
    self.job, chosen = job, NETWORKS[job.network]
    optimizer = sgd(momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    trainable, frozen = split_frozen(initial_variables(job), chosen['frozen'])
    devices = Devices(jax.devices()[:1])
    step = functools.partial(make_train_step, get_model(**job.fields).apply, get_loss(chosen['loss']), optimizer,
                             axis_name=devices.axis)
    self._written = devices.train(step(platform=AS_WRITTEN))
    with mock.patch.object(runtime, 'compiler_options', lambda platform: None) if plain else contextlib.nullcontext():
      self._program = devices.train(step(platform=AS_WRITTEN if plain else None))
    self._state = devices.replicate(create_state(trainable, optimizer))
    self._frozen = devices.replicate(frozen)
    self._batch = jax.device_put(devices.shard(make_batch(job)), jax.devices()[0])
    self._step_params = StepParams(np.float32(RATE), np.float32(DUAL_WEIGHT))

  def step(self) -> Any:
    """Takes one step; returns its loss, on the device."""
    self._state, metrics = self._program(self._state, self._batch, self._frozen, self._step_params)
    return metrics['loss']

  def finish(self, loss: Any) -> float:
    """Waits for the step, whole."""
    jax.block_until_ready(self._state)
    return float(loss)

  def text(self) -> str:
    """Returns the text of the compiled program, which takes the steps from here on."""
    lowered = self._program.lower(self._state, self._batch, self._frozen, self._step_params)
    # Those of the `jit` around `pmap` would be forgotten here.
    self._program = lowered.compile(runtime.compiler_options(jax.default_backend()))
    return self._program.as_text()

  @staticmethod
  def is_out_of_memory(error: Exception) -> bool:
    """Tells whether memory was short, as XLA says it."""
    return isinstance(error, jax.errors.JaxRuntimeError) and 'RESOURCE_EXHAUSTED' in str(error)

  def facts(self) -> dict[str, Any]:
    """Returns the machine, its limits as measured now, and the arithmetic of a step."""
    return {'hardware': record.hardware(), 'versions': record.versions(), 'peak_memory': record.peak_memory(),
            'flops': self._flops(), **limits(self.job.dtype)}

  def _flops(self) -> float:
    """XLA's count for the step as it is written: before `lesion_jax.cpu` and before any optimisation, which may move it into libraries that XLA
    cannot look into."""
    lowered = self._written.lower(self._state, self._batch, self._frozen, self._step_params)
    return lowered.cost_analysis()['flops']


def dual_dice(found: Mapping[str, Any], batch: Mapping[str, Any]) -> Any:
  """Computes Eq. 2 of the paper; every pixel of the batch is scored."""
  maps = found['maps'].float().sigmoid()  # [B, S, S, 8], a view of channels second
  segmentation = dice(maps, batch['masks'])
  # The maximum of the logits: a float32 sigmoid makes ties of everything above 17.
  classification = dice(found['maps'].float().amax((1, 2)).sigmoid(), batch['present'])
  return DUAL_WEIGHT * segmentation + (1 - DUAL_WEIGHT) * classification


def dice(p: Any, t: Any) -> Any:
  """Computes Eq. 3."""
  return 1 - 2 * (p * t).sum() / (p.square().sum() + t.sum())


class Torch:
  """The same step in PyTorch: channels last, autocast to bfloat16, TF32, fused SGD, and compiled if asked to. Its networks are
  those that `lesion-jax export --to torch` writes, which compute what ours do."""

  def __init__(self, job: Job, *, compiled: bool = False):
    jax.config.update('jax_platforms', 'cpu')  # JAX only draws the weights here, and must not take the device's memory
    import torch

    from experiments.benchmarks import peer

    self._torch, self._peer, self.job, chosen = torch, peer, job, NETWORKS[job.network]
    self.device = peer.set_up()
    network = peer.build(job.fields, initial_variables(job))
    if chosen['frozen']:
      peer.fold(getattr(network, chosen['frozen']))
    network = network.to(self.device, memory_format=torch.channels_last).train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    self._optimizer = torch.optim.SGD(trained, RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True)
    losses = {'dual_dice': dual_dice, 'grade_cross_entropy': lambda found, batch: torch.nn.functional.cross_entropy(
        found['grades'].float(), batch['grade'])}
    self._batch, loss = self._targets(), losses[chosen['loss']]

    def loss_of(batch: Mapping[str, Any]) -> Any:
      with torch.autocast(self.device, torch.bfloat16, enabled=job.dtype == 'bfloat16'):
        found = network(batch['image'], logits=True)
      return loss(found, batch)

    self._loss_of = torch.compile(loss_of) if compiled else loss_of

  def _targets(self) -> dict[str, Any]:
    """The batch on the device, unpacked once, as the loss takes it."""
    torch, batch = self._torch, make_batch(self.job)
    masks = torch.from_numpy(unpack_bits(batch['lesions'])).to(self.device)
    return {'image': torch.from_numpy(batch['image']).to(self.device), 'masks': masks, 'present': masks.amax((1, 2)),
            'grade': torch.from_numpy(batch['grade']).long().to(self.device)}

  def step(self) -> Any:
    """Takes one step; returns its loss, on the device."""
    self._optimizer.zero_grad(set_to_none=True)
    loss = self._loss_of(self._batch)
    loss.backward()
    self._optimizer.step()
    return loss.detach()

  def finish(self, loss: Any) -> float:
    """Waits for the step, whole."""
    self._peer.wait(self.device)
    return float(loss)

  def is_out_of_memory(self, error: Exception) -> bool:
    """Tells whether memory was short, as PyTorch says it, on either device."""
    return isinstance(error, self._torch.OutOfMemoryError) or 'not enough memory' in str(error)

  def facts(self) -> dict[str, Any]:
    """Returns versions, memory, and the rate of its matrix products."""
    return self._peer.facts(self.device, self.job.dtype)


IMPLEMENTATIONS: dict[str, Callable[[Job], Any]] = {
    'ours': Ours, 'returning': Ours, 'plain': functools.partial(Ours, plain=True), 'torch': Torch,
    'torch_compiled': functools.partial(Torch, compiled=True)}
NAMES = {'ours': 'ours', 'returning': 'ours, memory given back', 'plain': 'unmodified JAX', 'torch': 'PyTorch', 'torch_compiled': 'PyTorch, compiled'}  # on the page


def steps(argv: Sequence[str] | None = None) -> None:
  """Runs one implementation, a process that is told when to take steps.

    python -m experiments.benchmarks.train ours|returning|plain|torch|torch_compiled --network lesion_net_16s --size 256 --batch 2 ...

  It writes one line of JSON when it is ready: the losses of its first two steps and how long it took to get there. Then it
  replies to a line 'N' on stdin with the seconds that one of N further steps took, and 'facts' with what it knows of
  its machine and of the step. Where the device's memory does not suffice, the line is {"error": ...} and the process
  ends.
  """
  parser = argparse.ArgumentParser()
  parser.add_argument('implementation', choices=IMPLEMENTATIONS)
  for name, kind in (('network', str), ('size', int), ('batch', int), ('dtype', str), ('width', float)):
    parser.add_argument(f'--{name}', type=kind, required=True)
  arguments = vars(parser.parse_args(argv))
  if (name := arguments.pop('implementation')) == 'ours':
    keep_memory()
  implementation = IMPLEMENTATIONS[name](Job(**arguments))
  try:
    losses = [implementation.finish(implementation.step()) for _ in range(LOSSES)]
  except Exception as error:
    if not implementation.is_out_of_memory(error):
      raise
    print(json.dumps({'error': 'out of memory'}), flush=True)
    return
  keep_from_here()
  print(json.dumps({'losses': losses, 'seconds_to_ready': round(time.perf_counter() - STARTED, 1)}), flush=True)
  for line in sys.stdin:
    if line.strip() == 'facts':
      print(json.dumps(implementation.facts()), flush=True)
      continue
    start = time.perf_counter()
    for _ in range(int(line)):
      loss = implementation.step()
    implementation.finish(loss)
    print(json.dumps({'seconds': (time.perf_counter() - start) / int(line)}), flush=True)


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--network', choices=NETWORKS, nargs='+', default=list(NETWORKS))
  parser.add_argument('--size', type=int, default=256, help='side of the photographs (default 256)')
  parser.add_argument('--batch', type=int, nargs='+', default=[2], help='photographs in a step (default 2)')
  parser.add_argument('--dtype', choices=TOLERANCE, default='float32')
  parser.add_argument('--width', type=float, default=1.0, help='multiplier of all channels (default 1: the whole)')
  parser.add_argument('--implementations', '--sides', dest='implementations',
                      choices=IMPLEMENTATIONS, nargs='+', default=list(IMPLEMENTATIONS), help='which to measure (default: all)')
  parser.add_argument('--steps', type=int, help='of one turn (default 1 on a CPU, 10 on an accelerator)')
  parser.add_argument('--rounds', type=int, default=7, help='turns of each implementation, interleaved (default 7)')
  parser.add_argument('--resume', action='store_true', help='keep what a run of the same flags that was stopped left in --out')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes train.json and train.md, or train-gpu.* on a GPU; returns 1 where losses differ."""
  rows, machine = earlier(arguments) if arguments.resume else ([], {})
  known = {(row['network'], row['batch']) for row in rows}
  for network in arguments.network:
    for batch in arguments.batch:
      if (network, batch) in known:
        continue
      found, facts = measure(network, batch, arguments)
      rows.append(found)
      machine |= facts
      print(*lines_of(found), sep='\n', flush=True)
      if 'hardware' in machine:  # A larger batch may fail; what is known is written.
        _write(arguments, rows, machine)
  if 'hardware' not in machine:
    print('no batch fits into the memory of the device; choose a smaller --batch or --size', file=sys.stderr)
    return 1
  print(_write(arguments, rows, machine))
  apart = [row for row in rows if row['loss_difference'] is not None
           and not _agree(row['loss_difference'], row['loss_difference_after_a_step'], arguments.dtype)]
  for row in apart:
    print(f'{row["network"]}, batch {row["batch"]}: the losses differ by {row["loss_difference"]:.1e}, after a step by '
          f'{row["loss_difference_after_a_step"]:.1e}', file=sys.stderr)
  return 1 if apart else 0


def earlier(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
  """Returns rows and machine of a result in `arguments.out` that was measured in the same way; nothing where there is none."""
  for path in (arguments.out / 'train-gpu.json', arguments.out / 'train.json'):
    result = json.loads(path.read_text('utf-8')) if path.exists() else {}
    if result and all(result[name] == getattr(arguments, name) for name in ('size', 'dtype', 'width', 'rounds')):
      return result['rows'], {name: result[name] for name in MACHINE}
  return [], {}


def _write(arguments: argparse.Namespace, rows: Sequence[Any], machine: dict[str, Any]) -> str:
  """Writes what was measured so far; returns the page."""
  result = {'benchmark': 'train', 'size': arguments.size, 'dtype': arguments.dtype, 'width': arguments.width,
            'rounds': arguments.rounds, 'rows': rows, **machine}
  return page.write(arguments.out, page.on_gpu('train', result['hardware']), result, render)


def _agree(first: float, second: float, dtype: str) -> bool:
  return first <= TOLERANCE[dtype] and second <= AFTER_A_STEP * TOLERANCE[dtype]


def measure(network: str, batch: int, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
  """Measures one network and batch: the row of the result, and facts about the machine.

  All implementations are kept ready side by side. Where that is too much for the device's memory, each is started
  alone, twice.
  """
  implementations = tuple(name for name in IMPLEMENTATIONS if name in ('ours', *arguments.implementations))
  found = _together(implementations, network, batch, arguments, arguments.rounds)
  together = not any('error' in one for one in found.values())
  if not together:
    half = math.ceil(arguments.rounds / 2)
    found = {}
    for name in implementations * 2:
      one = _together((name,), network, batch, arguments, half)[name]
      if name in found and 'error' not in one:
        one['seconds'] = found[name]['seconds'] + one['seconds']
        one['cpu_seconds'] = found[name]['cpu_seconds'] + one['cpu_seconds']
      found[name] = one
  return _row(network, batch, found, together), _machine(found)


def _together(implementations: Sequence[str], network: str, batch: int, arguments: argparse.Namespace, rounds: int,
              ) -> dict[str, dict[str, Any]]:
  """Starts all implementations and lets them take turns; by implementation what it said, or {'error': ...} where memory is short."""
  with contextlib.ExitStack() as stack:
    running, found = {}, {}
    for name in implementations:
      process = stack.enter_context(worker(
          'experiments.benchmarks.train', name, '--network', network, '--size', arguments.size, '--batch', batch,
          '--dtype', arguments.dtype, '--width', arguments.width))
      found[name] = hear(process)
      if 'error' in found[name]:
        return found
      running[name] = process
    try:
      for name, process in running.items():
        found[name] |= ask(process, 'facts')
      on_cpu = any(one.get('hardware', {}).get('device') == 'cpu' for one in found.values())
      steps = arguments.steps or (1 if on_cpu else 10)
      times = take_turns(running, rounds, steps)
    except (RuntimeError, BrokenPipeError):  # An implementation has ended, and said why.
      return {name: {'error': 'ended before its time'} for name in implementations}
    return {name: one | times[name] for name, one in found.items()}


def _row(network: str, batch: int, found: dict[str, dict[str, Any]], together: bool) -> dict[str, Any]:
  measured = {name: one for name, one in found.items() if 'error' not in one}
  ours, peers = measured.get('ours'), {name: one for name, one in measured.items() if name != 'ours'}
  row = {'network': network, 'batch': batch, 'side_by_side': together, 'flops': ours and ours['flops'],
         'sides': {name: one if 'error' in one else {
             'seconds': summarize(one['seconds']), 'cpu_seconds': summarize(one['cpu_seconds']), 'losses': one['losses'],
             'peak_memory': one['peak_memory'], 'seconds_to_ready': one['seconds_to_ready']}
             for name, one in found.items()}}
  if not (ours and peers):
    return row | {'loss_difference': None, 'ratios': {}}
  difference = lambda k: max(abs(one['losses'][k] / ours['losses'][k] - 1) for one in peers.values())
  return row | {
      'loss_difference': difference(0), 'loss_difference_after_a_step': difference(1),
      'ratios': {name: compare(ours['seconds'], one['seconds']) for name, one in peers.items()}}


def _machine(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """What the implementations know of the machine; its rate of matrix products is the best that one of them reached."""
  measured = [one for one in found.values() if 'error' not in one]
  if not any('hardware' in one for one in measured):
    return {}
  ours = next(one for one in measured if 'hardware' in one)
  versions = {name: value for one in measured for name, value in one['versions'].items()}
  return {'hardware': ours['hardware'], 'versions': versions, 'copy_bytes_per_second': ours['copy_bytes_per_second'],
          'matmul_flops_per_second': max(one['matmul_flops_per_second'] for one in measured)}


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  rate, copied = result['matmul_flops_per_second'], result['copy_bytes_per_second']
  return page.join(
      '# Training steps',
      f'One step at {result["size"]}x{result["size"]}, {result["dtype"]}, width {result["width"]:g}: forward, loss, '
      f'gradient, SGD. The median of {result["rounds"]} turns, which the implementations took one after another, and the lowest '
      'and highest. Same weights, input and loss; neither implementation augments. PyTorch is channels last, with autocast where the '
      'type is bfloat16, fused SGD, and with BatchNorm folded in the lesion branch that the multi-task network does not '
      'train. Memory given back: our step without what `machine.keep_memory` does for a process. Unmodified JAX: our step without our options of the compiler, pools, convolutions, sums and memory for a CPU. This / ours: by the medians of both, and the '
      'median of the rounds with the range in which it lies by bootstrap, where they took turns. Time to ready: imports, '
      'weights, compilation and two steps; ours may find its program in the cache of an earlier run.',
      f'The device reached {rate / 1e12:.3g} TFLOP/s in one large matrix product, the better of both libraries, and '
      f'{copied / 1e9:.3g} GB/s in copying. The fraction is that of the roofline, the FLOPs of the step (XLA\'s count of the '
      'step as it is written) at this rate, in the time that the step took; above 1 where convolutions save multiplications '
      'or the matrix product was disturbed.',
      page.table(['network', 'batch', 'implementation', 's a step', 'range', 'images/s', f'this / ours, {RATIO[0]}', *RATIO[1:],
                  'CPU s a step', 'fraction of the matrix rate', 's to ready', 'peak memory, GB'],
                 [_cells(row, name, found, rate) for row in result['rows'] for name, found in row['sides'].items()]),
      '\n'.join(f'- {line}' for row in result['rows'] for line in lines_of(row)),
      page.provenance(result)) + '\n'


def lines_of(row: Mapping[str, Any]) -> list[str]:
  """Returns what is to be said of a row in words."""
  about = f'{row["network"]}, batch {row["batch"]}'
  lines = []
  if row['flops']:
    lines.append(f'{about}: {row["flops"] / 1e9:.1f} GFLOP a step.')
  if row['loss_difference'] is not None:
    lines.append(f'{about}: the losses of the first step differ by {row["loss_difference"]:.1e} of their value, those '
                 f'after it by {row["loss_difference_after_a_step"]:.1e}.')
  if not row['side_by_side']:
    lines.append(f'{about}: the implementations do not fit into memory together, and were started alone, twice each.')
  return lines


def _cells(row: Mapping[str, Any], name: str, found: Mapping[str, Any], rate: float) -> list[str]:
  first = [row['network'], str(row['batch']), NAMES[name]]
  if 'error' in found:
    return [*first, found['error'], *[''] * 9]
  seconds, compared = found['seconds'], ['', '', '']
  if ratio := row['ratios'].get(name):
    compared = ratio_cells(ratio)
    if not row['side_by_side']:
      compared[1:] = '', ''
  return [*first, f'{seconds["median"]:.3f}', page.span(seconds['lowest'], seconds['highest'], '.3f'),
          f'{row["batch"] / seconds["median"]:.2f}', *compared, f'{found["cpu_seconds"]["median"]:.2f}',
          f'{row["flops"] / rate / seconds["median"]:.2f}' if row['flops'] else '', f'{found["seconds_to_ready"]:.0f}',
          f'{found["peak_memory"]["bytes"] / 1e9:.2f}']


if __name__ == '__main__':
  steps()
