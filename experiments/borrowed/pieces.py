"""What comes back: archives in pieces of at most so many bytes, as a borrowed machine returns few files and small ones."""

from __future__ import annotations

import hashlib
import pathlib
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Limits(NamedTuple):
  """Of what comes back: bytes of a file, how many files, and bytes of all."""

  piece: int
  files: int
  most: int


def archive(folders: Sequence[pathlib.Path], root: pathlib.Path, path: pathlib.Path, *, without: Sequence[str] = ()) -> None:
  """Writes folders below `root` to a tar archive, compressed where its name ends in gz, but for what has one of the names in
  `without`."""
  keep = lambda entry: None if pathlib.PurePath(entry.name).name in without else entry
  with tarfile.open(path, 'w:gz' if path.suffix == '.gz' else 'w') as file:
    for folder in folders:
      if folder.exists():
        file.add(folder, folder.relative_to(root), filter=keep)


def split(path: pathlib.Path, out: pathlib.Path, piece: int) -> dict[str, str]:
  """Splits a file into `out`/NAME.000, NAME.001 and so on; returns the SHA-256 of each by its name. Pieces of an earlier
  file of the same name are removed."""
  for old in out.glob(f'{path.name}.[0-9][0-9][0-9]'):
    old.unlink()
  digests = {}
  with path.open('rb') as file:
    while content := file.read(piece):
      name = f'{path.name}.{len(digests):03d}'
      (out / name).write_bytes(content)
      digests[name] = hashlib.sha256(content).hexdigest()
  return digests


def join(folder: pathlib.Path, digests: Mapping[str, str], path: pathlib.Path) -> None:
  """Joins the pieces in a folder to the file `path`.

  Raises:
    FileNotFoundError: a piece is missing.
    ValueError: a piece is another than was split.
  """
  with path.open('wb') as file:
    for name, known in digests.items():
      if not (folder / name).is_file():
        raise FileNotFoundError(f'{folder / name} is missing; fetch everything that the run left in its --out again')
      content = (folder / name).read_bytes()
      if hashlib.sha256(content).hexdigest() != known:
        raise ValueError(f'{folder / name} is damaged: its SHA-256 is another than when it was written; fetch it again')
      file.write(content)


def refusal(size: int, held: Mapping[str, Mapping[str, Any]], name: str, limits: Limits) -> str:
  """Returns why an archive of `size` bytes cannot come back beside those that are held (each with `pieces` and `bytes`); ''
  where it can. One file is for the state of the parts."""
  others = [entry for each, entry in held.items() if each != name]
  files = 1 + sum(len(entry['pieces']) for entry in others) + -(-size // limits.piece)
  total = size + sum(entry['bytes'] for entry in others)
  if files > limits.files or total > limits.most:
    return (f'{name} has {size:,} bytes: with it {files} files of {total:,} bytes would come back, and the limits are {limits.files} '
            f'files of {limits.most:,}')
  return ''


def extract(path: pathlib.Path, place: pathlib.Path) -> None:
  """Unpacks an archive of `archive` to a folder; files that are there are replaced."""
  with tarfile.open(path) as file:
    file.extractall(place, filter='data')
