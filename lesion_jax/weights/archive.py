"""Zip archives from strangers, read in memory: nothing of them is written or run, and every member is checked first."""

from __future__ import annotations

import pathlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping

ENCRYPTED = 0x1 | 0x40 | 0x2000  # bits of the general purpose flag: the data, strongly, the directory
# Of the methods of zip, those whose output the standard library bounds while it decompresses.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What `zipfile` raises for damaged files.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, LookupError, ValueError, RuntimeError,
          ArithmeticError)
# A member may become larger than SMALL only if it is not RATIO times as large as in the archive: weights and fingerprints
# hardly shrink, and what does would be a bomb (our choice).
SMALL, RATIO = 16 << 20, 20
IGNORED = ('__MACOSX/', '.DS_Store')  # what macOS adds to the archives that it makes


def read_archive(path: pathlib.Path, limits: Mapping[str, int]) -> dict[str, bytes]:
  """Reads files that lie at the top of a zip archive, or all in one folder of it.

  Args:
    path: the archive.
    limits: the names of the files that may be in it, and how many bytes each may have. No other file may be in it,
      except for IGNORED, which is not read.

  Returns:
    name -> content, of the files that are there.

  Raises:
    ValueError: it is no zip archive, is damaged, or holds something else, twice the same, too much, or something hidden
      (an encrypted file, a link, a path that leads elsewhere). Nothing was written.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      members = [member for member in archive.infolist() if not _is_ignored(member)]
      files = _check(members, limits)
      return {name: _read(archive, member) for name, member in files.items()}
  except DAMAGE as error:
    raise ValueError(f'{path} is no zip archive of a bundle, or is damaged ({error}); copy it again') from error
  except _Refused as error:
    raise ValueError(f'{path} is refused: {error}. Allowed are {", ".join(limits)}, at the top or in one '
                     'folder') from None


class _Refused(Exception):
  """What is wrong with a member."""


def _is_ignored(member: zipfile.ZipInfo) -> bool:
  return member.orig_filename.startswith(IGNORED[0]) or member.orig_filename.rpartition('/')[2] == IGNORED[1]


def _check(members: list[zipfile.ZipInfo], limits: Mapping[str, int]) -> dict[str, zipfile.ZipInfo]:
  """The files by name. Looks at what the archive says of itself alone."""
  files: dict[str, zipfile.ZipInfo] = {}
  folders = set()
  for member in members:
    name = member.orig_filename  # as it is stored: `filename` is cut and changed already
    folder, _, base = name.rpartition('/')
    kind = stat.S_IFMT(member.external_attr >> 16)
    if set(name) & set('\\:\0') or {'', '.', '..'} & set(name.removesuffix('/').split('/')):
      raise _Refused(f'{name!r} is a path that leads elsewhere')
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
      raise _Refused(f'{name!r} is a link or a device')
    if not base:  # a folder
      continue
    if base not in limits:
      raise _Refused(f'{name!r} is no part of a bundle')
    if base in files:
      raise _Refused(f'{base!r} is in it twice')
    if member.flag_bits & ENCRYPTED:
      raise _Refused(f'{name!r} is encrypted')
    if member.compress_type not in METHODS:
      raise _Refused(f'{name!r} is compressed by another method than deflate')
    if member.file_size > limits[base]:
      raise _Refused(f'{name!r} has {member.file_size:,} bytes, more than {limits[base]:,}')
    if member.file_size > max(SMALL, RATIO * member.compress_size):
      raise _Refused(f'{name!r} would become {member.file_size:,} bytes from {member.compress_size:,}, as no weights do')
    files[base] = member
    folders.add(folder)
  if len(folders) > 1 or any('/' in folder for folder in folders):
    raise _Refused(f'its files lie in {sorted(folders)}')
  return files


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
  """The content of a member, never more of it than was announced; `zipfile` compares its checksum."""
  with archive.open(member) as file:
    data = file.read(member.file_size)
    if len(data) != member.file_size or file.read(1):
      raise _Refused(f'{member.orig_filename!r} has not the {member.file_size:,} bytes that were announced')
  return data
