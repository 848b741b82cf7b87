"""The photographs of a raw dataset that are not in its preprocessed dataset: counted, named, and never too many."""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import Any, NoReturn

from absl import logging

# Where the raw dataset itself says of photographs that no grade can be given; the name under which builders count them.
UNGRADABLE = 'ungradable'
NAME = 'left_out.json'
# Up to this share of a raw dataset may be unreadable (our choice): hours of work are not lost to a few black photographs
# among tens of thousands, and a raw dataset that was unpacked badly is still refused. Of fewer than 100, none may be.
MAX_SHARE = 0.01
SHOWN = 5  # files that a message names


class LeftOut:
  """Collects what a raw dataset cannot give while it is prepared."""

  def __init__(self, data_set: str, *, photographs: int, ungradable: int = 0):
    """Args:
      data_set: its name, for messages.
      photographs: how many there are to prepare, in all splits together.
      ungradable: how many the raw dataset itself gives no grade; they are not among `photographs`.
    """
    self._data_set = data_set
    self.photographs = photographs
    self._ungradable = ungradable
    self._unreadable: list[dict[str, str]] = []
    self._last: ValueError | None = None

  def add(self, split: str, item: Any, error: ValueError) -> None:
    """Skips one item of `Release.splits`, whose `read` raised; see `too_many`."""
    self._unreadable.append({'split': split, 'photograph': os.fspath(getattr(item, 'path', str(item))),
                             'reason': str(error)})
    self._last = error

  @property
  def too_many(self) -> bool:
    """Whether more are skipped than may be."""
    return len(self._unreadable) > self._allowed

  @property
  def _allowed(self) -> int:
    return math.floor(MAX_SHARE * self.photographs)

  def refuse(self) -> NoReturn:
    """Raises ValueError with the number of those that cannot be read and the reasons of the first few."""
    raise ValueError(
        f'{self._data_set}: {len(self._unreadable)} of {self.photographs} photographs cannot be read, of so many at '
        f'most {self._allowed} ({MAX_SHARE:.0%}) may be skipped; unpack the raw dataset again, or put right or remove these '
        f'files: {self._reasons()}') from self._last

  def say(self) -> None:
    """Logs a warning where anything was skipped."""
    if self._ungradable:
      logging.warning('%s: %d photographs are skipped, which the raw dataset calls ungradable', self._data_set,
                      self._ungradable)
    if self._unreadable:
      logging.warning('%s: %d of %d photographs are skipped, as they cannot be read (all are named in %s): %s',
                      self._data_set, len(self._unreadable), self.photographs, NAME, self._reasons())

  def write(self, folder: str | os.PathLike[str]) -> None:
    """Writes NAME into the folder: {'ungradable': number, 'unreadable': [{'split', 'photograph', 'reason'}, ...]}."""
    content = {UNGRADABLE: self._ungradable, 'unreadable': self._unreadable}
    (pathlib.Path(folder) / NAME).write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')

  def _reasons(self) -> str:
    shown = [entry['reason'] for entry in self._unreadable[:SHOWN]]
    return '; '.join(shown) + ('; ...' if len(self._unreadable) > SHOWN else '')
