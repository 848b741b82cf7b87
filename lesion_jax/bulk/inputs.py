"""Which photographs a run takes, which of them are done, and in which folder the results of each belong."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import json
import os
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lesion_jax.locking import NAME as LOCK
from lesion_jax.photograph.files import COPIES, SUFFIXES
from lesion_jax.places import real

if TYPE_CHECKING:
  from lesion_jax.bulk.patients import Said
  from lesion_jax.report.table import Entry

REPORT, TABLE, PATIENTS = 'report.html', 'results.csv', 'patients.csv'
COCO, LABELME, INDEX_MAPS = 'coco.json', 'labelme', 'index_maps'
DICTIONARY = 'results_columns.csv'  # what the columns of TABLE mean
APPLE_DOUBLE = '._'  # how names begin that a Mac puts beside a file on disks of others; what is in them is no picture
DICOMDIR = 'DICOMDIR'
SHOWN = 8  # kinds of files that were not taken, in a sentence


class Search(NamedTuple):
  """What was found.

  Attributes:
    photographs: each once, in order.
    failed: those among them that cannot be taken, and folders that cannot be searched, with the cause.
    others: how many other files lay in the folders, by what tells them apart: their ending, or the name of a kind.
  """

  photographs: list[pathlib.Path]
  failed: dict[pathlib.Path, str]
  others: Mapping[str, int]

  def left_out(self) -> str:
    """Returns the others in a sentence without its full stop; '' where there are none."""
    number = sum(self.others.values())
    if not number:
      return ''
    kinds = sorted(self.others.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = ', '.join(f'{kind} {count}' for kind, count in kinds[:SHOWN]) + (', ...' if len(kinds) > SHOWN else '')
    return f'{number} other {"file was" if number == 1 else "files were"} not taken ({shown})'


def find_photographs(paths: Sequence[pathlib.Path], out: pathlib.Path) -> list[pathlib.Path]:
  """Returns the photographs of `search`."""
  return search(paths, out).photographs


def search(paths: Sequence[pathlib.Path], out: pathlib.Path) -> Search:
  """Returns the files among `paths`, those that patterns among them match, and the photographs in folders, each once.

  The order is that of `paths`; what a folder or a pattern gives is sorted. A path that does not exist and is no pattern
  that matches is kept as it is: reading it says so. So is a name longer than names may be, a link to nothing and a folder
  that cannot be read. Results of `predict` are neither searched nor matched, wherever they lie: of `out`, and folders with
  a record of ours.

  Args:
    paths: files, folders, which are searched with all folders in them, links to folders too, for SUFFIXES and for DICOM
      files, and patterns as of a shell, where `**` stands for any number of folders.
    out: where the results go.
  """
  found: dict[pathlib.Path, pathlib.Path] = {}
  failed: dict[pathlib.Path, str] = {}
  others: Counter[str] = Counter()
  ours = functools.cache(lambda folder: _is_result(folder, real(out)))
  for path in paths:
    matches = [path]
    if not os.path.exists(path) and glob.has_magic(str(path)):
      matches = [match for match in map(pathlib.Path, sorted(glob.glob(str(path), recursive=True)))
                 if not _is_output(match, out, ours)] or [path]
    for match in matches:
      files = sorted(_search(match, out, ours, failed, others)) if os.path.isdir(match) else [match]
      for file in files:
        found.setdefault(real(file), file)
  return Search(list(found.values()), failed, others)


def _search(
    top: pathlib.Path, out: pathlib.Path, ours: Callable[[pathlib.Path], bool], failed: dict[pathlib.Path, str],
    others: Counter[str],
) -> Iterator[pathlib.Path]:
  """What a folder holds: photographs, and what should be told of. Each folder is searched once, whatever links lead to it."""
  seen, waiting = set(), [top]
  while waiting:
    folder = waiting.pop()
    try:
      place = folder.stat()
      if (place.st_dev, place.st_ino) in seen:
        continue
      seen.add((place.st_dev, place.st_ino))
      items = sorted(folder.iterdir())
    except OSError as error:
      failed[folder] = f'this folder cannot be searched: {error.strerror}'
      yield folder
      continue
    if ours(real(folder)):
      continue
    for item in items:
      try:
        if item.is_dir():
          if item.name.casefold() in COPIES:
            others[item.name] += sum(len(names) for *_, names in os.walk(item))
          else:
            waiting.append(item)
        elif item.name.startswith(APPLE_DOUBLE):
          others[f'{APPLE_DOUBLE}*'] += 1
        elif not item.exists():
          if item.suffix.lower() in SUFFIXES:
            failed[item] = 'it is a link to nothing'
            yield item
          else:
            others['links to nothing'] += 1
        elif not item.is_file():
          others['pipes and devices'] += 1
        elif _is_photograph(item):
          yield item
        elif not _is_output(item, out, ours):
          others[DICOMDIR if item.name.upper() == DICOMDIR else item.suffix.lower() or 'without an ending'] += 1
      except OSError as error:
        failed[item] = f'it cannot be looked at: {error.strerror}'
        yield item


def _is_output(path: pathlib.Path, out: pathlib.Path, ours: Callable[[pathlib.Path], bool]) -> bool:
  """Whether a file is table, page or lock of `out`, or lies in a folder of results."""
  path = real(path)
  if path.parent == real(out) and (
      path.name in (TABLE, DICTIONARY, REPORT, PATIENTS, COCO, LOCK)
      or path.name.startswith(tuple(f'.{name}.' for name in (TABLE, DICTIONARY, REPORT, PATIENTS, COCO)))):
    return True
  return ours(path if os.path.isdir(path) else path.parent)


def _is_result(folder: pathlib.Path, out: pathlib.Path) -> bool:
  """Whether a folder holds the results of a photograph: a record of ours; or results in a form of other tools; in `out` also
  nothing but files of ours, as of a run that was killed."""
  from lesion_jax.clinical.record import RECORD, is_record
  from lesion_jax.report.result_folder import NAMES

  if is_record(folder):
    return True
  if _is_form(folder) or _is_form(folder.parent):
    return True
  if folder.parent != out:
    return False
  try:
    names = {item.name for item in folder.iterdir()}
  except OSError:
    return False
  return bool(names) and all(name in NAMES or name.startswith(f'.{RECORD}.') or name[1:].removesuffix('.new') in NAMES for name in names)


def _is_form(folder: pathlib.Path) -> bool:
  """Whether it is the folder of index maps, or of labelme's files, that lies beside a table of results."""
  from lesion_jax.report.index_maps import SETTINGS

  if folder.name not in (INDEX_MAPS, LABELME) or not os.path.isfile(folder.parent / TABLE):
    return False
  if folder.name == INDEX_MAPS:
    return os.path.isfile(folder / SETTINGS)
  try:
    return all(item.suffix.lower() == '.json' for item in folder.iterdir())
  except OSError:
    return False


