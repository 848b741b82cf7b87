"""What is brought along: items (packages, weights, a raw dataset) in folders of at most so many bytes, each with a
manifest of SHA-256.

A load is a folder of one tar archive an item and `manifest.json`. An item that does not fit into one load goes on in the
next, so any load can be unpacked by itself, and the manifest says which others an item needs.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.whole import whole

MANIFEST = 'manifest.json'
UNPACKED = 'unpacked.json'  # in the folder that loads are unpacked to: which of them are there
BLOCK, END = 512, 10_240  # of tar: a header and the padding of a file; what stands at the end of an archive
MANIFEST_ROOM = 4096
LEVEL = 1  # of compression, which pays for masks alone


class File(NamedTuple):
  """A file to bring along: its item, its path within the item, and where it lies."""

  item: str
  name: str
  path: pathlib.Path

  @property
  def size(self) -> int:
    """Bytes that it takes in an archive at most: a header (two more where the name is long), and its content, compressed."""
    content = self.path.read_bytes()
    compressed = len(zlib.compress(content, LEVEL)) + len(content) // 1000 + 64
    return BLOCK * (1 + 2 * (len(self.name.encode()) > 99) + -(-compressed // BLOCK))


def deal(files: Iterable[File], most: int) -> list[list[File]]:
  """Deals files, in their order, to as few loads as that order allows.

  Args:
    files: those of one item behind one another.
    most: bytes of a load, archives and manifest together.

  Raises:
    ValueError: a file alone is larger than a load.
  """
  loads: list[list[File]] = []
  taken, items = most, set()  # of the load that is being filled
  for file in files:
    size = file.size
    if MANIFEST_ROOM + END + size > most:
      raise ValueError(f'{file.path} takes {size:,} bytes, more than the {most:,} of a load; give a larger --most, or bring along '
                       'a smaller file')
    if taken + size + END * (file.item not in items) > most:
      loads.append([])
      taken, items = MANIFEST_ROOM, set()
    taken += size + END * (file.item not in items)
    items.add(file.item)
    loads[-1].append(file)
  return loads


def write(loads: Sequence[Sequence[File]], out: pathlib.Path) -> list[pathlib.Path]:
  """Writes loads as the folders `out`/1, `out`/2 and so on; returns them.

  Raises:
    FileExistsError: `out` is there and not empty.
  """
  if out.exists() and any(out.iterdir()):
    raise FileExistsError(f'{out} is not empty; remove it, or give another --out')
  needs: dict[str, list[int]] = {}
  for number, files in enumerate(loads, 1):
    for item in dict.fromkeys(file.item for file in files):
      needs.setdefault(item, []).append(number)
  folders = []
  for number, files in enumerate(loads, 1):
    folder = out / str(number)
    folder.mkdir(parents=True)
    archives = {}
    for item in dict.fromkeys(file.item for file in files):
      path = folder / f'{item}.tar.gz'
      with tarfile.open(path, 'w:gz', compresslevel=LEVEL) as archive:
        for file in (file for file in files if file.item == item):
          archive.add(file.path.resolve(), file.name, recursive=False)
      archives[path.name] = {'item': item, 'bytes': path.stat().st_size, 'sha256': digest(path)}
    manifest = {'load': number, 'loads': len(loads), 'needs': needs, 'archives': archives}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + '\n', 'utf-8')
    folders.append(folder)
  return folders


def digest(path: pathlib.Path) -> str:
  """Returns the SHA-256 of a file."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def verify(folder: pathlib.Path) -> dict[str, Any]:
  """Returns the manifest of a load whose archives are what was packed.

  Raises:
    FileNotFoundError: there is no manifest, or an archive is missing.
    ValueError: an archive is damaged.
  """
  try:
    manifest = json.loads((folder / MANIFEST).read_text('utf-8'))
  except FileNotFoundError:
    raise FileNotFoundError(f'{folder} has no {MANIFEST}, so it is no load; name the folders that `python -m experiments.borrowed '
                            'pack` wrote') from None
  for name, said in manifest['archives'].items():
    path = folder / name
    if not path.is_file():
      raise FileNotFoundError(f'{path} is missing; bring the load {manifest["load"]} along again, whole')
    if path.stat().st_size != said['bytes'] or digest(path) != said['sha256']:
      raise ValueError(f'{path} is damaged: it has {path.stat().st_size:,} bytes of {said["bytes"]:,}, or its SHA-256 is another '
                       f'than {MANIFEST} says; bring the load {manifest["load"]} along again')
  return manifest


def unpack(folder: pathlib.Path, place: pathlib.Path) -> list[str]:
  """Verifies a load and unpacks each item to `place`/ITEM; returns the items. One that is there already is skipped.

  Raises:
    FileNotFoundError, ValueError: of `verify`, before anything is written.
  """
  manifest, there = verify(folder), unpacked(place)
  items = [said['item'] for said in manifest['archives'].values()]
  for name, said in manifest['archives'].items():
    if said['sha256'] in there.get(said['item'], {}).get('archives', ()):
      continue
    with tarfile.open(folder / name) as archive:
      archive.extractall(place / said['item'], filter='data')
    entry = there.setdefault(said['item'], {'archives': [], 'loads': []})
    entry['archives'].append(said['sha256'])
    entry['loads'].append(manifest['load'])
    entry['needs'] = manifest['needs'][said['item']]
    with whole(place / UNPACKED) as fresh:
      fresh.write_text(json.dumps(there, indent=2) + '\n', 'utf-8')
  return items


def unpacked(place: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Returns by item which loads were unpacked to `place`, and which it needs; {} where none was."""
  path = place / UNPACKED
  return json.loads(path.read_text('utf-8')) if path.exists() else {}


def missing(item: str, there: Mapping[str, Mapping[str, Any]]) -> str:
  """Returns what an item still needs, as a sentence; '' where it is whole."""
  if item not in there:
    return f'{item} is not here: bring the loads that hold it along'
  lacking = sorted({*there[item]['needs']} - {*there[item]['loads']})
  return f'{item} is not whole: load {" and ".join(map(str, lacking))} is missing' if lacking else ''
