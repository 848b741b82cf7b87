"""A small copy of IDRiD's parts B and C, whose photographs show where optic disc and fovea are; and a bundle of landmarks."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
from drawing import IDRID_SHAPE, fundus, patchwork, save

from lesion_jax.data.datasets.idrid_landmarks import HEIGHT, TABLES, TABLES_OF, WIDTH
from lesion_jax.models.landmarks import LandmarkNet
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

CHANNELS = (2, 2, 4, 4, 4)
GRADING = {'a. Training Set': 'a. IDRiD_Disease Grading_Training Labels', 'b. Testing Set': 'b. IDRiD_Disease Grading_Testing Labels'}


def places_of(number: int) -> dict[str, tuple[float, float]]:
  """(row, column) in the pixels that the tables count, whole numbers."""
  column = 1400 + 20 * number
  return {'disc': (1300, column), 'fovea': (1500, column + 1300)}


def draw_release(root: pathlib.Path, training=range(1, 17), test=range(1, 5), edema=lambda number: number % 3) -> pathlib.Path:
  """Draws the two parts; a white dot is the disc and a dark one the fovea."""
  folder = root / 'B. Disease Grading'
  for kind, stem in GRADING.items():
    numbers, tables = training if kind.startswith('a') else test, TABLES_OF[kind]
    rows = {name: ['Image No,X- Coordinate,Y - Coordinate'] for name in tables}
    labels = ['Image name,Retinopathy grade,Risk of macular edema ,,,']
    for number in numbers:
      picture = patchwork(fundus(*IDRID_SHAPE, seed=number), seed=number + (1000 if kind.startswith('b') else 0))
      for name, (row, column) in places_of(number).items():
        at = int(row / HEIGHT * IDRID_SHAPE[0]), int(column / WIDTH * IDRID_SHAPE[1])
        picture[at[0] - 2:at[0] + 3, at[1] - 2:at[1] + 3] = 255 if name == 'disc' else 20
        rows[name].append(f'IDRiD_{number:03d},{column},{row}')
      save(folder / '1. Original Images' / kind / f'IDRiD_{number:03d}.jpg', picture, quality=95)
      labels.append(f'IDRiD_{number:03d},{number % 5},{edema(number)},,,')
    _write(folder / '2. Groundtruths' / f'{stem}.csv', labels)
    for name, table in tables.items():
      _write(root / TABLES / table, [*rows[name], ',,'])
  return root


def _write(path: pathlib.Path, lines: list[str]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text('\n'.join(lines) + '\n')


def landmark_config(size=32, **changes):
  """A bundle's config.json for the small network of landmarks."""
  return {'model': {'name': 'landmark_net', 'channels': list(CHANNELS)}, 'landmarks': ['disc', 'fovea'], 'disc_diameter': 0.1526,
          'found': 0.5, 'preprocessing': {'size': size, 'crop': 'field of view'}, 'provenance': {}, 'data': {'name': 'drawn'},
          'metrics': {}} | changes


def landmark_bundle(path: pathlib.Path, *, at: tuple[int, int] | None = None, **changes) -> pathlib.Path:
  """A bundle whose network says of every picture that both landmarks are in one cell (row, column) of its 4 x 4, or, with None,
  that they are not in it."""
  variables = initialize(LandmarkNet(CHANNELS), jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), 0)
  params = jax.tree.map(np.zeros_like, variables['params'])
  params['outside']['bias'] = np.full(2, 20 if at is None else -20, np.float32)
  save_bundle(path, config=landmark_config(**changes), variables=variables | {'params': params}, card='')
  return path
