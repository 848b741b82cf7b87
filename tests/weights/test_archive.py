"""A zip archive of a bundle loads like the bundle; one made to do harm can neither write nor run anything."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import stat
import zipfile

import jax
import numpy as np
import pytest

from lesion_jax.weights import bundle
from lesion_jax.weights.archive import read_archive
from lesion_jax.weights.bundle import load_bundle, save_bundle

LIMITS = {'config.json': 1000, 'model.safetensors': 1000}


@pytest.fixture
def files(tmp_path):
  """name -> content of a bundle that is sound."""
  variables = {'params': {'a': np.arange(6, dtype=np.float32).reshape(2, 3)}}
  save_bundle(tmp_path / 'net', config={'model': {'name': 'net'}}, variables=variables, card='# Net\n')
  return {path.name: path.read_bytes() for path in (tmp_path / 'net').iterdir()}


@pytest.fixture
def pack(tmp_path):
  """`pack([(name or ZipInfo, content), ...]) -> path` of an archive with these members, in this order."""

  def make(members, **options):
    path = tmp_path / 'net.zip'
    with zipfile.ZipFile(path, 'w', **options) as archive:
      for name, content in members:
        archive.writestr(name, content)
    return path

  return make


@pytest.mark.parametrize('folder', ['', 'net/', 'ein Ordner é/'])
@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_is_the_bundle_that_was_packed(files, pack, tmp_path, folder, method):
  path = pack([(folder + name, content) for name, content in files.items()], compression=method)
  found, expected = load_bundle(path), load_bundle(tmp_path / 'net')
  assert found.config == expected.config
  assert jax.tree.structure(found.variables) == jax.tree.structure(expected.variables)
  np.testing.assert_array_equal(found.variables['params']['a'], expected.variables['params']['a'])


def test_what_the_usual_programs_make_is_taken(files, tmp_path):
  shutil.make_archive(str(tmp_path / 'made'), 'zip', root_dir=tmp_path, base_dir='net')  # has an entry for the folder
  assert load_bundle(tmp_path / 'made.zip').config == {'model': {'name': 'net'}}


def test_what_macos_adds_is_not_read(files, pack):
  added = [('__MACOSX/._net', b'x'), ('net/.DS_Store', b'x'), ('__MACOSX/net/._config.json', b'x')]
  assert load_bundle(pack([*((f'net/{name}', data) for name, data in files.items()), *added])).config


def test_the_name_does_not_matter(files, pack):
  path = pack(files.items())
  assert load_bundle(path.rename(path.with_name('net.bundle'))).config


def test_an_archive_that_lacks_a_file_says_so(files, pack):
  del files['model.safetensors']
  with pytest.raises(FileNotFoundError, match='it lacks model.safetensors'):
    load_bundle(pack(files.items()))


def test_another_file_is_no_archive(tmp_path):
  (tmp_path / 'net.zip').write_bytes(b'a text')
  with pytest.raises(ValueError, match=r'net\.zip is no zip archive of a bundle, or is damaged'):
    load_bundle(tmp_path / 'net.zip')


class Harm:
  """Unpickled, it leaves a file."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


@pytest.fixture
def hostile(tmp_path, monkeypatch):
  """A place from which every path that the archives name would lead to something visible; nothing may be written."""
  here = tmp_path / 'deep' / 'inside'
  here.mkdir(parents=True)
  monkeypatch.chdir(here)
  for name in ('extract', 'extractall'):
    monkeypatch.setattr(zipfile.ZipFile, name, lambda *_, **__: pytest.fail('it was unpacked'))
  return here


def link(name, target):
  info = zipfile.ZipInfo(name)
  info.external_attr = (stat.S_IFLNK | 0o777) << 16
  return info, target


@pytest.mark.parametrize('name', [
    '../config.json', '/config.json', 'net/../../config.json', './config.json', 'net//config.json', '..\\config.json',
    'C:\\config.json', 'C:config.json', 'config.json\0.txt', '../'])
def test_a_path_that_leads_elsewhere_is_refused(pack, files, hostile, name):
  info = zipfile.ZipInfo('placeholder')
  info.filename = info.orig_filename = name  # as a hostile program writes it; ZipInfo would clean it
  path = pack([*files.items(), (info, b'harm')])
  before = sorted(hostile.parents[1].rglob('*'))
  with pytest.raises(ValueError, match=r'net\.zip is refused: .*is a path that leads elsewhere'):
    load_bundle(path)
  assert sorted(hostile.parents[1].rglob('*')) == before


