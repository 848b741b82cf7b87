"""All stages on a handful of small images with a shallow encoder, put in by `tiny_main`: seconds, not minutes."""

from configs import data


def get_config():
  config = data.configure('synthetic')
  for stage in (config.segment, config.classify, config.grade):
    stage.data.update(size=32, count=60)
    stage.update(optimizer='sgd', momentum=0.95, learning_rate=0.05, lr_decay=10.0)
    stage.update(max_steps=7, validate_every=2, log_every=1, milestones=(2,), eval_batch_size=8)
    # Colours alone: moving pixels doubles the time to compile.
    stage.augmentation.update(rotation=(0.0, 0.0), scale=(1.0, 1.0), shift=(0.0, 0.0), horizontal_flip=0.0,
                              vertical_flip=0.0)
  config.segment.model.name = 'lesion_net_16s'
  return config


def changed(**changes):
  """The tiny configuration with keys changed; '__' stands for the dot."""
  config = get_config()
  with config.unlocked():
    config.update_from_flattened_dict({key.replace('__', '.'): value for key, value in changes.items()})
  return config
