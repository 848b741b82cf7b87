"""Networks in the package: pinned, checked before they are used, taken by name or without one; and what is said where there
are none."""

import configparser
import fnmatch
import json
import pathlib
import shutil

import oracle
import packaged
import pytest
from PIL import Image

import lesion_jax
from lesion_jax import cli, pretrained
from lesion_jax.predict.landmarks import load_landmarks
from lesion_jax.pretrained import networks
from lesion_jax.stages import parts
from lesion_jax.weights.bundle import load_bundle

ROOT = pathlib.Path(__file__).parents[1]
MOST = 60_000_000  # bytes of all packaged networks: every version of them stays in the history
NO_NETWORK = 'no network is packaged with this version'


@pytest.fixture
def photograph(tmp_path):
  path = tmp_path / 'photograph.png'
  Image.fromarray(oracle.photograph(grade=3)).save(path)
  return path


def stopped(capsys, *arguments):
  """What a command says that could not be done."""
  with pytest.raises(SystemExit) as stop:
    cli.main([str(argument) for argument in arguments])
  assert stop.value.code == 2
  return capsys.readouterr().err


class TestWhatIsPackaged:
  """Of this version, whatever networks it brings."""

  def test_every_network_is_the_one_that_is_pinned_and_what_the_registry_says(self):
    for name, entry in networks.NETWORKS.items():
      bundle = load_bundle(pretrained.check(name))
      assert (bundle.storage, bundle.config['preprocessing']['size']) == (entry['storage'], entry['size'])
      assert entry['about'] and entry['licence'] and '\n' not in entry['about']
      assert (pretrained.ROOT / entry['folder'] / 'README.md').is_file()
    assert networks.DEFAULT in (networks.NETWORKS or [None])

  def test_every_network_of_landmarks_is_the_one_that_is_pinned_and_goes_with_networks_that_there_are(self):
    for name, entry in networks.LANDMARKS.items():
      finder = load_landmarks(name)
      assert finder.size == entry['size'] and finder.digest == entry['weights_sha256'] and entry['about'] and entry['licence']
      assert sum(file.stat().st_size for file in (pretrained.ROOT / entry['folder']).iterdir()) < 4_000_000
    assert {entry['landmarks'] for entry in networks.NETWORKS.values() if 'landmarks' in entry} <= networks.LANDMARKS.keys()

  def test_no_folder_lies_there_that_nobody_pinned(self):
    folders = {path.name for path in pretrained.ROOT.iterdir() if path.is_dir() and path.name != '__pycache__'}
    assert folders == {entry['folder'] for entry in (*networks.NETWORKS.values(), *networks.LANDMARKS.values())}

  def test_they_are_small(self):
    assert sum(path.stat().st_size for path in pretrained.ROOT.rglob('*') if path.is_file()) <= MOST

  def test_the_wheel_takes_the_files_of_a_bundle(self):
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    patterns = config['options.package_data']['lesion_jax.pretrained'].split()
    files = {f'net/{name}' for name in ('config.json', 'model.safetensors', 'photographs.safetensors', 'README.md')}
    files |= {path.relative_to(pretrained.ROOT).as_posix() for entry in networks.NETWORKS.values()
              for path in (pretrained.ROOT / entry['folder']).rglob('*')}
    assert {file for file in files if not any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns)} == set()


class TestWithoutAny:

  @pytest.fixture(autouse=True)
  def empty(self, monkeypatch, tmp_path):
    packaged.empty(monkeypatch, tmp_path)

  def test_loading_says_to_name_a_bundle(self):
    with pytest.raises(FileNotFoundError, match=f'{NO_NETWORK}.*--model BUNDLE or as lesion_jax.load'):
      lesion_jax.load()
    assert lesion_jax.available() == {}

  def test_predict_says_to_give_a_model(self, photograph, tmp_path, capsys):
    said = stopped(capsys, 'predict', photograph, '--out', tmp_path / 'out')
    assert NO_NETWORK in said and '--model BUNDLE' in said
    assert not (tmp_path / 'out').exists()

  def test_info_says_that_there_is_none(self, capsys):
    assert cli.main(['info']) == 0
    assert 'trained networks in this package\n  none  name the bundle of one: --model BUNDLE' in capsys.readouterr().out

  def test_a_path_that_does_not_exist_lists_no_networks(self, capsys):
    assert stopped(capsys, 'info', 'idrid').endswith(
        'idrid is not a bundle: it does not exist; name a directory that save_bundle wrote, or a zip archive of one\n')


