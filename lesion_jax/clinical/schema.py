"""Holds JSON to a schema: the part of JSON Schema (draft 2020-12) that result.schema.json uses.

`jsonschema` does all of the standard, for the tests, which hold this to it; here a few keywords are enough, and nothing more
is to be installed.
"""

from __future__ import annotations

import functools
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    'object': lambda value: isinstance(value, dict),
    'array': lambda value: isinstance(value, list),
    'string': lambda value: isinstance(value, str),
    'boolean': lambda value: isinstance(value, bool),
    'null': lambda value: value is None,
    'integer': lambda value: not isinstance(value, bool) and (
        isinstance(value, int) or isinstance(value, float) and value.is_integer()),
    'number': lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
}
_ABOUT = {'$schema', '$id', 'title', 'description', '$defs'}  # that hold nothing to anything


@functools.cache
def read_schema(path: pathlib.Path) -> Mapping[str, Any]:
  """The schema in a file, read once."""
  return json.loads(path.read_text('utf-8'))


def fits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> bool:
  """Whether a value is what a schema describes. Numbers that are not finite are none.

  Args:
    value: of JSON.
    schema: that it is held to.
    root: where the schema's references begin; None: at itself.

  Raises:
    NotImplementedError: the schema has a keyword that is not checked here, so that a schema of ours that grows is never held to by halves;
      a record cannot cause it.
  """
  root = schema if root is None else root
  return all(keyword in _ABOUT or _holds(keyword, wanted, value, schema, root) for keyword, wanted in schema.items())


def _holds(keyword: str, wanted: Any, value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
  is_object, is_list, is_number = isinstance(value, dict), isinstance(value, list), _TYPES['number'](value)
  match keyword:
    case '$ref':
      target: Any = root
      for part in wanted.removeprefix('#/').split('/'):
        target = target[part]
      return fits(value, target, root)
    case 'type':
      return any(_TYPES[kind](value) for kind in ([wanted] if isinstance(wanted, str) else wanted))
    case 'enum':
      return any(_same(value, one) for one in wanted)
    case 'const':
      return _same(value, wanted)
    case 'minimum':
      return not is_number or value >= wanted
    case 'maximum':
      return not is_number or value <= wanted
    case 'oneOf':
      return sum(fits(value, one, root) for one in wanted) == 1
    case 'required':
      return not is_object or all(key in value for key in wanted)
    case 'minProperties':
      return not is_object or len(value) >= wanted
    case 'properties':
      return not is_object or all(fits(value[key], one, root) for key, one in wanted.items() if key in value)
    case 'propertyNames':
      return not is_object or all(fits(key, wanted, root) for key in value)
    case 'additionalProperties':
      more = [value[key] for key in value if key not in schema.get('properties', {})] if is_object else []
      return not more if wanted is False else wanted is True or all(fits(each, wanted, root) for each in more)
    case 'items':
      return not is_list or all(fits(each, wanted, root) for each in value)
    case 'uniqueItems':
      return not (wanted and is_list) or not any(
          _same(one, other) for number, one in enumerate(value) for other in value[:number])
  raise NotImplementedError(f'the keyword {keyword!r} of JSON Schema is not checked here; add it before a schema uses it')


def _same(one: Any, other: Any) -> bool:
  """Equal in JSON, where true is not 1."""
  return isinstance(one, bool) == isinstance(other, bool) and one == other
