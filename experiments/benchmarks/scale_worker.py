"""One process of the benchmark of scaling: training steps on its simulated devices; it writes a line of JSON.

  XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m experiments.benchmarks.scale_worker steps --gradient FILE
  ... python -m experiments.benchmarks.scale_worker traffic
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax import runtime
from lesion_jax.core import Array
from lesion_jax.losses import get_loss
from lesion_jax.models import LesionNet
from lesion_jax.models.layers import ConvBN, normalize, scaled
from lesion_jax.train.parallel import AXIS, Devices
from lesion_jax.train.state import TrainState, create_state, sgd
from lesion_jax.train.step import Knobs, make_train_step
from lesion_jax.weights.initialize import initialize

SIZE, GLOBAL_BATCH, DEVICE_BATCH = 96, 8, 2
WARM, STEPS = 1, 5
SEED, PHOTOGRAPH = 0, 896
KNOBS = Knobs(np.float32(1e-3), np.float32(0.8))
BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's32': 4, 'u32': 4, 'f32': 4, 's64': 8, 'u64': 8, 'f64': 8}
# As XLA prints it: `%name = (f32[3,3]{1,0}, f32[]) all-reduce(...)`, `all-reduce-start(` where it is asynchronous.
ALL_REDUCE = re.compile(r'= (?P<result>\(?.*?\)?) all-reduce(?:-start)?\(')
ARRAY = re.compile(r'\b(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,]*)\]')


class Shallow(nn.Module):
  """An encoder of five convolutions in the place of Inception-v3, which takes half a minute to compile."""

  padding: str = 'SAME'
  output_stride: int = 32
  width: float = 1.0
  dtype: Any = jnp.float32
  bn_axis: str | None = None
  remat: bool = False

  @nn.compact
  def __call__(self, images: Array, *, train: bool) -> dict[int, Array]:
    """[B, H, W, 3] -> taps by stride."""
    x, taps = normalize(images, self.dtype), {}
    for stride in (2, 4, 8, 16, 32):
      x = taps[stride] = ConvBN(scaled(16 * stride, self.width, minimum=4), 3, strides=2, dtype=self.dtype,
                                bn_axis=self.bn_axis, name=f'block_{stride}')(x, train=train)
    return taps


def make_batch(rows: int) -> dict[str, np.ndarray]:
  """Noise; row by row the same for any number of rows."""
  each = [np.random.default_rng([SEED, row]) for row in range(rows)]
  bytes_of = lambda *shape: np.stack([rng.integers(0, 256, shape, np.uint8) for rng in each])
  return {'image': bytes_of(SIZE, SIZE, 3), 'lesions': bytes_of(SIZE, SIZE),
          'ignore': np.zeros((rows, SIZE, SIZE), np.uint8), 'annotated': np.full(rows, 255, np.uint8),
          'grade': np.zeros(rows, np.int32), 'weight': np.ones(rows, np.float32)}


def all_reduces(program: str) -> list[dict[str, int]]:
  """The all-reduce operations of a compiled program, in the text of its HLO: how many arrays each carries, bytes."""
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
    """The state and the figures after one step from the start."""
    return self._program(self._state(), self._rows(rows), {}, KNOBS)

  def seconds(self, rows: int) -> list[float]:
    """Of STEPS steps."""
    state, batch, found = self._state(), self._rows(rows), []
    for _ in range(WARM + STEPS):
      start = time.perf_counter()
      state, _ = jax.block_until_ready(self._program(state, batch, {}, KNOBS))
      found.append(time.perf_counter() - start)
    return found[WARM:]

  def traffic(self, rows: int) -> dict[str, Any]:
    """Parameters, running statistics, and what a step sends."""
    state = self._start()
    written = self._program.lower(state, self._rows(rows), {}, KNOBS)
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
  """The numbers of one step, the same on any devices, and times with a fixed batch in all and by device."""
  devices = Devices()
  state, metrics = Run(devices, shared_norm=True, encoder=Shallow, stride=32, width=0.25).first(GLOBAL_BATCH)
  if jax.process_index() == 0:
    leaves = jax.tree.leaves(jax.device_get((state.opt_state, state.batch_stats)))
    np.savez(gradient, *leaves)
  run = Run(devices, shared_norm=False, encoder=Shallow, stride=32, width=0.25)
  return {'devices': devices.count, 'processes': jax.process_count(), 'loss': float(metrics['loss']),
          'strong': run.seconds(GLOBAL_BATCH), 'weak': run.seconds(DEVICE_BATCH * devices.count)}


def traffic() -> dict[str, Any]:
  """What a step of Lesion-Net-16s in full sends, on two devices; with BatchNorm by device, and over all of them."""
  devices = Devices()
  found = {name: Run(devices, shared_norm=shared, stride=16).traffic(devices.count)
           for name, shared in (('by device', False), ('over all devices', True))}
  return {'norms': found, 'flops': flops(PHOTOGRAPH)}


def flops(size: int) -> float:
  """XLA's count for a training step of Lesion-Net-16s on one photograph, as it is written."""
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
  return jax.jit(step).lower(state, batch, {}, KNOBS).cost_analysis()['flops']


def main(argv: Sequence[str] | None = None) -> None:
  """Runs one of the two."""
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


if __name__ == '__main__':
  main()
