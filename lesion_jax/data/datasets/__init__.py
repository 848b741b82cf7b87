"""The data sets, one file each."""

from lesion_jax.extras import require

require('train', 'tensorflow_datasets')
