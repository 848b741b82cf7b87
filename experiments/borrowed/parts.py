"""What a borrowed GPU is to show, part by part, in the order of its value."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import NamedTuple

WHEELS, WEIGHTS, MASKED, GRADED = 'wheels', 'weights', 'idrid-a', 'idrid-b'  # items that are brought along
TRAINED = 'trained.json'  # in the folder of the runs of `lesions`: what the network is called; stays on its machine, as that does


class Place(NamedTuple):
  """Where a run works.

  Attributes:
    work: the folder that items are unpacked to and that holds all else below.
    small: as a rehearsal on a CPU: the same programs on small photographs, for a few steps.
  """

  work: pathlib.Path
  small: bool = False

  @property
  def site(self) -> pathlib.Path:
    """The packages that were brought along."""
    return self.work / 'site'

  @property
  def weights(self) -> pathlib.Path:
    """Start weights of the encoder."""
    return next((self.work / WEIGHTS).glob('*'), self.work / WEIGHTS)

  @property
  def source(self) -> pathlib.Path:
    """The raw dataset, whose parts were two items."""
    return self.work / 'idrid'

  @property
  def data(self) -> pathlib.Path:
    """Prepared from it."""
    return self.work / 'data'

  @property
  def runs(self) -> pathlib.Path:
    """Of the lesion network."""
    return self.work / 'runs' / 'idrid'

  @property
  def tables(self) -> pathlib.Path:
    """Runs of the tables, which are too large to come back."""
    return self.work / 'tables'

  @property
  def results(self) -> pathlib.Path:
    """As experiments/results has them."""
    return self.work / 'results'

  @property
  def network(self) -> pathlib.Path:
    """The trained lesion network, in 8 bits."""
    return self.work / 'network'


class Part(NamedTuple):
  """One program.

  Attributes:
    command: given the place and the seconds that it has, what stands behind `python -m`.
    needs: items that must be whole.
    least: seconds with fewer of which it is not begun.
    most: seconds after which it is stopped, so that one that hangs leaves time for the others.
    resumes: whether it goes on from where it was stopped: a training while the machine is kept, a table by its rows.
    after: a file below `work` without which it cannot run, and why.
  """

  command: Callable[[Place, int], list[str]]
  needs: tuple[str, ...] = ()
  least: int = 30
  most: int = 300
  resumes: bool = False
  after: tuple[str, str] | None = None


def _environment(place: Place, seconds: int) -> list[str]:
  del seconds
  return ['experiments.borrowed.check', f'--out={place.results}/borrowed/environment.json']


def _lesions(place: Place, seconds: int) -> list[str]:
  return ['experiments.borrowed.lesions', f'--seconds={seconds}', f'--network={place.network}', *_idrid(place)]


def _test(place: Place, seconds: int) -> list[str]:
  del seconds
  return ['experiments.borrowed.lesions', '--test', *_idrid(place)]


def _idrid(place: Place) -> list[str]:
  return [f'--source_dir={place.source}', f'--pretrained={place.weights}', f'--data_dir={place.data}', f'--workdir={place.runs}',
          f'--results={place.results}/idrid_lesions', f'--preset={"rehearsal" if place.small else "gpu"}']


def _steps(size: int, batch: int) -> Callable[[Place, int], list[str]]:
  def command(place: Place, seconds: int) -> list[str]:
    del seconds
    small = ['--size=64', '--batch=2', '--steps=3', '--preset=rehearsal'] if place.small else []
    return ['experiments.borrowed.steps', f'--size={size}', f'--batch={batch}', f'--out={place.results}/borrowed/steps-{size}.json',
            f'--source_dir={place.source}', f'--data_dir={place.data}', *small]

  return command


def _benchmark(name: str) -> Callable[[Place, int], list[str]]:
  def command(place: Place, seconds: int) -> list[str]:
    del seconds
    return ['experiments.benchmark', 'gpu', '--only', name, '--resume', f'--out={place.results}/benchmark', *(['--small'] if place.small else [])]

  return command


def _table(number: int, row: str) -> Callable[[Place, int], list[str]]:
  def command(place: Place, seconds: int) -> list[str]:
    del seconds
    preset = ['--preset=smoke', f'--rows={row}'] if place.small else ['--preset=small']
    return [f'experiments.table{number}', *preset, '--seeds=0', f'--workdir={place.tables}', f'--data_dir={place.data}',
            f'--results={place.results}']

  return command


PARTS: dict[str, Part] = {
    'environment': Part(_environment, least=10, most=120),
    'lesions': Part(_lesions, (WHEELS, WEIGHTS, MASKED, GRADED), least=240, most=3600, resumes=True),
    'lesions-test': Part(_test, (WHEELS, MASKED, GRADED), most=3600, resumes=True, after=(
        f'runs/idrid/{TRAINED}', 'the network lies on the machine that trained it; `collect` says how to evaluate it at home')),
    'predict': Part(_benchmark('predict')),
    'train': Part(_benchmark('train'), most=420, resumes=True),
    'steps-896': Part(_steps(896, 16), (WHEELS, MASKED)),
    'steps-1440': Part(_steps(1440, 8), (WHEELS, MASKED)),
    'memory': Part(_benchmark('memory'), most=180),
    'profile-inference': Part(_benchmark('profile-inference'), most=180),
    'profile-step': Part(_benchmark('profile-step'), most=180),
    'table2': Part(_table(2, 'fcn_8s'), (WHEELS,), least=60, most=3600, resumes=True),
    'table3': Part(_table(3, 'inception_v3'), (WHEELS,), least=60, most=3600, resumes=True),
}
