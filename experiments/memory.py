"""Memory that the networks need at full width.

  python -m experiments.memory predict --model=multitask   one forward pass on one photograph, run; peak of the process
  python -m experiments.memory train --accumulate 8 --remat --dtype bfloat16
                                                     one training step of Lesion-Net-16s, compiled and not run

XLA's own count of a compiled program is what an accelerator has to hold: arguments, results and temporaries. It is that
of the backend on which this runs; on a CPU, which computes in float32 whatever the dtype, it is an upper bound for bfloat16.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import record
from lesion_jax.losses import get_loss
from lesion_jax.models import DTYPES, get_model
from lesion_jax.predict.step import forward
from lesion_jax.train.state import TrainState, sgd
from lesion_jax.train.step import StepParams, make_train_step
from lesion_jax.weights.initialize import initialize

GB = 1e9
AS_WRITTEN = 'none'  # a platform for which nothing is arranged
# The systems of Table IV: arguments of `get_model`.
SYSTEMS: dict[str, dict[str, Any]] = {
    'fcn_8s': {'name': 'fcn_8s'},
    'deeplab_v3_plus': {'name': 'deeplab_v3_plus'},
    'abn_grader': {'name': 'abn_grader'},
    'multitask': {'name': 'multitask', 'lesion': {'name': 'lesion_net_16s'}},
}


def program(compiled: jax.stages.Compiled) -> dict[str, int]:
  """Returns bytes that a compiled program holds, in all and by kind; donated arguments, which become results, count
  once."""
  found = compiled.memory_analysis()
  parts = {'arguments': found.argument_size_in_bytes, 'temporaries': found.temp_size_in_bytes,
           'results': found.output_size_in_bytes - found.alias_size_in_bytes}
  return {'bytes': sum(parts.values()), **parts}


def predict(system: str, size: int) -> dict[str, Any]:
  """Returns one photograph through a network, as an accelerator runs it: without what is arranged for the speed of a
  CPU."""
  model = get_model(**SYSTEMS[system])
  images = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
  variables = jax.device_put(initialize(model, images, 0))
  compiled = jax.jit(forward(model)).lower(variables, images).compile()
  found = jax.block_until_ready(compiled(variables, images))
  finite = all(bool(np.isfinite(x).all()) for x in jax.tree.leaves(found))
  return {'system': system, 'size': size, 'batch': 1, 'dtype': 'float32', 'all_finite': finite,
          'program': program(compiled), 'peak_memory': record.peak_memory()}


def train(size: int, batch: int, accumulate: int, remat: bool, dtype: str = 'float32') -> dict[str, Any]:
  """Returns the program of one training step of Lesion-Net-16s, as `predict` has it: not as it is arranged for a CPU."""
  model = get_model('lesion_net_16s', remat=remat, dtype=dtype)
  optimizer = sgd()
  images = jnp.zeros((1, size, size, 3), jnp.uint8)
  variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
  params, batch_stats = variables['params'], variables['batch_stats']
  state = TrainState(jax.ShapeDtypeStruct((), jnp.int32), params, batch_stats, jax.eval_shape(optimizer.init, params))
  shape = lambda dtype, *dims: jax.ShapeDtypeStruct((batch, *dims), dtype)
  masks = shape(jnp.uint8, size, size)
  examples = {'image': shape(jnp.uint8, size, size, 3), 'lesions': masks, 'ignore': masks,
              'annotated': shape(jnp.uint8), 'grade': shape(jnp.int32), 'weight': shape(jnp.float32)}
  step = make_train_step(model.apply, get_loss('dual_dice'), optimizer, accumulate=accumulate, platform=AS_WRITTEN)
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  compiled = jax.jit(step, donate_argnums=0).lower(state, examples, {}, StepParams(scalar, scalar)).compile()
  return {'system': 'training step of lesion_net_16s', 'size': size, 'batch': batch, 'accumulate': accumulate,
          'remat': remat, 'dtype': dtype, 'program': program(compiled)}


def report(result: dict[str, Any]) -> None:
  """Prints a measurement."""
  parts = {name: size for name, size in result['program'].items() if name != 'bytes'}
  print(f'{result["system"]} at {result["size"]}, batch {result["batch"]}: {result["program"]["bytes"] / GB:.2f} GB =',
        ', '.join(f'{name} {size / GB:.2f}' for name, size in parts.items()), f'(XLA on {jax.default_backend()})')
  if peak := result.get('peak_memory'):
    print(f'peak of the {peak["of"]}: {peak["bytes"] / GB:.2f} GB; all finite: {result["all_finite"]}')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('what', choices=['predict', 'train'])
  parser.add_argument('--model', choices=SYSTEMS, default='multitask', help='the network that predicts')
  parser.add_argument('--size', type=int, default=896, help='side of the input, in pixels')
  parser.add_argument('--batch', type=int, default=8, help='photographs in a training step')
  parser.add_argument('--accumulate', type=int, default=1, help='micro-batches that it is taken in')
  parser.add_argument('--remat', action='store_true', help='recompute activations in the backward pass')
  parser.add_argument('--dtype', choices=DTYPES, default='float32', help='in which a training step computes')
  parser.add_argument('--json', type=pathlib.Path, help='also write the measurement there')
  options = parser.parse_args()
  if options.what == 'predict':
    result = predict(options.model, options.size)
  else:
    result = train(options.size, options.batch, options.accumulate, options.remat, options.dtype)
  report(result)
  if options.json:
    command = f'python -m experiments.memory {options.what} ' + (
        f'--model={options.model} --size={options.size}' if options.what == 'predict' else
        f'--size={options.size} --batch={options.batch} --accumulate={options.accumulate}'
        f' --dtype={options.dtype}{" --remat" if options.remat else ""}')
    record.save(options.json, result | {'command': command, 'hardware': record.hardware(),
                                         'versions': record.versions()})


if __name__ == '__main__':
  main()
