"""SIGKILL at a chosen moment of a process: some milliseconds after it has made, moved or removed so many files in given folders.

As a program it runs the command `lesion-jax` so, with the network of `oracle` beside the others:

  python tests/dying.py CHANGES MILLISECONDS FOLDER predict ...
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.link', 'shutil.rmtree', 'shutil.copyfile', 'shutil.move'}
SAID = 'files made, moved or removed: '  # the last line of a process that comes to its end


def die(after: int, milliseconds: float, folders: list[str]) -> None:
  """Arms this process.

  Args:
    after: so many changes; 0: never.
    milliseconds: then so long; whatever the process does goes on meanwhile.
    folders: in which a change counts.
  """
  roots = tuple(os.path.abspath(folder) for folder in folders)
  count = 0

  def end() -> None:
    time.sleep(milliseconds / 1000)
    os.kill(os.getpid(), signal.SIGKILL)

  def watch(event: str, arguments: tuple) -> None:
    nonlocal count
    if event not in CHANGES and not (event == 'open' and isinstance(arguments[2], int) and arguments[2] & WRITING):
      return
    if isinstance(arguments[0], str | os.PathLike) and os.path.abspath(arguments[0]).startswith(roots):
      count += 1
      if count == after:
        threading.Thread(target=end, daemon=True).start()

  sys.addaudithook(watch)
  atexit.register(lambda: print(f'{SAID}{count}', flush=True))


if __name__ == '__main__':
  import oracle

  from lesion_jax import cli, models

  models.MODELS['oracle'] = oracle.Oracle
  die(int(sys.argv[1]), float(sys.argv[2]), [sys.argv[3]])
  sys.exit(cli.main(sys.argv[4:]))
