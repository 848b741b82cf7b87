"""Names and files of a folder of one's own, whatever its layout."""

from __future__ import annotations

import pathlib

from lesion_jax.annotation.mistakes import Findings
from lesion_jax.annotation.table import composed
from lesion_jax.photograph.files import is_junk

IMAGES, MASKS, TABLE, SETTINGS = 'images', 'masks', 'grades.csv', 'dataset.json'
LOSSLESS = ('.png', '.tif', '.tiff', '.gif', '.bmp')
SPLIT_NAMES = {'train': 'train', 'training': 'train', 'val': 'validation', 'valid': 'validation',
               'validation': 'validation', 'dev': 'validation', 'test': 'test', 'testing': 'test'}


def find(root: pathlib.Path, name: str) -> pathlib.Path:
  """Returns the file or folder of that name in a folder, whatever its case; where it would lie, if there is none, or several."""
  alike = [path for path in root.iterdir() if path.name.casefold() == name] if root.is_dir() else []
  return alike[0] if len(alike) == 1 else root / name


def folders_in(root: pathlib.Path) -> list[pathlib.Path]:
  """Returns the folders in a folder, sorted, without hidden ones and those of stores; [] where it is none."""
  return sorted(path for path in root.iterdir() if path.is_dir() and not is_junk(path)) if root.is_dir() else []


def list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
  """Returns the files of a folder by their names without ending (NFC), sorted.

  Raises:
    FileNotFoundError: where there is no such folder.
    ValueError: where something else lies in it, or two files have one name.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}; source_dir must hold {IMAGES}/, and {MASKS}/ or {TABLE} or both; or folders '
                            'train, val and test of the same; or a folder for each grade (0/ to 4/), or train/0/ and so on')
  found: dict[str, pathlib.Path] = {}
  wrong = Findings()
  for path in sorted(folder.iterdir()):
    if is_junk(path):
      continue
    if not path.exists():
      wrong.add(str(path), 'is a link to nothing; remove it, or put the file there')
      continue
    name = composed(path.stem)
    if path.suffix.lower() not in suffixes or not path.is_file():
      wrong.add(str(path), f'does not belong here: this folder holds files ending in {" ".join(suffixes)} and '
                           'nothing else; move it elsewhere, or convert it')
    elif name in found:
      raise ValueError(f'{path} and {found[name].name} have one name; the name without its ending names a '
                       'photograph, so rename one of them, and what belongs to it')
    else:
      found[name] = path
  wrong.require_none()
  return found
