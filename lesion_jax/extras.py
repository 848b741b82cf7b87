"""Extras of the installation: what is missing is said with the command that installs it."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator


class MissingExtra(ModuleNotFoundError):
  """A package that an extra brings is not installed; the message has the command that installs it."""


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
  """Says of a module that cannot be imported in the body which extra brings it.

    with needs('train'):
      import grain

  Args:
    extra: of setup.cfg.

  Raises:
    MissingExtra: a module of another package was not found.
  """
  try:
    yield
  except ModuleNotFoundError as error:
    if isinstance(error, MissingExtra) or (error.name or 'lesion_jax').partition('.')[0] == 'lesion_jax':
      raise
    raise MissingExtra(f"{error.name} is not installed: pip install 'lesion_jax[{extra}]'", name=error.name) from error


def require(extra: str, *modules: str) -> None:
  """Imports modules that an extra brings, for a room that cannot be without them. Raises MissingExtra as `needs` does."""
  with needs(extra):
    for module in modules:
      importlib.import_module(module)
