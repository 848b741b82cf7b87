"""What preprocessed data were made from and consist of: kept beside them, so that a change of either is seen.

`source.json` holds a digest of the names, sizes and times of change of all files that were read, the names of empty folders
(that of a lesion says that it is absent), and the sizes of the prepared files. Data that were prepared before there was such a
file, or such a name in it, are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from lesion_jax.photograph.files import is_junk

NAME = 'source.json'
NEEDED = ('dataset_info.json', 'features.json')  # of TFDS
SHOWN = 5  # names in a message


def survey(places: Iterable[pathlib.Path]) -> dict[str, Any] | None:
  """Returns the state of a source.

  Args:
    places: files and folders, of which all that is in them counts; hidden files and those of file managers and stores do not.

  Returns:
    'digest' of names, sizes and times, the number of 'files' and their 'bytes', and the names of folders without a file in
    them, 'empty'; None where none of the places is there.
  """
  lines, empty, total, here = [], [], 0, False
  for number, place in enumerate(places):
    here |= place.exists()
    files, folders = _list(place)
    empty += [f'{number}\t{path.relative_to(place)}' for path in folders]
    for path in files:
      try:
        status = path.stat()
      except OSError:
        continue
      total += status.st_size
      lines.append(f'{number}\t{path.relative_to(place)}\t{status.st_size}\t{status.st_mtime_ns}\n')
  if not here:
    return None
  digest = hashlib.sha256(''.join(sorted(lines)).encode('utf-8', 'surrogateescape')).hexdigest()
  return {'digest': digest, 'files': len(lines), 'bytes': total, 'empty': sorted(empty)}


def _list(place: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
  """The files, and the folders with neither files nor folders in them."""
  if place.is_file():
    return [place], []
  found, empty, seen = [], [], set()
  for folder, names, files in os.walk(place, followlinks=True):
    real = os.path.realpath(folder)
    if real in seen:  # a link to a folder above
      names.clear()
      continue
    seen.add(real)
    names[:] = [name for name in names if not is_junk(pathlib.PurePath(name))]
    own = [path for name in files if not is_junk(path := pathlib.Path(folder, name))]
    found += own
    if not own and not names:
      empty.append(pathlib.Path(folder))
  return found, empty


def write(folder: str | os.PathLike[str], source: dict[str, Any] | None) -> None:
  """Keeps the state of the source, as it was before it was read, and the sizes of the prepared files, in their folder."""
  folder = pathlib.Path(folder)
  sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.suffix not in ('.json', '')}
  (folder / NAME).write_text(json.dumps({'source': source, 'prepared': sizes}, indent=2) + '\n', 'utf-8')


def damage(folder: str | os.PathLike[str]) -> str:
  """Returns what is missing or cut in a folder of preprocessed data, as the end of a sentence; '' where nothing is
  known to be."""
  folder = pathlib.Path(folder)
  for name in sorted({*NEEDED, *(path.name for path in folder.glob('[!.]*.json'))}):  # a Mac leaves '._x.json'
    try:
      json.loads((folder / name).read_text('utf-8'))
    except FileNotFoundError:
      return f'{name} is missing'
    except ValueError:
      return f'{name} is damaged'
  for name, size in (_read(folder) or {}).get('prepared', {}).items():
    path = folder / name
    if not path.is_file():
      return f'{name} is missing'
    if path.stat().st_size != size:
      return f'{name} has {path.stat().st_size:,} bytes of {size:,}'
  return ''


def change(folder: str | os.PathLike[str], places: Iterable[pathlib.Path]) -> str:
  """Returns how the source differs from what was prepared, as the end of a sentence; '' where it does not, is not
  there, or nothing is known of it."""
  then = (_read(pathlib.Path(folder)) or {}).get('source')
  now = survey(places) if then else None
  if not then or not now:
    return ''
  if then['digest'] == now['digest']:
    others = sorted(set(then.get('empty', now['empty'])) ^ set(now['empty']))
    names = ', '.join(name.partition('\t')[2] for name in others[:SHOWN])
    return f'folders without files are others: {names}' if others else ''
  if (then['files'], then['bytes']) == (now['files'], now['bytes']):
    return f'names or times of its {now["files"]} files are others'
  return f'it has {now["files"]} files of {now["bytes"]:,} bytes, and had {then["files"]} of {then["bytes"]:,}'


def _read(folder: pathlib.Path) -> dict[str, Any] | None:
  try:
    found = json.loads((folder / NAME).read_text('utf-8'))
  except (OSError, ValueError):
    return None
  return found if isinstance(found, dict) else None