def _is_photograph(file: pathlib.Path) -> bool:
  """By its name; archives also give DICOM files names without an ending, or with a number for one."""
  from lesion_jax.photograph.dicom import is_dicom, is_index

  ending = file.suffix.lower()
  if ending in SUFFIXES:
    return True
  if ending.strip('.0123456789') or file.name.upper() == DICOMDIR:
    return False
  if not os.access(file, os.R_OK):
    return False
  return is_dicom(file) and not is_index(file)


class Folders:
  """Gives each photograph a folder of `out`: named after the file's stem, with '~2', '~3' where another has that name.

  A folder with the results of another photograph is left alone, and one with somebody else's files, and a file; one with those of
  the same photograph, known by its place or else its bytes, is used again. Names that differ in case alone count as equal, as some
  file systems hold them to be.
  """

  def __init__(self, out: pathlib.Path) -> None:
    self._out, self._taken = out, {TABLE, DICTIONARY, REPORT, PATIENTS, COCO, LABELME, INDEX_MAPS, LOCK}

  def choose(self, file: pathlib.Path, run: Any) -> tuple[str, dict[str, Any] | None]:
    """Returns the folder's name, and the record that it holds, if any, of the same photograph."""
    from lesion_jax.clinical.record import read_record

    # '..' is a stem as well; of a UID the last number is no ending.
    stem = file.name if file.suffix and not file.suffix.strip('.0123456789') else file.stem
    stem = stem.lstrip('.') or 'photograph'
    names = itertools.chain([stem], (f'{stem}~{number}' for number in itertools.count(2)))
    free: tuple[str, dict[str, Any] | None] | None = None
    same: tuple[str, dict[str, Any] | None] | None = None
    for name in (name for name in names if name.casefold() not in self._taken):
      folder = self._out / name
      record = read_record(folder)
      if record and run.place == record['run'].get('place'):
        same = name, record
        break
      if same:
        break
      if record and run.photograph == record['run'].get('photograph'):
        same = name, record  # and one name more is looked at, which may be that of its place
      elif record is None and not _is_taken(folder):
        free = free or (name, None)
        if name != stem and not os.path.lexists(folder):
          break  # no other of this name lies behind; the first may be missing, as of a photograph that failed
    chosen = same or free
    assert chosen is not None  # the names do not end before
    self._taken.add(chosen[0].casefold())
    return chosen


