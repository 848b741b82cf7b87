"""Processors and memory that this process may use, which may be far fewer than the machine shows.

A container of two processors on a server of 64 sees 64 of them, and threads for all of these take memory and no less
time. What counts is the least of three: the processors on which the system lets the process run (affinity, `taskset`, a
cpuset), the quota of its control groups (`docker --cpus`, Kubernetes' limits), and what is asked for.

Files, facts from the kernel's documentation: version 2 of control groups has `cpu.max` ("QUOTA PERIOD", or "max PERIOD") and
`memory.max` (bytes, or "max") in each folder from the process's own group up to the root; version 1 `cpu.cfs_quota_us` (-1:
none), `cpu.cfs_period_us` and `memory.limit_in_bytes`, each below the place of its controller. /proc/self/cgroup has the
groups, /proc/self/mountinfo where they are mounted, and which part of the tree that is.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Iterator

# Version 1 says 'no limit' by a number near 2^63.
UNLIMITED = 1 << 60
PR_SET_PDEATHSIG = 1  # of `prctl`: which signal a process gets when the thread that started it ends
# Of the GNU C library's `mallopt`: how many heaps there may be, how many pieces that are no part of one, and above how many free bytes a
# heap gives some back (-1: it never does).
M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD = -8, -4, -1
FEW = 4  # processors on which memory counts more than threads that wait for one another
_keeps = False  # whether this process has asked for `keep_memory`


def processors(root: str | os.PathLike[str] = '/') -> int:
  """Returns how many processors the process may use, at least 1; a quota of one and a half counts as two.

  Args:
    root: where /proc lies, and what it names.
  """
  quota = min(map(_quota, _groups(pathlib.Path(root), 'cpu')), default=math.inf)
  return max(1, math.ceil(min(_scheduled(), quota)))


def memory(root: str | os.PathLike[str] = '/') -> float:
  """Returns the bytes of memory that the process may use: the machine's, or the limit of a control group; infinite
  where neither is known.

  Args:
    root: as of `processors`.
  """
  try:
    machine = float(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))
  except (AttributeError, ValueError, OSError):  # not on this system
    machine = math.inf
  return min([machine, *map(_limit, _groups(pathlib.Path(root), 'memory'))])


def return_memory() -> None:
  """Gives memory that is free back to the system, as far as the C library can: the GNU one keeps what was freed in a heap for
  each thread, so that photographs on several threads would keep several times what is in use. Elsewhere nothing is done.

  After a photograph of 12 megapixels it takes a twentieth of a second, and as much again as what was given back is asked for and
  comes back page by page; to have the library keep nothing at all (MALLOC_MMAP_THRESHOLD_) takes three times as long.
  """
  if library := _gnu():
    library.malloc_trim(0)


def share_heaps(heaps: int = 2) -> None:
  """Has all threads share so few heaps of the GNU C library, so that what one has freed the next one takes; it makes eight a
  processor otherwise, and a network's intermediate results stay in several. For heaps that are not made yet, and the whole process:
  for commands, whose process is theirs. The user's own MALLOC_ARENA_MAX goes before.

  With 64 processors shown and two allowed, 25 photographs of 12 megapixels through a Lesion-Net-4s at 1440 pixels take 0.98
  instead of 1.58 GB. On two processors one heap instead of what there is by default takes 0.77 instead of 0.88 GB for one photograph of 896
  pixels, in the same time.
  """
  if (library := _gnu()) and 'MALLOC_ARENA_MAX' not in os.environ and 'arena_max' not in os.environ.get('GLIBC_TUNABLES', ''):
    library.mallopt(M_ARENA_MAX, heaps)


def keep_memory() -> None:
  """Has the GNU C library keep what was freed for what is asked for next, all threads in one heap: each step of a training takes the same
  gigabyte and frees it, and from the system it comes page by page, zeroed. For the whole process, before JAX starts its
  threads: for commands, whose process is theirs. It begins with `keep_from_here`, which training calls when its step is compiled. On more
  than FEW processors, whose threads would wait for one heap, nothing is done; nor where the user has set a variable of the heap,
  MALLOC_... or glibc.malloc... in GLIBC_TUNABLES.

  Two photographs of 256 pixels through a step of Lesion-Net-16s on two processors take less time and less memory (`python -m
  experiments.benchmark train`: ours, and "memory given back").
  """
  global _keeps
  if (library := _gnu()) and processors() <= FEW and not (
      'glibc.malloc' in os.environ.get('GLIBC_TUNABLES', '') or any(name.startswith('MALLOC_') for name in os.environ)):
    library.mallopt(M_ARENA_MAX, 1)
    _keeps = True


def keep_from_here() -> None:
  """Gives back what is free, which a compilation leaves a gigabyte of, and keeps what is freed from now on; nothing where the process has
  not asked for it, see `keep_memory`."""
  if _keeps and (library := _gnu()):
    library.malloc_trim(0)
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1)):
      library.mallopt(option, value)


def end_with_parent() -> None:
  """Has the system kill this process when the thread that started it ends, even by SIGKILL: on Linux; elsewhere nothing is
  done."""
  if sys.platform == 'linux' and (library := _gnu()):
    library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@functools.cache
def _gnu() -> ctypes.CDLL | None:
  """The GNU C library of this process; None where it is another, whose functions of these names mean something else."""
  try:
    library = ctypes.CDLL(None)
    return library if library.gnu_get_libc_version and library.malloc_trim and library.mallopt else None
  except (AttributeError, OSError, TypeError):
    return None


def _scheduled() -> int:
  """On how many processors the system may run the process."""
  counts: tuple[Callable[[], int | None], ...] = (
      getattr(os, 'process_cpu_count', lambda: None),  # from Python 3.13 on
      lambda: len(os.sched_getaffinity(0)),
      os.cpu_count)
  for count in counts:
    try:
      if found := count():
        return found
    except (AttributeError, OSError):  # not on this system
      continue
  return 1


def _quota(group: pathlib.Path) -> float:
  """Processors' worth of time that a group has, of either version."""
  quota, _, period = _read(group / 'cpu.max').partition(' ')
  if not quota:
    quota, period = _read(group / 'cpu.cfs_quota_us'), _read(group / 'cpu.cfs_period_us')
  if not (quota.isdecimal() and period.isdecimal() and int(period)):
    return math.inf
  return int(quota) / int(period) or math.inf


