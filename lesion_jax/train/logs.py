"""Where the figures of a run go: the terminal, TensorBoard files, and one CSV."""

from __future__ import annotations

import csv
import pathlib
import time
from typing import Any

import tqdm


class Logs:
  """Writes scalars of one stage. On processes other than the first it writes nothing.

  Args:
    directory: gets `metrics.csv` (long format: step, split, name, value; appended to on resume) and TensorBoard's
      event files.
    total: steps of the run, for the progress bar's time left; None when only early stop ends it.
    start: steps already done.
    title: what the progress bar says first.
    active: False on processes that must not write.
  """

  def __init__(self, directory: str | pathlib.Path, *, total: int | None, start: int = 0, title: str = '',
               active: bool = True):
    self.active = active
    if not active:
      return
    from tensorboardX import SummaryWriter  # imported here: slow, and only a training run needs it

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / 'metrics.csv'
    _forget_after(path, start)
    new = not path.exists()
    self._file = path.open('a', newline='')
    self._csv = csv.writer(self._file)
    if new:
      self._csv.writerow(['step', 'split', 'name', 'value'])
    self._board = SummaryWriter(str(directory / 'tensorboard'), purge_step=start + 1)
    self._bar = tqdm.tqdm(total=total, initial=start, desc=title, unit='step', dynamic_ncols=True, mininterval=1.0)

  def advance(self, **shown: Any) -> None:
    """One step is done; `shown` appears at the end of the progress bar."""
    if self.active:
      if shown:
        self._bar.set_postfix(shown, refresh=False)
      self._bar.update()

  def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
    """Writes the numbers among `values` (others, such as 'not annotated', have no place in a curve)."""
    if not self.active:
      return
    for name, value in values.items():
      if isinstance(value, int | float):
        self._csv.writerow([step, split, name, repr(float(value))])
        self._board.add_scalar(f'{split}/{name}', value, step)
    self._file.flush()

  def say(self, text: str) -> None:
    """A line on the terminal above the progress bar."""
    if self.active:
      self._bar.write(f'{time.strftime("%H:%M:%S")}  {text}')

  def close(self) -> None:
    """Flushes and closes everything."""
    if self.active:
      self._bar.close()
      self._board.close()
      self._file.close()


def read_scalars(path: str | pathlib.Path) -> dict[tuple[str, str], tuple[list[int], list[float]]]:
  """`metrics.csv` as {(split, name): (steps, values)}."""
  series: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
  with pathlib.Path(path).open(newline='') as file:
    for row in csv.DictReader(file):
      steps, values = series.setdefault((row['split'], row['name']), ([], []))
      steps.append(int(row['step']))
      values.append(float(row['value']))
  return series


def _forget_after(path: pathlib.Path, step: int) -> None:
  """Drops rows that a killed run wrote after the checkpoint from which this one goes on."""
  if not path.exists():
    return
  with path.open(newline='') as file:
    header, *rows = list(csv.reader(file)) or [['step', 'split', 'name', 'value']]
  kept = [row for row in rows if len(row) == 4 and int(row[0]) <= step]
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([header, *kept])
