"""Which photograph an export speaks of: its file's name, and the file of that name in a folder."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable
from urllib.parse import parse_qs, unquote, urlsplit

from lesion_jax.annotation.table import composed
from lesion_jax.photograph.files import is_own

# Label Studio puts eight hexadecimal digits and a hyphen before the name of a file that was uploaded.
_UPLOADED = re.compile(r'^[0-9a-f]{8}-(?=.)')


def file_name(reference: str) -> str:
  """Returns the file's name in a path, an address, or one of Label Studio's own forms, without any folder.

  Understood are '/data/upload/3/0a1b2c3d-eye.jpg', '/data/local-files/?d=photographs/eye.jpg', 's3://bucket/eye.jpg',
  'https://host/eye%201.jpg?size=full' and plain paths with slashes of either kind. The digits of an upload stay:
  `Photographs.find` looks for the name with and without them.
  """
  parts = urlsplit(reference.replace('\\', '/'))
  inner = parse_qs(parts.query).get('d')
  path = inner[0] if inner and parts.path.rstrip('/').endswith('local-files') else unquote(parts.path)
  # A name with '#', '?' or ':' in it, as an export of plain file names may have.
  if '://' not in reference and not parts.netloc and not inner:
    path = unquote(reference.replace('\\', '/'))
  return path.rstrip('/').rpartition('/')[2]


class Photographs:
  """The photographs of a folder and the folders in it, by file name."""

  def __init__(self, files: Iterable[pathlib.Path]):
    self._by_name: dict[str, list[pathlib.Path]] = {}
    self._by_stem: dict[str, list[pathlib.Path]] = {}
    for path in sorted(files):
      self._by_name.setdefault(composed(path.name), []).append(path)
      self._by_stem.setdefault(composed(path.stem), []).append(path)

  @classmethod
  def of(cls, folder: pathlib.Path) -> Photographs:
    """Returns all files below a folder, but for what systems and stores keep beside photographs. Raises FileNotFoundError where there is none."""
    if not folder.is_dir():
      raise FileNotFoundError(f'no folder {folder}; name the one that holds the photographs that were annotated')
    return cls(path for path in folder.rglob('*') if path.is_file() and is_own(path.relative_to(folder)))

  def find(self, name: str) -> pathlib.Path | None:
    """Returns the file of that name; else, of that name without the digits of an upload; else, one of that stem.

    Another suffix is allowed since annotators are often shown a JPEG of what lies there as PNG, TIFF or DICOM.

    Returns:
      The path, or None where there is no such file.

    Raises:
      ValueError: where there are several.
    """
    name = composed(name)
    shorter = _UPLOADED.sub('', name)
    stem = lambda text: pathlib.PurePath(text).stem
    for table, key in ((self._by_name, name), (self._by_name, shorter),
                       (self._by_stem, stem(name)), (self._by_stem, stem(shorter))):
      found = table.get(key, [])
      if len(found) > 1:
        raise ValueError(f'{name} is several photographs: {", ".join(map(str, found))}; give them different names')
      if found:
        return found[0]
    return None
