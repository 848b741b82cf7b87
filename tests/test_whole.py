"""Files that are whole or not there, and data that tell whether they are as they were written."""

import pytest

from lesion_jax.whole import seal, unseal, whole


def test_a_file_comes_in_the_place_of_another_when_all_of_it_is_written(tmp_path):
  path = tmp_path / 'folder' / 'file'
  with whole(path) as fresh:
    fresh.write_text('old')
  with whole(path) as fresh:
    fresh.write_text('new')
    assert path.read_text() == 'old' and fresh.parent == path.parent
  assert path.read_text() == 'new' and list(path.parent.iterdir()) == [path]


def test_where_writing_fails_the_old_one_stays_and_nothing_else(tmp_path):
  path = tmp_path / 'file'
  path.write_text('old')
  with pytest.raises(KeyboardInterrupt), whole(path) as fresh:
    fresh.write_text('ne')
    raise KeyboardInterrupt
  assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_two_that_write_the_same_do_not_meet(tmp_path):
  with whole(tmp_path / 'file') as first, whole(tmp_path / 'file') as second:
    first.write_text('first')
    second.write_text('second')
  assert (tmp_path / 'file').read_text() == 'first' and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('damage', [lambda data: data[:-1], lambda data: data + b'x', lambda data: data[1:], lambda data: b'',
                                    lambda data: data.replace(b'a', b'b')])
def test_damaged_data_are_none(damage):
  sealed = seal(b'data' * 100)
  assert unseal(sealed) == b'data' * 100 and unseal(damage(sealed)) is None
  assert unseal(seal(b'')) == b''
