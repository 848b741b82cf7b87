"""From a photograph to lesion maps, lesion presence and DR grade, with the weights of one bundle or of several."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {'PhotographPrediction': 'predictor', 'Predictor': 'predictor', 'Square': 'photographs', 'load': 'loading',
           'make_predict_fn': 'step', 'prepare': 'photographs'}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
  # On first use: `step` needs nothing but JAX and Flax, and the onnxruntime backend little of either.
  if name in _PLACES:
    return getattr(importlib.import_module(f'lesion_jax.predict.{_PLACES[name]}'), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return [*globals(), *__all__]
