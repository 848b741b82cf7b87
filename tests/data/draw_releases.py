"""Small copies of the releases with lesion masks, each in its true layout, and what the tests of all of them ask."""

from __future__ import annotations

import hashlib
import pathlib

import numpy as np
from drawing import IDRID_SHAPE, SIDE, block, fundus, palette, save
from PIL import Image

from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data.dataset import Dataset
from lesion_jax.data.registry import load_dataset

# A field of 112 pixels in a photograph of 144x96 (width x height): its square is halved to 56.
SHAPE, RADIUS, HALF = IDRID_SHAPE, 56, 56


def photograph(seed: int) -> np.ndarray:
  """uint8 [96, 144, 3]: an oblong photograph whose square is 112 pixels wide."""
  return fundus(*SHAPE, radius=RADIUS, seed=seed)


def drawn(top: int, left: int, height: int, width: int) -> np.ndarray:
  """bool [96, 144]: one rectangle on such a photograph."""
  return block(top, left, height, width, SHAPE)


def halved(top: int, left: int, height: int, width: int) -> np.ndarray:
  """bool [56, 56]: where that rectangle, of even numbers, lies in the prepared example."""
  return block((top + 8) // 2, (left - 16) // 2, height // 2, width // 2, (HALF, HALF))


def grey(mask: np.ndarray) -> np.ndarray:
  """uint8 0 and 255."""
  return mask.astype(np.uint8) * 255


def open_release(name: str, release: pathlib.Path, size: int = HALF, **options) -> Dataset:
  """Prepares beside the release, once."""
  return load_dataset(name, data_dir=release.parent / 'prepared', size=size, source_dir=release, **options)


def examples_of(dataset: Dataset) -> dict:
  """id -> example, of all splits."""
  return {example['id']: example for split in dataset.splits for example in dataset.source(split)}


def mask_of(example: dict, key: str, field: str = 'lesions') -> np.ndarray:
  """bool [S, S]: one lesion."""
  return unpack_bits(example[field])[..., LESION_KEYS.index(key)]


def snapshot(folder: pathlib.Path) -> dict[str, str]:
  """Every file below a folder and its content."""
  return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
          for path in folder.rglob('*') if path.is_file()}


def draw_ddr(root: pathlib.Path) -> pathlib.Path:
  """Three, two and two photographs; in 'valid' the masks lie in 'segmentation label'."""
  for folder, masks, numbers in (('train', 'label', (1, 2, 3)), ('valid', 'segmentation label', (4, 5)),
                                 ('test', 'label', (6, 7))):
    for number in numbers:
      base, name = root / 'lesion_segmentation' / folder, f'007-{number:04d}-100'
      save(base / 'image' / f'{name}.jpg', photograph(number), quality=95)
      for code, mask in (('MA', drawn(40, 60, 4, 4)), ('EX', drawn(60, 80, 8, 8)), ('HE', drawn(0, 0, 0, 0)),
                         ('SE', drawn(0, 0, 0, 0))):
        save(base / masks / code / f'{name}.tif', grey(mask))
  return root


def draw_fgadr(root: pathlib.Path) -> pathlib.Path:
  """Ten photographs; anti-aliased masks, those of hemorrhages in RGB; one mask of NV and one of IRMA; no header."""
  base = root / 'Seg-set'
  soft = grey(block(20, 20, 4, 4))
  soft[20, 20:24], soft[23, 20:24] = 127, 128
  lines = []
  for number in range(10):
    name = f'{number:04d}_1.png'
    save(base / 'Original_Images' / name, fundus(SIDE, SIDE, seed=number))
    save(base / 'Microaneurysms_Masks' / name, soft)
    save(base / 'Hemohedge_Masks' / name, np.repeat(soft[..., None], 3, axis=-1))
    for folder in ('HardExudate_Masks', 'SoftExudate_Masks'):
      save(base / folder / name, np.zeros((SIDE, SIDE), np.uint8))
    lines.append(f'{name},{number % 5}')
  save(base / 'Neovascularization_Masks' / '0003_1.png', grey(block(10, 10, 2, 2)))
  save(base / 'IRMA_Masks' / '0004_1.png', grey(block(30, 30, 9, 9)))
  (base / 'DR_Seg_Grading_Label.csv').write_text('\n'.join([*lines, '']))
  return root


