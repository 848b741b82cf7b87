"""The networks by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.models.grader import InceptionGrader
from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.models.lesion_net import STRIDES, LesionNet
from lesion_jax.models.multitask import LESION_BRANCH, MultiTask

MODELS: dict[str, Callable[..., nn.Module]] = {
    **{f'lesion_net_{stride}s': functools.partial(LesionNet, stride=stride) for stride in reversed(STRIDES)},
    'inception_v3_grader': InceptionGrader,
    'multitask': MultiTask,
}
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}  # float16 would need loss scaling

__all__ = ['LESION_BRANCH', 'MODELS', 'InceptionGrader', 'InceptionV3', 'LesionNet', 'MultiTask', 'get_model']


def get_model(name: str, **fields: Any) -> nn.Module:
  """Builds a network by name.

  Args:
    name: a key of MODELS.
    **fields: fields of the module. A dtype may be given by name; a network inside a network (the multi-task network's
      `lesion`) as a mapping with `name` and further fields. So a JSON object describes any network.

  Raises:
    ValueError: unknown name, field or dtype; the message lists what is allowed.
  """
  if name not in MODELS:
    raise ValueError(f'unknown model {name!r}; the models are {", ".join(MODELS)}')
  make = MODELS[name]
  module = getattr(make, 'func', make)
  allowed = [field for field in module.__dataclass_fields__ if field not in ('parent', 'name')]
  if unknown := sorted(set(fields) - set(allowed)):
    raise ValueError(f'{name} has no field {", ".join(unknown)}; its fields are {", ".join(allowed)}')
  return make(**{key: _resolve(key, value) for key, value in fields.items()})


def _resolve(key: str, value: Any) -> Any:
  if isinstance(value, Mapping):
    return get_model(**value)
  if key == 'dtype' and isinstance(value, str):
    if value not in DTYPES:
      raise ValueError(f'unknown dtype {value!r}; choose one of {", ".join(DTYPES)}')
    return DTYPES[value]
  return value
