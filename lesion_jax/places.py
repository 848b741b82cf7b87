"""Paths as users write them. Unlike pathlib's own functions these raise nothing, neither for a link that leads to itself nor for the
home of a user who is not known: whoever opens the path gets the system's error."""

from __future__ import annotations

import os
import pathlib


def real(path: str | os.PathLike[str]) -> pathlib.Path:
  """Returns a path from the root on, links followed as far as they lead."""
  return pathlib.Path(os.path.realpath(path))


def home(path: str | os.PathLike[str]) -> pathlib.Path:
  """Returns a path whose '~' or '~user' at the beginning is that user's home, where there is one."""
  return pathlib.Path(os.path.expanduser(path))
