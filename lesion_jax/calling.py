"""Rooms that can be called: `lesion_jax.evaluate(...)` and `lesion_jax.export(...)` are functions and rooms of one name."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from typing import Any


def make_callable(room: str, module: str, function: str) -> None:
  """Makes a module callable: the call goes to a function of another module, which is imported by then.

  Python sets a package's attribute to the submodule of that name as soon as anything imports it, so a function of the
  same name would be there until then and gone afterwards. A module that can be called is both.

  Args:
    room: name of the module, which is being imported.
    module: name of the module of the function. It may stand above `room` in the layers, as it is imported by a call alone.
    function: its name there.
  """

  def find() -> Any:
    return getattr(importlib.import_module(module), function)

  class Room(types.ModuleType):
    """A module that can be called."""

    def __call__(self, *args: Any, **options: Any) -> Any:
      return find()(*args, **options)

    @property
    def __signature__(self) -> inspect.Signature:
      return inspect.signature(find())

  sys.modules[room].__class__ = Room
