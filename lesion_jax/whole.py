"""Files that are whole or not there, whatever becomes of who writes them, and data that tell whether they are as they were written."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import uuid
from collections.abc import Iterator

CHECKSUM = 32  # bytes of SHA-256


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Gives a file to write to in the place of `path`, in the same folder, which is made where it is missing. It becomes `path` when the
  body has ended, and goes where that fails; another process may be writing the same."""
  path.parent.mkdir(parents=True, exist_ok=True)
  fresh = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.new')
  try:
    yield fresh
    fresh.replace(path)
  finally:
    with contextlib.suppress(OSError):
      fresh.unlink(missing_ok=True)


def seal(data: bytes) -> bytes:
  """Returns data behind their SHA-256."""
  return hashlib.sha256(data).digest() + data


def unseal(sealed: bytes) -> bytes | None:
  """Returns the data of `seal`; None where they are damaged, or something else."""
  checksum, data = sealed[:CHECKSUM], sealed[CHECKSUM:]
  return data if hashlib.sha256(data).digest() == checksum else None
