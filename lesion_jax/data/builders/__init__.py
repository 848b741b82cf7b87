"""How a raw dataset on disk becomes a preprocessed dataset: what the data sets share."""

from lesion_jax.extras import require

require('train', 'tensorflow_datasets')
