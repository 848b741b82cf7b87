"""Names of photographs in exports, and the files that they mean."""

from __future__ import annotations

import pytest

from lesion_jax.annotation.names import Photographs, file_name


@pytest.mark.parametrize('reference, name', [
    ('eye.jpg', 'eye.jpg'),
    ('photographs/a b/eye.jpg', 'eye.jpg'),
    ('C:\\photographs\\eye.jpg', 'eye.jpg'),
    ('/data/upload/3/0a1b2c3d-eye_left.jpg', '0a1b2c3d-eye_left.jpg'),
    ('/data/local-files/?d=photographs/set%201/eye%20left.jpg', 'eye left.jpg'),
    ('http://localhost:8080/data/local-files/?d=photographs/eye.jpg', 'eye.jpg'),
    ('s3://bucket/folder/eye.jpg', 'eye.jpg'),
    ('https://host/folder/eye%201.jpg?size=full#x', 'eye 1.jpg'),
    ('eye #3.jpg', 'eye #3.jpg'),
    ('C:\\eyes\\eye #3.jpg', 'eye #3.jpg'),
    ('clinic/OD-10:22.jpg', 'OD-10:22.jpg'),
    ('OD-10:22.jpg', 'OD-10:22.jpg'),
])
def test_the_file_in_a_reference(reference, name):
  assert file_name(reference) == name


@pytest.fixture
def photographs(tmp_path):
  for name in ('10_left.png', 'deep/10_right.jpg', '0a1b2c3d-own.jpg', 'twice/same.jpg', 'same.jpg', 'a.jpg', 'a.png',
               '#recycle/10_left.png', 'deep/@eaDir/x/10_right.jpg', '._10_left.png'):  # which systems keep
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  return Photographs.of(tmp_path)


@pytest.mark.parametrize('name, found', [
    ('10_left.png', '10_left.png'),
    ('10_right.jpg', '10_right.jpg'),
    ('10_left.jpg', '10_left.png'),  # shown as JPEG
    ('0123abcd-10_left.png', '10_left.png'),  # uploaded
    ('0123abcd-10_left.jpg', '10_left.png'),  # both
    ('0a1b2c3d-own.jpg', '0a1b2c3d-own.jpg'),  # those digits are its own
    ('a.png', 'a.png'),
])
def test_the_photograph_of_a_name(photographs, name, found):
  assert photographs.find(name).name == found


def test_an_unknown_name_finds_nothing(photographs):
  assert photographs.find('11_left.jpg') is None
  assert photographs.find('0123abcd-') is None


@pytest.mark.parametrize('name', ['same.jpg', 'a.tif'])
def test_a_name_of_several_photographs_is_refused(photographs, name):
  with pytest.raises(ValueError, match=rf'{name} is several photographs: .*give them different names'):
    photographs.find(name)


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no folder .*absent'):
    Photographs.of(tmp_path / 'absent')
