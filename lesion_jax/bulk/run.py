"""Many photographs: a folder of results for each, one table and one page for all."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import functools
import itertools
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from lesion_jax.bulk.inputs import COCO, DICTIONARY, INDEX_MAPS, LABELME, PATIENTS, REPORT, SUFFIXES, TABLE, plan, search, text
from lesion_jax.bulk.options import Forms, Options, Refused, identify, load_predictor
from lesion_jax.bulk.patients import Said, whose_eyes
from lesion_jax.clinical.record import Network, describe, is_whole, maps_entry, read_record
from lesion_jax.core import LESION_KEYS, NUM_LESIONS
from lesion_jax.locking import locked
from lesion_jax.photograph.read import read_photograph
from lesion_jax.photograph.square import PhotographPrediction, Square
from lesion_jax.photograph.threads import PHOTOGRAPH, allowed_threads, limited, ordered_map
from lesion_jax.places import is_name, real
from lesion_jax.predict import prepare
from lesion_jax.report import coco, labelme
from lesion_jax.report.html import has_maps, write_report
from lesion_jax.report.index_maps import SETTINGS, write_index_maps
from lesion_jax.report.maps import Maps
from lesion_jax.report.patients import said_of, write_patients
from lesion_jax.report.result_folder import FIELD_SIDE, write_result
from lesion_jax.report.table import PREDICTED, SKIPPED, Entry, write_table

ENGINES = ('local', 'ray')
NO_MEMORY = 'RESOURCE_EXHAUSTED'  # as XLA says it
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # What stops one photograph in this way stops all that follow.

Numbered = tuple[int, Entry]  # its place in the input
WRITERS = 4  # threads that write the results of one photograph, at most
LARGEST = 1 << 16  # pixels: no side of a photograph is longer
READING = 2 * PHOTOGRAPH  # as half of the room is for photographs that are read, half for those whose results are written


class Stopped(Exception):
  """Why a run could not do all that it should, in words. What is written stays.

  Attributes:
    entries: what is finished or has failed, in the order of the photographs.
    total: how many photographs there are.
  """

  entries: Sequence[Entry] = ()
  total: int = 0


class Interrupted(KeyboardInterrupt):
  """The user, or `progress`, ended a run; what is written stays. `entries` and `total` are those of `Stopped`."""

  entries: Sequence[Entry] = ()
  total: int = 0


def predict_photographs(
    photographs: str | os.PathLike | Iterable[str | os.PathLike], out: str | os.PathLike,
    options: Options = Options(), *, engine: str = 'local', workers: int | None = None, overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None, notice: Callable[[str], None] | None = None,
) -> list[Entry]:
  """Predicts what is not done yet and writes everything. Whatever ends it, table and page hold what is finished, and what
  earlier runs left in the folder: they are made of all records that lie there, those of this run first.

  One run at a time writes to a folder; a second one is refused.

  Args:
    photographs: a file, a folder or a pattern, or several, see `find_photographs`.
    out: the folder of all results; made where it does not exist. `lesion-jax predict --help` lists what is written.
    options: how they are predicted.
    engine: 'local', this process; or 'ray', the workers of a Ray cluster, see docs/predict.md.
    workers: of 'ray'; None: one for each GPU, or each machine.
    overwrite: predict also what an earlier run has done.
    progress: called in this thread, before the first photograph is predicted and after every one, with the numbers of
      those that are finished or have failed, and of all; not called where everything is done. It ends the run by
      raising KeyboardInterrupt.
    notice: called with a sentence each: files that were not taken, what a table of patients lacks, what is decided of patients.

  Returns:
    The entries of these photographs, in their order.

  Raises:
    Refused: nothing can be done: there is no photograph, no such network, or one that does not fit the options; another run
      writes to the folder.
    Stopped: no further result, or table or page, could be written; too little memory; the cluster failed.
    Interrupted: by Ctrl-C, or by `progress`.
  """
  out = pathlib.Path(out)
  if engine not in ENGINES:
    raise Refused('engine', f' {engine!r} is unknown; choose one of {", ".join(ENGINES)}')
  if workers and engine != 'ray':
    raise Refused('workers', ' are those of --engine ray; leave it out, or add --engine ray')
  photographs = _paths(photographs)
  found = search(photographs, out)
  files, others = found.photographs, found.left_out()
  if not files:
    raise Refused('', f'no photograph found in {", ".join(map(str, photographs))}{f": {others}" if others else ""}; '
                  f'of folders, files ending in {" ".join(SUFFIXES)} are taken')
  said = _said(options, files, out, notice or (lambda said: None))
  model = identify(options.models)
  _check_out(out)
  if notice and others:
    notice(others)
  entries: dict[int, Entry] = {}
  advance = (lambda: progress(len(entries), len(files))) if progress else (lambda: None)
  if engine == 'ray':
    from lesion_jax.bulk import cluster

    ray = cluster.require(options)
    predict = lambda waiting: cluster.predict_on(ray, waiting, out, options, workers, entries, advance)
  else:
    predict = lambda waiting: predict_entries(load_predictor(options), waiting, out, options, entries, advance)
  waiting = plan(files, out, entries, model=model, options=options.recorded(), overwrite=overwrite, failed=found.failed,
                 said=said)
  with limited(options.threads, options.memory, options.seconds):
    return _run_alone(waiting, predict, out, entries, len(files), options.forms, notice or (lambda said: None))


def _said(options: Options, files: Sequence[pathlib.Path], out: pathlib.Path, notice: Callable[[str], None]) -> Said:
  """What says whose eye a photograph shows. Raises Refused where the table does not do."""
  if isinstance(options.patients, str | os.PathLike) and real(pathlib.Path(options.patients)) == real(out / PATIENTS):
    raise Refused('patients', f' {options.patients} is where one line a patient will be written; give the table another name, or another --out')
  try:
    return whose_eyes(options.patients, files, notice)
  except FileNotFoundError as error:
    raise Refused('patients', f': there is no table {options.patients}') from error
  except (OSError, ValueError) as error:
    raise Refused('patients', f': {error}') from error


def _paths(photographs: str | os.PathLike | Iterable[str | os.PathLike]) -> list[pathlib.Path]:
  names = [photographs] if isinstance(photographs, str | os.PathLike) else list(photographs)
  if '' in map(os.fspath, names):
    raise Refused('', 'the name of a photograph is empty; write . for the folder that you are in')
  if impossible := [name for name in names if not is_name(name)]:
    raise Refused('', f'no file can be called {str(impossible[0])!r}; leave it out')
  return [pathlib.Path(name) for name in names]


def _run_alone(
    waiting: Iterator[Numbered], predict: Callable[[Iterator[Numbered]], None], out: pathlib.Path, entries: dict[int, Entry],
    total: int, forms: Forms, notice: Callable[[str], None],
) -> list[Entry]:
  """`_run`, while no other writes to the folder; what ends it early knows how far it came."""
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(locked(out, 'a prediction'))
    except OSError as error:
      raise Refused('out', f': {error}') from error
    try:
      return _run(waiting, predict, out, entries, forms, notice)
    except (KeyboardInterrupt, Stopped) as error:
      ended = error if isinstance(error, Stopped) else Interrupted()
      ended.entries, ended.total = _ordered(entries), total
      raise ended from error.__cause__


def predict_entries(
    predictor: Any, waiting: Iterator[Numbered], out: pathlib.Path, options: Options, entries: dict[int, Entry],
    advance: Callable[[], None],
) -> None:
  """Predicts photographs, writes the folder of each and enters it; table and page are left alone.

  Args:
    predictor: of `load_predictor`.
    waiting: what is to be predicted.
    out: the folder of all results.
    options: how.
    entries: where each is put, by its place in the input, when it is finished or has failed. Threads put it there.
    advance: called whenever some were put there.

  Raises:
    Stopped: no further result could be written, or the device has too little memory.
  """
  network, size, threads, on_way = network_of(predictor, options), predictor.size, allowed_threads(), collections.deque[Numbered]()

  def read(item: Numbered) -> tuple[Numbered, Square | str]:
    try:
      return item, _prepare(item[1].file, predictor, options)
    except (OSError, ValueError) as error:
      return item, text(error)

  def squares() -> Iterator[Square]:
    for (number, entry), square in ordered_map(read, waiting, ahead=max(options.batch_size, threads), each=READING):
      if isinstance(square, str):
        entries[number] = entry.failed(square)
      else:
        on_way.append((number, entry))
        yield square

  def finish(item: tuple[Numbered, PhotographPrediction]) -> None:
    (number, entry), found = item
    try:
      record = describe(found, network, file=text(entry.file), run=entry.run, whose=entry.whose)
      with limited(min(threads, WRITERS)):
        record = _write(out / entry.folder, found, record, network, options, entry.file)
    except ValueError as error:
      entries[number] = entry.failed(text(error))
    except OSError as error:
      entries[number] = entry.failed(text(f'{entry.file}: its results could not be written: {error}'))
      if error.errno in NO_ROOM:
        raise Stopped(f'stopped, as nothing more can be written ({error}); make room') from error
    else:
      entries[number] = dataclasses.replace(entry, status=PREDICTED, record=record)

  advance()
  try:
    found = ((on_way.popleft(), each) for each in predictor.stream(squares(), batch_size=options.batch_size))
    for _ in ordered_map(finish, found, ahead=threads, each=READING + 8 * NUM_LESIONS * size ** 2):
      advance()
  except FloatingPointError as error:
    raise Stopped(f'stopped: {error}') from error
  except jax.errors.JaxRuntimeError as error:
    if NO_MEMORY not in str(error):
      raise
    raise Stopped(_too_large(options.batch_size, size, error)) from error
  advance()


def _prepare(file: str, predictor: Any, options: Options) -> Square:
  return prepare(file, predictor.size, crop=predictor.crop if options.crop is None else options.crop,
                 view=LARGEST if options.full_size else FIELD_SIDE, reduced=options.reduced)


def network_of(predictor: Any, options: Options) -> Network:
  """Returns what records say of the network, with the smallest regions and the operating point that were asked for."""
  config = predictor.config if options.operating_point is None else predictor.config | {'operating_point': options.operating_point}
  if options.smallest is None:
    return Network.of(config, predictor.photographs)
  evaluated = {key: each._asdict() for key, each in options.smallest.items() if key in config['annotated']}
  return Network.of(config | {'smallest': evaluated}, predictor.photographs)


def _write(
    folder: pathlib.Path, found: PhotographPrediction, record: dict[str, Any], network: Network, options: Options, file: str,
) -> dict[str, Any]:
  also: dict[str, Any] = {}
  if options.maps and found.maps is not None:
    also['maps'] = Maps(options.maps, options.maps_at)
    record = record | {'maps': maps_entry(record, found, network, *also['maps'])}
  if options.fhir:
    also['fhir'] = True
  if options.dicom_seg:
    also['dicom'] = pathlib.Path(file)
  if not options.overlay:
    also['overlay'] = False
  if options.burnt_in and found.maps is not None:
    also['photograph'] = read_photograph(file)
  return write_result(folder, found, record, **also)


def _too_large(batch_size: int, size: int, error: Exception) -> str:
  return (f'stopped, as the device has too little memory for {batch_size} photographs of {size}x{size} pixels at once: choose a '
          f'smaller --batch-size, or --device cpu ({str(error).splitlines()[0]})')


def _run(
    waiting: Iterator[Numbered], predict: Callable[[Iterator[Numbered]], None], out: pathlib.Path,
    entries: dict[int, Entry], forms: Forms, notice: Callable[[str], None],
) -> list[Entry]:
  """Has predicted what waits, if anything does, and writes table and page in any case."""
  try:
    if (first := next(waiting, None)) is not None:
      predict(itertools.chain([first], waiting))
  finally:
    ordered = _ordered(entries)
    said = write_summaries(out, ordered, forms)
    for sentence in (*said.notices, said.patients):
      if sentence:
        notice(sentence)
  return ordered


class Summaries(NamedTuple):
  """What is to be said of what was written for all photographs.

  Attributes:
    notices: a sentence each.
    patients: what is decided of the patients, '' where none is known.
  """

  notices: list[str]
  patients: str


def write_summaries(out: pathlib.Path, entries: Sequence[Entry], forms: Forms = Forms()) -> Summaries:
  """Writes table, page, a line each patient where one is known and, where they are asked for, the forms of other tools, of these entries and of whatever else lies
  in the folder. Forms that an earlier run has left there are made anew, as they would say something else than the records.

  Args:
    out: the folder of all results.
    entries: of a run.
    forms: of `Options`.

  Raises:
    Stopped: something could not be written.
  """
  unwritten, notices, everything = [], [], [*entries, *_earlier(out, entries)]
  page = functools.partial(write_report, maps=True) if forms.page_maps or has_maps(out / REPORT) else write_report
  for name, write in ((TABLE, write_table), (REPORT, page), (PATIENTS, write_patients), *_also(out, forms)):
    try:
      for written in (name, DICTIONARY) if name == TABLE else (name,):
        for left in out.glob(f'.{written}.*.new'):  # by a run that was killed
          left.unlink(missing_ok=True)
      if said := write(out / name, everything):
        notices.append(said)
    except (OSError, ValueError) as error:
      unwritten.append(f'{name} could not be written: {error}')
  if unwritten:
    raise Stopped('; '.join(unwritten))
  return Summaries(notices, said_of(everything))


def _also(out: pathlib.Path, forms: Forms) -> Iterator[tuple[str, Callable[[pathlib.Path, Sequence[Entry]], str | None]]]:
  """The forms of other tools that are to be written: (name, what writes it and says what is to be said)."""
  if form := forms.coco or coco.form_of(out / COCO):
    yield COCO, functools.partial(coco.write_coco, form=form)
  before = (labelme.form_of(path) for path in sorted((out / LABELME).glob('*.json')))
  if form := forms.labelme or next(filter(None, before), None):
    yield LABELME, functools.partial(_write_labelme, form=form)
  if forms.index_maps or os.path.isfile(out / INDEX_MAPS / SETTINGS):
    yield INDEX_MAPS, _write_index_maps


def _write_labelme(folder: pathlib.Path, entries: Sequence[Entry], form: str) -> str:
  stayed = labelme.write_labelme(folder, entries, form)
  return stayed and (f'{len(stayed)} files in {folder} stay as they are, as they were changed by hand or are of another program: '
                     f'{", ".join(stayed[:5])}; remove them to have them written anew') or ''


def _write_index_maps(folder: pathlib.Path, entries: Sequence[Entry]) -> str:
  pixels, photographs = write_index_maps(folder, entries)
  return pixels and (f'{pixels} pixels of {photographs} photographs have more than one lesion, and an index map has one number a '
                     f'pixel: there it keeps the first of {", ".join(LESION_KEYS)}; lesions.png has all') or ''


def _earlier(out: pathlib.Path, entries: Sequence[Entry]) -> list[Entry]:
  """What lies in the folder of results beside those of this run, by name: whole, and not of the same photographs. Of one that cannot be
  read nothing but the name as it was given is known; else that says little, as another folder may have been the current one."""
  folders = {entry.folder for entry in entries}
  places, files = {entry.run.place for entry in entries if entry.run}, {text(entry.file) for entry in entries if not entry.run}
  found = []
  try:
    items = sorted(out.iterdir())
  except OSError:
    return []
  for folder in items:
    if folder.name in folders or not folder.is_dir():
      continue
    record = read_record(folder)
    if record and is_whole(record, folder) and record['run']['place'] not in places and record['file'] not in files:
      found.append(Entry(record['file'], folder.name, SKIPPED, record))
  return sorted(found, key=lambda entry: (entry.file, entry.folder))


def _ordered(entries: dict[int, Entry]) -> list[Entry]:
  return [entries[number] for number in sorted(entries)]


def _check_out(out: pathlib.Path) -> None:
  """Makes the folder of results and tries to write there, before anything else takes time."""
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise Refused('out', f' {out} cannot be a directory: {error}') from error
  try:
    tempfile.TemporaryFile(dir=out).close()
  except OSError as error:
    raise Refused('out', f' {out} cannot be written to: {error}; name another folder') from error
