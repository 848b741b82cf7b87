"""Finds files that are copies of one another, without decoding them."""

from __future__ import annotations

import collections
import hashlib
import pathlib
from collections.abc import Hashable, Iterable


def find_copies(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, pathlib.Path]:
  """Path -> the first of `paths` with the same content, itself where there is no other.

  Only files of one size are read, so that of a release without copies hardly any is.
  """
  first: dict[Hashable, pathlib.Path] = {}
  found = {}
  by_size = collections.defaultdict(list)
  for path in paths:
    by_size[path.stat().st_size].append(path)
  for size, alike in by_size.items():
    for path in alike:
      content = hashlib.sha256(path.read_bytes()).digest() if len(alike) > 1 else b''
      found[path] = first.setdefault((size, content), path)
  return found
