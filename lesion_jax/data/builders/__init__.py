"""How a release on disk becomes a prepared data set: what the data sets share."""

from lesion_jax.extras import require

require('train', 'tensorflow_datasets')
