"""How far a job over photographs has come, told to a function that the caller gives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tqdm

# Called with how many photographs are done and how many there are: first with 0, then as they are finished, never by two
# threads at once.
Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
  """Returns a Progress that says nothing."""


@contextlib.contextmanager
def progress_bar(title: str | None = None, *, quiet: bool = False) -> Iterator[Progress]:
  """Opens a context with a Progress that draws a bar on stderr, if that is a terminal.

  Args:
    title: stands before the bar.
    quiet: draw none.
  """
  with tqdm.tqdm(unit='photo', desc=title, dynamic_ncols=True, disable=True if quiet else None) as bar:

    def show(done: int, total: int) -> None:
      if bar.total != total:
        bar.reset(total)
      bar.update(done - bar.n)

    yield show
