"""The sizes at which the tables can be run, as configurations."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import data
from experiments.rows import Row
from lesion_jax import stages

STAGES = ('segment', 'classify', 'grade')


def smoke(config: ConfigDict) -> None:
  """Embedded data, a minute or two a row on two CPU cores: shows that the programs work. See NOTES."""
  _embedded(config, size=128, count=600, width=0.25, batch=8)
  for stage in (config.segment, config.classify):
    stage.update(max_steps=150, validate_every=75, milestones=(1,))
  config.grade.update(max_steps=90, validate_every=45, milestones=(1,))


def small(config: ConfigDict) -> None:
  """Embedded data, for one GPU: half the width at 256 pixels, long enough for the systems to part."""
  _embedded(config, size=256, count=3000, width=0.5, batch=16)
  for stage in (config.segment, config.classify):
    stage.update(max_steps=2000, validate_every=250, milestones=(4, 6))
  config.grade.update(max_steps=1500, validate_every=250, milestones=(3, 5))


def paper(config: ConfigDict) -> None:
  """The paper's setting (section IV-A) on the part of its data that was released; a GPU and days."""
  del config  # as `configs.data` has it


PRESETS = {'smoke': smoke, 'small': small, 'paper': paper}
DATA = {'smoke': 'synthetic', 'small': 'synthetic', 'paper': 'retinal_lesions'}
NOTES = {'smoke': 'This is a check of the programs: the networks are narrow, the photographs small and the training so '
                  'short that small and rare lesions are not learned yet. The figures rank nothing.'}
SAME_NUMBERS = ('model.remat',)  # keys that change time and memory, and no figure
SEEDS = {'smoke': (0,), 'small': (0, 1, 2), 'paper': (0,)}  # by default


def configure(
    preset: str, row: Row, seed: int, *, lesion: tuple[Row, pathlib.Path] | None = None, source_dir: str = '',
    pretrained: str = '', remat: bool = False, accumulate: int = 1, dtype: str = 'float32',
) -> ConfigDict:
  """The configuration of one row.

  Args:
    preset: one of PRESETS.
    row: which network, trained how.
    seed: of weights, order and augmentation; data and splits are the same for every seed.
    lesion: the row of the lesion network that this one contains, and its bundle.
    source_dir: the release, for 'paper'.
    pretrained: encoder weights for every row, or ''.
    remat: recompute activations in the backward pass.
    accumulate: micro-batches a step.
    dtype: of the computation.
  """
  config = data.configure(DATA[preset])
  PRESETS[preset](config)
  config.seed, config.stages = seed, (row.stage,)
  for name in STAGES:
    stage = config[name]
    stage.data.source_dir, stage.pretrained = source_dir, pretrained
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
  """A configuration as a result keeps it, without the places of one machine: bundles relative to the runs' folder, and
  the mere names of the release and of the pretrained weights. The split is named also where it is the data set's own."""
  found = stages.resolved(config.to_dict())
  for name in STAGES:
    stage = found[name]
    stage['data']['source_dir'] = pathlib.Path(stage['data']['source_dir']).name
    stage['pretrained'] = pathlib.Path(stage['pretrained']).name
    if stage['bundle']:
      stage['bundle'] = pathlib.Path(stage['bundle']).relative_to(runs).as_posix()
  return found


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
  """The keys with dots by which two configurations are of different measurements, with both values: `stages.differing`, of
  which what is in SAME_NUMBERS does not count."""
  return {key: both for key, both in stages.differing(then, now).items() if not key.endswith(SAME_NUMBERS)}


def _embedded(config: ConfigDict, *, size: int, count: int, width: float, batch: int) -> None:
  for name in STAGES:
    stage = config[name]
    stage.data.update(size=size, count=count)
    stage.update(batch_size=batch, eval_batch_size=batch)
    stage.model.width = width
