"""A bundle comes back as it was saved, is replaced whole, and says what is wrong with it."""

import hashlib
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax.weights import bundle, tensors
from lesion_jax.weights.bundle import load_bundle, save_bundle

CONFIG = {'model': 'lesion_net_8s', 'fields': {'width': 0.5}, 'lesions': ['MA', 'iHE'], 'source': 'fundus é'}


@pytest.fixture
def variables():
  rng = np.random.default_rng(0)
  return {
      'params': {
          'conv': {'kernel': np.asfortranarray(rng.normal(size=(3, 3, 2, 4)).astype(np.float32))},
          'half': jnp.asarray(rng.normal(size=5), jnp.bfloat16),
          'scalar': np.float32(3),
      },
      'batch_stats': {'bn': {'mean': rng.normal(size=4).astype(np.float16)}},
  }


@pytest.fixture
def path(tmp_path, variables):
  save_bundle(tmp_path / 'models' / 'net', config=CONFIG, variables=variables, card='# Net\n')
  return tmp_path / 'models' / 'net'


def edit_config(path, **changes):
  config = json.loads((path / 'config.json').read_text()) | changes
  (path / 'config.json').write_text(json.dumps(config))


def test_it_comes_back_with_every_type_and_bit(path, variables):
  loaded = load_bundle(path)
  assert loaded.config == CONFIG
  assert jax.tree.structure(loaded.variables) == jax.tree.structure(variables)
  for actual, expected in zip(*map(jax.tree.leaves, (loaded.variables, variables)), strict=True):
    assert (actual.dtype, actual.shape) == (expected.dtype, np.shape(expected))
    np.testing.assert_array_equal(actual, expected)


def test_the_directory_is_three_readable_files(path):
  assert sorted(file.name for file in path.iterdir()) == ['README.md', 'config.json', 'model.safetensors']
  assert (path / 'README.md').read_text() == '# Net\n'
  config = json.loads((path / 'config.json').read_text())
  assert list(config) == sorted(config)
  assert config['format_version'] == bundle.VERSION


def test_a_loaded_bundle_says_which_weights_it_holds(path):
  assert load_bundle(path).digest == hashlib.sha256((path / 'model.safetensors').read_bytes()).hexdigest()


def test_the_same_content_gives_the_same_bytes(path, tmp_path, variables):
  save_bundle(tmp_path / 'again', config=dict(reversed(CONFIG.items())), variables=variables, card='# Net\n')
  for file in path.iterdir():
    assert file.read_bytes() == (tmp_path / 'again' / file.name).read_bytes()


def test_collections_without_arrays_come_back_empty(tmp_path):
  save_bundle(tmp_path / 'net', config={}, variables={'params': {'a': np.ones(1)}}, card='')
  assert load_bundle(tmp_path / 'net').variables['batch_stats'] == {}


def test_a_bundle_is_replaced_and_nothing_is_left_beside_it(path):
  save_bundle(path, config={'model': 'other'}, variables={'params': {'a': np.ones(1)}}, card='')
  assert load_bundle(path).config == {'model': 'other'}
  assert [item.name for item in path.parent.iterdir()] == ['net']


def test_what_a_file_manager_left_in_a_bundle_keeps_nobody_from_replacing_it(path):
  (path / '.DS_Store').write_bytes(b'seen')
  save_bundle(path, config={'model': 'other'}, variables={'params': {'a': np.ones(1)}}, card='')
  assert load_bundle(path).config == {'model': 'other'}
  (path / 'notes.txt').write_text('mine')
  with pytest.raises(FileExistsError, match=r"would remove .*'notes.txt'"):
    save_bundle(path, config={}, variables={}, card='')


