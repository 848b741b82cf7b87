"""Here, with a network: what a borrowed machine lacks, as loads.

Packages are those that the extra `train` needs, in the versions that are installed here, without what the borrowed machine has;
the raw dataset travels as it is, since it is small (119 MB with part B at 1,440 px) and whatever is prepared from it at 1,440 px
is several times as large; a machine of 16 cores prepares it in a minute.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib import metadata

from packaging.requirements import Requirement

from experiments.borrowed.loads import File
from experiments.borrowed.parts import GRADED, MASKED, WEIGHTS, WHEELS

PLATFORMS = tuple(f'manylinux{version}_x86_64' for version in ('_2_28', '_2_27', '_2_26', '_2_24', '_2_17', '2014', '1'))
DISTRIBUTION, EXTRA = 'lesion_jax', 'train'
TWINS = ('A. Segmentation', 'B. Disease Grading')  # folders of the raw dataset


def read_there(path: pathlib.Path) -> set[str]:
  """Returns the packages of a list as `pip list --format=freeze` prints it, or of names alone."""
  lines = (re.split('[=@ #;]', line, maxsplit=1)[0] for line in path.read_text('utf-8').splitlines())
  return {_normal(line) for line in lines if line}


def lacking(there: Collection[str], python: str, name: str = DISTRIBUTION, extra: str = EXTRA) -> dict[str, str]:
  """Returns package -> version as installed here, of all that a package needs with an extra and that is not there.

  Args:
    there: normalised names.
    python: version of the borrowed machine's Python, '3.12'.
    name, extra: of what is to run there.

  Raises:
    ValueError: a package is needed there and not installed here.
  """
  found: dict[str, str] = {}
  for requirement in _requirements(name, {'', extra}, python):
    key = _normal(requirement.name)
    if key in there or key in found:
      continue
    try:
      found[key] = metadata.version(key)
    except metadata.PackageNotFoundError:
      raise ValueError(f'{key} is needed there and is not installed here, so its version is not known; install it, or name it among '
                       'what is --there') from None
    found |= lacking({*there, *found}, python, key, ','.join(requirement.extras))
  return found


def _requirements(name: str, extras: Collection[str], python: str) -> Iterator[Requirement]:
  for line in metadata.requires(name) or ():
    requirement = Requirement(line)
    for extra in extras:
      about = {'extra': extra, 'python_version': python, 'python_full_version': f'{python}.0'}
      if requirement.marker is None or requirement.marker.evaluate(about):
        yield requirement
        break


def _normal(name: str) -> str:
  return re.sub('[-_.]+', '-', name).strip().lower()


def fetch(packages: dict[str, str], python: str, folder: pathlib.Path) -> None:
  """Downloads packages for another Python; one without a wheel is built, which must be pure Python.

  Raises:
    ValueError: pip has none for it, and says above why.
  """
  folder.mkdir(parents=True, exist_ok=True)
  pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
  foreign = ['--only-binary=:all:', f'--python-version={python}', '--implementation=cp', *(f'--platform={each}' for each in PLATFORMS)]
  for name, version in packages.items():
    wanted = f'{name}=={version}'
    if any(_normal(path.name.split('-')[0]) == name for path in folder.glob('*.whl')):
      continue
    if not subprocess.run([*pip, 'download', '--no-deps', *foreign, '-d', str(folder), wanted], check=False).returncode:
      continue
    status = subprocess.run([*pip, 'wheel', '--no-deps', '-w', str(folder), wanted], check=False).returncode
    built = [path for path in folder.glob('*.whl') if _normal(path.name.split('-')[0]) == name]
    if status or not all(path.name.endswith('-none-any.whl') for path in built):
      raise ValueError(f'{wanted} has no wheel for Python {python}, and is not pure Python; name a version that has one in '
                       'constraints.txt')


def files(wheels: pathlib.Path | None, pretrained: pathlib.Path | None, source: pathlib.Path | None) -> list[File]:
  """Lists what is brought along, first what most parts need.

  Raises:
    FileNotFoundError: a part of the raw dataset is missing.
  """
  found = [File(WHEELS, path.name, path) for path in sorted(wheels.glob('*.whl'))] if wheels else []
  for item, name in zip((MASKED, GRADED), TWINS, strict=True) if source else ():
    if not (source / name).is_dir():
      raise FileNotFoundError(f'{source / name} is missing: --source_dir is the folder with {" and ".join(TWINS)}')
    found += _tree(item, source, source / name)
  if pretrained:
    found.insert(len([file for file in found if file.item in (WHEELS, MASKED)]), File(WEIGHTS, pretrained.name, pretrained))
  return found


def _tree(item: str, root: pathlib.Path, folder: pathlib.Path) -> Sequence[File]:
  return [File(item, path.relative_to(root).as_posix(), path) for path in sorted(folder.rglob('*')) if path.is_file()]