def draw_tjdr(root: pathlib.Path) -> pathlib.Path:
  """Ten training and three test photographs of two sizes; maps are palettes, and one is grey."""
  for folder, numbers in (('train', range(10)), ('test', range(10, 13))):
    for number in numbers:
      side, name = SIDE * (1 + number % 2), f'{folder}_{number:03d}.png'
      labels = np.zeros((side, side), np.uint8)
      for value in range(1, 5):
        labels[8 * value:8 * value + 4, 20:24] = value
      save(root / folder / 'image' / name, fundus(side, side, seed=number))
      save(root / folder / 'annotation' / name, labels if number == 11 else palette(labels))
  return root


def draw_e_ophtha(root: pathlib.Path) -> pathlib.Path:
  """Both parts; one photograph, and six folders, in both; upper case in names, and Thumbs.db."""
  for part, ending, ill, healthy in (
      ('EX', '_EX.png', ['E0000404/C0021833.jpg', 'E0000404/DS000DGS.JPG', 'E0000001/C0000001.jpg'],
       ['E0000043/DS000DGV.JPG', *(f'E{number:07d}/C{number + 10:07d}.jpg' for number in range(2, 6))]),
      ('MA', '.png', ['E0000404/C0021833.jpg', 'E0000043/DS000DGT.JPG'],
       [f'E{number:07d}/C{number:07d}.jpg' for number in range(2, 10)])):
    base = root / f'e_optha_{part}'
    for place in ill:
      path = save(base / part / place, photograph(len(place)), format='JPEG', quality=95)
      save(base / f'Annotation_{part}' / path.parent.name / f'{path.stem}{ending}', grey(drawn(40, 60, 4, 4)))
    for place in healthy:
      save(base / 'healthy' / place, photograph(7), format='JPEG', quality=95)
    (path.parent / 'Thumbs.db').write_bytes(b'not an image')
    (base / f'Annotation_{part}' / path.parent.name / 'Thumbs.db').write_bytes(b'not an image')
  return root


def draw_maples_dr(root: pathlib.Path) -> pathlib.Path:
  """Eight and two photographs; those of MESSIDOR lie beside the labels, in the folders of its bases."""
  rectangles = {
      'Microaneurysms': (40, 60, 4, 4), 'Hemorrhages': (20, 40, 4, 4), 'Exudates': (60, 80, 8, 8),
      'CottonWoolSpots': (0, 0, 0, 0), 'RedUncertains': (40, 60, 8, 4), 'BrightUncertains': (70, 40, 4, 4),
      'Neovascularization': (30, 100, 6, 6), 'Drusens': (10, 60, 2, 2)}
  for number in range(10):
    folder, name = 'train' if number < 8 else 'test', f'20051020_{44000 + number}_0100_PP'
    save(root / 'MESSIDOR' / f'Base{11 + number % 2}' / f'{name}.tif', photograph(number))
    for biomarker, rectangle in rectangles.items():
      save(root / folder / biomarker / f'{name}.png', Image.fromarray(drawn(*rectangle)))
  for folder in ('train', 'test'):
    (root / folder / 'diagnosis.csv').write_text('name,DR,ME\n')
  return root


def draw_folder(root: pathlib.Path) -> pathlib.Path:
  """Twelve photographs of six patients in several formats, masks of two lesions, and a table."""
  lines = ['id,patient,grade']
  for number in range(12):
    ending = ('.jpg', '.PNG', '.tif')[number % 3]
    save(root / 'images' / f'eye{number:02d}{ending}', photograph(number))
    lines.append(f'eye{number:02d},p{number // 2},{"" if number == 5 else number % 5}')
  save(root / 'masks' / 'MA' / 'eye00.png', grey(drawn(40, 60, 4, 4)) + np.uint8(127) * drawn(20, 40, 4, 4))
  save(root / 'masks' / 'MA' / 'eye01.tif', palette(drawn(40, 60, 4, 4)))
  save(root / 'masks' / 'NV' / 'eye00.gif', Image.fromarray(drawn(60, 80, 8, 8)))
  (root / 'grades.csv').write_text('\n'.join([*lines, '']))
  return root


DRAWN = {'ddr': draw_ddr, 'fgadr': draw_fgadr, 'tjdr': draw_tjdr, 'e_ophtha': draw_e_ophtha,
         'maples_dr': draw_maples_dr, 'folder': draw_folder}