@pytest.mark.parametrize('survives', [0, 1])
def test_a_failure_on_the_way_leaves_the_old_bundle(path, monkeypatch, survives):
  done = []

  def fail(target, data):
    if len(done) == survives:
      raise OSError('no space left')
    done.append(target)
    target.write_bytes(data)

  monkeypatch.setattr(bundle, '_write', fail)
  with pytest.raises(OSError, match='no space left'):
    save_bundle(path, config={}, variables={}, card='')
  assert load_bundle(path).config == CONFIG
  assert [item.name for item in path.parent.iterdir()] == ['net']


def test_a_failure_between_the_renames_puts_the_old_bundle_back(path, monkeypatch):
  rename = bundle.pathlib.Path.rename

  def fail(self, target):
    if self.suffix == '.new':
      raise OSError('busy')
    return rename(self, target)

  monkeypatch.setattr(bundle.pathlib.Path, 'rename', fail)
  with pytest.raises(OSError, match='busy'):
    save_bundle(path, config={}, variables={}, card='')
  assert load_bundle(path).config == CONFIG
  assert [item.name for item in path.parent.iterdir()] == ['net']


def test_what_is_no_bundle_is_never_overwritten(tmp_path, path):
  (tmp_path / 'file').write_text('mine')
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'notes.txt').write_text('mine')
  (path / 'notes.txt').write_text('mine')
  for taken in (tmp_path / 'file', tmp_path / 'full', path):
    with pytest.raises(FileExistsError, match='give another name'):
      save_bundle(taken, config={}, variables={}, card='')
  (tmp_path / 'empty').mkdir()
  save_bundle(tmp_path / 'empty', config={}, variables={}, card='')


@pytest.mark.parametrize('config, error, message', [
    ({'weights_sha256': ''}, ValueError, "the format's own"),
    ({'score': float('nan')}, ValueError, 'plain JSON'),
    ({'score': np.float32(1)}, TypeError, 'plain JSON'),
])
def test_a_config_that_is_not_json_is_refused(tmp_path, config, error, message):
  with pytest.raises(error, match=message):
    save_bundle(tmp_path / 'net', config=config, variables={}, card='')
  assert not list(tmp_path.iterdir())


def test_a_type_that_is_not_stored_is_refused(tmp_path):
  with pytest.raises(TypeError, match="'params/a' has the type complex64.*bfloat16"):
    save_bundle(tmp_path / 'net', config={}, variables={'params': {'a': np.ones(1, np.complex64)}}, card='')


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_a_missing_file_is_named(path, name):
  (path / name).unlink()
  with pytest.raises(FileNotFoundError, match=f'lacks {name}'):
    load_bundle(path)


def test_a_missing_directory_is_said(tmp_path):
  with pytest.raises(FileNotFoundError, match='does not exist; name a directory .* or a zip archive'):
    load_bundle(tmp_path / 'absent')


def test_one_flipped_bit_is_found(path):
  data = bytearray((path / 'model.safetensors').read_bytes())
  data[-1] ^= 1
  (path / 'model.safetensors').write_bytes(data)
  with pytest.raises(ValueError, match='damaged or from another bundle'):
    load_bundle(path)


