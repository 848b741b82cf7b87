"""`map` on threads, for decoding and encoding images: Pillow, zlib and most of NumPy release the GIL."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

MAX_WORKERS = 16  # A photograph of 12 megapixels takes about 200 MB while it is cropped.

Input = TypeVar('Input')
Output = TypeVar('Output')


def ordered_map(
    function: Callable[[Input], Output], items: Iterable[Input], *, ahead: int | None = None,
) -> Iterator[Output]:
  """Results in the order of `items`, lazily. An exception is raised where its result would stand.

  Args:
    function: called in one thread for each core, at most MAX_WORKERS and at most `ahead`.
    items: taken as results are asked for.
    ahead: how many items are taken before their results are asked for; None: twice the threads.
  """
  workers = min(os.cpu_count() or 1, MAX_WORKERS)
  ahead = 2 * workers if ahead is None else ahead
  pending: collections.deque[concurrent.futures.Future[Output]] = collections.deque()
  pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(ahead, workers)))
  try:
    for item in items:
      pending.append(pool.submit(function, item))
      if len(pending) > ahead:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()
  finally:
    pool.shutdown(cancel_futures=True)
