"""The sizes at which the tables can be run, as configurations."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import data
from configs import idrid as real
from experiments.claims import CLAIMS
from experiments.rows import ROWS, Row
from lesion_jax import stages
from lesion_jax.data.mixture import SEPARATOR
from lesion_jax.stages.datasets import join_places, split_places

STAGES = ('segment', 'classify', 'grade')
GRADED_AT = 448  # pixels at which rows without lesion maps see a photograph in the preset `idrid`


def smoke(config: ConfigDict, row: Row) -> None:
  """Configures embedded data, a minute or two a row on two CPU cores: shows that the programs work. See NOTES."""
  del row
  _embedded(config, size=128, count=600, width=0.25, batch=8)
  for stage in (config.segment, config.classify):
    stage.update(max_steps=150, validate_every=75, milestones=(1,))
  config.grade.update(max_steps=90, validate_every=45, milestones=(1,))


def small(config: ConfigDict, row: Row) -> None:
  """Configures embedded data, for one GPU: half the width at 256 pixels, long enough for the systems to part."""
  del row
  _embedded(config, size=256, count=3000, width=0.5, batch=16)
  for stage in (config.segment, config.classify):
    stage.update(max_steps=2000, validate_every=250, milestones=(4, 6))
  config.grade.update(max_steps=1500, validate_every=250, milestones=(3, 5))


def paper(config: ConfigDict, row: Row) -> None:
  """Configures the paper's setting (section IV-A) on the part of its data that was released; a GPU and days."""
  del config, row  # as `configs.data` has it


def idrid(config: ConfigDict, row: Row) -> None:
  """Configures IDRiD, both parts, for ten to fifteen minutes a row of Table II and half an hour one of Table III on two CPU cores. Each row learns by the
  recipe of `configs/idrid.py` for as many steps from as many crops or photographs of the same size; loss, decoder and
  attention are its own.

  Rows with lesion maps: 4 crops of 256 px from a field of 896. Rows of image-level labels and of grades: 8 whole
  photographs of 448 px, the lesion network inside them seeing 896. The learning rate is divided at the one validation on
  the way, where the dual loss begins. Of part B the rows of Table II see, in all splits, photographs alone whose grade
  says which lesions they have not.
  """
  recipe = real.get_config('cpu')
  for name in STAGES:
    stage, of = config[name], recipe['grade' if name == 'grade' else 'segment']
    stage.augmentation.update(of.augmentation)
    stage.update({key: of[key] for key in (
        'thresholds', 'specificity', 'eval_batch_size', 'optimizer', 'momentum', 'weight_decay', 'learning_rate',
        'encoder_lr_factor', 'clip', 'log_every')})
    stage.update(ema=0.99, warm_up=30, milestones=(1,), save_every=60, criterion='kappa' if name == 'grade' else '')
    stage.model.encoder_norm = 'running'
  segment, classify, grade = config.segment, config.classify, config.grade
  segment.data.update({key: recipe.segment.data[key] for key in ('name', 'weights', 'crop_scale', 'centred', 'keep')}, size=896,
                      crop=256, sick=False)
  segment.update(batch_size=4, max_steps=240, validate_every=120, prior=recipe.segment.prior, freeze=recipe.segment.freeze,
                 criterion='aupr')
  maps = row if row.stage == 'segment' else ROWS.get(row.lesion or '')
  if maps and 'fcn' in maps.model['name']:
    segment.prior = 0.5  # has no head of its own, whose bias could begin low
  if maps and maps.model['name'] == 'patch_fcn_32s':
    segment.freeze = tuple(f'fcn/{pattern}' for pattern in segment.freeze)
  classify.data.update(name=segment.data.name, weights=(1.0, 1.0), size=GRADED_AT, sick=False)
  classify.update(batch_size=8, max_steps=200, validate_every=100, freeze=recipe.segment.freeze, criterion='image_f1')
  grade.data.update(name='idrid_grading', size=GRADED_AT, keep=recipe.grade.data.keep)
  grade.update(batch_size=8, max_steps=200, validate_every=100, freeze=recipe.grade.freeze)
  if row.lesion is None:
    grade.freeze = tuple(pattern.removeprefix('grading/') for pattern in grade.freeze)
  else:
    grade.data.ask_once = True
    if ROWS[row.lesion].stage == 'segment':
      grade.data.size, grade.model.grading_size = segment.data.size, GRADED_AT