@pytest.mark.parametrize('members, cause', [
    ([link('config.json', '/etc/passwd')], "'config.json' is a link"),
    ([link('net', '..'), ('net/config.json', b'{}')], "'net' is a link"),
    ([('config.json', b'{}'), ('weights.pkl', b'x')], "'weights.pkl' is no part of a bundle"),
    ([('a/config.json', b'{}'), ('b/model.safetensors', b'x')], r"its files lie in \['a', 'b'\]"),
    ([('a/b/config.json', b'{}')], r"its files lie in \['a/b'\]"),
    ([('config.json', b'{}'), ('net/model.safetensors', b'')], r"its files lie in \['', 'net'\]"),
    ([('config.json', b' ' * 1001)], "'config.json' has 1,001 bytes, more than 1,000"),
])
def test_what_does_not_belong_in_a_bundle_is_refused(pack, hostile, members, cause):
  with pytest.raises(ValueError, match=rf'net\.zip is refused: {cause}.*Allowed are config\.json, model\.safetensors'):
    read_archive(pack(members), LIMITS)


def test_the_same_name_twice_is_refused(pack, hostile):
  with pytest.warns(UserWarning, match='Duplicate name'):
    path = pack([('config.json', b'{}'), ('config.json', b'[]')])
  with pytest.raises(ValueError, match="'config.json' is in it twice"):
    read_archive(path, LIMITS)


def test_an_encrypted_file_is_refused(pack, hostile):
  path = pack([('config.json', b'{}')])
  data = bytearray(path.read_bytes())
  for mark, place in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
    data[data.index(mark) + place] |= 1
  path.write_bytes(data)
  with pytest.raises(ValueError, match="'config.json' is encrypted"):
    read_archive(path, LIMITS)


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_output_is_not_bounded_are_refused(pack, hostile, method):
  with pytest.raises(ValueError, match='compressed by another method than deflate'):
    read_archive(pack([('config.json', b'{}')], compression=method), LIMITS)


def test_a_bomb_is_refused_by_the_size_that_it_announces(pack, hostile, monkeypatch):
  path = pack([('model.safetensors', bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 100_000
  monkeypatch.setattr(zipfile.ZipFile, 'open', lambda *_: pytest.fail('it was decompressed'))
  with pytest.raises(ValueError, match='has 50,000,000 bytes, more than 1,000'):
    read_archive(path, LIMITS)


@pytest.mark.parametrize('announced', [0, 10, 999])
def test_a_bomb_that_announces_less_is_not_decompressed_beyond_that(pack, hostile, monkeypatch, announced):
  path = pack([('model.safetensors', bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED)
  data = bytearray(path.read_bytes())
  for mark, place in ((b'PK\x03\x04', 22), (b'PK\x01\x02', 24)):
    start = data.index(mark) + place
    data[start:start + 4] = announced.to_bytes(4, 'little')
  path.write_bytes(data)
  taken = []
  read = zipfile.ZipExtFile._read1
  monkeypatch.setattr(zipfile.ZipExtFile, '_read1', lambda self, n: taken.append(read(self, n)) or taken[-1])
  with pytest.raises(ValueError, match='is damaged|were announced'):
    read_archive(path, LIMITS)
  assert sum(map(len, taken)) <= announced


def test_code_in_a_pickle_does_not_run(pack, files, hostile):
  """Under the name of the weights, with a digest that fits: the pickle is looked at as numbers, and is none."""
  import hashlib
  import json

  harm = pickle.dumps(Harm(hostile / 'harm'))
  config = json.loads(files['config.json']) | {'weights_sha256': hashlib.sha256(harm).hexdigest()}
  path = pack([('config.json', json.dumps(config)), ('model.safetensors', harm)])
  with pytest.raises(ValueError, match='no safetensors file'):
    load_bundle(path)
  assert not list(hostile.iterdir())
  pickle.load(io.BytesIO(harm))
  assert (hostile / 'harm').is_dir(), 'it would have run'


def test_damage_anywhere_is_one_sentence(pack, files):
  path = pack(files.items(), compression=zipfile.ZIP_DEFLATED)
  sound, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
  for number in range(300):
    data = bytearray(sound[:rng.integers(1, len(sound))] if number % 3 == 0 else sound)
    for place in rng.integers(0, len(data), 3):
      data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
      load_bundle(path)
    except (ValueError, FileNotFoundError) as error:
      assert 'net.zip' in str(error)
      refused += 1
  assert refused > 200


def test_the_limits_leave_room_for_the_largest_network():
  """54,080,525 parameters of four bytes (docs/networks.md, Architectures), twice."""
  assert bundle.LIMITS['model.safetensors'] > 2 * 4 * 54_080_525


def test_what_grows_without_measure_is_refused_unread(pack):
  """17 MB of zeros are 17 kB in an archive."""
  path = pack([('config.json', b'{}'), ('model.safetensors', bytes(17 << 20))], compression=zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 100_000
  with pytest.raises(ValueError, match="'model.safetensors' would become 17,825,792 bytes from .*, as no weights do"):
    read_archive(path, bundle.LIMITS)
