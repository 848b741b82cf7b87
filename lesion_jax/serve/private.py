"""The folder in which pictures lie while they are made: nobody else may look into it, and nothing stays.

The front makes it and removes it. A worker that finds the front gone removes it in its place. Where both are killed at once it
is left, and the next service of the same user removes it: whoever lives holds a lock on its own.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

from lesion_jax.locking import hold

PREFIX = 'lesion_jax-serve-'
FRESH = 60.0  # seconds: a younger folder may be one whose maker has not locked it yet


@contextlib.contextmanager
def private_folder() -> Iterator[pathlib.Path]:
  """Opens a context with a folder of this process, among the temporary ones (TMPDIR), and removes those of the dead before."""
  sweep(pathlib.Path(tempfile.gettempdir()))
  folder = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))  # for this user alone
  held = hold(folder)
  try:
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)
    if held is not None:
      os.close(held)


def sweep(parent: pathlib.Path) -> None:
  """Removes folders of services of this user that are no more."""
  for folder in parent.glob(f'{PREFIX}*'):
    with contextlib.suppress(OSError):
      found = folder.lstat()
      own = stat.S_ISDIR(found.st_mode) and (not hasattr(os, 'getuid') or found.st_uid == os.getuid())
      if own and time.time() - found.st_mtime > FRESH and (held := hold(folder)) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def empty(folder: pathlib.Path) -> None:
  """Removes what lies in a folder."""
  for each in folder.iterdir():
    if each.is_dir() and not each.is_symlink():
      shutil.rmtree(each, ignore_errors=True)
    else:
      each.unlink(missing_ok=True)