def test_weights_that_are_no_safetensors_are_said_even_if_the_digest_fits(path):
  (path / 'model.safetensors').write_bytes(b'abc')
  edit_config(path, weights_sha256='ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  with pytest.raises(ValueError, match='no safetensors file'):
    load_bundle(path)


def test_arrays_whose_names_contradict_each_other_are_said(path):
  weights = tensors.encode({'params/a': np.ones(1), 'params/a/b': np.ones(1)})
  (path / 'model.safetensors').write_bytes(weights)
  edit_config(path, weights_sha256=hashlib.sha256(weights).hexdigest())
  with pytest.raises(ValueError, match='params/a is the name of an array and of a group'):
    load_bundle(path)


PRINTS = {'train': np.arange(3 * 768, dtype=np.uint32).astype(np.uint8).reshape(3, 16, 16, 3),
          'validation': np.zeros((0, 16, 16, 3), np.uint8)}


def save_learned(tmp_path, photographs=PRINTS):
  save_bundle(tmp_path / 'net', config={}, variables={'params': {'a': np.ones(1)}}, card='', photographs=photographs)
  return tmp_path / 'net'


def test_what_it_learned_from_comes_back_and_a_bundle_of_before_has_nothing(path, tmp_path):
  assert load_bundle(path).photographs is None
  found = load_bundle(save_learned(tmp_path / 'learned'))
  assert found.config == {} and set(found.photographs) == set(PRINTS)
  for split, prints in PRINTS.items():
    np.testing.assert_array_equal(found.photographs[split], prints)
  save_learned(tmp_path / 'learned')  # and such a bundle is replaced
  with zipfile.ZipFile(tmp_path / 'net.zip', 'w') as archive:
    for file in (tmp_path / 'learned' / 'net').iterdir():
      archive.write(file, file.name)
  np.testing.assert_array_equal(load_bundle(tmp_path / 'net.zip').photographs['train'], PRINTS['train'])


def test_what_it_learned_from_cannot_be_taken_away_exchanged_or_put_in(path, tmp_path):
  learned = save_learned(tmp_path / 'learned')
  data = (learned / 'photographs.safetensors').read_bytes()
  (path / 'photographs.safetensors').write_bytes(data)
  (learned / 'photographs.safetensors').write_bytes(data[:-1] + b'x')
  for one in (path, learned):
    with pytest.raises(ValueError, match=r'photographs\.safetensors is damaged, missing or from another bundle'):
      load_bundle(one)
  (learned / 'photographs.safetensors').unlink()
  with pytest.raises(ValueError, match=r'photographs\.safetensors is damaged, missing'):
    load_bundle(learned)


@pytest.mark.parametrize('photographs', [
    {'train': PRINTS['train']}, PRINTS | {'train': PRINTS['train'].astype(np.float32)},
    PRINTS | {'validation': np.zeros((2, 32, 32, 3), np.uint8)}, PRINTS | {'validation': np.zeros(2, np.uint8)}])
def test_what_is_no_fingerprint_is_refused(tmp_path, photographs):
  with pytest.raises(ValueError, match='not the fingerprints of a bundle'):
    load_bundle(save_learned(tmp_path, photographs))


def test_a_broken_or_foreign_or_newer_config_is_said(path):
  edit_config(path, format_version=99)
  with pytest.raises(ValueError, match='format version 99, this lesion_jax reads 1'):
    load_bundle(path)
  (path / 'config.json').write_text('{"model": ')
  with pytest.raises(ValueError, match='is not JSON'):
    load_bundle(path)
  (path / 'config.json').write_text('[' * 100_000)
  with pytest.raises(ValueError, match='is not JSON'):
    load_bundle(path)
  (path / 'config.json').write_text('[]')
  with pytest.raises(ValueError, match='not the configuration of a bundle'):
    load_bundle(path)


def test_what_a_killed_writer_left_is_removed_by_the_next(path, variables):
  for name in ('.net.0badcafe.new', '.net.0badcafe.old'):
    (path.parent / name).mkdir()
    (path.parent / name / 'model.safetensors').write_bytes(b'half')
  (path.parent / '.net.mine').mkdir()
  save_bundle(path, config=CONFIG, variables=variables, card='')
  assert sorted(item.name for item in path.parent.iterdir()) == ['.net.mine', 'net']


def test_a_directory_has_the_limits_of_an_archive(path, monkeypatch):
  size = (path / 'model.safetensors').stat().st_size
  monkeypatch.setitem(bundle.LIMITS, 'model.safetensors', size)
  assert load_bundle(path).config == CONFIG
  monkeypatch.setitem(bundle.LIMITS, 'model.safetensors', size - 1)
  with pytest.raises(ValueError, match=r'model\.safetensors has more than the .* bytes that it may have'):
    load_bundle(path)
