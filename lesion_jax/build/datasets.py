"""The data sets of a configuration."""

from __future__ import annotations

import functools

from ml_collections import ConfigDict

from lesion_jax.build.parts import grades, stages
from lesion_jax.data.source import Dataset, load
from lesion_jax.data.splits import SPLITS
from lesion_jax.train.parallel import Devices


def open_datasets(config: ConfigDict, data_dir: str, devices: Devices) -> dict[str, Dataset]:
  """Opens the data set of each stage, after preparing it where that was not done yet.

  Raises:
    ValueError, FileNotFoundError: of `load`; and where it has not what the stage learns from, or a split is empty.
  """
  datasets = {}
  for name, stage in stages(config).items():
    options = {'count': stage.data.count} if stage.data.count and stage.data.name == 'synthetic' else {}
    opened = functools.partial(load, stage.data.name, data_dir=data_dir, size=stage.data.size,
                               source_dir=stage.data.source_dir or None, **options)
    data = datasets[name] = devices.first_alone(opened)
    has = {'grades': data.graded, 'lesions': data.annotated}
    needed = ('grades', 'lesions') if stage.loss == 'joint' else ('grades',) if grades(stage) else ('lesions',)
    if not stage.bundle and (missing := [what for what in needed if not has[what]]):
      raise ValueError(f'{data.name} has no {" and no ".join(missing)}, from which the loss '
                       f'{stage.loss!r} of the stage {name!r} learns; choose another --config.{name}.data.name')
    for split in ('test',) if stage.bundle else SPLITS:
      data.source(split)  # raises where it is empty
  return datasets
