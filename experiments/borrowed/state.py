"""What became of each part: `parts.json`, in what comes back, by which the next run knows what is missing."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable
from typing import Any

from experiments.borrowed import pieces
from experiments.borrowed.parts import PARTS, TRAINED, Place

NAME = 'parts.json'
DONE, STOPPED, FAILED, WAITS = 'done', 'stopped', 'failed', 'waits'
RESULTS, NETWORK = 'results.tar.gz', 'network.tar'  # archives
# Of the runs' folders: what is too large to come back, and what says of a machine that it is there.
STAYS = ('checkpoints', 'bundle', 'lock', TRAINED)


class State:
  """Of all parts and of what comes back; written to `out` at every change."""

  def __init__(self, out: pathlib.Path, limits: pieces.Limits):
    self.parts: dict[str, dict[str, Any]] = {}
    self.archives: dict[str, dict[str, Any]] = {}
    self._out, self._limits = out, limits
    out.mkdir(parents=True, exist_ok=True)

  def take_over(self, before: Iterable[pathlib.Path], place: Place) -> None:
    """Goes on from what earlier runs brought back: their state, and their results, unpacked to the place.

    Raises:
      FileNotFoundError, ValueError: of `pieces.join`; a folder is none that a run left.
    """
    for folder in before:
      found = read(folder)
      for name, said in found['parts'].items():
        if name in PARTS and self.parts.get(name, {}).get('status') != DONE:
          self.parts[name] = said
      for name, entry in found['archives'].items():
        if name == RESULTS and not place.results.exists():  # of another machine; the network is not needed
          unpack(folder, name, entry, place.work)

  def set(self, name: str, status: str, **about: Any) -> None:
    """Notes what became of a part."""
    self.parts[name] = {'status': status, 'tries': self.parts.get(name, {}).get('tries', 0) + (status != WAITS), **about}
    self._write()

  def bring_back(self, place: Place) -> list[str]:
    """Writes the results so far to `out`, and once the network; returns what cannot come back, and why."""
    wanted = {RESULTS: ['results', 'logs', 'runs']}
    if place.network.exists() and NETWORK not in self.archives:
      wanted[NETWORK] = ['network']
    refused = []
    for name, folders in wanted.items():
      path = place.work / name
      pieces.archive([place.work / folder for folder in folders], place.work, path, without=STAYS)
      size = path.stat().st_size
      if why := pieces.refusal(size, self.archives, name, self._limits):
        refused.append(why)
      else:
        self.archives[name] = {'bytes': size, 'pieces': pieces.split(path, self._out, self._limits.piece)}
      path.unlink()
    self._write()
    return refused

  def _write(self) -> None:
    fresh = self._out / f'{NAME}.new'
    fresh.write_text(json.dumps({'parts': self.parts, 'archives': self.archives}, indent=2) + '\n', 'utf-8')
    fresh.replace(self._out / NAME)


def read(folder: pathlib.Path) -> dict[str, Any]:
  """Returns what a run left in its --out. Raises FileNotFoundError where that is no such folder."""
  try:
    return json.loads((folder / NAME).read_text('utf-8'))
  except FileNotFoundError:
    raise FileNotFoundError(f'{folder} has no {NAME}, so no run left it; name the folder that was the --out of `python -m '
                            'experiments.borrowed run`') from None


def unpack(folder: pathlib.Path, name: str, entry: dict[str, Any], place: pathlib.Path) -> None:
  """Joins the pieces of an archive and unpacks it to `place`. Raises FileNotFoundError and ValueError of `pieces.join`."""
  place.mkdir(parents=True, exist_ok=True)
  joined = place / name
  pieces.join(folder, entry['pieces'], joined)
  pieces.extract(joined, place)
  joined.unlink()
