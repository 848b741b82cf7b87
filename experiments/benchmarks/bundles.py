"""The network of the benchmarks on the disk: our bundle, and the folder of PyTorch beside it."""

from __future__ import annotations

import pathlib
from typing import Any

from experiments.benchmarks.answers import Job, make_variables
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.predict.config import SQUARE

BUNDLE, TORCH = 'bundle', 'torch'


def make_config(job: Job) -> dict[str, Any]:
  """A bundle's config.json."""
  return {'model': job.fields, 'lesions': list(LESION_KEYS), 'grades': list(GRADE_KEYS), 'annotated': list(LESION_KEYS),
          'thresholds': dict.fromkeys(LESION_KEYS, 0.5), 'preprocessing': {'size': job.size, 'crop': SQUARE}}


def write(root: pathlib.Path, job: Job) -> None:
  """Writes both, each unless it is there. Raises ImportError where torch is missing."""
  from lesion_jax.export import export
  from lesion_jax.weights.bundle import load_bundle, save_bundle

  if not (root / BUNDLE).exists():
    save_bundle(root / BUNDLE, config=make_config(job), variables=make_variables(job), card='')
  if not (root / TORCH).exists():
    export(load_bundle(root / BUNDLE), 'torch', root / TORCH)
