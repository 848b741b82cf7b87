"""A stage put together from its parts."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from ml_collections import ConfigDict

from lesion_jax.data.mixture import Mixture
from lesion_jax.data.dataset import Dataset
from lesion_jax.stages import leaks, parts
from lesion_jax.stages.landmarks import LandmarkStage
from lesion_jax.stages.stage import Stage
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle


def build_stage(
    config: ConfigDict, name: str, dataset: Dataset | Mixture, network: parts.Network, *, workdir: str | pathlib.Path,
    devices: Devices, bundles: Mapping[str, Bundle],
) -> Stage:
  """Puts one stage together.

  Args:
    config: of `configs/`, checked by `check`.
    name: one of STAGES.
    dataset: of `open_datasets`.
    network: that of the stage, of `check`.
    workdir: the stage's files go to workdir/name.
    devices: that share the batches.
    bundles: by stage, those that are finished; that of a lesion stage is the lesion branch of a network that contains one.
  """
  lesion = None if network.bundle else bundles.get(parts.lesion_stage(config, name))
  kind = LandmarkStage if name == parts.LANDMARKS else Stage
  return kind(name, config[name], config.seed, pathlib.Path(workdir).absolute() / name, dataset, network, lesion, devices,
              leaks.learned_before(config, name, {}, bundles))
