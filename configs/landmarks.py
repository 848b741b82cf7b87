"""Centres of optic disc and fovea, learned from part C of IDRiD.

  python -m lesion_jax.main --config=configs/landmarks.py --workdir=runs/landmarks --config.landmarks.data.source_dir=DIR

DIR holds 'B. Disease Grading' and 'C. Localization'. Ten minutes on two cores. Photographs are moved, magnified and cut to a
round field so far that a landmark is often outside, as in photographs that are centred elsewhere. Every number is our choice.
Expect, on the official test set, the fovea within 0.1 disc diameters on average.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  """The stage of landmarks alone."""
  config = common.get_config()
  config.stages = ('landmarks',)
  stage = config.landmarks
  stage.data.keep = 0.5
  stage.update(
      batch_size=8, eval_batch_size=8, optimizer='adamw', momentum=0.9, weight_decay=1e-2, learning_rate=3e-3, schedule='cosine',
      warm_up=50, final_lr_factor=0.01, clip=1.0, ema=0.99, max_steps=1500, validate_every=300, save_every=100, log_every=25)
  stage.augmentation.update(
      rotation=(-30.0, 30.0), scale=(0.75, 1.5), shift=(-0.35, 0.35), horizontal_flip=0.5, vertical_flip=0.0,
      brightness=(0.7, 1.4), saturation=(0.7, 1.3), contrast=(0.7, 1.4), tint=(0.9, 1.1), field=(0.8, 2.0))
  return config
