"""The public interface as text, a line a name: python tests/public_api.py > tests/public_api.txt"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import itertools
from collections.abc import Iterator

ROOMS = ('lesion_jax', 'lesion_jax.core', 'lesion_jax.losses', 'lesion_jax.metrics')


def describe() -> list[str]:
  """'lesion_jax.load(path: Path = None, *, ...) -> Predictor' for every name of ROOMS and every method of its classes."""
  return [line for room in ROOMS for name in sorted(importlib.import_module(room).__all__)
          for line in _lines(f'{room}.{name}', getattr(importlib.import_module(room), name))]


def _lines(name: str, found: object) -> Iterator[str]:
  if inspect.isclass(found):
    yield f'class {name}'
    fields = getattr(found, '_fields', None) or [field.name for field in dataclasses.fields(found)] if (
        dataclasses.is_dataclass(found) or hasattr(found, '_fields')) else []
    if fields:
      yield f'  fields: {", ".join(fields)}'
    for key, value in sorted(vars(found).items()):
      if key != '__call__' and (key.startswith('_') or key in fields or key == 'replace'):
        continue
      if isinstance(value, property):
        yield f'  property {key}'
      elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
        yield f'  {key}{_signature(getattr(found, key))}'
  elif hasattr(found, '__signature__') or inspect.isfunction(found):
    yield f'{name}{_signature(found)}'
  else:
    yield f'{name}: {type(found).__name__}'


def _signature(function: object) -> str:
  """'(path: Path, *, dtype: str | None = None) -> Predictor'; annotations as they are written."""
  signature, words = inspect.signature(function), []
  for kind, group in itertools.groupby(signature.parameters.values(), lambda parameter: parameter.kind):
    words += ['*'] if kind is inspect.Parameter.KEYWORD_ONLY else []
    for one in group:
      stars = {inspect.Parameter.VAR_POSITIONAL: '*', inspect.Parameter.VAR_KEYWORD: '**'}.get(kind, '')
      default = '' if one.default is one.empty else f' = {getattr(one.default, "__name__", None) or repr(one.default)}'
      words.append(f'{stars}{one.name}' + ('' if one.annotation is one.empty else f': {one.annotation}') + default)
  returned = '' if signature.return_annotation is signature.empty else f' -> {signature.return_annotation}'
  return f'({", ".join(words)}){returned}'


if __name__ == '__main__':
  print('\n'.join(describe()))
