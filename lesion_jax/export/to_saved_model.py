"""A TensorFlow SavedModel with a signature for TensorFlow Serving."""

from __future__ import annotations

import pathlib

import numpy as np

from lesion_jax.export.check import Run
from lesion_jax.export.source import Source

SIGNATURE = 'serving_default'
PLATFORMS = ('cpu', 'cuda')
MODULES = ('tensorflow', 'jax')
VERSION = '1'  # TensorFlow Serving takes the highest number among a model's folders
USAGE = f'''\
`{VERSION}/` is a TensorFlow SavedModel; its signature `{SIGNATURE}` takes `images`. It needs `tensorflow`, or TensorFlow
Serving, and nothing of lesion_jax nor JAX. For TensorFlow Serving this folder is the model's base path
(`tensorflow_model_server --model_name=lesions --model_base_path=` and its full path): `{VERSION}` is the version.

```python
import tensorflow as tf
model = tf.saved_model.load(str(folder / '{VERSION}'))
found = model.signatures['{SIGNATURE}'](images=tf.constant(images))  # a dict of tensors
```'''


def write(source: Source, folder: pathlib.Path) -> Run:
  """Writes the SavedModel, and runs its signature from there.

  Raises:
    ImportError: tensorflow is not installed.
  """
  try:
    import tensorflow as tf
  except ImportError as error:
    raise ImportError("tensorflow is not installed: pip install 'lesion_jax[tf]'") from error
  from jax.experimental import jax2tf

  size = source.size
  converted = jax2tf.convert(source.function, polymorphic_shapes=[None, f'(batch, {size}, {size}, 3)'],
                             with_gradient=False, native_serialization_platforms=PLATFORMS)
  module = tf.Module()
  module.weights = [tf.Variable(array, trainable=False, name=name.replace('/', '.'))
                    for name, array in source.weights.items()]

  @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, name='images')])
  def serve(images):
    return converted(dict(zip(source.weights, module.weights, strict=True)), images)

  tf.saved_model.save(module, str(folder / VERSION), signatures={SIGNATURE: serve})
  signature = tf.saved_model.load(str(folder / VERSION)).signatures[SIGNATURE]

  def run(images: np.ndarray) -> dict[str, np.ndarray]:
    return {head: value.numpy() for head, value in signature(images=tf.constant(images)).items()}

  return run
