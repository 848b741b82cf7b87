"""Which photographs `lesion-jax predict` takes, and in which folder the results of each belong."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

REPORT, TABLE = 'report.html', 'results.csv'
SUFFIXES = ('.png', '.jpg', '.jpeg', '.jp2', '.j2k', '.tif', '.tiff', '.bmp', '.gif', '.webp', '.ppm', '.dcm', '.dicom')


class Task(NamedTuple):
  """One photograph to be predicted, or done before, or lost.

  Attributes:
    number: its place in the order of the input.
    file: the photograph.
    folder: the name of its folder.
    run: what its result depends on, a `report.record.Run`; None where the file cannot be read.
    record: of an earlier run that did the same, else None.
    error: why the file cannot be read, else ''.
  """

  number: int
  file: pathlib.Path
  folder: str
  run: Any
  record: dict[str, Any] | None
  error: str = ''


def find_photographs(paths: Sequence[pathlib.Path], out: pathlib.Path) -> list[pathlib.Path]:
  """The files among `paths`, those that patterns among them match, and the photographs in folders, each once.

  The order is that of `paths`; what a folder or a pattern gives is sorted. A path that does not exist and is no pattern
  that matches is kept as it is: reading it says so. What lies in `out` is the output of an earlier run, and neither
  searched nor matched.

  Args:
    paths: files, folders, which are searched with all folders in them for SUFFIXES and for DICOM files, and patterns as
      of a shell, where `**` stands for any number of folders.
    out: where the results go.
  """
  inside, found = out.resolve(), {}
  for path in paths:
    matches = [path]
    if not path.exists() and glob.has_magic(str(path)):
      matches = [match for match in map(pathlib.Path, sorted(glob.glob(str(path), recursive=True)))
                 if not match.resolve().is_relative_to(inside)] or [path]
    for match in matches:
      files = sorted(_search(match, inside)) if match.is_dir() else [match]
      for file in files:
        found.setdefault(file.resolve(), file)
  return list(found.values())


def _search(folder: pathlib.Path, out: pathlib.Path) -> Iterator[pathlib.Path]:
  return (file for file in folder.rglob('*') if file.is_file() and _is_photograph(file)
          and not file.resolve().is_relative_to(out))


def _is_photograph(file: pathlib.Path) -> bool:
  """By its name; archives also give DICOM files names without an ending, or with a number for one."""
  from lesion_jax.data.dicom import is_dicom

  ending = file.suffix.lower()
  return ending in SUFFIXES or not ending.strip('.0123456789') and os.access(file, os.R_OK) and is_dicom(file)


class Folders:
  """Gives each photograph a folder of `out`: named after the file's stem, with '~2', '~3' where another has that name.

  A folder with the results of another photograph is left alone, and one with somebody else's files; one with those of
  the same photograph, known by its bytes or its place, is used again. Names that differ in case alone count as equal, as some
  file systems hold them to be.
  """

  def __init__(self, out: pathlib.Path) -> None:
    self._out, self._taken = out, {TABLE, REPORT}

  def choose(self, file: pathlib.Path, run: Any) -> tuple[str, dict[str, Any] | None]:
    """The folder's name, and the record that it holds, if any, of the same photograph."""
    from lesion_jax.report.record import read_record

    stem = file.stem.lstrip('.') or 'photograph'  # '..' is a stem as well
    names = itertools.chain([stem], (f'{stem}~{number}' for number in itertools.count(2)))
    for name in (name for name in names if name.casefold() not in self._taken):
      record = read_record(self._out / name)
      if record is None and not _is_foreign(self._out / name):
        break
      if record and (run.photograph == record['run'].get('photograph') or run.place == record['run'].get('place')):
        break
    self._taken.add(name.casefold())
    return name, record


def _is_foreign(folder: pathlib.Path) -> bool:
  """Is it a folder of files that are not ours? A result that is not complete has its first file at least, or none."""
  from lesion_jax.report.result import FIELD

  return folder.is_dir() and any(folder.iterdir()) and not (folder / FIELD).exists()


def make_tasks(
    files: Iterable[pathlib.Path], out: pathlib.Path, *, model: str, options: dict[str, Any], overwrite: bool,
) -> Iterator[Task]:
  """A task for each file, in order, lazily: files are read on threads, to know them by their bytes.

  Args:
    files: the photographs.
    out: where the results go.
    model: what tells the bundle from every other one.
    options: that change results.
    overwrite: take no result of an earlier run.
  """
  from lesion_jax.data.threads import ordered_map
  from lesion_jax.report.record import Run, is_done

  folders = Folders(out)
  for number, (file, digest) in enumerate(ordered_map(_digest, files)):
    if isinstance(digest, OSError):
      yield Task(number, file, '', None, None, f'{file}: {_why(file, digest)}')
      continue
    place = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()
    run = Run(digest, model, options, place)
    folder, record = folders.choose(file, run)
    done = not overwrite and is_done(record, out / folder, run)
    yield Task(number, file, folder, run, record if done else None)


def _digest(file: pathlib.Path) -> tuple[pathlib.Path, str | OSError]:
  try:
    with file.open('rb') as stream:
      return file, hashlib.file_digest(stream, 'sha256').hexdigest()
  except OSError as error:
    return file, error


def _why(file: pathlib.Path, error: OSError) -> str:
  if isinstance(error, FileNotFoundError):
    return 'no file matches this pattern' if glob.has_magic(str(file)) else 'there is no such file'
  return f'it cannot be read: {error.strerror}'
