"""From a configuration to objects: the only place where its keys become something.

    networks = check(config, devices)
    bundles = finished(networks)
    for name, dataset in open_datasets(config, data_dir, devices, bundles).items():
      stage = build_stage(config, name, dataset, networks[name], workdir=workdir, devices=devices, bundles=bundles)
"""

from lesion_jax.extras import require

require('train', 'clu', 'ml_collections')  # before what uses them is imported

from lesion_jax.stages.added import ADDED_KEYS, differing, may_differ, resolved
from lesion_jax.stages.building import build_stage
from lesion_jax.stages.check import check, finished
from lesion_jax.stages.counting import make_counter
from lesion_jax.stages.datasets import open_datasets
from lesion_jax.stages.leaks import notes as leak_notes
from lesion_jax.stages.parts import CRITERIA, LANDMARKS, STAGES, loaded_note, stages, start_note
from lesion_jax.stages.stage import Stage
from lesion_jax.stages.values import check_values

__all__ = ['ADDED_KEYS', 'CRITERIA', 'LANDMARKS', 'STAGES', 'Stage', 'build_stage', 'check', 'check_values', 'differing', 'finished',
           'leak_notes', 'loaded_note', 'make_counter', 'may_differ', 'open_datasets', 'resolved', 'stages', 'start_note']
