"""Segment, then grade: the whole of the paper.

  python -m lesion_jax.main --config=configs/multitask.py --workdir=runs/demo
  python -m lesion_jax.main --config=configs/multitask.py:retinal_lesions --workdir=runs/paper \\
      --config.segment.data.source_dir=DIR --config.grade.data.source_dir=DIR \\
      --config.segment.pretrained=FILE --config.grade.pretrained=FILE

The argument behind the colon chooses the data, see `configs/data.py`.
"""

from ml_collections import ConfigDict

from configs import data


def get_config(name: str = 'synthetic') -> ConfigDict:
  """Both stages on the named data."""
  return data.configure(name)
