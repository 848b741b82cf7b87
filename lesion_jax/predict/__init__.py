"""From a photograph to lesion maps, lesion presence and DR grade, with the weights of one bundle or of several."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    'PhotographPrediction': 'lesion_jax.predict.predictor',
    'Predictor': 'lesion_jax.predict.predictor',
    'Square': 'lesion_jax.photograph.prepare',
    'load': 'lesion_jax.predict.loading',
    'make_predict_fn': 'lesion_jax.predict.step',
    'prepare': 'lesion_jax.photograph.prepare',
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
  # On first use: `step` needs nothing but JAX and Flax, and the onnxruntime backend little of either.
  if name in _PLACES:
    return getattr(importlib.import_module(_PLACES[name]), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return [*globals(), *__all__]
