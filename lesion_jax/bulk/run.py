"""The run of `lesion-jax predict`: photographs in, a folder for each, one table and one page for all."""

from __future__ import annotations

import collections
import dataclasses
import errno
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import tqdm

from lesion_jax.cli import interruption
from lesion_jax.cli.predict_files import REPORT, TABLE, Task
from lesion_jax.core import LESION_KEYS
from lesion_jax.data.photograph import read_photograph
from lesion_jax.data.threads import ordered_map
from lesion_jax.predict import prepare
from lesion_jax.report.html import write_report
from lesion_jax.report.record import Found, describe
from lesion_jax.report.result import FIELD_SIDE, write_result
from lesion_jax.report.table import FAILED, PREDICTED, SKIPPED, Entry, write_table

NO_MEMORY = 'RESOURCE_EXHAUSTED'  # as XLA says it
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # What stops one photograph in this way stops all that follow.


class Stopped(Exception):
  """Why a run could not do all that it should, in words. What is written stays."""


@dataclasses.dataclass
class Batch:
  """Photographs on their way to results.

  Attributes:
    out: the folder of all results.
    total: how many photographs there are.
    batch_size: photographs in one forward pass.
    thresholds: those that the user chose, by lesion; the others are the model's.
    crop: as `predict.prepare` takes it, None: as the model was trained.
    quiet: show no progress.
    entries: what is finished or has failed, by the place in the input. Threads put it there.
  """

  out: pathlib.Path
  total: int
  batch_size: int = 1
  thresholds: dict[str, float] = dataclasses.field(default_factory=dict)
  crop: bool | None = None
  quiet: bool = False
  entries: dict[int, Entry] = dataclasses.field(default_factory=dict)

  def run(self, tasks: Iterator[Task], make_predictor: Callable[[], Any]) -> list[Entry]:
    """Predicts what is not done yet and writes everything. Whatever ends it, table and page hold what is finished.

    Args:
      tasks: one a photograph, in order.
      make_predictor: gives the predictor; not called where everything is done.

    Returns:
      The entries, in the order of the photographs.

    Raises:
      Stopped: no further result, or table or page, could be written; or the device has too little memory.
    """
    return self.run_with(tasks, lambda todo: self.predict(make_predictor(), todo))

  def run_with(self, tasks: Iterator[Task], predict: Callable[[Iterator[Task]], None]) -> list[Entry]:
    """`run` with another way to predict: `predict` is given what is not done yet, if any, and adds to `entries`."""
    todo = self._settle(tasks)
    try:
      if (first := next(todo, None)) is not None:
        predict(itertools.chain([first], todo))
    finally:
      ordered = [self.entries[number] for number in sorted(self.entries)]
      self._conclude(ordered)
    return ordered

  def predict(self, predictor: Any, tasks: Iterator[Task]) -> None:
    """Predicts photographs, writes the folder of each and enters it; table and page are left alone.

    Raises:
      Stopped: no further result could be written, or the device has too little memory.
    """
    try:
      self._predict(predictor, tasks)
    except jax.errors.JaxRuntimeError as error:
      if NO_MEMORY not in str(error):
        raise
      raise Stopped(f'stopped, as the device has too little memory for {self.batch_size} photographs of '
                    f'{predictor.size}x{predictor.size} pixels at once: choose a smaller --batch-size, or --device cpu '
                    f'({str(error).splitlines()[0]})') from error

  def _conclude(self, entries: list[Entry]) -> None:
    unwritten = []
    for name, write in ((TABLE, write_table), (REPORT, write_report)):
      try:
        write(self.out / name, entries)
      except OSError as error:
        unwritten.append(f'{name} could not be written: {error}')
    if unwritten:
      raise Stopped('; '.join(unwritten))

  def _settle(self, tasks: Iterator[Task]) -> Iterator[Task]:
    """Passes on the tasks that need the network, and enters the others."""
    for task in tasks:
      if task.error:
        self._fail(task, task.error)
      elif task.record is not None:
        self.entries[task.number] = Entry(_text(task.file), task.folder, SKIPPED, task.record)
      else:
        yield task

  def _predict(self, predictor: Any, tasks: Iterator[Task]) -> None:
    thresholds = np.array(predictor.thresholds)
    for key, threshold in self.thresholds.items():
      thresholds[LESION_KEYS.index(key)] = threshold
    crop = predictor.crop if self.crop is None else self.crop
    waiting: collections.deque[tuple[Task, np.ndarray]] = collections.deque()

    def squares() -> Iterator[Any]:
      open_one = lambda task: (task, _open(task.file, predictor.size, crop))
      for task, opened in ordered_map(open_one, tasks, ahead=max(self.batch_size, os.cpu_count() or 1)):
        if isinstance(opened, str):
          self._fail(task, opened)
        else:
          square, to_see = opened
          waiting.append((task, to_see))
          yield square

    def results() -> Iterator[tuple[Task, Found]]:
      for result in predictor.stream(squares(), batch_size=self.batch_size):
        task, to_see = waiting.popleft()
        heads = (getattr(result, head) for head in ('maps', 'lesions', 'grades', 'attention'))
        yield task, Found(result.crops[0], to_see, *(None if head is None else head[0] for head in heads))

    finish = lambda item: self._finish(*item, predictor.config, thresholds)
    with tqdm.tqdm(total=self.total, unit='photo', dynamic_ncols=True, disable=True if self.quiet else None) as bar:
      for _ in ordered_map(finish, results(), ahead=os.cpu_count() or 1):
        bar.update(len(self.entries) - bar.n)
        interruption.check()
      bar.update(len(self.entries) - bar.n)

  def _finish(self, task: Task, found: Found, config: dict[str, Any], thresholds: np.ndarray) -> None:
    """Writes the folder of one photograph and enters it."""
    try:
      record = describe(found, config, thresholds, file=_text(task.file), run=task.run)
      record = write_result(self.out / task.folder, found, record)
    except ValueError as error:
      self._fail(task, str(error))
    except OSError as error:
      self._fail(task, f'{task.file}: its results could not be written: {error}')
      if error.errno in NO_ROOM:
        raise Stopped(f'stopped, as nothing more can be written ({error}); make room') from error
    else:
      self.entries[task.number] = Entry(_text(task.file), task.folder, PREDICTED, record)

  def _fail(self, task: Task, error: str) -> None:
    self.entries[task.number] = Entry(_text(task.file), '', FAILED, error=_text(error))


def _open(file: pathlib.Path, size: int, crop: bool | None) -> tuple[Any, np.ndarray] | str:
  """The square for the network and the same square for people to look at; or what is wrong with the file."""
  try:
    image = read_photograph(file)
    square = prepare(image, size, crop=crop, name=str(file))
    return square, square.crop.apply(image, min(square.crop.side, FIELD_SIDE))
  except (OSError, ValueError) as error:
    return str(error)


def _text(text: Any) -> str:
  """A file name as text that every file can hold, also where its bytes are no UTF-8."""
  return str(text).encode('utf-8', 'backslashreplace').decode('utf-8')
