"""There: what was brought along is verified and unpacked, then part after part runs in the time that is left."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from experiments.borrowed import loads
from experiments.borrowed.parts import GRADED, MASKED, PARTS, WHEELS, Part, Place
from experiments.borrowed.state import DONE, FAILED, STOPPED, WAITS, State

ROOT = pathlib.Path(__file__).parents[2]
TO_SAVE = 75  # exit status of a training that was told to stop, and saved
TAIL = 5  # lines of a log that are shown where a part failed


class Clock:
  """The seconds that this run has. SIGTERM ends them at once, and with them the part that runs."""

  def __init__(self, seconds: float, grace: float, now: Callable[[], float] = time.monotonic):
    self._now, self._end, self.grace, self.over = now, now() + seconds, grace, False
    self.running: subprocess.Popen | None = None

  def left(self) -> float:
    """Seconds that a part may take yet, so that it can be stopped politely before the end."""
    return 0 if self.over else self._end - self._now() - self.grace

  @contextlib.contextmanager
  def listening(self) -> Iterator[None]:
    """A context in which SIGTERM ends the time."""
    before = signal.signal(signal.SIGTERM, self._hear)
    try:
      yield
    finally:
      signal.signal(signal.SIGTERM, before)

  def _hear(self, number: int, frame: FrameType | None) -> None:
    del number, frame
    self.over = True
    if self.running:
      _signal(self.running, signal.SIGTERM)


def prepare(folders: Sequence[pathlib.Path], place: Place) -> list[str]:
  """Unpacks loads, installs the packages and joins the raw dataset's parts, once each; returns what is wrong with a load, in a
  sentence each: the others are used."""
  wrong = []
  place.work.mkdir(parents=True, exist_ok=True)
  for folder in folders:
    try:
      loads.unpack(folder, place.work)
    except (FileNotFoundError, ValueError) as error:
      wrong.append(str(error))
  if not place.site.exists() and not loads.missing(WHEELS, loads.unpacked(place.work)):
    fresh = place.site.with_name('site.new')
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-index', '--no-deps', '--no-cache-dir', '--upgrade',
               '--target', str(fresh), *map(str, sorted((place.work / WHEELS).glob('*.whl')))]
    if subprocess.run(command, check=False).returncode:
      wrong.append('the packages that were brought along could not be installed; pip says above why')
    else:
      fresh.rename(place.site)
  for item in (MASKED, GRADED):
    for part in (place.work / item).glob('*'):
      place.source.mkdir(exist_ok=True)
      if not (link := place.source / part.name).exists():
        link.symlink_to(part.absolute())
  return wrong


def order(state: Mapping[str, Mapping[str, Any]], only: Sequence[str]) -> list[str]:
  """Returns the parts that are not done: what goes on from where it was stopped counts as new, what failed or has to begin again
  comes behind all that was not tried."""
  def rank(name: str) -> int:
    said = state.get(name, {})
    return 0 if PARTS[name].resumes and said.get('status') == STOPPED else said.get('tries', 0)

  return sorted((name for name in only if state.get(name, {}).get('status') != DONE), key=rank)


def hindrance(part: Part, place: Place) -> str:
  """Returns why a part cannot run with what is here; '' where it can."""
  there = loads.unpacked(place.work)
  lacking = [why for item in part.needs if (why := loads.missing(item, there))]
  if part.after and not (place.work / part.after[0]).exists():
    lacking.append(part.after[1])
  return '; '.join(lacking)


def run(place: Place, state: State, clock: Clock, only: Sequence[str] = tuple(PARTS)) -> int:
  """Runs what is missing, one part after another, and writes what comes back after each; one that fails does not keep the others
  from running. Returns 0 where all is done, 1 where something is missing."""
  with clock.listening():
    for name in order(state.parts, only):
      part = PARTS[name]
      if why := hindrance(part, place):
        state.set(name, WAITS, why=why)
      elif clock.left() < part.least:
        _say(f'{name}: not begun, {max(clock.left(), 0):.0f} s are left and it takes {part.least} at least')
        continue
      else:
        attempt(name, part, place, state, clock)
      _say(f'{name}: {", ".join(str(value) for value in state.parts[name].values())}')
      for refused in state.bring_back():
        _say(f'left here: {refused}')
  return int(any(state.parts.get(name, {}).get('status') != DONE for name in only))


def attempt(name: str, part: Part, place: Place, state: State, clock: Clock) -> None:
  """Runs one part in a process, its output in logs/NAME.txt, and notes what became of it."""
  seconds = min(clock.left(), part.most)
  state.set(name, STOPPED, why='its run was ended from outside')  # as the next run shall find it then
  state.parts[name]['tries'] -= 1
  log = place.work / 'logs' / f'{name}.txt'
  log.parent.mkdir(exist_ok=True)
  command = [sys.executable, '-m', *part.command(place, int(seconds))]
  start = time.monotonic()
  with log.open('ab') as file:
    status, stopped = call(command, seconds, clock, file, environment(place))
  about = {'seconds': round(time.monotonic() - start, 1)}
  if not status and not stopped:
    state.set(name, DONE, **about)
  elif stopped or status == TO_SAVE:
    how = 'goes on from what it saved' if part.resumes else 'begins again'
    state.set(name, STOPPED, **about, why=f'its time was over; it {how}')
  else:
    tail = log.read_text('utf-8', errors='replace').splitlines()[-TAIL:]
    state.set(name, FAILED, **about, why=f'status {status}: {" | ".join(tail)}')


def call(command: Sequence[str], seconds: float, clock: Clock, log: Any, variables: Mapping[str, str]) -> tuple[int, bool]:
  """Runs a command with all that it starts; where its time is over it is asked to end, by SIGTERM, and after `clock.grace`
  made to. Returns its status, and whether it was stopped."""
  process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
  clock.running, stopped = process, False
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    stopped = True
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
      process.wait(clock.grace / 2)
  finally:
    clock.running = None
    _signal(process, signal.SIGKILL)  # what it left running, too
  return process.wait(), stopped or clock.over


def environment(place: Place) -> dict[str, str]:
  """Returns the variables of a part: the packages that were brought along, and one cache of compiled programs for all."""
  path = os.pathsep.join([str(place.site.absolute()), str(ROOT)])
  return os.environ | {'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1', 'JAX_COMPILATION_CACHE_DIR': str(place.work.absolute() / 'cache')}


def _signal(process: subprocess.Popen, number: int) -> None:
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, number)


def _say(line: str) -> None:
  print(line, flush=True)
