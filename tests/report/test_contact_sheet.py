"""A contact sheet shows every photograph, its annotation and its caption."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.report.contact_sheet import CELL, MARGIN, UNSCORED, WIDTH, picture, write_contact_sheet
from lesion_jax.report.overlay import COLORS


@pytest.fixture
def plain():
  """A grey photograph with a cotton-wool spot, 'annotated' unless told otherwise."""
  lesions = np.zeros((80, 80), np.uint8)
  lesions[30:50, 30:50] = lesion_bits(['CWS'])
  return {'image': np.full((80, 80, 3), 90, np.uint8), 'lesions': lesions, 'ignore': np.zeros_like(lesions),
          'annotated': np.uint8(255), 'grade': np.int32(3), 'id': 'one'}


def _sheet(tmp_path, sections, **options):
  path = tmp_path / 'sheet.png'
  write_contact_sheet(path, sections, **({'title': 'set', 'subtitle': 'of two', 'annotated': LESION_KEYS} | options))
  return np.asarray(Image.open(path))


def test_every_photograph_has_its_place(plain, tmp_path):
  sheet = _sheet(tmp_path, {'train': [plain] * 7, 'test': [plain]})
  assert sheet.shape[1] == WIDTH
  grey = (sheet == 90).all(-1)
  assert 0.8 < grey.sum() / (8 * CELL * CELL) < 1, 'eight photographs, but for their outlines'
  assert _sheet(tmp_path, {'train': [plain] * 5, 'test': [plain]}).shape[0] < sheet.shape[0]


def test_outlines_have_the_colours_of_the_lesions(plain):
  drawn = picture(plain)
  around = (drawn == COLORS['CWS']).all(-1)
  assert around.any() and not around[31:49, 31:49].any()
  unscored = picture(plain | {'lesions': plain['ignore'], 'ignore': plain['lesions']})
  assert (unscored == UNSCORED).all(-1).any() and not (unscored == COLORS['CWS']).all(-1).any()


def test_captions_name_id_grade_and_lesions(plain, tmp_path):
  """Each of them changes what stands below the photograph, and nothing else."""
  first = _sheet(tmp_path, {'all': [plain]})
  for change in ({'id': 'two'}, {'grade': np.int32(-1)}, {'annotated': np.uint8(0)}):
    other = _sheet(tmp_path, {'all': [plain | change]})
    differing = np.flatnonzero((first != other).any((1, 2)))
    assert differing.size and differing[0] > first.shape[0] - MARGIN - 100, change


def test_without_a_lesion_the_caption_says_which_were_annotated(plain, tmp_path):
  none = plain | {'lesions': plain['ignore']}
  assert (_sheet(tmp_path, {'all': [none]}) != _sheet(tmp_path, {'all': [none | {'annotated': np.uint8(14)}]})).any()


def test_a_long_id_does_not_reach_the_grade(plain, tmp_path):
  sheet = _sheet(tmp_path, {'all': [plain | {'id': 'W' * 90}, plain | {'id': ''}]})
  assert np.array_equal(sheet[-120:, MARGIN + CELL + 1:MARGIN + CELL + 14], np.full((120, 13, 3), 24)), 'the gap'


def test_a_data_set_without_lesions_has_no_legend(plain, tmp_path):
  assert _sheet(tmp_path, {'all': [plain]}, annotated=()).shape[0] < _sheet(tmp_path, {'all': [plain]}).shape[0]
