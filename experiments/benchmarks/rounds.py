"""Sides that take turns, and what is said of their times."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from subprocess import Popen
from typing import Any

import numpy as np

from experiments.benchmarks.workers import PAUSE, ask, cpu_seconds

RESAMPLES, LEVEL = 2000, 95  # of the bootstrap, and per cent


def take_turns(running: Mapping[str, Popen], rounds: int, count: int) -> dict[str, dict[str, list[float]]]:
  """Seconds and CPU seconds of one answer, by side, one figure a round. Neighbours that disturb one side for a while
  disturb the next one's turn as well, so sides are compared round by round.

  Args:
    running: by side, a process that answers 'N' with the seconds of one of N answers.
    rounds: how many turns each takes.
    count: answers in a turn.
  """
  found = {side: {'seconds': [], 'cpu_seconds': []} for side in running}
  for _ in range(rounds):
    for side, process in running.items():
      time.sleep(PAUSE)
      before = cpu_seconds(process.pid)
      found[side]['seconds'].append(ask(process, str(count))['seconds'])
      found[side]['cpu_seconds'].append((cpu_seconds(process.pid) - before) / count)
  return found


def compare(times: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
  """How many times as long the others took, round by round: the ratio of the medians, the median of the ratios and the
  range in which the latter lies with a confidence of LEVEL per cent, by bootstrap."""
  ratios = np.asarray(others) / np.asarray(times)
  draws = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
  low, high = np.percentile(np.median(ratios[draws], axis=1), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
  return {'of_medians': statistics.median(others) / statistics.median(times), 'median': float(np.median(ratios)),
          'low': float(low), 'high': float(high)}
