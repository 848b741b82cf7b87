"""The networks by name."""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax import plugins
from lesion_jax.models.abn import ABN
from lesion_jax.models.classifier import InceptionClassifier, InceptionGrader
from lesion_jax.models.danet import DANet
from lesion_jax.models.deeplab import DeepLabV3Plus
from lesion_jax.models.fcn import FCN
from lesion_jax.models.inception_v3 import InceptionV3
from lesion_jax.models.lesion_concat import LesionConcat
from lesion_jax.models.lesion_enhanced import LESION_BRANCH
from lesion_jax.models.lesion_net import STRIDES, LesionNet
from lesion_jax.models.multitask import MultiTask
from lesion_jax.models.patches import PatchFCN
from lesion_jax.models.unet import UNet

MODELS: dict[str, Callable[..., nn.Module]] = {
    # Lesions, pixel by pixel (Table II).
    **{f'lesion_net_{stride}s': functools.partial(LesionNet, stride=stride) for stride in reversed(STRIDES)},
    'patch_fcn_32s': PatchFCN,
    **{f'fcn_{stride}s': functools.partial(FCN, stride=stride) for stride in (32, 16, 8)},
    'unet': UNet,
    'deeplab_v3_plus': DeepLabV3Plus,
    'danet': DANet,
    # Lesions of whole images (Table II).
    'inception_v3_classifier': InceptionClassifier,
    'abn_classifier': functools.partial(ABN, task='lesions'),
    # Grades (Table III).
    'inception_v3_grader': InceptionGrader,
    'abn_grader': functools.partial(ABN, task='grades'),
    'lesion_concat': LesionConcat,
    'multitask': MultiTask,
}
BUILT_IN = frozenset(MODELS)
# Of a configuration, which may come from a stranger: how deep networks may lie in one another, and how large a number may be.
MAX_DEPTH, MAX_WIDTH, MAX_NUMBER, MAX_ITEMS = 3, 8.0, 10_000, 64
DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}  # float16 would need loss scaling

__all__ = [
  'ABN',
  'FCN',
  'LESION_BRANCH',
  'MODELS',
  'DANet',
  'DeepLabV3Plus',
  'InceptionClassifier',
  'InceptionGrader',
  'InceptionV3',
  'LesionConcat',
  'LesionNet',
  'MultiTask',
  'PatchFCN',
  'UNet',
  'get_defaults',
  'get_fields',
  'get_imports',
  'get_model',
  'get_settings',
  'register_model',
]


def register_model(name: str, module: Callable[..., nn.Module]) -> None:
  """Adds a network of one's own: `get_model`, configurations and bundles then know it by name.

  Args:
    name: letters, digits and underscores.
    module: a Flax module class, best a subclass of `models.network.Network`, or a `functools.partial` of one. Its fields
      become keys of the configuration where their defaults are numbers, texts, booleans or tuples of these.

  Raises:
    ValueError: another network has the name.
    TypeError: it is no Flax module class.
  """
  plugins.check_new('model', name, module, MODELS)
  if not (isinstance(base := _unwrapped(module), type) and issubclass(base, nn.Module)):
    raise TypeError(f'{module!r} is no class of Flax modules, nor functools.partial of one; a network is a subclass of '
                    'lesion_jax.models.network.Network')
  MODELS[name] = module


def get_imports(fields: Mapping[str, Any]) -> list[str]:
  """Returns the modules that register the networks of a description (arguments of `get_model`) that are not part of
  lesion_jax."""
  found = [] if fields['name'] in BUILT_IN else [_module_of(MODELS[fields['name']])]
  inside = (get_imports(value) for value in fields.values() if isinstance(value, Mapping))
  return list(dict.fromkeys([*found, *(name for names in inside for name in names)]))


def get_settings(name: str) -> dict[str, Any]:
  """Returns the fields of a network that a configuration can have as keys, with their defaults: numbers, texts,
  booleans, and tuples of these. Raises ValueError for an unknown name."""
  plain, known = (bool, int, float, str), _fields(name)
  module = MODELS[name]
  bound = module.keywords if isinstance(module, functools.partial) else {}
  return {field: value for field, value in (known | bound).items()
          if isinstance(value, plain) or (isinstance(value, tuple) and all(isinstance(item, plain) for item in value))}


