"""Memory that the networks need at full width.

  python -m experiments.memory predict               one forward pass of the multi-task network, run; peak of the process
  python -m experiments.memory train --accumulate 8 --remat
                                                     one training step of Lesion-Net-16s, compiled and not run

XLA's own count of a compiled program is what an accelerator has to hold: arguments, results and temporaries. It is that
of the backend on which this runs; on a CPU, which computes in float32 whatever the dtype, it is an upper bound for bfloat16.
"""

from __future__ import annotations

import argparse
import resource

import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.losses import get_loss
from lesion_jax.models import get_model
from lesion_jax.train.state import TrainState, sgd
from lesion_jax.train.step import Knobs, make_train_step
from lesion_jax.weights.initialize import initialize

GB = 1e9


def report(compiled: jax.stages.Compiled) -> None:
  """Prints what a compiled program holds; donated arguments, which become results, count once."""
  found = compiled.memory_analysis()
  parts = {'arguments': found.argument_size_in_bytes, 'results': found.output_size_in_bytes,
           'of these donated': -found.alias_size_in_bytes, 'temporaries': found.temp_size_in_bytes}
  print(f'XLA on {jax.default_backend()}: {sum(parts.values()) / GB:.2f} GB =',
        ', '.join(f'{name} {size / GB:.2f}' for name, size in parts.items()))


def predict(size: int) -> None:
  """One photograph through the multi-task network."""
  model = get_model('multitask', lesion={'name': 'lesion_net_16s'})
  images = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
  variables = initialize(model, images, 0)
  compiled = jax.jit(lambda v, x: model.apply(v, x, train=False)).lower(variables, images).compile()
  report(compiled)
  found = jax.block_until_ready(compiled(jax.device_put(variables), images))
  finite = all(bool(np.isfinite(x).all()) for x in jax.tree.leaves(found))
  print(f'maps {found.maps.shape}, grades {found.grades.shape}, attention {found.attention.shape}; all finite: {finite}')
  print(f'peak of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB:.2f} GB')


def train(size: int, batch: int, accumulate: int, remat: bool) -> None:
  """The program of one training step."""
  model = get_model('lesion_net_16s', remat=remat)
  optimizer = sgd()
  images = jnp.zeros((1, size, size, 3), jnp.uint8)
  variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
  params, batch_stats = variables['params'], variables['batch_stats']
  state = TrainState(jax.ShapeDtypeStruct((), jnp.int32), params, batch_stats, jax.eval_shape(optimizer.init, params))
  shape = lambda dtype, *dims: jax.ShapeDtypeStruct((batch, *dims), dtype)
  masks = shape(jnp.uint8, size, size)
  examples = {'image': shape(jnp.uint8, size, size, 3), 'lesions': masks, 'ignore': masks,
              'annotated': shape(jnp.uint8), 'grade': shape(jnp.int32), 'weight': shape(jnp.float32)}
  step = make_train_step(model.apply, get_loss('dual_dice'), optimizer, accumulate=accumulate)
  scalar = jax.ShapeDtypeStruct((), jnp.float32)
  report(jax.jit(step, donate_argnums=0).lower(state, examples, {}, Knobs(scalar, scalar)).compile())


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('what', choices=['predict', 'train'])
  parser.add_argument('--size', type=int, default=896, help='side of the input, in pixels')
  parser.add_argument('--batch', type=int, default=8, help='photographs in a training step')
  parser.add_argument('--accumulate', type=int, default=1, help='micro-batches that it is taken in')
  parser.add_argument('--remat', action='store_true', help='recompute activations in the backward pass')
  options = parser.parse_args()
  if options.what == 'predict':
    predict(options.size)
  else:
    train(options.size, options.batch, options.accumulate, options.remat)


if __name__ == '__main__':
  main()
