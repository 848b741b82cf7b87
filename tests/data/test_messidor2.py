"""Messidor-2 with the adjudicated grades, in its own layout and with its own traps."""

from __future__ import annotations


import pytest
from drawing import SIDE, fundus, save

from lesion_jax.data.registry import load_dataset

# As the files are named; the table says '.jpg' where the file says '.JPG'.
NAMES = [f'20051020_{number}_0100_PP.png' for number in range(43808, 43818)] + [
    f'IM00{number}.JPG' for number in range(4832, 4842)]
UNGRADABLE = NAMES[3]
HEADER = 'image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n'


@pytest.fixture
def release(tmp_path):
  """Twenty photographs, one ungradable and without a grade, and the list of pairs."""
  root = tmp_path / 'messidor2'
  for number, name in enumerate(NAMES):
    save(root / 'IMAGES' / name, fundus(60, 90, seed=number))
  (root / 'IMAGES' / 'Thumbs.db').write_bytes(b'')
  rows = ((name.replace('.JPG', '.jpg'), number % 5, name != UNGRADABLE) for number, name in enumerate(NAMES))
  (root / 'messidor_data.csv').write_text(HEADER + ''.join(
      f'{name},{grade},0,1\n' if gradable else f'{name},,,0\n' for name, grade, gradable in rows))
  pairs = zip(NAMES[::2], NAMES[1::2], strict=True)
  (root / 'messidor-2.csv').write_text('left;right\n' + ''.join(f'{left};{right}\n' for left, right in pairs))
  return root


def _load(release):
  return load_dataset('messidor2', data_dir=release.parent / 'prepared', size=SIDE, source_dir=release)


def _examples(dataset):
  return {example['id']: (split, example) for split in dataset.splits for example in dataset.source(split)}


def _stem(name):
  return name.rpartition('.')[0]


def test_every_gradable_photograph_has_its_grade_whatever_the_case_of_its_extension(release):
  dataset = _load(release)
  assert {name: int(example['grade']) for name, (_, example) in _examples(dataset).items()} == {
      _stem(name): number % 5 for number, name in enumerate(NAMES) if name != UNGRADABLE}
  assert dataset.splits == ('train', 'validation', 'test')
  assert dataset.annotated == () and dataset.crop == 'field of view'


def test_the_ungradable_are_counted(release, said):
  _load(release)
  assert '1 photographs are skipped, which the raw dataset calls ungradable' in said.text
  assert 'ungradable 1 (published: 4)' in said.text and 'photographs 20 (published: 1748)' in said.text


def test_both_eyes_of_an_examination_stay_together(release):
  found = _examples(_load(release))
  for left, right in zip(NAMES[::2], NAMES[1::2], strict=True):
    sides = {(split, example['patient']) for name, (split, example) in found.items()
             if name in (_stem(left), _stem(right))}
    assert len(sides) == 1 and sides.pop()[1] == _stem(left)


def test_without_the_list_of_pairs_each_photograph_is_its_own_patient_and_that_is_said(release, said):
  (release / 'messidor-2.csv').unlink()
  found = _examples(_load(release))
  assert all(example['patient'] == name for name, (_, example) in found.items())
  assert 'pairs of eyes 0 (published: 874)' in said.text


def _row(release, old, new):
  table = release / 'messidor_data.csv'
  assert old in table.read_text()
  table.write_text(table.read_text().replace(old, new))


@pytest.mark.parametrize('old, new, message', [
    (f'{NAMES[1]},1,0,1', f'{NAMES[1]},,0,1', rf"row 3 \({NAMES[1].lower()}\): adjudicated_dr_grade is ''; grades"),
    (f'{NAMES[1]},1,0,1', f'{NAMES[1]},1,0,', rf"row 3 \({NAMES[1]}\): adjudicated_gradable is ''; it is 0 or 1"),
    (f'{NAMES[1]},1,0,1\n', '', rf'messidor_data\.csv has no row for 1 photographs: {NAMES[1]}'),
    ('adjudicated_dr_grade', 'diagnosis', 'has no column adjudicated_dr_grade; its columns are image_id, diagnosis'),
])
def test_a_table_that_breaks_its_rules_is_refused(release, old, new, message):
  _row(release, old, new)
  with pytest.raises(ValueError, match=message):
    _load(release)


def test_a_photograph_in_two_pairs_is_refused(release):
  with (release / 'messidor-2.csv').open('a') as file:
    file.write(f'{NAMES[0]};{NAMES[5]}\n')
  with pytest.raises(ValueError, match=rf'messidor-2\.csv, row 12: {NAMES[0]} is in another pair already'):
    _load(release)


def test_names_that_differ_in_case_alone_are_refused(release):
  save(release / 'IMAGES' / 'im004832.jpg', fundus(60, 90))
  with pytest.raises(ValueError, match=r'IM004832\.JPG and im004832\.jpg differ in nothing but case'):
    _load(release)


def test_nothing_is_prepared_of_a_release_without_a_photograph(release):
  for path in (release / 'IMAGES').iterdir():
    path.rename(path.with_suffix('.tif'))
  with pytest.raises(ValueError, match=f'messidor2: there is no photograph to prepare in {release}; .*named? them'):
    _load(release)
  assert not list(release.parent.glob('prepared/messidor2/*/*'))


@pytest.mark.parametrize('missing', ['IMAGES', 'messidor_data.csv'])
def test_what_is_missing_is_named(release, missing):
  (release / missing).rename(release / 'elsewhere')
  with pytest.raises(FileNotFoundError, match=str(release / missing)):
    _load(release)


def test_a_damaged_photograph_is_named(release):
  path = release / 'IMAGES' / NAMES[12]
  path.write_bytes(path.read_bytes()[:300])
  with pytest.raises(ValueError, match=rf'cannot read the photograph .*{NAMES[12]}'):
    _load(release)
