"""Paths as users write them. Unlike pathlib's own functions these raise nothing, neither for a link that leads to itself, nor for the
home of a user who is not known, nor for what is no name of a file: whoever opens the path gets the system's error."""

from __future__ import annotations

import os
import pathlib


def real(path: str | os.PathLike[str]) -> pathlib.Path:
  """Returns a path from the root on, links followed as far as they lead."""
  try:
    return pathlib.Path(os.path.realpath(path))
  except ValueError:
    return pathlib.Path(os.path.abspath(path))


def home(path: str | os.PathLike[str]) -> pathlib.Path:
  """Returns a path whose '~' or '~user' at the beginning is that user's home, where there is one."""
  try:
    return pathlib.Path(os.path.expanduser(path))
  except ValueError:
    return pathlib.Path(path)


def is_name(path: str | os.PathLike[str]) -> bool:
  """Returns whether a file can have this path: it holds no NUL, and nothing that the system cannot write."""
  try:
    return b'\0' not in os.fsencode(path)
  except ValueError:
    return False
