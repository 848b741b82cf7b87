"""What became of each part: `parts.json`, in what comes back, by which the next run knows what is missing."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable
from typing import Any

from experiments.borrowed import pieces
from experiments.borrowed.parts import PARTS, TRAINED, Place
from lesion_jax import locking
from lesion_jax.whole import whole

NAME = 'parts.json'
DONE, STOPPED, FAILED, WAITS = 'done', 'stopped', 'failed', 'waits'
RESULTS, NETWORK = 'results.tar.gz', 'network.tar'  # archives
# Of the runs' folders: what is too large to come back, and what says of a machine that it is there.
STAYS = ('checkpoints', 'bundle', locking.NAME, TRAINED)


class State:
  """Of all parts and of what comes back; written to `out` at every change, and to `place.work`, from where it goes on.

  Args:
    out: what comes back.
    limits: of that.
    place: where the run works.

  Raises:
    ValueError: a rehearsal worked there, and this is none, or the other way round.
  """

  def __init__(self, out: pathlib.Path, limits: pieces.Limits, place: Place):
    self.parts: dict[str, dict[str, Any]] = {}
    self.archives: dict[str, dict[str, Any]] = {}
    self._out, self._limits, self._place = out, limits, place
    for folder in (out, place.work):
      folder.mkdir(parents=True, exist_ok=True)
    if (place.work / NAME).exists():
      self._add(place.work)

  def take_over(self, before: Iterable[pathlib.Path]) -> None:
    """Goes on from what earlier runs brought back: their state and, on another machine, their results.

    Raises:
      FileNotFoundError, ValueError: of `read`, of `pieces.join`, or of the class.
    """
    for folder in before:
      found = self._add(folder)
      if RESULTS in found['archives'] and not self._place.results.exists():  # the network is not needed
        unpack(folder, RESULTS, found['archives'][RESULTS], self._place.work)
    self._write()  # so that a run that ends before its first part has left something, too

  def _add(self, folder: pathlib.Path) -> dict[str, Any]:
    found = read(folder)
    if found['small'] != self._place.small:
      raise ValueError(f'{folder} is of a {"rehearsal" if found["small"] else "run that is no rehearsal"}; the two do not mix: give '
                       'another --work and --before')
    self.parts |= {name: said for name, said in found['parts'].items()
                   if name in PARTS and self.parts.get(name, {}).get('status') != DONE}
    return found

  def set(self, name: str, status: str, **about: Any) -> None:
    """Notes what became of a part."""
    self.parts[name] = {'status': status, 'tries': self.parts.get(name, {}).get('tries', 0) + (status != WAITS), **about}
    self._write()

  def bring_back(self) -> list[str]:
    """Writes the results so far to `out`, and once a run the network; returns what cannot come back, and why."""
    place, wanted = self._place, {RESULTS: ['results', 'logs', 'runs']}
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
    said = {'small': self._place.small, 'parts': self.parts, 'archives': self.archives}
    for folder in (self._out, self._place.work):
      with whole(folder / NAME) as fresh:
        fresh.write_text(json.dumps(said, indent=2) + '\n', 'utf-8')


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
