"""A StableHLO program of `jax.export`, and the weights that it takes."""

from __future__ import annotations

import pathlib

import jax
import jax.export
import numpy as np

from lesion_jax.export.check import Run
from lesion_jax.export.source import Source
from lesion_jax.weights import tensors

PROGRAM, WEIGHTS = 'model.stablehlo', 'model.safetensors'
PLATFORMS = ('cpu', 'cuda')
MODULES = ('jax', 'safetensors')
USAGE = f'''\
`{PROGRAM}` is a program of `jax.export` for {" and ".join(PLATFORMS)} and any batch; `{WEIGHTS}` are the weights, its
first argument. Running it needs `jax`, `flatbuffers` and `safetensors`, and nothing of lesion_jax. JAX promises to read
it for six months. The first call with each size of batch compiles the program, which takes seconds to minutes; later ones of
that size do not. Serve few sizes: fill up the last batch.

```python
import jax, jax.export
import safetensors.numpy
program = jax.export.deserialize(bytearray((folder / '{PROGRAM}').read_bytes()))
weights = jax.device_put(safetensors.numpy.load_file(folder / '{WEIGHTS}'))
predict = jax.jit(program.call)
found = predict(weights, images)  # a dict of arrays
```'''


def write(source: Source, folder: pathlib.Path) -> Run:
  """Writes program and weights, and runs them from there.

  The weights stay beside the program (our choice): it is small then, and other weights of the same network fit it.
  """
  size = source.size
  weights = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in source.weights.items()}
  images = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f'batch, {size}, {size}, 3'), np.uint8)
  exported = jax.export.export(jax.jit(source.function), platforms=PLATFORMS)(weights, images)
  (folder / PROGRAM).write_bytes(exported.serialize())
  (folder / WEIGHTS).write_bytes(source.file)

  program = jax.jit(jax.export.deserialize(bytearray((folder / PROGRAM).read_bytes())).call)
  stored = jax.device_put(tensors.decode((folder / WEIGHTS).read_bytes(), source=WEIGHTS))

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    return jax.tree.map(np.asarray, program(stored, images))

  return run