class TestByName:

  @pytest.fixture
  def root(self, monkeypatch, tmp_path):
    return packaged.packaged(monkeypatch, tmp_path, 'first', 'second', default='second', storage='int8')

  def test_without_a_path_the_default_network_is_loaded(self, root, photograph):
    del root
    found = lesion_jax.load()(str(photograph))
    assert found.grades.argmax() == 3
    assert lesion_jax.load().config['annotated'] == lesion_jax.load('first').config['annotated'] == ['MA', 'CWS']

  def test_several_names_make_an_ensemble(self, root):
    del root
    assert [member['bundle'] for member in lesion_jax.load(['first', 'second']).config['provenance']['members']] == [
        'package/first', 'package/second']

  def test_predict_needs_no_model(self, root, photograph, tmp_path, capsys):
    assert cli.main(['predict', str(photograph), '--out', str(tmp_path / 'out')]) == 0
    record = json.loads((tmp_path / 'out' / 'photograph' / 'result.json').read_text())
    assert record['grade']['key'] == 'DR3'
    assert record['run']['model'] == networks.NETWORKS['second']['config_sha256']
    assert '1 of 1 photographs predicted' in capsys.readouterr().out
    # Named, it is the same network: nothing is done again.
    assert cli.main(['predict', str(photograph), '--model', 'second', '--out', str(tmp_path / 'out')]) == 0
    assert '1 were done before' in capsys.readouterr().out

  def test_a_path_comes_before_a_name(self, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrained.find('first') == root / 'first'
    (tmp_path / 'first').mkdir()
    assert pretrained.find('first') == pathlib.Path('first')
    with pytest.raises(FileNotFoundError, match='first is not a bundle: it lacks config.json'):
      lesion_jax.load('first')

  def test_a_name_that_there_is_not_lists_those_that_there_are(self, root, photograph, tmp_path, capsys):
    del root
    said = stopped(capsys, 'predict', photograph, '--model', 'thrid', '--out', tmp_path / 'out')
    assert '--model: thrid is not a bundle: it does not exist; the networks of this package are first, second;' in said

  @pytest.mark.parametrize('file', ['config.json', 'model.safetensors'])
  def test_what_is_not_what_was_pinned_is_not_used(self, root, file, photograph, tmp_path, capsys):
    path = root / 'second' / file
    path.write_bytes(path.read_bytes() + b' ')
    message = f'{file} is not the file with which the network .second. was released: its SHA-256 is .* pinned is .*install'
    for use in (lambda: lesion_jax.load(), lambda: lesion_jax.load('second'), lambda: pretrained.check('second')):
      with pytest.raises(ValueError, match=message):
        use()
    assert 'It is not used' in stopped(capsys, 'predict', photograph, '--out', tmp_path / 'out')
    assert lesion_jax.load('first').config  # the other one is as it was

  def test_an_exchanged_bundle_with_sound_digests_of_its_own_is_not_used_either(self, root):
    shutil.rmtree(root / 'second')
    shutil.copytree(root / 'first', root / 'second')
    (root / 'second' / 'config.json').write_text((root / 'second' / 'config.json').read_text().replace('0.5', '0.4'))
    load_bundle(root / 'second')
    with pytest.raises(ValueError, match='config.json is not the file'):
      lesion_jax.load()

  def test_a_missing_file_is_said(self, root):
    (root / 'second' / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match='model.safetensors of the packaged network .second. cannot be read'):
      lesion_jax.load()


class TestWhatIsSaidOfThem:

  @pytest.fixture
  def root(self, monkeypatch, tmp_path):
    return packaged.packaged(monkeypatch, tmp_path, 'small', 'large', data={'name': 'idrid'})

  def test_available_lists_names_figures_bytes_and_licence(self, root):
    found = lesion_jax.available()
    assert json.loads(json.dumps(found)) == found and list(found) == ['small', 'large']
    assert found['small'] == {
        'default': True, 'about': 'the oracle as small', 'licence': 'CC0', 'size': oracle.SIZE, 'storage': 'float16',
        'bytes': sum(file.stat().st_size for file in (root / 'small').iterdir()), 'lesions': ['MA', 'CWS'],
        'not_evaluated': ['iHE', 'HaEx', 'vHE', 'pHE', 'NV', 'FiP'], 'data': 'idrid', 'problem': '', 'landmarks': None,
        'figures': {'pixel_f1': 0.51, 'kappa': 0.77, 'referable_sensitivity': 0.9}}  # those that have a value
    assert not found['large']['default']

  def test_of_several_data_sets_figures_are_those_that_others_have_too(self):
    report = lambda aupr, kappa, pixels, graded: {
        'aupr': {'mean': aupr}, 'kappa': {'value': kappa}, 'positive_pixels': {'MA': pixels}, 'confusion': [[graded, 0], [0, 1]]}
    masked, graded = report(0.64, 0.5, 100, 10), report(None, 0.75, 0, 99)
    whole = report(0.6, 0.7, 100, 110)
    assert pretrained.figures(whole) == {'aupr': 0.6, 'kappa': 0.7}
    assert pretrained.figures(whole | {'data_sets': {'a': masked, 'b': graded}}) == {'aupr': 0.64, 'kappa': 0.75}
    assert pretrained.figures(whole | {'data_sets': {'a': masked, 'b': masked | {'confusion': []}}}) == {'aupr': 0.6, 'kappa': 0.5}

  def test_info_lists_them(self, root, capsys):
    del root
    assert cli.main(['info']) == 0
    said = ' '.join(capsys.readouterr().out.split())
    for text in ('trained networks in this package small the oracle as small; the default 64 pixels, 0.0 MB as float16',
                 'evaluates MA, CWS; not evaluated: iHE, HaEx, vHE, pHE, NV, FiP learned from idrid; licence: CC0',
                 'on its test split: mean pixel F1 0.510, kappa 0.770, sensitivity of referable DR 0.900 large'):
      assert text in said, text
    assert cli.main(['info', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['pretrained'] == lesion_jax.available()

  def test_info_shows_one(self, root, capsys):
    assert cli.main(['info', 'large', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['bundle'], found['storage']) == (str(root / 'large'), 'float16')
    assert found['digest'] == networks.NETWORKS['large']['weights_sha256']
    assert cli.main(['info', 'large']) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert 'stored as float16' in said and 'never learned iHE, HaEx, vHE, pHE, NV, FiP: not evaluated' in said

  def test_a_damaged_one_is_listed_as_that(self, root, capsys):
    (root / 'large' / 'config.json').write_text('{}')
    found = lesion_jax.available()['large']
    assert 'is not the file with which' in found['problem'] and found['figures'] == {}
    assert cli.main(['info']) == 0
    assert 'NOT USABLE: ' in capsys.readouterr().out

  def test_the_network_of_landmarks_beside_it_is_listed_sound_or_damaged(self, root, monkeypatch, capsys):
    marks = {'folder': 'small', 'about': 'disc and fovea', 'licence': 'CC0', 'size': 64, 'storage': 'float16'} | {
        key: networks.NETWORKS['small'][key] for key in pretrained.PINNED.values()}
    monkeypatch.setattr(networks, 'LANDMARKS', {'marks': marks})
    monkeypatch.setitem(networks.NETWORKS['large'], 'landmarks', 'marks')
    found = lesion_jax.available()
    assert found['small']['landmarks'] is None
    assert found['large']['landmarks'] == {'name': 'marks', **{key: marks[key] for key in ('about', 'licence', 'size', 'storage')},
                                           'bytes': found['small']['bytes'], 'problem': ''}
    (root / 'small' / 'config.json').write_text('{}')
    assert 'is not the file with which' in lesion_jax.available()['large']['landmarks']['problem']
    assert cli.main(['info']) == 0
    assert 'beside it marks: NOT USABLE: ' in capsys.readouterr().out

  def test_the_other_commands_take_a_name(self, root, tmp_path, monkeypatch, capsys):
    del root
    monkeypatch.chdir(tmp_path)
    assert cli.main(['export', '--model', 'small', '--to', 'stablehlo', '--out', 'exported']) == 0
    assert cli.main(['ship', 'small', '--storage', 'float32', '--out', 'restored']) == 0
    assert load_bundle('restored').storage == 'float32'
    capsys.readouterr()
    options = ['--option', 'count=20', '--prepared', 'prepared', '--resamples', '10', '--no-pictures', '--other-crop']
    assert cli.main(['evaluate', '--model', 'small', '--data', 'synthetic', *options]) == 0
    assert 'oracle on synthetic, split test' in capsys.readouterr().out
    assert (tmp_path / 'small-synthetic-test' / 'report.json').exists()  # here, not among the files of the package


class TestTraining:

  @pytest.fixture
  def root(self, monkeypatch, tmp_path):
    return packaged.packaged(monkeypatch, tmp_path, 'first')

  def test_a_stage_starts_from_a_network_of_the_package_by_its_name(self, root):
    for named in ('first', str(root / 'first')):
      assert parts.load_network(named).variables['params']['gain'] == 1

  def test_what_is_neither_a_bundle_nor_a_network_of_the_package_is_said(self, root):
    with pytest.raises(FileNotFoundError, match='second'):
      parts.load_network('second')

  def test_a_damaged_network_of_the_package_is_not_started_from(self, root):
    (root / 'first' / pretrained.WEIGHTS).write_bytes(b'other')
    with pytest.raises(ValueError, match='is not the file with which'):
      parts.load_network('first')
