"""The lesion network alone.

  python -m lesion_jax.main --config=configs/segment.py:idrid --workdir=runs/idrid --config.segment.data.source_dir=DIR

The argument behind the colon chooses the data, see `configs/data.py`.
"""

from ml_collections import ConfigDict

from configs import data


def get_config(name: str = 'synthetic') -> ConfigDict:
  """The first stage on the named data."""
  config = data.configure(name)
  config.stages = ('segment',)
  return config
