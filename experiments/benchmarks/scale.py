"""Training on 1, 2, 4 and 8 simulated devices and on two processes: the same numbers, what is sent, and times.

What 8 and 64 GPUs would reach is worked out on paper, see `at_best`.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import pathlib
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments import page, record
from experiments.benchmarks.turns import hear, worker
from lesion_jax import runtime
from lesion_jax.core import Array
from lesion_jax.losses import get_loss
from lesion_jax.models import LesionNet
from lesion_jax.models.layers import ConvBN, normalize, scaled
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import TrainState, create_state, sgd
from lesion_jax.train.step import StepParams, make_train_step
from lesion_jax.weights.initialize import initialize

SIZE, GLOBAL_BATCH, DEVICE_BATCH = 96, 8, 2
WARM, STEPS = 1, 5
SEED, PHOTOGRAPH = 0, 896
STEP_PARAMS = StepParams(np.float32(1e-3), np.float32(0.8))
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}
# As XLA prints it: `%name = (f32[3,3]{1,0}, f32[]) all-reduce(...)`, `all-reduce-start(` where it is asynchronous.
ALL_REDUCE = re.compile(r'= (?P<result>\(?.*?\)?) all-reduce(?:-start)?\(')
ARRAY = re.compile(r'\b(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,]*)\]')
TOLERANCE = 1e-5  # of losses and gradients, as parts of their values


class Shallow(nn.Module):
  """An encoder of five convolutions in the place of Inception-v3, which takes half a minute to compile."""

  padding: str = 'SAME'
  output_stride: int = 32
  width: float = 1.0
  dtype: Any = jnp.float32
  bn_axis: str | None = None
  remat: bool = False
  norm: str = 'batch'  # as for Inception-v3; the other one is not needed here

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> dict[int, Array]:
    """[B, H, W, 3] -> taps by stride."""
    x, taps = normalize(images, self.dtype), {}
    for stride in (2, 4, 8, 16, 32):
      x = taps[stride] = ConvBN(scaled(16 * stride, self.width, minimum=4), 3, strides=2, dtype=self.dtype,
                                bn_axis=self.bn_axis, name=f'block_{stride}')(x, train=train)
    return taps


def make_batch(rows: int) -> dict[str, np.ndarray]:
  """Makes noise; row by row the same for any number of rows."""
  each = [np.random.default_rng([SEED, row]) for row in range(rows)]
  bytes_of = lambda *shape: np.stack([rng.integers(0, 256, shape, np.uint8) for rng in each])
  return {'image': bytes_of(SIZE, SIZE, 3), 'lesions': bytes_of(SIZE, SIZE),
          'ignore': np.zeros((rows, SIZE, SIZE), np.uint8), 'annotated': np.full(rows, 255, np.uint8),
          'grade': np.zeros(rows, np.int32), 'weight': np.ones(rows, np.float32)}


def all_reduces(program: str) -> list[dict[str, int]]:
  """Returns the all-reduce operations of a compiled program, in the text of its HLO: how many arrays each carries,
  bytes."""
  found = []
  for line in program.splitlines():
    if match := ALL_REDUCE.search(re.sub(r'/\*.*?\*/', '', line)):
      arrays = [(array['dtype'], math.prod(int(n) for n in array['shape'].split(',') if n))
                for array in ARRAY.finditer(match['result'])]
      found.append({'arrays': len(arrays), 'bytes': sum(BYTES[dtype] * count for dtype, count in arrays)})
  return found


class Run:
  """A network's step on all devices, and the state that it moves."""

  def __init__(self, devices: Devices, *, shared_norm: bool, **fields: Any):
    # Without weight decay the momentum is the gradient after one step.
    optimizer, model = sgd(weight_decay=0.0), LesionNet(bn_axis=AXIS if shared_norm else None, **fields)
    self._devices, self._start = devices, functools.partial(
        create_state, initialize(model, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), SEED), optimizer)
    self._program = devices.train(make_train_step(model.apply, get_loss('dual_dice'), optimizer, axis_name=AXIS))

  def first(self, rows: int) -> tuple[TrainState, dict[str, Any]]:
    """Returns the state and the metrics after one step from the start."""
    return self._program(self._state(), self._rows(rows), {}, STEP_PARAMS)

  def seconds(self, rows: int) -> list[float]:
    """Times STEPS steps."""
    state, batch, found = self._state(), self._rows(rows), []
    for _ in range(WARM + STEPS):
      start = time.perf_counter()
      state, _ = jax.block_until_ready(self._program(state, batch, {}, STEP_PARAMS))
      found.append(time.perf_counter() - start)
    return found[WARM:]

  def traffic(self, rows: int) -> dict[str, Any]:
    """Parameters, running statistics, and what a step sends."""
    state = self._start()
    written = self._program.lower(state, self._rows(rows), {}, STEP_PARAMS)
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    return {'parameters': count(state.params), 'statistics': count(state.batch_stats),
            'reductions_written': written.as_text().count('"stablehlo.all_reduce"'),
            'all_reduces': all_reduces(written.compile().as_text())}

  def _state(self) -> Any:
    return self._devices.replicate(self._start())

  def _rows(self, rows: int) -> dict[str, Any]:
    """This process's rows of a global batch."""
    own = rows // jax.process_count()
    start = own * jax.process_index()
    return self._devices.shard({key: value[start:start + own] for key, value in make_batch(rows).items()})