def _limit(group: pathlib.Path) -> float:
  """Bytes of memory that a group may have, of either version."""
  text = _read(group / 'memory.max') or _read(group / 'memory.limit_in_bytes')
  return float(text) if text.isdecimal() and 0 < int(text) < UNLIMITED else math.inf


def _groups(root: pathlib.Path, controller: str) -> Iterator[pathlib.Path]:
  """The folders of the process's group and of all around it, for a controller."""
  mounts = list(_mounts(root, controller))
  for line in _read(root / 'proc/self/cgroup').splitlines():
    _, names, path = (*line.split(':', 2), '', '')[:3]
    if names and controller not in names.split(','):
      continue
    for place, part, version in mounts:
      if version != (1 if names else 2):
        continue
      # What is mounted may be a part of the tree alone: a container sees its own group as the root, or names of the host's.
      inside = pathlib.PurePosixPath(path)
      inside = inside.relative_to(part) if inside.is_relative_to(part) else pathlib.PurePosixPath('.')
      folder = root / place.lstrip('/')
      yield from (folder / each for each in (inside, *inside.parents))


def _mounts(root: pathlib.Path, controller: str) -> Iterator[tuple[str, str, int]]:
  """(where, which part of the tree, version) of mounted control groups that have a controller."""
  for line in _read(root / 'proc/self/mountinfo').splitlines():
    before, _, after = line.partition(' - ')
    fields, kind = before.split(), after.split()
    if len(fields) < 5 or len(kind) < 3:
      continue
    if kind[0] == 'cgroup2':
      yield fields[4], fields[3], 2
    elif kind[0] == 'cgroup' and controller in kind[2].split(','):
      yield fields[4], fields[3], 1


def _read(path: pathlib.Path) -> str:
  try:
    return path.read_text('ascii').strip()
  except (OSError, ValueError):
    return ''
