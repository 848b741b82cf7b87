"""lesion_jax: retinal lesion segmentation and diabetic-retinopathy grading in JAX/Flax.

  predictor = lesion_jax.load('path/to/bundle')  # or of a network in this package, see lesion_jax.available()
  found = predictor('photograph.jpg')
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = '0.1.0'

_PLACES = {'available': 'lesion_jax.pretrained', 'load': 'lesion_jax.predict'}


def __getattr__(name: str) -> Any:
  # On first use: `import lesion_jax` alone must stay light. By name: this package is below `predict` in the layers.
  if name in _PLACES:
    return getattr(importlib.import_module(_PLACES[name]), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return [*globals(), *_PLACES]
