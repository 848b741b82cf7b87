"""A folder of photographs to records, masks, table and page: what `lesion-jax predict` does, for Python.

  from lesion_jax.bulk import Options, predict_photographs

  entries = predict_photographs(['photographs/'], 'results', Options('bundle', thresholds={'MA': 0.3}))
  [(entry.file, entry.record['grade']) for entry in entries if entry.record]

What an earlier run with the same photograph, model and options has written is not predicted again.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {'Interrupted': 'run', 'Options': 'options', 'Refused': 'options', 'Stopped': 'run', 'find_photographs': 'inputs',
           'Rethresholded': 'new_thresholds', 'predict_photographs': 'run', 'rethreshold': 'new_thresholds'}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
  # On first use: the command's help needs neither JAX nor NumPy.
  if name in _PLACES:
    return getattr(importlib.import_module(f'lesion_jax.bulk.{_PLACES[name]}'), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return [*globals(), *__all__]
