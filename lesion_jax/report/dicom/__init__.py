"""A result as DICOM: a segmentation of its lesions and a structured report, both referring to the photograph.

What they refer to is the DICOM file that was predicted, whose patient and study they are of, every element of these as it stands
there. Of a photograph of another format a DICOM object is written beside them, PHOTOGRAPH, a secondary capture in a study of its own:
segmentation and report have something to refer to, and nothing is invented of patient, camera or visit. A patient that a table of the
user names is in it; one that the file's name alone says is not.

UIDs follow from what an object holds: the same result has the same, and is not written again; another result, of other thresholds,
another network or for another patient, has others. So the same command twice makes no second truth, and a changed one never passes for
the first. Nothing is final before a person has looked: reports are preliminary and not verified.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lesion_jax.extras import needs
from lesion_jax.report.dicom.source import EMPTY, NEEDED, make_photograph, of_dicom, uid

SEG, SR, PHOTOGRAPH = 'segmentation.dcm', 'report.dcm', 'photograph.dcm'
NAMES = (SEG, SR, PHOTOGRAPH)
FORM = b'1'  # of what is written: another number where the same result is written otherwise, so that it has other UIDs
TIMES = ('InstanceCreationDate', 'InstanceCreationTime', 'ContentDate', 'ContentTime')  # all that the UID does not follow from


def write_dicom(
    folder: pathlib.Path, record: Mapping[str, Any], masks: Mapping[str, np.ndarray], file: pathlib.Path,
) -> list[str]:
  """Writes SR; SEG where the network makes maps of lesions; PHOTOGRAPH where the photograph is no DICOM file. One that lies there
  already, with the same UID, stays byte for byte.

  Args:
    folder: of the photograph.
    record: of it.
    masks: bool [H, W] in the photograph's pixels, of the lesions that are present.
    file: the photograph; or PHOTOGRAPH of this folder, where that is all that is left of it.

  Returns:
    The files' names.

  Raises:
    MissingExtra: a package of the extra `dicom` is not installed.
    ValueError: the DICOM file lacks what an object that refers to it must have, or holds what none may have.
    OSError: something cannot be read or written.
  """
  with needs('dicom'):
    from lesion_jax.report.dicom import document, segmentation
  header, files = of_dicom(file), []
  if file == folder / PHOTOGRAPH:
    files.append(PHOTOGRAPH)
  elif header is None:
    header = make_photograph(folder / PHOTOGRAPH, record, file)
    files.append(PHOTOGRAPH)
  if (header.Rows, header.Columns) != (record['photograph']['height'], record['photograph']['width']):
    raise ValueError(f'{file} has {header.Columns}x{header.Rows} pixels, its result {record["photograph"]["width"]}x'
                     f'{record["photograph"]["height"]}: it is another photograph by now')
  content = _content(record, masks, header)
  try:
    made = segmentation.make(header, record, masks, content) if segmentation.has_segments(record) else None
    if made is not None:
      files.append(SEG)
      _write(folder / SEG, made)
    else:
      (folder / SEG).unlink(missing_ok=True)
    _write(folder / SR, document.make(header, record, made, content))
  except OSError:
    raise
  except Exception as error:  # whatever highdicom and pydicom say of elements that are none
    raise ValueError(f'{file}: DICOM objects that refer to it cannot be written, as something in its header is damaged or missing '
                     f'({type(error).__name__}: {error}); export it again, or leave out --dicom-seg') from error
  if PHOTOGRAPH not in files:
    (folder / PHOTOGRAPH).unlink(missing_ok=True)
  return [*files, SR]


def _content(record: Mapping[str, Any], masks: Mapping[str, np.ndarray], header: Any) -> str:
  """SHA-256 of all that the objects hold: the record but for its files and where they lie, the masks, and what they refer to."""
  digest = hashlib.sha256(FORM)
  kept = {key: value for key, value in record.items() if key not in ('file', 'files')}
  kept['run'] = {key: value for key, value in record['run'].items() if key != 'place'}
  digest.update(json.dumps(kept, sort_keys=True).encode())
  for name in (*NEEDED, *EMPTY):
    digest.update(f'{name} {header[name].value}\n'.encode())
  for key, mask in sorted(masks.items()):
    digest.update(key.encode())
    digest.update(np.packbits(mask).tobytes())
  return digest.hexdigest()


def _write(path: pathlib.Path, dataset: Any) -> Any:
  """Writes an object whole, or leaves the same one that is there, but for when it was made; returns what lies there then."""
  fresh = path.with_name(f'.{path.name}.new')
  try:
    dataset.save_as(fresh, enforce_file_format=True)
    if not _same(fresh, path):
      fresh.replace(path)
  finally:
    fresh.unlink(missing_ok=True)
  return dataset


def _same(fresh: pathlib.Path, there: pathlib.Path) -> bool:
  """Whether two files hold the same object, but for TIMES."""
  import pydicom

  try:
    one, other = (pydicom.dcmread(path) for path in (fresh, there))
    for dataset in (one, other):
      for name in TIMES:
        dataset.pop(name, None)
    return one == other and one.file_meta == other.file_meta
  except Exception:  # noqa: BLE001 (none there, or one that is damaged)
    return False


__all__ = ['NAMES', 'PHOTOGRAPH', 'SEG', 'SR', 'uid', 'write_dicom']
