"""One writer a folder: a lock that the system takes back when its holder dies, however it dies.

`flock` on a file in the folder, with a line in it that says who holds it. The file is removed with the lock; one that a
killed process left behind holds nothing, and the next one takes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shutil
import socket
import stat
import time
import warnings
from collections.abc import Iterator

try:
  import fcntl
except ImportError:  # Not a POSIX system: there is no flock.
  fcntl = None

NAME = '.lock'
# What `flock` answers where a file system, often one of a network, has none.
WITHOUT = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF}
LONGEST = 500  # bytes of a holder's line that are read


class Locked(OSError):
  """Another process holds the folder. The message says which, as far as it is known, and what to do."""


class Unlockable(UserWarning):
  """A folder lies on a file system without locks."""


@contextlib.contextmanager
def locked(directory: str | os.PathLike[str], what: str, *, name: str = NAME, wait: bool = False) -> Iterator[None]:
  """Opens a context in which no other process, and no other such context of this one, holds the folder.

  Args:
    directory: that is written to; made where it is missing.
    what: is done there, for the message to a second one: 'a training', 'a prediction'.
    name: of the lock; those of other names in the same folder are others.
    wait: until nobody holds it.

  Raises:
    Locked: somebody holds it, and `wait` is not set. Nothing was changed.
    OSError: the folder cannot be made or written to.

  Warns:
    Unlockable: the file system has no locks; the body runs all the same.
  """
  path = pathlib.Path(directory, name)
  file = _open_locked(path, what, wait)
  try:
    yield
  finally:
    if file is not None:
      with contextlib.suppress(OSError):
        if _is_at(file, path):
          path.unlink()  # while it is held: whoever opened it meanwhile sees that it is gone, and opens a new one
      os.close(file)


def hold(directory: str | os.PathLike[str]) -> int | None:
  """Locks a folder itself, without a word in it, for as long as the file descriptor that is returned is open. None where
  it is held already, is gone, or cannot be locked."""
  if fcntl is None:
    return None
  try:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
  except OSError:
    return None
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(file)
    return None
  return file


def sweep(path: str | os.PathLike[str]) -> None:
  """Removes what writers of a folder that were killed left beside it, '.NAME.HEX.new' and '.NAME.HEX.old' of eight digits. A
  writer that is alive holds (`hold`) its own, which stays."""
  path = pathlib.Path(path)
  pattern = re.compile(rf'\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.(new|old)')
  for left in [each for each in path.parent.iterdir() if pattern.fullmatch(each.name)]:
    if (held := hold(left)) is not None:
      shutil.rmtree(left, ignore_errors=True)
      os.close(held)


def _open_locked(path: pathlib.Path, what: str, wait: bool) -> int | None:
  """The lock file, open and locked; None where there are no locks."""
  while True:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
      if not stat.S_ISREG(path.lstat().st_mode):
        raise OSError(f'{path} is no lock, but a link or a folder or the like; remove it')
    try:
      file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, 'O_NOFOLLOW', 0), 0o666)
    except FileNotFoundError:
      if path.parent.exists():
        raise
      continue  # its last holder removed the folder as well
    try:
      if not _lock(file, path, what, wait):
        os.close(file)
        return None
      if _is_at(file, path):
        os.ftruncate(file, 0)
        os.pwrite(file, f'{what} by process {os.getpid()} on {socket.gethostname()}, since '
                        f'{time.strftime("%Y-%m-%d %H:%M:%S")}'.encode(), 0)
        return file
    except BaseException as error:
      os.close(file)
      if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise OSError(error.errno, f'{path} cannot be written ({error.strerror}); make room') from error
      raise
    os.close(file)  # its holder removed it between our opening and locking it


def _lock(file: int, path: pathlib.Path, what: str, wait: bool) -> bool:
  """Whether the file is now locked; False where that is not possible here, which is said."""
  failure: OSError | None = None
  if fcntl is not None:
    try:
      fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
      return True
    except OSError as error:
      if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
        holder = os.pread(file, LONGEST, 0).decode('utf-8', 'replace').strip() or 'another process'
        raise Locked(f'{path.parent} is in use: {holder}. Wait until it has ended, or name another folder') from None
      if error.errno not in WITHOUT:
        raise
      failure = error
  with contextlib.suppress(OSError):
    if not os.fstat(file).st_size:  # ours, and it says nothing
      path.unlink()
  warnings.warn(f'{path.parent} lies where folders cannot be locked ({failure or "no flock here"}): nothing stops a second '
                f'process, and {what} must be the only one there', Unlockable, stacklevel=4)
  return False


def _is_at(file: int, path: pathlib.Path) -> bool:
  """Whether the open file is still the one at its path."""
  try:
    there = path.stat()
  except FileNotFoundError:
    return False
  own = os.fstat(file)
  return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
