"""Networks, losses and data sets of other packages: modules that register them, imported by name or found as entry points.

Importing a module runs it. That happens where a user names one, or has installed a package whose entry points name one; never
because a bundle does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

GROUPS = {'model': 'lesion_jax.models', 'loss': 'lesion_jax.losses', 'data set': 'lesion_jax.datasets'}
_MODULE = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)*')


def import_modules(names: Iterable[str]) -> None:
  """Imports modules, those of the current folder too, for what they register.

  Raises:
    ImportError: there is no such module, or it cannot be imported; the message names it.
  """
  if (names := list(names)) and '' not in sys.path and os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())  # a console script has only its own folder
  for name in names:
    if not is_module_name(name):
      raise ImportError(f'{name!r} is not the name of a module; a module of the current folder is named without .py')
    try:
      importlib.import_module(name)
    except Exception as error:
      raise ImportError(f'the module {name} cannot be imported: {type(error).__name__}: {error}') from error


def is_module_name(name: Any) -> bool:
  """Returns whether this is how a module is named, 'mine' or 'clinic.networks'."""
  return isinstance(name, str) and len(name) <= 200 and _MODULE.fullmatch(name) is not None


def look_up(kind: str, name: Any, known: Mapping[str, Any]) -> bool:
  """Returns whether a name is registered, after importing the module that an installed package names for it.

  Args:
    kind: a key of GROUPS.
    name: of a network, a loss or a data set.
    known: those that are registered.

  Raises:
    ImportError: the module cannot be imported.
    ValueError: it does not register that name.
  """
  if name in known:
    return True
  if not isinstance(name, str):
    return False
  for entry in importlib.metadata.entry_points(group=GROUPS[kind], name=name):
    import_modules([entry.module])
    if name not in known:
      raise ValueError(f'the entry point {name} = {entry.value} of {GROUPS[kind]} imports {entry.module}, which does not '
                       f'register a {kind} {name!r}')
    return True
  return False


def names(kind: str, known: Mapping[str, Any]) -> str:
  """Returns all names for a message: those that are registered, and those that installed packages bring."""
  return ', '.join(dict.fromkeys([*known, *(entry.name for entry in importlib.metadata.entry_points(group=GROUPS[kind]))]))


def check_new(kind: str, name: Any, value: Any, known: Mapping[str, Any]) -> None:
  """Raises ValueError where a name cannot be registered: it is none, or another thing has it. The same module may be
  imported anew, as notebooks do."""
  if not isinstance(name, str) or not name.isidentifier():
    raise ValueError(f'{name!r} cannot name a {kind}: letters, digits and underscores, as in my_{kind.replace(" ", "_")}')
  if name in known and _origin(known[name]) != _origin(value):
    raise ValueError(f'there is a {kind} {name!r} already; choose another name')


def _origin(value: Any) -> Any:
  while hasattr(value, 'func'):  # functools.partial
    value = value.func
  if isinstance(value, tuple) and value and hasattr(value[0], '__qualname__'):  # a loss, of two functions
    value = value[0]
  return (getattr(value, '__module__', None), getattr(value, '__qualname__', None) or id(value))