def steps(gradient: pathlib.Path) -> dict[str, Any]:
  """Returns the numbers of one step, the same on any devices, and times with a fixed batch in all and by device."""
  devices = Devices()
  state, metrics = Run(devices, shared_norm=True, encoder=Shallow, stride=32, width=0.25).first(GLOBAL_BATCH)
  if jax.process_index() == 0:
    leaves = jax.tree.leaves(jax.device_get((state.opt_state, state.batch_stats)))
    np.savez(gradient, *leaves)
  run = Run(devices, shared_norm=False, encoder=Shallow, stride=32, width=0.25)
  return {'devices': devices.count, 'processes': jax.process_count(), 'loss': float(metrics['loss']),
          'strong': run.seconds(GLOBAL_BATCH), 'weak': run.seconds(DEVICE_BATCH * devices.count)}


def traffic() -> dict[str, Any]:
  """Returns what a step of Lesion-Net-16s in full sends, on two devices; with BatchNorm by device, and over all of
  them."""
  devices = Devices()
  found = {name: Run(devices, shared_norm=shared, stride=16).traffic(devices.count)
           for name, shared in (('by device', False), ('over all devices', True))}
  return {'norms': found, 'flops': flops(PHOTOGRAPH)}


def flops(size: int) -> float:
  """Returns XLA's count for a training step of Lesion-Net-16s on one photograph, as it is written."""
  optimizer, model = sgd(), LesionNet(stride=16)
  shape = lambda dtype, *dims: jax.ShapeDtypeStruct((1, *dims), dtype)
  square = shape(jnp.uint8, size, size)
  batch = {'image': shape(jnp.uint8, size, size, 3), 'lesions': square, 'ignore': square, 'annotated': shape(jnp.uint8),
           'grade': shape(jnp.int32), 'weight': shape(jnp.float32)}
  images = jnp.zeros((1, size, size, 3), jnp.uint8)
  variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
  params = variables['params']
  state = TrainState(jax.ShapeDtypeStruct((), jnp.int32), params, variables['batch_stats'],
                     jax.eval_shape(optimizer.init, params))
  step = make_train_step(model.apply, get_loss('dual_dice'), optimizer)
  return jax.jit(step).lower(state, batch, {}, STEP_PARAMS).cost_analysis()['flops']


def simulate(argv: Sequence[str] | None = None) -> None:
  """Runs a process of its own, training steps on its simulated devices; it writes a line of JSON.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m experiments.benchmarks.scale steps --gradient FILE
    ... python -m experiments.benchmarks.scale traffic
  """
  parser = argparse.ArgumentParser()
  parser.add_argument('what', choices=['steps', 'traffic'])
  parser.add_argument('--gradient', type=pathlib.Path, help='where the gradient is left, an .npz file')
  parser.add_argument('--coordinator')
  parser.add_argument('--processes', type=int)
  parser.add_argument('--process', type=int)
  arguments = parser.parse_args(argv)
  runtime.set_up(arguments.coordinator, arguments.processes, arguments.process)
  found: Mapping[str, Any] = traffic() if arguments.what == 'traffic' else steps(arguments.gradient)
  print(json.dumps(found), flush=True)


