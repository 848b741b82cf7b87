"""IDRiD's part C: places in pixels of the prepared square, the risk of edema, and what is wrong with a table."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import IDRID_SHAPE, SIDE, fundus
from landmark_release import draw_release, places_of

from lesion_jax.core import EDEMA, UNKNOWN_EDEMA
from lesion_jax.data import index
from lesion_jax.data.datasets.idrid_landmarks import HEIGHT, TABLES, TABLES_OF, WIDTH, read_places
from lesion_jax.data.pipeline import eval_batches
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.crop import find_field


@pytest.fixture
def release(tmp_path):
  return draw_release(tmp_path / 'idrid')


def _load(release, tmp_path, name='idrid_landmarks'):
  return load_dataset(name, data_dir=tmp_path / 'data', size=SIDE, source_dir=release, quiet=True)


def test_places_are_in_pixels_of_the_square_and_lie_on_what_is_drawn_there(release, tmp_path):
  crop = find_field(fundus(*IDRID_SHAPE))
  for example in _load(release, tmp_path).source('test'):
    number = int(example['id'].removeprefix('IDRiD_'))
    for place, (name, (row, column)) in zip(example['landmarks'], places_of(number).items(), strict=True):
      expected = [((at + 0.5) / whole * length - start) * SIDE / crop.side for at, whole, length, start in (
          (row, HEIGHT, IDRID_SHAPE[0], crop.top), (column, WIDTH, IDRID_SHAPE[1], crop.left))]
      np.testing.assert_allclose(place, expected, atol=1.0)  # a pixel of the field found
      level = example['image'][int(place[0]), int(place[1])].astype(int)
      assert level.min() > 200 if name == 'disc' else level.max() < 100


def test_splits_and_grades_are_those_of_the_grading_part_and_edema_is_read_of_both(release, tmp_path):
  landmarks, grading = _load(release, tmp_path), _load(release, tmp_path, 'idrid_grading')
  assert landmarks.ids == grading.ids and landmarks.annotated == () and landmarks.graded
  for split in landmarks.splits:
    one, other = landmarks.source(split).index, grading.source(split).index
    np.testing.assert_array_equal(one.patient, other.patient)
    expected = [int(name.removeprefix('IDRiD_')) % 3 for name in one.id]
    assert one.edema.tolist() == other.edema.tolist() == expected
    assert np.isfinite(one.landmarks).all() and np.isnan(other.landmarks).all()


def test_a_batch_is_filled_up_with_what_nobody_knows(release, tmp_path):
  *_, last = eval_batches(_load(release, tmp_path).source('test'), batch_size=3)
  assert last['weight'].tolist() == [1, 0, 0] and last['edema'].tolist()[1:] == [UNKNOWN_EDEMA] * 2
  assert last['landmarks'].shape == (3, 2, 2)


def test_an_index_from_before_says_that_they_are_unknown(tmp_path):
  of = lambda **more: index.Index(id=np.array(['a', 'b']), patient=np.array(['a', 'b']), grade=np.zeros(2, np.int32),
                                  annotated=np.zeros(2, np.uint8), side=np.ones(2, np.int32), areas=np.zeros((2, 8), np.int32),
                                  fingerprint=np.zeros((2, 32, 32, 3), np.uint8), **more)
  old = {f'test/{name}': value for name, value in vars(of()).items() if name not in index.LATER}
  np.savez_compressed(tmp_path / index.NAME, **old)
  found = index.read(tmp_path, 'test')
  assert found.edema.tolist() == [UNKNOWN_EDEMA] * 2 and np.isnan(found.landmarks).all()
  joined = index.join([found, of(edema=np.array([2, 0], np.int32))])
  assert joined.edema.tolist() == [-1, -1, 2, 0] and joined.take(np.array([2])).edema.tolist() == [2]


@pytest.mark.parametrize('change, message', [
    (lambda text: text.replace('1300', 'left', 1), r"row 2: .* is 'left'; it must be a number of pixels from 0 to"),
    (lambda text: text.replace('1300', '5000', 1), "is '5000'; it must be a number"),
    (lambda text: text + text.splitlines()[1] + '\n', 'IDRiD_001 has a row already'),
    (lambda text: text.replace('IDRiD_003', 'IDRiD_903'), r'no row for 1 photographs: IDRiD_003\.jpg'),
    (lambda text: text.replace('Y - Coordinate', 'Z'), 'no column Y - Coordinate'),
])
def test_what_is_wrong_with_a_table_is_named(release, tmp_path, change, message):
  table = release / TABLES / TABLES_OF['b. Testing Set']['disc']
  table.write_text(change(table.read_text()))
  with pytest.raises(ValueError, match=message):
    _load(release, tmp_path)


def test_a_copy_that_lost_the_column_of_the_risk_has_grades_alone(release, tmp_path):
  for table in (release / 'B. Disease Grading' / '2. Groundtruths').glob('*.csv'):
    table.write_text('\n'.join(','.join(line.split(',')[:2]) for line in table.read_text().splitlines()))
  found = _load(release, tmp_path, 'idrid_grading').source('test').index
  assert found.edema.tolist() == [UNKNOWN_EDEMA] * 4 and found.grade.min() >= 0


def test_a_risk_that_is_none_is_named(release, tmp_path):
  table = release / 'B. Disease Grading' / '2. Groundtruths' / 'b. IDRiD_Disease Grading_Testing Labels.csv'
  table.write_text(table.read_text().replace('IDRiD_002,2,2', f'IDRiD_002,2,{len(EDEMA)}'))
  with pytest.raises(ValueError, match="Risk of macular edema is '3'; grades are 0..2"):
    _load(release, tmp_path)


def test_the_true_release_has_all_places(real_idrid):
  for tables, count in zip(TABLES_OF.values(), (413, 103), strict=True):
    for table in tables.values():
      assert len(read_places(real_idrid / TABLES / table)) == count