def _is_taken(folder: pathlib.Path) -> bool:
  """Whether something of somebody else is where a folder of results would go: a file, as of a photograph without an ending in
  `out` itself; a link to nothing; a folder that is not ours, or cannot be looked into."""
  from lesion_jax.report.result_folder import FIELD

  if not os.path.lexists(folder):
    return False
  try:
    # Of ours, also one that is not complete has its first file at least, or none.
    return not folder.is_dir() or any(folder.iterdir()) and not (folder / FIELD).exists()
  except OSError:
    return True


def plan(
    files: Iterable[pathlib.Path], out: pathlib.Path, entries: dict[int, Entry], *, model: str, options: dict[str, Any],
    overwrite: bool, failed: Mapping[pathlib.Path, str] | None = None, said: Said = lambda file, record: None,
) -> Iterator[tuple[int, Entry]]:
  """Yields the photographs that need the network, each after its place in the input, in order and lazily. Files are
  read on threads, to know them by their bytes.

  Args:
    files: the photographs.
    out: where the results go.
    entries: where the others are put, by their place: what an earlier run has done, and what cannot be read.
    model: what tells the bundle from every other one.
    options: that change results.
    overwrite: take no result of an earlier run.
    failed: what is known already to be of no use, with the cause.
    said: what says whose eye a photograph shows, see `bulk.patients.whose_eyes`. Results of an earlier run that say it otherwise are
      changed.
  """
  from lesion_jax.clinical.record import Run, is_done
  from lesion_jax.photograph.threads import ordered_map
  from lesion_jax.report.result_folder import rewrite_whose
  from lesion_jax.report.table import FAILED, SKIPPED, WAITING, Entry

  folders = Folders(out)
  failed = failed or {}
  for number, (file, digest) in enumerate(ordered_map(lambda file: (file, failed.get(file)) if file in failed else _digest(file),
                                                      files)):
    name = os.fspath(file)
    if file in failed:
      entries[number] = Entry(name, '', FAILED, error=text(f'{file}: {failed[file]}'), whose=said(file, None))
      continue
    if isinstance(digest, OSError | ValueError):
      entries[number] = Entry(name, '', FAILED, error=text(f'{file}: {_why(file, digest)}'), whose=said(file, None))
      continue
    run = Run(digest, model, options, hashlib.sha256(os.fsencode(real(file))).hexdigest())
    folder, record = folders.choose(file, run)
    whose = said(file, record)
    if record is None or overwrite or not is_done(record, out / folder, run):
      yield number, Entry(name, folder, WAITING, run=run, whose=whose)
      continue
    try:
      record = rewrite_whose(out / folder, _moved(out / folder, record, file, run), whose, file)
    except (OSError, ValueError) as error:
      entries[number] = Entry(name, folder, SKIPPED, run=run, whose=whose).failed(
          text(f'{file}: its results could not be corrected: {error}'))
    else:
      entries[number] = Entry(name, folder, SKIPPED, record, run=run, whose=whose)


def _moved(folder: pathlib.Path, record: dict[str, Any], file: pathlib.Path, run: Any) -> dict[str, Any]:
  """The record in a folder, which says where the photograph lies now; written anew where it said another place. Raises OSError."""
  from lesion_jax.clinical.record import RECORD
  from lesion_jax.report.files import write_whole

  if record['run'].get('place') == run.place:
    return record
  record = record | {'file': text(file), 'run': record['run'] | {'place': run.place}}
  write_whole(folder / RECORD, json.dumps(record, indent=2, allow_nan=False) + '\n')
  return record


def text(name: Any) -> str:
  """Returns a file name as text that every file can hold, also where its bytes are no UTF-8."""
  return str(name).encode('utf-8', 'backslashreplace').decode('utf-8')


def _digest(file: pathlib.Path) -> tuple[pathlib.Path, str | OSError | ValueError]:
  from lesion_jax.photograph.read import open_regular

  try:
    with open_regular(file) as stream:
      return file, hashlib.file_digest(stream, 'sha256').hexdigest()
  except (OSError, ValueError) as error:
    return file, error


def _why(file: pathlib.Path, error: OSError | ValueError) -> str:
  if isinstance(error, ValueError):
    return str(error)
  if isinstance(error, FileNotFoundError):
    return 'no file matches this pattern' if glob.has_magic(str(file)) else 'there is no such file'
  return f'it cannot be read: {error.strerror}'
