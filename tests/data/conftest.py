"""Small copies of each release's true layout, drawn here."""

from __future__ import annotations

import logging
import pathlib

import numpy as np
import pytest
from drawing import IDRID_SHAPE, SIDE, block, draw_idrid, fundus, save


@pytest.fixture
def said(caplog, monkeypatch):
  """The messages that were logged."""
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  return caplog


@pytest.fixture
def retinal_lesions_release(tmp_path) -> pathlib.Path:
  """Four photographs: both eyes of patient 10 (the left with four kinds of mask), one without a mask, one right eye."""
  root = tmp_path / 'retinal-lesions-v20191227'
  for number, name in enumerate(('10_left', '10_right', '11_left', '12_right')):
    save(root / 'images_896x896' / f'{name}.jpg', fundus(SIDE, SIDE, seed=number), quality=95)
  masks = root / 'lesion_segs_896x896'
  of_microaneurysms = block(20, 20, 2, 2) * 255 + block(30, 30, 3, 1) * 127
  save(masks / '10_left' / 'microaneurysms.png', of_microaneurysms.astype(np.uint8))
  save(masks / '10_left' / 'retinal_hemorrhage.png', (block(20, 20, 4, 4) * 255).astype(np.uint8))
  save(masks / '10_left' / 'fibrous_proliferation.png', (block(40, 10, 5, 5) * 255).astype(np.uint8))
  save(masks / '10_left' / 'vitreous_hemorrhage.png', (block(50, 30, 4, 4) * 127).astype(np.uint8))
  save(masks / '10_right' / 'hard_exudate.png', (block(10, 30, 1, 1) * 255).astype(np.uint8))
  save(masks / '12_right' / 'cotton_wool_spots.png', np.zeros((SIDE, SIDE), np.uint8))
  (root / 'dr_grades.csv').write_text(
      'image id,kaggle label,our label\n10_left,0,4\n10_right,1,2\n11_left,4,0\n12_right,2,1\n')
  return root


@pytest.fixture
def idrid_release(tmp_path) -> pathlib.Path:
  """As `draw_idrid` draws it."""
  return draw_idrid(tmp_path / 'idrid')


@pytest.fixture
def idrid_grading_release(tmp_path) -> pathlib.Path:
  """Eight training photographs and two test ones, with the trailing space and the empty columns of the release."""
  root = tmp_path / 'idrid'
  folder = root / 'B. Disease Grading'
  tables = folder / '2. Groundtruths'
  tables.mkdir(parents=True)
  for kind, stem, numbers in (('a. Training Set', 'a. IDRiD_Disease Grading_Training Labels', range(1, 9)),
                              ('b. Testing Set', 'b. IDRiD_Disease Grading_Testing Labels', (1, 2))):
    lines = ['Image name,Retinopathy grade,Risk of macular edema ,,,,,']
    for number in numbers:
      save(folder / '1. Original Images' / kind / f'IDRiD_{number:03d}.jpg', fundus(*IDRID_SHAPE, seed=number))
      lines.append(f'IDRiD_{number:03d},{number % 5},1,,,,,')
    (tables / f'{stem}.csv').write_text('\n'.join([*lines, ',,,,,,,', '']))
  return root
