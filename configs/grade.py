"""The grading network alone, on a lesion network that was trained before.

  python -m lesion_jax.main --config=configs/grade.py --workdir=runs/grade --config.segment.bundle=runs/demo/segment/bundle

Without lesions (the paper's baseline): --config.grade.model.name=inception_v3_grader. The argument behind the colon
chooses the data, see `configs/data.py`.
"""

from ml_collections import ConfigDict

from configs import data


def get_config(name: str = 'synthetic') -> ConfigDict:
  """The second stage on the named data."""
  config = data.configure(name)
  config.stages = ('grade',)
  return config