PRESETS = {'smoke': smoke, 'small': small, 'paper': paper, 'idrid': idrid}
DATA = {'smoke': 'synthetic', 'small': 'synthetic', 'paper': 'retinal_lesions', 'idrid': 'idrid'}
# Rows that a preset does not run, and why.
NOT_RUN = {'idrid': {'multitask_joint': 'learns lesions and grades from the same photographs, and no part of IDRiD is published with both; it also trains both '
                                        'branches on whole photographs of 896 px, hours on two CPU cores'}}
NOTES = {'smoke': 'This is a check of the programs: the networks are narrow, the photographs small and the training so '
                  'short that small and rare lesions are not learned yet. The results rank nothing.'}
SAME_NUMBERS = ('model.remat',)  # keys that change time and memory, and no metric
SEEDS = {'smoke': (0,), 'small': (0, 1, 2), 'paper': (0,), 'idrid': (0, 1, 2)}  # by default
# Of these rows all seeds are run, of the others the first: where one has an entry here.
CLAIMED = {'idrid': frozenset(key for heading in ('Loss functions', 'Length of the expansive path') for claim in CLAIMS[heading]
                              for key in claim.rows) | {'inception_v3', 'multitask', 'multitask_cw_maxpool'}}


def seeds_of(preset: str, row: str) -> tuple[int, ...]:
  """Returns the seeds with which a row is run by default."""
  seeds = SEEDS[preset]
  return seeds if row in CLAIMED.get(preset, {row}) else seeds[:1]


def configure(
    preset: str, row: Row, seed: int, *, lesion: tuple[Row, pathlib.Path] | None = None, source_dir: str = '',
    pretrained: str = '', remat: bool = False, accumulate: int = 1, dtype: str = 'float32',
) -> ConfigDict:
  """Returns the configuration of one row.

  Args:
    preset: one of PRESETS.
    row: which network, trained how.
    seed: of weights, order and augmentation; data and splits are the same for every seed.
    lesion: the row of the lesion network that this one contains, and its bundle.
    source_dir: the raw dataset, for 'paper'.
    pretrained: encoder weights for every row, or ''.
    remat: recompute activations in the backward pass.
    accumulate: micro-batches a step.
    dtype: of the computation.
  """
  config = data.configure(DATA[preset])
  PRESETS[preset](config, row)
  config.seed, config.stages = seed, (row.stage,)
  for name in STAGES:
    stage = config[name]
    stage.data.source_dir = join_places([source_dir] * len(stage.data.name.split(SEPARATOR)))  # all parts lie in one folder
    stage.pretrained = pretrained
    stage.data.size //= row.shrink
    stage.accumulate = accumulate
    stage.model.update(remat=remat, dtype=dtype)
  if lesion:
    contained, bundle = lesion
    _apply(config, contained)
    config[contained.stage].bundle = str(bundle)
  _apply(config, row)
  return config


def _apply(config: ConfigDict, row: Row) -> None:
  config[row.stage].loss = row.loss
  config[row.stage].model.update(row.model)


def portable(config: ConfigDict, runs: pathlib.Path) -> dict[str, Any]:
  """Returns a configuration as a result keeps it, without the places of one machine: bundles relative to the runs'
  folder, or by the ends of their paths where they lie elsewhere, and the mere names of the raw dataset and of the
  pretrained weights. The split is named also where it is the data set's own."""
  found = stages.resolved(config.to_dict())
  for stage in (found[name] for name in stages.STAGES if name in found):
    source = stage['data']['source_dir']
    stage['data']['source_dir'] = pathlib.Path(split_places(source)[0] if SEPARATOR in stage['data']['name'] else source).name
    stage['pretrained'] = pathlib.Path(stage['pretrained']).name
    for key in ('bundle', 'init'):
      path = pathlib.PurePath(stage[key])
      stage[key] = path.relative_to(runs).as_posix() if path.is_relative_to(runs) else '/'.join(path.parts[-3:])
  return found


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
  """Returns the keys with dots by which two configurations are of different measurements, with both values:
  `stages.differing`, of which what is in SAME_NUMBERS does not count."""
  return {key: both for key, both in stages.differing(then, now).items() if not key.endswith(SAME_NUMBERS)}


def _embedded(config: ConfigDict, *, size: int, count: int, width: float, batch: int) -> None:
  for name in STAGES:
    stage = config[name]
    stage.data.update(size=size, count=count)
    stage.update(batch_size=batch, eval_batch_size=batch)
    stage.model.width = width
