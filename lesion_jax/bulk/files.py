"""Which photographs a run takes, which of them are done, and in which folder the results of each belong."""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from lesion_jax.report.table import Entry

REPORT, TABLE = 'report.html', 'results.csv'
SUFFIXES = ('.png', '.jpg', '.jpeg', '.jp2', '.j2k', '.tif', '.tiff', '.bmp', '.gif', '.webp', '.ppm', '.dcm', '.dicom')


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
  from lesion_jax.photograph.dicom import is_dicom

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
    from lesion_jax.clinical.record import read_record
    from lesion_jax.report.result import FIELD

    stem = file.stem.lstrip('.') or 'photograph'  # '..' is a stem as well
    names = itertools.chain([stem], (f'{stem}~{number}' for number in itertools.count(2)))
    for name in (name for name in names if name.casefold() not in self._taken):
      folder = self._out / name
      record = read_record(folder)
      # Of ours, also one that is not complete has its first file at least, or none.
      if record is None and not (folder.is_dir() and any(folder.iterdir()) and not (folder / FIELD).exists()):
        break
      if record and (run.photograph == record['run'].get('photograph') or run.place == record['run'].get('place')):
        break
    self._taken.add(name.casefold())
    return name, record


def plan(
    files: Iterable[pathlib.Path], out: pathlib.Path, entries: dict[int, Entry], *, model: str, options: dict[str, Any],
    overwrite: bool,
) -> Iterator[tuple[int, Entry]]:
  """The photographs that need the network, each after its place in the input, in order and lazily. Files are read on
  threads, to know them by their bytes.

  Args:
    files: the photographs.
    out: where the results go.
    entries: where the others are put, by their place: what an earlier run has done, and what cannot be read.
    model: what tells the bundle from every other one.
    options: that change results.
    overwrite: take no result of an earlier run.
  """
  from lesion_jax.clinical.record import Run, is_done
  from lesion_jax.photograph.threads import ordered_map
  from lesion_jax.report.table import FAILED, SKIPPED, WAITING, Entry

  folders = Folders(out)
  for number, (file, digest) in enumerate(ordered_map(_digest, files)):
    name = os.fspath(file)
    if isinstance(digest, OSError):
      entries[number] = Entry(name, '', FAILED, error=text(f'{file}: {_why(file, digest)}'))
      continue
    run = Run(digest, model, options, hashlib.sha256(os.fsencode(file.resolve())).hexdigest())
    folder, record = folders.choose(file, run)
    if not overwrite and is_done(record, out / folder, run):
      entries[number] = Entry(name, folder, SKIPPED, record, run=run)
    else:
      yield number, Entry(name, folder, WAITING, run=run)


def text(name: Any) -> str:
  """A file name as text that every file can hold, also where its bytes are no UTF-8."""
  return str(name).encode('utf-8', 'backslashreplace').decode('utf-8')


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