class Cluster(NamedTuple):
  """What is assumed of GPUs, none of it measured here.

  Attributes:
    flops: FLOP/s that a training step reaches on one: 40% of the 989e12 that NVIDIA's data sheet gives for dense
      bfloat16 on an H100 SXM.
    node: GPUs in one machine.
    inside: bytes/s that each sends within it: 80% of the 450e9 of NVLink 4, one way.
    between: bytes/s that each sends to other machines: 80% of the 50e9 of one 400 Gbit/s adapter a GPU.
    latency: seconds for one message of the ring.
    batch: photographs on each GPU in a step.
  """

  flops: float = 0.4 * 989e12
  node: int = 8
  inside: float = 0.8 * 450e9
  between: float = 0.8 * 50e9
  latency: float = 10e-6
  batch: int = 8


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--devices', type=int, nargs='+', default=[1, 2, 4, 8], help='simulated (default 1 2 4 8)')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes scale.json and scale.md; returns 1 where the numbers depend on the devices."""
  with tempfile.TemporaryDirectory() as folder:
    rows = [take_steps(pathlib.Path(folder) / f'{count}.npz', devices=count) for count in arguments.devices]
    rows.append(take_steps(pathlib.Path(folder) / 'two.npz', devices=1, processes=2))
    for row in rows:
      row['loss_difference'] = abs(row['loss'] / rows[0]['loss'] - 1)
      row['gradient_difference'] = difference(rows[0]['gradient'], row['gradient'])
  for row in rows:
    del row['gradient']
  with start('traffic', devices=2) as process:
    found = hear(process)
  sent = sum(one['bytes'] for one in found['norms']['by device']['all_reduces'])
  paper = [at_best(gpus, sent, found['flops'], Cluster()) for gpus in (1, 8, 64)]
  result = {
      'benchmark': 'scale', 'rows': rows, 'traffic': found, 'assumed': Cluster()._asdict(), 'paper': paper,
      'reading_cpu_ms': reading_time(page.BENCHMARKS / 'input.json'),
      'versions': record.versions(), 'hardware': record.hardware()}
  print(page.write(arguments.out, 'scale', result, render))
  apart = [row for row in rows if max(row['loss_difference'], row['gradient_difference']) > TOLERANCE]
  for row in apart:
    print(f'{row["devices"]} devices in {row["processes"]} processes: the loss differs by '
          f'{row["loss_difference"]:.1e}, the gradient by {row["gradient_difference"]:.1e}', file=sys.stderr)
  return 1 if apart else 0


def start(*arguments: Any, devices: int) -> Any:
  """Starts a process of `simulate` with so many devices, a context."""
  return worker('experiments.benchmarks.scale', *arguments, environment={
      'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'})


def take_steps(gradient: pathlib.Path, *, devices: int, processes: int = 1) -> dict[str, Any]:
  """Returns what the worker says, or the first of several, with so many devices each; and its gradient."""
  common = ['steps', '--gradient', gradient]
  if processes == 1:
    with start(*common, devices=devices) as process:
      return hear(process) | {'gradient': read(gradient)}
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  common += ['--coordinator', f'127.0.0.1:{port}', '--processes', processes, '--process']
  with start(*common, 0, devices=devices) as first, start(*common, 1, devices=devices) as second:
    hear(second)
    return hear(first) | {'gradient': read(gradient)}


def read(path: pathlib.Path) -> list[np.ndarray]:
  """Returns the arrays of an .npz file, in order."""
  with np.load(path, allow_pickle=False) as file:
    return [file[name] for name in file.files]


def difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
  """Returns the largest difference of two lists of arrays, each as a part of the largest entry of its array."""
  return max(float(np.abs(a - b).max() / max(np.abs(a).max(), np.finfo(np.float32).tiny))
             for a, b in zip(one, other, strict=True))


def reading_time(path: pathlib.Path) -> float | None:
  """Returns CPU milliseconds in which our reader reads one photograph, as `input` measured; None without its result."""
  if not path.exists():
    return None
  return max(row['cpu_ms'] for row in json.loads(path.read_text(encoding='utf-8'))['rows'] if 'ours' in row['reader'])


