"""`map` on threads, for decoding and encoding images: Pillow, zlib and most of NumPy release the GIL.

How many threads there are, and how many photographs are on their way at once, follows what the process may use
(`lesion_jax.machine`), or what `limited` says.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import contextvars
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from lesion_jax import machine

MAX_WORKERS = 16
# A photograph of 12 megapixels takes about so many bytes while it is read and cropped, or its results are written.
PHOTOGRAPH = 200 << 20
# Of the memory that may be used, what photographs on their way may take; the rest is the network's. At most
# LARGEST_SHARE: more photographs than processors can work at only wait (our choice).
SHARE, LARGEST_SHARE = 0.25, 4 << 30
# That reading one photograph may take (our choice): the largest that is read takes 10 in its slowest format on one core.
SECONDS = 60.0
# Memory goes back to the system after so many photographs: after each it would cost a sixth of their CPU seconds, as it is asked for
# again at once. Ten photographs hold 4 % more without (measured).
RETURNED = 8
_worked = itertools.count(1)

Input = TypeVar('Input')
Output = TypeVar('Output')


class Limits(NamedTuple):
  """What was asked for, None where nothing was: threads, bytes of memory for the whole process, seconds for reading a
  photograph, and how many pixels it may have."""

  threads: int | None = None
  memory: int | None = None
  seconds: float | None = None
  pixels: int | None = None


_limits: contextvars.ContextVar[Limits] = contextvars.ContextVar('limits', default=Limits())  # noqa: B039 (a tuple)


@contextlib.contextmanager
def limited(
    threads: int | None = None, memory: int | None = None, seconds: float | None = None, pixels: int | None = None,
) -> Iterator[None]:
  """Opens a context within which `ordered_map` uses no more threads than these, and holds no more items than fit into a
  share of that memory, a photograph that takes more seconds to read is given up, and one of more pixels is refused.

  It counts for what is called in it, on threads of `ordered_map` too. None leaves what there was.

  Raises:
    ValueError: a number below 1, or seconds that are none above 0.
  """
  if seconds is not None and not seconds > 0:
    raise ValueError(f'seconds={seconds}: give a number above 0')
  for name, value in (('threads', threads), ('memory', memory), ('pixels', pixels)):
    if value is not None and value < 1:
      raise ValueError(f'{name}={value}: give a whole number from 1 on')
  outer = _limits.get()
  token = _limits.set(Limits(threads or outer.threads, memory or outer.memory, seconds or outer.seconds, pixels or outer.pixels))
  try:
    yield
  finally:
    _limits.reset(token)


def allowed_threads() -> int:
  """Threads that there may be: those asked for, else as many as the process may use processors, and at most MAX_WORKERS."""
  return min(_limits.get().threads or machine.processors(), MAX_WORKERS)


def allowed_seconds() -> float:
  """Returns the seconds that reading one photograph may take: those asked for, else SECONDS; at most a day."""
  return min(_limits.get().seconds or SECONDS, 86400.0)


def allowed_pixels(most: int) -> int:
  """Returns the pixels that a photograph may have: those asked for, at most `most`."""
  return min(_limits.get().pixels or most, most)


def room(each: int = PHOTOGRAPH) -> int:
  """Returns how many items of so many bytes may be on their way at once, at least 1: as many as fit into SHARE of the
  memory."""
  allowed = min(_limits.get().memory or machine.memory(), machine.memory())
  return max(1, int(min(SHARE * allowed, LARGEST_SHARE) // each))


def ordered_map(
    function: Callable[[Input], Output], items: Iterable[Input], *, ahead: int | None = None, each: int = 0,
) -> Iterator[Output]:
  """Results in the order of `items`, lazily. An exception is raised where its result would stand.

  Args:
    function: called in `allowed_threads` threads, and in no more than items may be on their way.
    items: taken as results are asked for.
    ahead: how many items are taken before their results are asked for; None: twice the threads.
    each: bytes that an item takes from when it is taken until its result is; 0: few. Then no more are taken than there is
      `room` for, and memory that they have used goes back to the system, see RETURNED.
  """
  workers = allowed_threads()
  ahead = 2 * workers if ahead is None else ahead
  if each:  # one more than those waiting is taken
    ahead = min(ahead, room(each) - 1)
  work = _returning(function) if each else function
  pending: collections.deque[concurrent.futures.Future[Output]] = collections.deque()
  owner = threading.get_ident()
  pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(max(ahead, 1), workers)))
  try:
    for item in items:
      pending.append(pool.submit(contextvars.copy_context().run, work, item))
      if len(pending) > ahead:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()
  except GeneratorExit:
    # Nobody takes the rest. Where the collector says so on another thread, that one may be just starting and hold a lock of
    # `threading` for which the others wait: what has begun ends by itself then, and no thread is ever joined here.
    pool.shutdown(wait=False, cancel_futures=True)
    if threading.get_ident() == owner:
      concurrent.futures.wait([each for each in pending if not each.cancelled()])
    raise
  except BaseException:
    pool.shutdown(cancel_futures=True)
    raise
  pool.shutdown()


def _returning(function: Callable[[Input], Output]) -> Callable[[Input], Output]:
  def work(item: Input) -> Output:
    try:
      return function(item)
    finally:
      if next(_worked) % RETURNED == 0:
        machine.return_memory()

  return work
