"""What the argument of a configuration (`configs/multitask.py:NAME`) chooses."""

from ml_collections import ConfigDict

from configs import common


def configure(name: str) -> ConfigDict:
  """The configuration for the data set `name`.

  synthetic        the embedded data at a size that two CPU cores manage in minutes
  retinal_lesions  the paper's own setting, every number of section IV-A (needs a GPU, the raw dataset, and ImageNet weights:
                   --config.segment.pretrained=FILE --config.grade.pretrained=FILE; without them it starts from random
                   weights, and says so)
  idrid            the paper's setting on IDRiD: its segmentation part, then its grading part; weights as above
  """
  if name not in CHOICES:
    raise ValueError(f'unknown data {name!r}; choose one of {", ".join(CHOICES)}')
  config = common.get_config()
  CHOICES[name](config)
  return config


def _synthetic(config: ConfigDict) -> None:
  """A narrow network on small images, from random weights, for a fixed number of steps. Small lesions need the finer
  maps of Lesion-Net-4s at this size; AdamW suits so short a run from random weights (our choice)."""
  for stage in (config.segment, config.classify, config.grade):
    stage.data.update(name='synthetic', size=192, count=1000)
    stage.update(optimizer='adamw', momentum=0.9, learning_rate=2e-3, lr_decay=3.0, batch_size=8, eval_batch_size=8)
    stage.model.width = 0.25
    stage.augmentation.update(rotation=(-30.0, 30.0), scale=(0.95, 1.1))
  config.segment.model.name = 'lesion_net_4s'
  config.segment.update(max_steps=500, validate_every=100, milestones=(3,))
  config.classify.update(max_steps=300, validate_every=100, milestones=(2,))
  config.grade.update(max_steps=200, validate_every=50, milestones=(2, 3))


def _retinal_lesions(config: ConfigDict) -> None:
  for stage in (config.segment, config.classify, config.grade):
    stage.data.name = 'retinal_lesions'


def _idrid(config: ConfigDict) -> None:
  for stage in (config.segment, config.classify):
    stage.data.name = 'idrid'
  config.grade.data.name = 'idrid_grading'


CHOICES = {'synthetic': _synthetic, 'retinal_lesions': _retinal_lesions, 'idrid': _idrid}