def at_best(gpus: int, sent: int, flops: float, cluster: Cluster) -> dict[str, Any]:
  """Returns a step with `cluster.batch` photographs on each of so many GPUs, which send when they have computed.

  In a ring, each of n sends 2 (n - 1) / n times the bytes, in 2 (n - 1) messages, at the rate of its slowest link.
  Sending while computing, which XLA does on GPUs, would do better; waiting for data or for the slowest GPU, worse.

  Args:
    gpus: n.
    sent: bytes that are reduced in a step.
    flops: of one photograph.
    cluster: what is assumed.
  """
  compute = cluster.batch * flops / cluster.flops
  rate = cluster.inside if gpus <= cluster.node else cluster.between
  send = 2 * (gpus - 1) / gpus * sent / rate + 2 * (gpus - 1) * cluster.latency
  return {'gpus': gpus, 'compute': compute, 'send': send, 'images_per_second': gpus * cluster.batch / (compute + send),
          'efficiency': compute / (compute + send)}


def render(result: Mapping[str, Any]) -> str:
  """Renders the page of a result, in Markdown."""
  assumed = result['assumed']
  return page.join(
      '# Several devices',
      f'A small Lesion-Net (an encoder of five convolutions) at {SIZE}x{SIZE}, float32, with a batch of {GLOBAL_BATCH} '
      f'in all (strong) and of {DEVICE_BATCH} on each device (weak). Differences are those of the first step to one '
      'device, with BatchNorm over all devices; those of gradients and running statistics as a part of the largest entry of '
      f'each array. **The devices are simulated and share {result["hardware"]["cpus"]} CPU cores: the times show what the '
      'division costs, not what more devices would gain.**',
      page.table(['devices', 'processes', 'loss differs by', 'gradient differs by', 'strong, ms a step', 'weak, ms a step'],
                 [[str(row['devices']), str(row['processes']), f'{row["loss_difference"]:.1e}',
                   f'{row["gradient_difference"]:.1e}',
                   *(f'{1000 * statistics.median(row[name]):.1f}' for name in ('strong', 'weak'))] for row in result['rows']]),
      '## What is sent',
      'Lesion-Net-16s, the whole network: all-reduce operations in the compiled program of a step, and their bytes. '
      'XLA combines what the step asks for one array at a time.',
      page.table(['BatchNorm', 'parameters', 'running statistics', 'arrays', 'operations', 'bytes a step', 'bytes by parameter'],
                 [_sent(norm, found) for norm, found in result['traffic']['norms'].items()]),
      '## On paper: 8 and 64 GPUs',
      f'Assumed, not measured: each GPU computes at {assumed["flops"] / 1e12:.0f} TFLOP/s, takes {assumed["batch"]} '
      f'photographs of 896x896 in a step of {result["traffic"]["flops"] / 1e9:.0f} GFLOP each (XLA\'s count), sends '
      f'{assumed["inside"] / 1e9:.0f} GB/s within a machine of {assumed["node"]} and {assumed["between"] / 1e9:.0f} '
      f'GB/s between machines, {assumed["latency"] * 1e6:.0f} µs a message; a ring, 2 (n - 1) / n of the bytes; nothing is '
      'sent while it computes; data never wait.',
      page.table(['GPUs', 'compute, ms', 'send, ms', 'images/s', 'of n times one', 'CPU cores that read'],
                 [_gpus(row, result['reading_cpu_ms']) for row in result['paper']]),
      page.provenance(result)) + '\n'


def _sent(norm: str, found: Mapping[str, Any]) -> list[str]:
  sent = sum(one['bytes'] for one in found['all_reduces'])
  return [norm, f'{found["parameters"]:,}', f'{found["statistics"]:,}', str(found['reductions_written']),
          str(len(found['all_reduces'])), f'{sent:,}', f'{sent / found["parameters"]:.3f}']


def _gpus(row: Mapping[str, Any], reading: float | None) -> list[str]:
  """`reading`: CPU milliseconds a photograph, None where that is not known."""
  return [str(row['gpus']), f'{1000 * row["compute"]:.1f}', f'{1000 * row["send"]:.2f}', f'{row["images_per_second"]:,.0f}',
          f'{row["efficiency"]:.2f}', '' if reading is None else f'{math.ceil(row["images_per_second"] * reading / 1000)}']


if __name__ == '__main__':
  simulate()
