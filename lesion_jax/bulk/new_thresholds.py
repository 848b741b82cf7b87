"""Other thresholds for a folder of results, without the network: from the probability maps that lie in it.

  from lesion_jax.bulk import rethreshold

  found = rethreshold('results', {'MA': 0.3})  # of `lesion-jax predict ... --maps npz`
  [entry.record['lesions']['MA']['found']['regions'] for entry in found.entries]

Masks, outlines, counts, records, table and page become those of a prediction with these thresholds: from npz exactly,
from PNG of 16 bits but for pixels whose probability is within 1 / 131070 of the threshold. Only the overlay is drawn on
the picture that was kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lesion_jax.bulk.options import Forms, Refused
from lesion_jax.bulk.run import NO_ROOM, Interrupted, Stopped, Summaries, write_summaries
from lesion_jax.clinical import record as records
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.record import RECORD, is_whole, read_record
from lesion_jax.extras import MissingExtra, require
from lesion_jax.locking import locked
from lesion_jax.photograph.read import open_regular, read_photograph
from lesion_jax.photograph.threads import PHOTOGRAPH, limited, ordered_map
from lesion_jax.report import dicom as dicom_on_disk
from lesion_jax.report.maps import read_maps
from lesion_jax.report.result_folder import BURNT, WAITING, rewrite_lesions
from lesion_jax.report.table import PREDICTED, SKIPPED, Entry


class Rethresholded(NamedTuple):
  """What `rethreshold` did.

  Attributes:
    entries: of all photographs in the folder, by the names of their folders; SKIPPED are those that stayed as they were.
    left: why these stayed, a sentence each.
    notes: what else is to be said, a sentence each.
    patients: what is decided of the patients now; '' where none is known.
  """

  entries: list[Entry]
  left: list[str]
  notes: list[str]
  patients: str = ''


def rethreshold(
    out: str | os.PathLike, thresholds: Mapping[str, float], *, smallest: Mapping[str, Smallest] | None = None,
    coco: str | None = None, labelme: str | None = None, index_maps: bool = False, page_maps: bool = False,
    threads: int | None = None, memory: int | None = None,
    seconds: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Rethresholded:
  """Puts other thresholds into effect in a folder of results.

  Args:
    out: the folder, as `predict_photographs` left it with `Options.maps` at the network's size.
    thresholds: from which probability a pixel is in the mask, by lesion, above 0 and below 1; others stay as they are. A
      lesion that is called present by Eq. 1 is present from there on too; one with a threshold of its own for that stays
      what it was called.
    smallest: the smallest region that counts, by lesion, in the place of what was chosen before; None leaves that.
    coco: as of `Options`; forms that lie in the folder already are made anew in any case.
    labelme: likewise.
    index_maps: likewise.
    page_maps: put the maps into the page too, in 8 bits.
    threads: likewise.
    memory: likewise.
    seconds: likewise.
    progress: called as photographs are done, with how many are and how many there are.

  Raises:
    Refused: there is no such folder, no result or nothing with maps in it, a lesion is not evaluated in any, another run writes to it,
      a value is none of those, or DICOM objects are to be made anew without the extra `dicom`.
    Stopped: nothing more could be written.
    Interrupted: by Ctrl-C, or by `progress`; what is done is done.
  """
  out = pathlib.Path(out)
  for key, value in thresholds.items():
    if not 0 < value < 1:
      raise Refused('threshold', f': {value} of {key} is not between 0 and 1')
  forms = Forms(coco, labelme, index_maps, page_maps)
  forms.check()
  if not os.path.isdir(out):
    raise Refused('', f'no folder {out}; name what was --out of lesion-jax predict')
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(locked(out, 'new thresholds'))
    except OSError as error:
      raise Refused('', str(error)) from error
    stack.enter_context(limited(threads, memory, seconds))
    return _rethreshold(out, thresholds, smallest, forms, progress or (lambda done, total: None))


def _rethreshold(
    out: pathlib.Path, thresholds: Mapping[str, float], smallest: Mapping[str, Smallest] | None, forms: Forms,
    progress: Callable[[int, int], None],
) -> Rethresholded:
  found = _results(out)
  if not found:
    raise Refused('', f'no results in {out}; name what was --out of lesion-jax predict')
  evaluated = {key for _, record in found for key in record['lesions'] or {}}
  for option, chosen in (('threshold', thresholds), ('smallest', smallest or {})):
    if (unknown := [key for key in chosen if key not in evaluated]) and len(chosen) < len(records.LESION_KEYS):
      raise Refused(option, f': {", ".join(unknown)} is evaluated in no result of {out}, only {", ".join(sorted(evaluated)) or "nothing"}')
  if not any('maps' in record for _, record in found):
    raise Refused('', f'no result in {out} has probability maps; predict again with --maps npz')
  if any(dicom_on_disk.SR in record['files'] for _, record in found):
    try:
      require('dicom', 'pydicom', 'highdicom')
    except MissingExtra as error:
      raise Refused('', f'DICOM objects in {out} are to be made anew too, and {error}') from error

  def change(item: tuple[pathlib.Path, dict[str, Any]]) -> tuple[Entry, str, str]:
    folder, record = item
    try:
      return _change(folder, record, thresholds, smallest)
    except ValueError as error:
      return Entry(record['file'], folder.name, SKIPPED, record), f'{folder.name}: {error}', ''
    except OSError as error:
      if error.errno in NO_ROOM:
        raise Stopped(f'stopped, as nothing more can be written ({error}); make room, and run it again') from error
      return Entry(record['file'], folder.name, SKIPPED, record), f'{folder.name}: {error}', ''

  # Of each photograph the maps, and what is made of them.
  size = max(record['model']['size'] for _, record in found)
  done: list[tuple[Entry, str, str]] = []
  said = Summaries([], '')
  progress(0, len(found))
  try:
    for each in ordered_map(change, found, each=PHOTOGRAPH + 4 * len(records.LESION_KEYS) * size ** 2):
      done.append(each)
      progress(len(done), len(found))
  except KeyboardInterrupt as error:
    ended = Interrupted()
    ended.entries, ended.total = [entry for entry, *_ in done], len(found)
    raise ended from error
  finally:
    entries = [entry for entry, *_ in done]
    said = write_summaries(out, [entry for entry in entries if is_whole(entry.record, out / entry.folder)], forms)
  return Rethresholded(entries, [left for _, left, _ in done if left], [*(note for *_, note in done if note), *said.notices], said.patients)


def _change(
    folder: pathlib.Path, record: Mapping[str, Any], thresholds: Mapping[str, float], smallest: Mapping[str, Smallest] | None,
) -> tuple[Entry, str, str]:
  maps, field = read_maps(folder, record)
  changed = records.rethreshold(record, maps, field, thresholds, smallest)
  photograph, note = _photograph(record) if BURNT in record['files'] else (None, '')
  dicom, more = _source(folder, record) if dicom_on_disk.SR in record['files'] else (None, '')
  changed = rewrite_lesions(folder, maps, changed, photograph, dicom)
  note = '; '.join(filter(None, (note, more)))
  return Entry(record['file'], folder.name, PREDICTED, changed), '', f'{folder.name}: {note}' if note else ''


def _source(folder: pathlib.Path, record: Mapping[str, Any]) -> tuple[pathlib.Path | None, str]:
  """The file to which DICOM objects refer; or why it is not to be had."""
  if dicom_on_disk.PHOTOGRAPH in record['files']:
    return folder / dicom_on_disk.PHOTOGRAPH, ''
  path = pathlib.Path(record['file'])
  try:
    with open_regular(path) as stream:
      if hashlib.file_digest(stream, 'sha256').hexdigest() == record['run']['photograph']:
        return path, ''
    return None, f'its DICOM objects are removed, as {path} is another photograph by now'
  except (OSError, ValueError) as error:
    return None, f'its DICOM objects are removed, as the photograph cannot be read any more ({error})'


def _photograph(record: Mapping[str, Any]) -> tuple[np.ndarray | None, str]:
  """The photograph of a record, in which lesions are to be burnt in anew; or why it is not to be had."""
  try:
    with open_regular(pathlib.Path(record['file'])) as stream:
      if hashlib.file_digest(stream, 'sha256').hexdigest() != record['run']['photograph']:
        return None, f'{BURNT} is removed, as {record["file"]} is another photograph by now'
    return read_photograph(record['file']), ''
  except (OSError, ValueError) as error:
    return None, f'{BURNT} is removed, as the photograph cannot be read any more ({error})'


def _results(out: pathlib.Path) -> list[tuple[pathlib.Path, dict[str, Any]]]:
  """The folders of photographs with their records, by name; what an earlier run left half done is found again."""
  found = []
  for folder in sorted(out.iterdir()):
    if not os.path.isdir(folder):
      continue
    if os.path.isfile(folder / WAITING) and not os.path.exists(folder / RECORD):
      (folder / WAITING).replace(folder / RECORD)
    if record := read_record(folder):
      found.append((folder, record))
  return found