def get_model(name: str, **fields: Any) -> nn.Module:
  """Builds a network by name.

  Args:
    name: a key of MODELS.
    **fields: fields of the module. A dtype may be given by name; a network inside a network (the multi-task network's
      `lesion`) as a mapping with `name` and further fields. So a JSON object describes any network.

  Raises:
    ValueError: unknown name, field or dtype; the message lists what is allowed. A network inside is none, a switch neither True nor
      False, networks lie more than MAX_DEPTH deep in one another, or a number is beyond what any network has.
  """
  return _build(fields | {'name': name}, 1)


def _build(description: Mapping[str, Any], depth: int) -> nn.Module:
  """The network of a mapping with `name` and fields, which lies `depth` deep, from 1."""
  if depth > MAX_DEPTH:
    raise ValueError(f'networks lie more than {MAX_DEPTH} deep in one another; a grading network contains one lesion network')
  fields = dict(description)
  name = fields.pop('name', None)
  allowed = get_fields(name)
  if unknown := sorted(map(str, set(fields) - set(allowed))):
    raise ValueError(f'{name} has no field {", ".join(unknown)[:200]}; its fields are {", ".join(allowed)}')
  defaults = _fields(name)
  return MODELS[name](**{key: _resolve(key, value, defaults[key], depth) for key, value in fields.items()})


def get_fields(name: str) -> tuple[str, ...]:
  """Returns the fields that `get_model` takes for a name; 'lesion' is among them where a network contains a lesion
  network.

  Raises:
    ValueError: unknown name; the message lists those that there are.
  """
  return tuple(_fields(name))


def get_defaults(field: str) -> dict[str, Any]:
  """Returns the names of the networks that have a field, each with the value that it has there where none is given."""
  return {name: fields[field] for name in MODELS if field in (fields := _fields(name))}


def _fields(name: str) -> dict[str, Any]:
  """The fields of a network and their defaults, those of `functools.partial` in MODELS left aside."""
  if not plugins.look_up('model', name, MODELS):
    raise ValueError(f'unknown model {str(name)[:60]!r}; the models are {plugins.names("model", MODELS)}')
  module = MODELS[name]
  return {field: known.default for field, known in _unwrapped(module).__dataclass_fields__.items()
          if field not in ('parent', 'name')}


def _unwrapped(module: Any) -> Any:
  """The class of an entry of MODELS."""
  while isinstance(module, functools.partial):
    module = module.func
  return module


def _module_of(module: Any) -> str:
  """The name under which others import the module of a network; of a program that was started, its own."""
  name = _unwrapped(module).__module__
  if name != '__main__':
    return name
  main = sys.modules['__main__']
  spec = getattr(main, '__spec__', None)
  return spec.name if spec else pathlib.PurePath(getattr(main, '__file__', None) or '__main__').stem


def _resolve(key: str, value: Any, default: Any, depth: int) -> Any:
  if isinstance(value, Mapping):
    return _build(value, depth + 1)
  if isinstance(default, nn.Module) and not isinstance(value, nn.Module):
    raise ValueError(f'{key}={str(value)[:60]!r} is no network; give a module, or a mapping with its name and fields, '
                     "{'name': 'lesion_net_16s'} for instance")
  if isinstance(default, bool) and value not in (True, False):  # any text but '' would count as True
    raise ValueError(f'{key}={str(value)[:60]!r}: give True or False')
  if key == 'dtype' and isinstance(value, str):
    if value not in DTYPES:
      raise ValueError(f'unknown dtype {value[:60]!r}; choose one of {", ".join(DTYPES)}')
    return DTYPES[value]
  if key == 'width' and not (isinstance(value, int | float) and 0 < value <= MAX_WIDTH):
    raise ValueError(f'width={str(value)[:60]!s}: a multiplier of all channel counts, above 0 and at most {MAX_WIDTH:g}')
  if isinstance(value, list | tuple) and len(value) > MAX_ITEMS:
    raise ValueError(f'{key} has {len(value):,} items; at most {MAX_ITEMS} make sense')
  for number in value if isinstance(value, list | tuple) else (value,):
    if isinstance(number, int | float) and not abs(number) <= MAX_NUMBER:
      raise ValueError(f'{key}: the number {str(number)[:60]} is beyond what any network here has, {MAX_NUMBER:,}')
  return tuple(value) if isinstance(value, list) else value  # JSON has lists
