"""lesion_jax: retinal lesion segmentation and diabetic-retinopathy grading in JAX/Flax.

  predictor = lesion_jax.load('path/to/bundle')  # or of a network in this package, see lesion_jax.available()
  found = predictor('photograph.jpg')

These names are the public interface, with what `core`, `losses` and `metrics` name in their `__all__`; docs/api.md describes
them. `evaluate` and `export` are functions, and rooms with more of the same.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from lesion_jax import core, losses, metrics
  from lesion_jax.api import LoadedModel, export, load_model
  from lesion_jax.assessment import evaluate
  from lesion_jax.comparison import compare, compare_predictions
  from lesion_jax.data.registry import register_dataset
  from lesion_jax.losses import register_loss
  from lesion_jax.models import get_model, register_model
  from lesion_jax.photograph.prepare import prepare
  from lesion_jax.predict.loading import load
  from lesion_jax.predict.predictor import Predictor
  from lesion_jax.pretrained import available

__version__ = '0.1.0'

__all__ = ['LoadedModel', 'Predictor', '__version__', 'available', 'compare', 'compare_predictions', 'core', 'evaluate', 'export',
           'get_model', 'load', 'load_model', 'losses', 'metrics', 'prepare', 'register_dataset', 'register_loss', 'register_model']

# Where each name is defined: a module, or a module and its attribute.
_PLACES = {
    'LoadedModel': 'lesion_jax.api:LoadedModel',
    'Predictor': 'lesion_jax.predict.predictor:Predictor',
    'available': 'lesion_jax.pretrained:available',
    'compare': 'lesion_jax.comparison:compare',
    'compare_predictions': 'lesion_jax.comparison:compare_predictions',
    'core': 'lesion_jax.core',
    'evaluate': 'lesion_jax.evaluate',
    'export': 'lesion_jax.export',
    'get_model': 'lesion_jax.models:get_model',
    'load': 'lesion_jax.predict.loading:load',
    'load_model': 'lesion_jax.api:load_model',
    'losses': 'lesion_jax.losses',
    'metrics': 'lesion_jax.metrics',
    'prepare': 'lesion_jax.photograph.prepare:prepare',
    'register_dataset': 'lesion_jax.data.registry:register_dataset',
    'register_loss': 'lesion_jax.losses:register_loss',
    'register_model': 'lesion_jax.models:register_model',
}
_OF_TRAIN = ('compare', 'compare_predictions', 'evaluate', 'register_dataset')  # what takes the extra `train`


def __getattr__(name: str) -> Any:
  # On first use: `import lesion_jax` alone must stay light. By name: this package is below `predict` in the layers.
  if name not in _PLACES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, _, attribute = _PLACES[name].partition(':')
  found = importlib.import_module(module)
  return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
  # Whoever looks at all names, as `help(lesion_jax)` does, gets those that this installation can give.
  lacking = () if importlib.util.find_spec('tensorflow_datasets') else _OF_TRAIN
  return sorted({*globals(), *__all__}.difference(lacking))
