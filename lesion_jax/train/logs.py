"""Where the metrics of a run go: the terminal, one CSV, and trackers, such as TensorBoard's files."""

from __future__ import annotations

import contextlib
import csv
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import tqdm
from absl import logging

from lesion_jax.train.trackers import TRACKERS, Place, Tracker, check_trackers
from lesion_jax.whole import whole

COLUMNS = ('step', 'split', 'name', 'value')


class Logs:
  """Writes scalars of one stage. On processes other than the first it writes nothing.

  Once open, it never stops a run: where something cannot be written, a full disk for instance, it says so once.

  Args:
    directory: gets `metrics.csv` (long format: step, split, name, value; appended to on resume), and what trackers keep.
    total: steps of the run, for the progress bar's time left; None when only early stop ends it.
    start: steps already done.
    title: what the progress bar says first.
    active: False on processes that must not write.
    track: names of trackers, see `train.trackers`.
  """

  def __init__(self, directory: str | pathlib.Path, *, total: int | None, start: int = 0, title: str = '',
               active: bool = True, track: Sequence[str] = ('tensorboard',)):
    self.active = active
    if not active:
      return
    self._directory, self._failed = pathlib.Path(directory), False
    self._directory.mkdir(parents=True, exist_ok=True)
    path = self._directory / 'metrics.csv'
    _forget_after(path, start)
    self._file = path.open('a', newline='')
    self._csv = csv.writer(self._file)
    self._trackers: list[Tracker] = []
    for name in check_trackers(track):
      with self._tracking(name):
        self._trackers.append(TRACKERS[name](Place(self._directory, title, start)))
    self._bar = tqdm.tqdm(total=total, initial=start, desc=title, unit='step', dynamic_ncols=True, mininterval=1.0)

  def advance(self, **shown: Any) -> None:
    """Returns one step is done; `shown` appears at the end of the progress bar."""
    if self.active:
      with self._going_on():
        if shown:
          self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

  def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
    """Writes the numbers among `values` (others, such as 'not annotated', have no place in a curve)."""
    if not self.active:
      return
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    with self._going_on():
      self._csv.writerows([step, split, name, value] for name, value in numbers.items())
      self._file.flush()
    for tracker in self._trackers:
      with self._tracking(type(tracker).__name__):
        tracker.scalars(step, {f'{split}/{name}': value for name, value in numbers.items()})

  def say(self, text: str) -> None:
    """Returns a line on the terminal above the progress bar."""
    if self.active:
      with self._going_on():
        self._bar.write(f'{time.strftime("%H:%M:%S")}  {text}')

  def close(self) -> None:
    """Flushes and closes everything."""
    if self.active:
      for each in (self._bar, self._file):
        with self._going_on():
          each.close()
      for tracker in self._trackers:
        with self._tracking(type(tracker).__name__):
          tracker.close()

  @contextlib.contextmanager
  def _going_on(self) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      if not self._failed:
        self._failed = True
        logging.error('the logs in %s cannot be written (%s); training continues, and curves may have gaps',
                      self._directory, error)

  @contextlib.contextmanager
  def _tracking(self, name: str) -> Iterator[None]:
    """As `_going_on`, for what may raise anything."""
    with self._going_on():
      try:
        yield
      except Exception as error:  # a service that does not answer must not lose the run
        raise error if isinstance(error, OSError) else OSError(f'{name}: {type(error).__name__}: {error}') from error


def read_scalars(path: str | pathlib.Path) -> dict[tuple[str, str], tuple[list[int], list[float]]]:
  """Returns `metrics.csv` as {(split, name): (steps, values)}, without rows that were torn by a kill or a full disk."""
  series: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
  for step, split, name, value in _rows(pathlib.Path(path)):
    steps, values = series.setdefault((split, name), ([], []))
    steps.append(step)
    values.append(value)
  return series


def _rows(path: pathlib.Path) -> Iterator[tuple[int, str, str, float]]:
  with path.open(newline='', errors='replace') as file:
    for row in csv.reader(file):
      try:
        step, split, name, value = row
        parsed = int(step), split, name, float(value)
      except ValueError:  # the header, or a torn row
        continue
      yield parsed


def _forget_after(path: pathlib.Path, step: int) -> None:
  """Drops rows that a killed run wrote after the checkpoint from which this one resumes."""
  kept = [row for row in _rows(path) if row[0] <= step] if path.exists() else []
  with whole(path) as fresh, fresh.open('w', newline='') as file:  # whatever happens while it is written, the old file stays
    csv.writer(file).writerows([COLUMNS, *kept])
