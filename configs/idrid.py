"""Real photographs: the four lesions of IDRiD, learned from crops, with its healthy eyes as negatives; then its grades.

  python -m lesion_jax.main --config=configs/idrid.py:cpu --workdir=runs/idrid \\
      --config.segment.data.source_dir=DIR:DIR --config.segment.pretrained=inception_v3.safetensors

  python -m lesion_jax.main --config=configs/idrid.py:cpu --config.stages="('grade',)" --workdir=runs/idrid_grades \\
      --config.segment.bundle=runs/idrid/segment/bundle --config.grade.data.source_dir=DIR \\
      --config.grade.pretrained=inception_v3.safetensors

DIR holds both 'A. Segmentation' and 'B. Disease Grading'. `python -m experiments.idrid` does the same and evaluates it. The argument
behind the colon is `cpu` (two cores, an hour), `cpu_long` (an hour more: it continues from the network of `cpu`, given
by `--config.segment.init=runs/idrid/segment/bundle` in place of `pretrained`), `gpu` (one large card) or `rehearsal` (the
programs of `gpu` on a CPU, in minutes: it learns nothing). Every number
is our choice: crops of a large field as published systems take them, the field's Dice with cross entropy, a pretrained
encoder whose BatchNorm keeps its running statistics, and a decoder slim enough for a CPU.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(name: str = 'cpu') -> ConfigDict:
  """The lesion network on IDRiD's parts A and B."""
  if name not in PRESETS:
    raise ValueError(f'unknown preset {name!r}; choose one of {", ".join(PRESETS)}')
  config = common.get_config()
  config.stages = ('segment',)
  segment = config.segment
  segment.data.update(name='idrid+idrid_grading', weights=(3.0, 1.0), size=1440, crop=448, crop_scale=(0.6, 1.2),
                      centred=0.7, keep=2.5)
  segment.model.update(name='lesion_net_4s', decoder_channels=(128, 96, 64), encoder_norm='running')
  segment.update(
      loss='dice_cross_entropy', criterion='aupr', thresholds='validation', specificity=0.95,
      prior=0.02, batch_size=4, eval_batch_size=1, optimizer='adamw',
      momentum=0.9, weight_decay=1e-2, learning_rate=1e-3, encoder_lr_factor=0.1, freeze=('encoder/Conv2d_*',), schedule='cosine',
      warm_up=100, final_lr_factor=0.01, clip=1.0, ema=0.998, max_steps=800, validate_every=400, save_every=100, log_every=25)
  segment.augmentation.update(
      rotation=(0.0, 0.0), scale=(1.0, 1.0), shift=(0.0, 0.0), quarter_turns=True, horizontal_flip=0.5,
      vertical_flip=0.0, brightness=(0.8, 1.25), saturation=(0.8, 1.2), contrast=(0.8, 1.25), tint=(0.92, 1.08))
  _grades(config.grade)
  PRESETS[name](config)
  return config


def _grades(grade: ConfigDict) -> None:
  """The multi-task network: the frozen lesion network looks at the whole field, the grading branch at a third of its side."""
  # Learned from part B; part A, graded by its twins there, is evaluated with it: three tasks, one evaluation.
  grade.data.update(name='idrid+idrid_grading', weights=(0.01, 1.0), size=1440, ask_once=True, keep=0.8)
  grade.model.update(name='multitask', attention='conv', grading_size=448, encoder_norm='running')
  grade.update(
      thresholds='validation', batch_size=8, eval_batch_size=1, optimizer='adamw', momentum=0.9, weight_decay=1e-2, learning_rate=1e-3,
      encoder_lr_factor=0.1, freeze=('grading/encoder/Conv2d_*', 'grading/encoder/Mixed_5*'), schedule='cosine', warm_up=50,
      final_lr_factor=0.01, clip=1.0, ema=0.99, max_steps=400, validate_every=400, save_every=100, log_every=25)
  grade.augmentation.update(
      rotation=(0.0, 0.0), scale=(1.0, 1.0), shift=(0.0, 0.0), quarter_turns=True, horizontal_flip=0.5,
      vertical_flip=0.0, brightness=(0.8, 1.25), saturation=(0.8, 1.2), contrast=(0.8, 1.25), tint=(0.92, 1.08))


def _cpu(config: ConfigDict) -> None:
  """Nothing else."""


def _cpu_long(config: ConfigDict) -> None:
  """A second cycle of the schedule at half the learning rate, with the hardest pixels of healthy eyes in the loss; that
  of grades sees the photograph larger."""
  config.segment.update(hard_negatives=0.03, learning_rate=5e-4, warm_up=50)
  config.grade.model.grading_size = 640
  config.grade.update(learning_rate=5e-4, warm_up=25, max_steps=200, validate_every=200)


def _gpu(config: ConfigDict) -> None:
  """Wider, longer, larger crops and a batch of 12."""
  segment = config.segment
  segment.data.update(crop=768, crop_scale=(0.5, 1.6), keep=8.0)
  segment.model.update(decoder_channels=(), dtype='bfloat16')
  segment.update(batch_size=12, eval_batch_size=2, max_steps=12000, warm_up=500, validate_every=1000, save_every=500)
  config.grade.data.ask_once = False
  config.grade.model.update(grading_size=720, dtype='bfloat16')
  config.grade.update(max_steps=3000, validate_every=300)


def _rehearsal(config: ConfigDict) -> None:
  """That of `gpu`, its encoder whole so that the same weights fit, on small photographs."""
  _gpu(config)
  segment = config.segment
  segment.data.update(size=128, crop=64, keep=0.1)
  segment.model.decoder_channels = (32, 24, 16)
  segment.update(batch_size=2, eval_batch_size=1, max_steps=8, warm_up=2, validate_every=4, save_every=4, log_every=2)
  config.grade.data.size, config.grade.model.grading_size = 128, 64
  config.grade.update(batch_size=2, max_steps=4, validate_every=4, save_every=4, log_every=2)


GOES_ON = {'cpu_long': 'cpu'}  # from the network of which preset
PRESETS = {'cpu': _cpu, 'cpu_long': _cpu_long, 'gpu': _gpu, 'rehearsal': _rehearsal}
