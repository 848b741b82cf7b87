"""Image-level classification of lesions, without maps: the paper's segmentation-free baselines.

  python -m lesion_jax.main --config=configs/classify.py --workdir=runs/classify --config.classify.model.name=abn_classifier

The argument behind the colon chooses the data, see `configs/data.py`. A grading network can build on the result:
--config=configs/grade.py --config.grade.model.name=lesion_concat --config.classify.bundle=runs/classify/classify/bundle
"""

from ml_collections import ConfigDict

from configs import data


def get_config(name: str = 'synthetic') -> ConfigDict:
  """The lesion classifier on the named data."""
  config = data.configure(name)
  config.stages = ('classify',)
  return config
