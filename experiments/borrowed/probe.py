"""The seconds of a training step as `lesion_jax.main` takes it, reading, crops and all: a run that is stopped after a few."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import statistics
import tempfile
import time
from typing import Any

from ml_collections import ConfigDict

from lesion_jax import main as program
from lesion_jax.train.logs import read_scalars

WARM = 5  # first steps, which compile and fill queues, and are not counted


class Watch:
  """Asks a training to stop after WARM and so many more steps, and notes when each was taken."""

  def __init__(self, steps: int):
    self._wanted, self.times = WARM + steps, []

  def __call__(self) -> bool:
    self.times.append(time.perf_counter())
    return len(self.times) >= self._wanted

  def at_once(self) -> contextlib.AbstractContextManager[None]:
    """As of an `Interrupt`; preparing data is not stopped."""
    return contextlib.nullcontext()

  def seconds(self) -> dict[str, float]:
    """Returns the mean seconds of a counted step, and the median of those between two."""
    counted = self.times[WARM - 1:]
    between = [after - before for before, after in itertools.pairwise(counted)]
    return {'mean': (counted[-1] - counted[0]) / len(between), 'median': statistics.median(between)}


def measure(config: ConfigDict, data_dir: pathlib.Path, steps: int) -> dict[str, Any]:
  """Trains for WARM and `steps` more steps in a folder that is removed then.

  Returns:
    'seconds' of `Watch.seconds`, how many 'steps' were counted, and the 'first_step' in seconds from the start: data
    prepared, network built and compiled; 'waiting_for_data', the median share of a step.

  Raises:
    RuntimeError: the training ended by itself, with its exit status.
  """
  config = config.copy_and_resolve_references()
  config.segment.update(log_every=1, max_steps=WARM + steps + 1, validate_every=WARM + steps + 1, save_every=0)
  watch, start = Watch(steps), time.perf_counter()
  with tempfile.TemporaryDirectory() as folder:
    status = program.run(config, pathlib.Path(folder), str(data_dir), watch)
    path = pathlib.Path(folder, 'segment', 'metrics.csv')
    logged = read_scalars(path) if path.exists() else {}
  if status != program.STOPPED:
    raise RuntimeError(f'the training that was to be measured ended with status {status}; it says above why')
  waited = logged['train', 'waiting_for_data'][1][WARM:]
  return {'seconds': watch.seconds(), 'steps': steps, 'first_step': watch.times[0] - start,
          'waiting_for_data': statistics.median(waited)}
