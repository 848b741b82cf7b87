"""`lesion-jax evaluate`: training's own figures, what is judged and what is not, and mistakes before it takes long."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import jax
import numpy as np
import oracle
import pytest
import tiny_config
from drawing import IDRID_FOLDERS, IDRID_SHAPE, draw_idrid, fundus
from PIL import Image
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, jaccard_score
from tiny import SIZE, TINY_MODELS

import lesion_jax
from lesion_jax import assessment, cli, models, stages
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data.registry import load_dataset
from lesion_jax.evaluate import bootstrap, intervals
from lesion_jax.photograph.crop import SQUARE
from lesion_jax.photograph.fingerprint import reduced
from lesion_jax.report.terminal import format_report
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.initialize import initialize

FILES = {'report.json', 'counts.npz'}
PICTURES = {'precision_recall.png', 'calibration.png', 'confusion.png', 'examples.png'}
COUNT = 60  # photographs of tiny_config's synthetic data


@pytest.fixture(autouse=True, scope='module')
def networks():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'MODELS', TINY_MODELS | {
        'oracle': oracle.Oracle, 'grader': functools.partial(oracle.Oracle, heads=('grades',))})
    yield


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Where data sets are prepared, once for all tests."""
  return tmp_path_factory.mktemp('prepared')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, prepared):
  """(bundle of a multi-task network with random weights, what training's own evaluation says of it)."""
  config, devices, place = tiny_config.get_config(), Devices(), tmp_path_factory.mktemp('trained')
  networks, bundles = stages.check(config, devices), {}
  shape = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  for name, dataset in stages.open_datasets(config, str(prepared), devices).items():
    stage = stages.build_stage(config, name, dataset, networks[name], workdir=place, devices=devices, bundles=bundles)
    variables = initialize(stage.model, shape, 0)
    bundles[name] = stage.bundle(variables, {}, best_step=0)
  save_bundle(place / 'bundle', config=bundles['grade'].config, variables=variables, card='',
              photographs=bundles['grade'].photographs)
  return place / 'bundle', stage.evaluate(variables, 'test')


@pytest.fixture
def save_oracle(tmp_path):
  """`save_oracle(**changes of its configuration) -> bundle`; the oracle learned MA, HaEx and CWS, and grades."""

  def save(*, gain=1.0, **changes):
    save_bundle(tmp_path / 'oracle', config=oracle.oracle_config(**changes), card='',
                variables={'params': {'gain': np.float32(gain)}})
    return tmp_path / 'oracle'

  return save


@pytest.fixture
def idrid(tmp_path):
  return draw_idrid(tmp_path / 'idrid')


@pytest.fixture
def evaluate(prepared, tmp_path):
  """`evaluate(bundle, data, *options) -> (exit status, output folder)`, few resamples and no pictures unless `full`."""

  def run(bundle, data, *options, full=False):
    few = [] if full else ['--resamples', '20', '--no-pictures']
    status = cli.main(['evaluate', '--model', str(bundle), '--data', data, '--prepared', str(prepared),
                       '--out', str(tmp_path / 'out'), *few, *map(str, options)])
    return status, tmp_path / 'out'

  return run


def read(out):
  return json.loads((out / 'report.json').read_text())


def names(folder):
  return {path.name for path in folder.iterdir()}


def synthetic(count=COUNT):
  return 'synthetic', '--option', f'count={count}'


def test_its_figures_and_intervals_are_exactly_those_of_trainings_evaluation(trained, evaluate, capsys):
  bundle, evaluation = trained
  status, out = evaluate(bundle, *synthetic(), full=True)
  assert status == 0
  assert names(out) == FILES | PICTURES
  report = read(out)
  evaluated = report.pop('evaluated')
  assert report == evaluation.report
  assert report['intervals']['aupr']['mean'] and report['calibration'].keys() == {'pixel', 'image', 'grade'}
  said = capsys.readouterr().out
  length = load_bundle(bundle).config['data']['lengths']['test']
  assert said.startswith(f'multitask on synthetic, split test: {length} photographs\n')
  assert format_report(evaluation.report, '')[2:] in said
  assert (evaluated['data']['split'], evaluated['data']['images'], evaluated['data']['size']) == ('test', length, SIZE)
  assert evaluated['data']['options'] == {'count': COUNT}
  assert evaluated['model']['weights_sha256'] == json.loads((bundle / 'config.json').read_text())['weights_sha256']
  assert evaluated['versions']['lesion_jax'] == lesion_jax.__version__
  assert evaluated['lesions'] == {'scored': list(LESION_KEYS), 'left_out': {}} and evaluated['notes'] == []
  assert evaluated['command'].startswith(
      f'lesion-jax evaluate --model {bundle} --data synthetic --option count={COUNT} --prepared ')
  for picture in PICTURES:
    with Image.open(out / picture) as image:
      assert min(image.size) > 300


def test_a_notebook_can_do_all_that_the_command_can(save_oracle, idrid, evaluate, prepared, tmp_path):
  """By values instead of options; the report is the command's, but for the command."""
  bundle, told = save_oracle(), []
  _, out = evaluate(bundle, 'idrid', '--source', idrid, '--split', 'all', '--without', ids_file(tmp_path, ['IDRiD_81']),
                    '--threshold', 'MA=0.3', '--rule', 'maximum')
  found = assessment.evaluate(
      bundle, 'idrid', source_dir=idrid, data_dir=prepared, split='all', without=['IDRiD_81'], thresholds={'MA': 0.3},
      rule='maximum', resamples=20, pictures=False, out=tmp_path / 'notebook',
      progress=lambda done, total: told.append((done, total)))
  report, command = found.report, read(out)
  assert names(tmp_path / 'notebook') == FILES and read(tmp_path / 'notebook') == report
  assert command['evaluated'].pop('command') and command['evaluated']['data']['without'].pop('file') == 'ids.txt'
  assert command == report
  assert told[0] == (0, 9) and told[-1] == (9, 9) and told == sorted(told)
  job = assessment.check([bundle], 'idrid', source_dir=idrid, data_dir=prepared)
  assert job.title == 'oracle on idrid, split test: 2 photographs' and job.describe()['notes'] == job.notes


def test_a_predictor_is_evaluated_as_it_was_loaded(save_oracle, idrid, evaluate, prepared):
  """The report is that of the command with the same options."""
  bundle = save_oracle()
  _, out = evaluate(bundle, 'idrid', '--source', idrid, '--split', 'all', '--threshold', 'MA=0.3', '--rule', 'maximum',
                    '--tta', 'flips')
  predictor = lesion_jax.load(bundle, thresholds={'MA': 0.3}, rule='maximum', tta='flips')
  report, command = lesion_jax.evaluate(predictor, 'idrid', source_dir=idrid, data_dir=prepared, split='all',
                                        resamples=20).report, read(out)
  del command['evaluated']['command']
  assert report == command
  with pytest.raises(ValueError, match='tta and window: the predictor has its own; give what you want to lesion_jax.load'):
    lesion_jax.evaluate(predictor, 'idrid', source_dir=idrid, data_dir=prepared, tta='flips', window=96)
  with pytest.raises(ValueError, match="onnxruntime backend is not evaluated; load it with backend='jax'"):
    lesion_jax.evaluate(dataclasses.replace(predictor, members=()), 'idrid')


def test_a_path_is_a_folder_of_ones_own(save_oracle, tmp_path):
  with pytest.raises(FileNotFoundError, match=f'{tmp_path / "none"}'):
    lesion_jax.evaluate(save_oracle(), tmp_path / 'none', data_dir=tmp_path / 'prepared')


@pytest.mark.parametrize(('settings', 'message'), [
    ({'leaks': 'drop'}, "leaks='drop'; choose one of refuse, leave-out, keep"),
    ({'at': 'home'}, "at='home'; choose one of network, native"),
    ({'rule': 'top'}, "rule='top'; choose one of bundle, maximum"),
    ({'thresholds': {'MA': 50}}, "thresholds={'MA': 50} are not between 0 and 1"),
    ({'thresholds': {'NV': 0.5}}, 'thresholds: NV cannot be evaluated here, only MA'),
    ({'at': 'native', 'batch_size': 2}, "leave it out with at='native'"),
    ({'split': 'holdout'}, "no examples in the split 'holdout'")])
def test_a_notebook_is_told_of_its_arguments_not_of_options(save_oracle, idrid, prepared, settings, message):
  with pytest.raises(ValueError, match=message) as error:
    assessment.check(save_oracle(), 'idrid', source_dir=idrid, data_dir=prepared, **settings)
  assert '--' not in str(error.value)


def test_the_folder_of_something_else_is_not_written_to(save_oracle, tmp_path):
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(ValueError, match='holds something else than an evaluation'):
    assessment.evaluate(save_oracle(), 'synthetic', out=tmp_path)


def test_what_systems_and_killed_writers_left_in_an_evaluation_does_not_count(tmp_path):
  for name in ('report.json', 'Thumbs.db', '.DS_Store', '.counts.npz', '.report.json.0123abcd.new'):
    (tmp_path / name).touch()
  assessment.require_free(tmp_path)
  (tmp_path / 'notes.txt').touch()
  with pytest.raises(ValueError, match=r'something else than an evaluation \(notes\.txt\)'):
    assessment.require_free(tmp_path)


@pytest.mark.parametrize(('options', 'said'), [({'resamples': 0}, 'resamples=0: give a whole number from 1 on'), ({'seed': -1}, 'seed=-1')])
def test_draws_that_cannot_be_are_refused_before_anything_is_read(options, said):
  with pytest.raises(ValueError, match=said):
    assessment.evaluate('nowhere', 'synthetic', **options)


def test_a_place_that_cannot_be_written_to_is_known_before_the_network_is_run(save_oracle, idrid, prepared, tmp_path, monkeypatch):
  monkeypatch.setattr(assessment.Job, 'evaluate', lambda *_, **__: pytest.fail('it was run'))
  (tmp_path / 'file').touch()
  with pytest.raises(OSError, match='file'):
    assessment.evaluate(save_oracle(), 'idrid', source_dir=idrid, data_dir=prepared, out=tmp_path / 'file' / 'out')


def test_no_network_at_all_is_said():
  with pytest.raises(ValueError, match='no network to evaluate: name a bundle'):
    assessment.check([], 'synthetic')


def ids_file(folder, ids):
  (folder / 'ids.txt').write_text('\n'.join(ids))
  return folder / 'ids.txt'


def test_the_counts_of_each_photograph_are_kept_and_can_be_resampled(trained, evaluate):
  bundle, evaluation = trained
  _, out = evaluate(bundle, *synthetic())
  with np.load(out / 'counts.npz', allow_pickle=False) as kept:
    counts = {name: kept[name] for name in kept.files}
  assert counts.pop('annotated').tolist() == list(LESION_KEYS)
  assert not {'histogram', 'histograms'} & counts.keys()
  for name, value in counts.items():
    np.testing.assert_array_equal(value, evaluation.counts[name], err_msg=name)
  again, found = intervals(bootstrap(counts, LESION_KEYS, resamples=20)), read(out)['intervals']
  assert again == {name: found[name] for name in again} and found.keys() - again.keys() == {'aupr', 'patients'}


def test_the_rule_of_the_bundle_is_judged_beside_eq_1(save_oracle, idrid, evaluate):
  presence = {'rule': 'top500', 'thresholds': dict.fromkeys(LESION_KEYS, 0.5)}
  report = read(evaluate(save_oracle(presence=presence), 'idrid', '--data-dir', idrid, '--threshold', '0.3')[1])
  assert report['evaluated']['presence'] == presence == {name: report['presence'][name] for name in presence}
  assert report['evaluated']['thresholds']['MA'] == 0.3 and report['healthy']['rule'] == 'top500'
  paper = {'rule': 'maximum', 'thresholds': dict.fromkeys(LESION_KEYS, 0.3)}
  report = read(evaluate(save_oracle(presence=presence), 'idrid', '--data-dir', idrid, '--threshold', '0.3', '--rule',
                         'maximum')[1])
  assert report['evaluated']['presence'] == paper and "--rule maximum" in report['evaluated']['command']
  # By Eq. 1 the figures are those of the image F1.
  figures = report['presence']['figures']['f1']['lesions']
  assert figures['MA'] == report['image_f1']['lesions']['MA'] is not None


def test_only_lesions_that_were_learned_and_are_annotated_are_judged(save_oracle, idrid, evaluate, capsys):
  status, out = evaluate(save_oracle(), 'idrid', '--data-dir', idrid)
  assert status == 0
  report = read(out)
  assert report['evaluated']['lesions']['scored'] == ['MA', 'HaEx', 'CWS']
  assert report['evaluated']['lesions']['left_out']['iHE'] == 'not learned by the network'
  assert report['evaluated']['lesions']['left_out']['NV'] == 'not annotated by idrid'
  for part in (report['pixel_f1'], report['image_f1'], report['aupr'], report['calibration']['pixel'],
               report['calibration']['image']):
    assert {key: part['undefined'][key] for key in ('iHE', 'vHE', 'pHE', 'NV', 'FiP')} == {
        'iHE': 'not learned', **dict.fromkeys(('vHE', 'pHE', 'NV', 'FiP'), 'not annotated')}
    assert part['lesions']['MA'] is not None
  assert report['positive_images'] == {'MA': 2, 'HaEx': 2, 'CWS': 0}
  assert report['kappa'] == {'value': None, 'reason': 'no image has a known grade'}
  assert report['calibration']['grade'] == {'ece': None, 'brier': None, 'reason': 'no image has a known grade'}
  said = capsys.readouterr().out
  assert '- not evaluated: iHE (not learned by the network)\n' in said
  assert '- not evaluated: vHE, pHE, NV, FiP (not annotated by idrid)\n' in said
  assert '- grades are not evaluated: idrid has none\n' in said


def test_a_threshold_for_all_and_one_for_a_lesion(trained, evaluate):
  bundle, _ = trained
  _, out = evaluate(bundle, *synthetic(), '--threshold', '0.9990000001,MA=0.001')
  report = read(out)
  assert report['evaluated']['thresholds'] == dict.fromkeys(LESION_KEYS, 0.9990000001) | {'MA': 0.001}
  assert '--threshold MA=0.001,iHE=0.9990000001' in report['evaluated']['command']
  with np.load(out / 'counts.npz') as counts:
    predicted = (counts['pixel_tp'] + counts['pixel_fp']).sum(axis=0)
  assert predicted[0] > 0 and not predicted[1:].any()


def test_other_splits_come_with_a_warning(trained, evaluate, capsys):
  for split, warning in (('train', 'the network learned from the photographs of this split'),
                         ('validation', 'the weights were chosen by the photographs of this split')):
    status, out = evaluate(trained[0], *synthetic(), '--split', split)
    assert status == 0 and read(out)['evaluated']['notes'][0] == warning
    assert f'\n- {warning}\n' in capsys.readouterr().out


def ids_of(out):
  with np.load(out / 'counts.npz') as counts:
    return counts['id'].tolist()


def test_all_splits_are_one_test_set_and_some_photographs_can_be_taken_or_left(trained, evaluate, tmp_path, capsys):
  status, out = evaluate(trained[0], *synthetic(), '--split', 'all')
  everything, report = ids_of(out), read(out)
  assert status == 0 and len(set(everything)) == COUNT == report['evaluated']['data']['images']
  assert f'multitask on synthetic, all splits: {COUNT} photographs' in capsys.readouterr().out
  assert report['evaluated']['notes'][0] == 'the network learned from some of these photographs, and was chosen by others'
  chosen, left = tmp_path / 'chosen.txt', tmp_path / 'left.txt'
  chosen.write_text('\n'.join([*everything[10:30], '', '']))
  left.write_text('\n'.join(everything[20:60]))
  for options, expected in ((['--only', chosen], everything[10:30]), (['--without', left], everything[:20]),
                            (['--only', chosen, '--without', left], everything[10:20])):
    status, out = evaluate(trained[0], *synthetic(), '--split', 'all', *options)
    assert status == 0 and ids_of(out) == expected
  data = read(out)['evaluated']['data']
  assert (data['only'], data['without']) == ({'file': 'chosen.txt', 'ids': 20}, {'file': 'left.txt', 'ids': 40})
  assert data['images'] == 10
  assert '--only' in read(out)['evaluated']['command']


@pytest.mark.parametrize(('options', 'text', 'message'), [
    (['--only'], 'nobody\n', 'has no photograph nobody; an id is as'),
    (['--without'], 'a\nb\nc\nd\ne\nf\ng\n', 'has no photograph a, b, c, d, e and 2 more'),
    (['--only'], '\n', 'ids.txt is empty'),
    (['--only'], None, 'No such file'),
])
def test_ids_that_there_are_not_are_named(trained, evaluate, tmp_path, capsys, options, text, message):
  if text:
    (tmp_path / 'ids.txt').write_text(text)
  with pytest.raises(SystemExit) as stop:
    evaluate(trained[0], *synthetic(), *options, tmp_path / 'ids.txt')
  assert stop.value.code == 2 and message in capsys.readouterr().err


def test_another_split_of_the_data_from_which_it_learned_is_said(trained, evaluate, capsys):
  for options, here in ((['split=stratified'], 'stratified, seed 2020'), (['folds=3', 'fold=1'],
                                                                        'hash, seed 2020, fold 1 of 3')):
    flags = [word for option in options for word in ('--option', option)]
    status, out = evaluate(trained[0], *synthetic(), *flags, '--leaks', 'keep')
    assert status == 0
    assert f'another split of synthetic (hash, seed 2020; here {here})' in read(out)['evaluated']['notes'][0]


@pytest.fixture
def taught(tmp_path, idrid):
  """`taught(train, validation, **changes) -> bundle` of an oracle that learned from test photographs of IDRiD, by id."""

  def save(train=(), validation=(), **changes):
    prepared = load_dataset('idrid', data_dir=tmp_path / 'prepared', size=oracle.SIZE, source_dir=idrid)
    index = prepared.source('test').index
    photographs = {split: reduced(index.take(np.isin(index.id, list(ids))).fingerprint)
                   for split, ids in (('train', train), ('validation', validation))}
    save_bundle(tmp_path / 'taught', config=oracle.oracle_config(**changes), card='', photographs=photographs,
                variables={'params': {'gain': np.float32(1)}})
    return tmp_path / 'taught'

  return save


def test_photographs_that_it_learned_from_are_refused_left_out_or_kept(taught, idrid, evaluate, capsys):
  bundle, data = taught(train=['IDRiD_81']), ('idrid', '--data-dir', idrid)
  with pytest.raises(SystemExit) as stop:
    evaluate(bundle, *data)
  said = capsys.readouterr().err
  assert stop.value.code == 2 and '1 of 2 photographs of idrid in the split test are among those from which' in said
  assert 'learned (1) or by which it was chosen (0): IDRiD_81.' in said and '--leaks leave-out' in said
  found = {'known': True, 'train': 1, 'validation': 0}

  status, out = evaluate(bundle, *data, '--leaks', 'leave-out')
  evaluated = read(out)['evaluated']
  assert status == 0 and ids_of(out) == ['IDRiD_55']
  assert evaluated['leaks'] == found | {'asked': 'leave-out', 'left_out': True} and evaluated['data']['images'] == 1
  assert any(note.startswith('excluded: 1 of 2') for note in evaluated['notes'])
  assert '--leaks leave-out' in evaluated['command']

  status, out = evaluate(bundle, *data, '--leaks', 'keep')
  evaluated = read(out)['evaluated']
  assert status == 0 and ids_of(out) == ['IDRiD_55', 'IDRiD_81']
  assert evaluated['leaks'] == found | {'asked': 'keep', 'left_out': False}
  assert any('evaluated all the same: the metrics may be too good' in note for note in evaluated['notes'])


def test_photographs_by_which_it_was_chosen_count_too_and_something_must_be_left(taught, idrid, evaluate, capsys):
  bundle = taught(train=['IDRiD_55'], validation=['IDRiD_55', 'IDRiD_81'])
  with pytest.raises(SystemExit):
    evaluate(bundle, 'idrid', '--data-dir', idrid, '--leaks', 'leave-out')
  assert 'learned (1) or by which it was chosen (1): nothing is left to evaluate' in capsys.readouterr().err


def test_all_splits_of_other_data_are_an_external_test(taught, idrid, evaluate):
  with pytest.raises(SystemExit):
    evaluate(taught(train=['IDRiD_55']), 'idrid', '--data-dir', idrid, '--split', 'all')
  bundle = taught(train=['IDRiD_55'], data={'name': 'idrid'})  # its own data: asked for on purpose
  status, out = evaluate(bundle, 'idrid', '--data-dir', idrid, '--split', 'all')
  assert status == 0 and any('1 of 10 photographs' in note for note in read(out)['evaluated']['notes'])


@pytest.mark.parametrize('learned, other, asked_for', [(1.0, 0, True), (0.5, 0, True), (1.0, 1, False)])
def test_a_folder_is_the_own_one_by_its_photographs_not_by_its_name(idrid, prepared, tmp_path, learned, other, asked_for):
  """All folders of people's own have one name. A network that learned from this one is evaluated on all of it where that is asked for; one
  that learned from other photographs too (`other`, as many again) is evaluated here as on any other data."""
  folder = tmp_path / 'own'
  shutil.copytree(idrid / 'A. Segmentation' / '1. Original Images' / 'a. Training Set', folder / 'images')
  (folder / 'masks' / 'MA').mkdir(parents=True)
  for path in (idrid / 'A. Segmentation').rglob('IDRiD_0*_MA.tif'):
    shutil.copy(path, folder / 'masks' / 'MA' / path.name.replace('_MA', ''))
  data = load_dataset('folder', data_dir=prepared, size=oracle.SIZE, source_dir=folder)
  prints = reduced(np.concatenate([data.source(split).index.fingerprint for split in data.splits]))
  prints = prints[:max(1, round(learned * len(prints)))]
  others = np.random.default_rng(0).integers(0, 256, (other * len(prints), 16, 16, 3), np.uint8)
  save_bundle(tmp_path / 'own_network', config=oracle.oracle_config(data={'name': 'folder'}), card='', variables={'params': {'gain': np.float32(1)}},
              photographs={'train': np.concatenate([prints, others]), 'validation': prints[:0]})
  check = functools.partial(assessment.check, tmp_path / 'own_network', folder, data_dir=prepared, split='all')
  if asked_for:
    assert any('are evaluated all the same' in note for note in check().notes)
  else:
    with pytest.raises(ValueError, match='are among those from which the network learned'):
      check()


@pytest.mark.parametrize(('dealt', 'said'), [('stratified', False), ('hash', True)])
def test_a_folder_of_a_mixture_is_dealt_as_that_part_was(idrid, prepared, tmp_path, dealt, said):
  folder = tmp_path / 'own'
  shutil.copytree(idrid / 'A. Segmentation' / '1. Original Images' / 'a. Training Set', folder / 'images')
  (folder / 'masks' / 'MA').mkdir(parents=True)
  for path in (idrid / 'A. Segmentation').rglob('IDRiD_0*_MA.tif'):
    shutil.copy(path, folder / 'masks' / 'MA' / path.name.replace('_MA', ''))
  data = load_dataset('folder', data_dir=prepared, size=oracle.SIZE, source_dir=folder, split='stratified')
  prints = reduced(np.concatenate([data.source(split).index.fingerprint for split in data.splits]))
  parts = [{'name': 'folder:own', 'dealing': data.dealing | {'name': dealt}}, {'name': 'folder:other', 'dealing': None}]
  save_bundle(tmp_path / 'mixed', config=oracle.oracle_config(data={'name': 'folder:own+folder:other', 'parts': parts}), card='',
              variables={'params': {'gain': np.float32(1)}}, photographs={'train': prints, 'validation': prints[:0]})
  notes = assessment.check(tmp_path / 'mixed', folder, data_dir=prepared, split='all', options={'split': 'stratified'}).notes
  assert any('learned from another split of folder' in note for note in notes) == said


def test_any_network_of_several_may_have_learned_from_a_photograph(taught, save_oracle, idrid, evaluate, capsys):
  with pytest.raises(SystemExit):
    evaluate(save_oracle(), 'idrid', '--data-dir', idrid, '--model', taught(train=['IDRiD_81']))
  assert '1 of 2 photographs' in capsys.readouterr().err


def test_a_bundle_of_before_does_not_say_what_it_learned_from(save_oracle, idrid, evaluate):
  status, out = evaluate(save_oracle(), 'idrid', '--data-dir', idrid)
  evaluated = read(out)['evaluated']
  assert status == 0 and any('oracle learned from is not known' in note for note in evaluated['notes'])
  assert evaluated['leaks'] == {'asked': 'refuse', 'known': False, 'train': 0, 'validation': 0, 'left_out': False}


def test_a_network_of_squares_is_judged_on_fields_of_view_as_predict_makes_them(save_oracle, idrid, evaluate):
  bundle = save_oracle(preprocessing={'size': oracle.SIZE, 'crop': SQUARE})
  status, out = evaluate(bundle, 'idrid', '--data-dir', idrid)
  assert status == 0
  assert 'cut to their field of view, as predict does it' in read(out)['evaluated']['notes'][0]


def test_a_network_of_fields_of_view_is_judged_on_squares_only_if_told_so(save_oracle, evaluate, capsys):
  with pytest.raises(SystemExit) as stop:
    evaluate(save_oracle(), *synthetic(20))
  assert stop.value.code == 2
  said = capsys.readouterr().err
  assert 'evaluate on one of idrid, idrid_grading, ' in said and ', or with --other-crop' in said
  status, out = evaluate(save_oracle(), *synthetic(20), '--other-crop')
  assert status == 0 and 'are not cut to their field of view' in read(out)['evaluated']['notes'][0]


def test_a_folder_is_judged_by_what_it_annotates(save_oracle, idrid, evaluate, tmp_path, capsys):
  """Any folder may annotate any lesion; what one of them does is known when it is prepared."""
  for key, code in (('HaEx', 'EX'), ('FiP', 'MA')):
    folder, masks = tmp_path / key, tmp_path / key / 'masks' / key
    shutil.copytree(idrid / 'A. Segmentation' / '1. Original Images' / 'a. Training Set', folder / 'images')
    masks.mkdir(parents=True)
    for path in (idrid / 'A. Segmentation').rglob(f'IDRiD_0*_{code}.tif'):
      shutil.copy(path, masks / path.name.replace(f'_{code}', ''))
  status, out = evaluate(save_oracle(), 'folder', '--data-dir', tmp_path / 'HaEx')
  assert status == 0 and read(out)['evaluated']['lesions']['scored'] == ['HaEx']
  with pytest.raises(SystemExit) as stop:
    evaluate(save_oracle(), 'folder', '--data-dir', tmp_path / 'FiP')
  assert stop.value.code == 2
  assert 'folder cannot evaluate this network: it annotates FiP, and the network learned' in capsys.readouterr().err


def test_a_zip_archive_of_a_bundle_will_do(save_oracle, idrid, prepared, tmp_path):
  archive = shutil.make_archive(str(tmp_path / 'sent'), 'zip', save_oracle())
  assert cli.main(['evaluate', '--model', archive, '--data', 'idrid', '--data-dir', str(idrid), '--prepared',
                   str(prepared), '--resamples', '20', '--no-pictures']) == 0
  assert read(tmp_path / 'sent-idrid-test')['evaluated']['model']['name'] == 'oracle'


def test_without_out_the_results_lie_beside_the_bundle(save_oracle, idrid, prepared, tmp_path):
  assert cli.main(['evaluate', '--model', str(save_oracle()), '--data', 'idrid', '--data-dir', str(idrid),
                   '--prepared', str(prepared), '--resamples', '20', '--no-pictures']) == 0
  assert names(tmp_path / 'oracle-idrid-test') == FILES


def test_a_second_evaluation_takes_the_place_of_the_first(save_oracle, idrid, evaluate):
  status, out = evaluate(save_oracle(), 'idrid', '--data-dir', idrid, full=True)
  assert status == 0 and names(out) == FILES | PICTURES - {'confusion.png'}
  status, out = evaluate(save_oracle(), 'idrid', '--data-dir', idrid)
  assert status == 0 and names(out) == FILES  # no picture of the first


def test_a_network_without_numbers_ends_with_1(save_oracle, idrid, evaluate, capsys, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'overflowing', oracle.Overflowing)
  status, out = evaluate(save_oracle(model={'name': 'overflowing'}), 'idrid', '--data-dir', idrid)
  assert status == 1 and not names(out)
  assert capsys.readouterr().err.endswith(
      'error: the network outputs something that is not a number on 2 of 2 photographs; its weights are not fit for '
      'use\n')


def test_results_that_cannot_be_written_end_with_1_after_the_table(save_oracle, idrid, evaluate, tmp_path, capsys):
  (tmp_path / 'out' / 'report.json').mkdir(parents=True)
  status, _ = evaluate(save_oracle(), 'idrid', '--data-dir', idrid)
  said = capsys.readouterr()
  assert status == 1
  assert 'pixel F1' in said.out and 'error: the results could not be written to' in said.err


MISTAKES = {
    'bundle': (['--model', 'absent'], 'absent is not a bundle'),
    'data set': (['--data', 'imagenet'], "unknown data set 'imagenet'; there are: synthetic, retinal_lesions"),
    'no release': ([], '--source is missing: give the root folder of the raw dataset'),
    'other release': (['--data-dir', '.'], 'A. Segmentation'),
    'split': (['--split', 'holdout'], "invalid choice: 'holdout'"),
    'empty split': (['--data', 'synthetic', '--other-crop', '--option', 'count=2', '--split', 'validation'],
                    "has no examples in the split 'validation'; its splits are: train"),
    'option of another data set': (['--option', 'count=5'], 'idrid has no option count'),
    'option that names a folder': (['--data', 'maples_dr', '--data-dir', '.', '--option', 'images_dir=nowhere'],
                                   'nowhere; MAPLES-DR comes without'),
    'option without a number': (['--option', 'count=many'], 'count=many is not KEY=N with a whole number'),
    'devices': (['--batch-size', '6'], r'a batch of 6 cannot be divided over 4 device'),
    'batch': (['--batch-size', '0'], '0 is below 1'),
    'threshold': (['--threshold', '50'], '50 is not between 0 and 1'),
    'threshold of no lesion': (['--threshold', 'HE=0.5'], "'HE' is no lesion; the lesions are MA"),
    'threshold of a lesion that is not judged': (['--data-dir', 'idrid', '--threshold', 'iHE=0.5'],
                                                 'iHE cannot be evaluated here, only MA, HaEx, CWS'),
    'weights of another network': (['--model', 'misfit'], 'misfit: config.json and the weights do not make a network'),
    'resamples': (['--resamples', '0'], '0 is below 1'),
    'seed': (['--seed', '-1'], '-1 is not a whole number from 0 on'),
    'file for a folder': (['--out', 'file'], '--out file is a file'),
    'folder of something else': (['--out', 'photographs'], 'holds something else than an evaluation (eye.png)'),
    'folder that cannot be': (['--data', 'synthetic', '--other-crop', '--option', 'count=20', '--out', 'file/out'],
                              'file'),
    'data for another task': (['--data', 'idrid', '--model', 'grader'],
                              'idrid cannot evaluate this network: it annotates MA, iHE, HaEx, CWS, and the network '
                              'learned grades'),
    'prepared inside the raw dataset': (['--data-dir', '.', '--prepared', 'inside'], '--prepared '),
}


@pytest.mark.parametrize(('options', 'message'), MISTAKES.values(), ids=MISTAKES)
def test_usage_errors_end_with_2_and_leave_nothing(
    options, message, save_oracle, tmp_path, monkeypatch, prepared, capsys):
  monkeypatch.chdir(tmp_path)
  model = [] if '--model' in options else ['--model', str(save_oracle())]  # two of them would be an ensemble
  given = [*model, '--data', 'idrid', '--prepared', str(prepared), '--out', 'out']
  save_bundle(tmp_path / 'grader', config=oracle.oracle_config(model={'name': 'grader'}, annotated=[]), card='',
              variables={'params': {'gain': np.float32(1)}})
  save_bundle(tmp_path / 'misfit', config=oracle.oracle_config(), card='', variables={'params': {}})
  draw_idrid(tmp_path / 'idrid')
  (tmp_path / 'photographs').mkdir()
  for name in ('file', 'photographs/eye.png'):
    (tmp_path / name).touch()
  before = names(tmp_path)
  with pytest.raises(SystemExit) as stop:
    cli.main(['evaluate', *given, *options])
  assert stop.value.code == 2
  assert message in capsys.readouterr().err
  assert names(tmp_path) - {'inside'} == before


def counts_of(predictor, release, thresholds=0.5):
  """What a predictor gets right in the test photographs of a drawn IDRiD release: {kind: int [2, 8]}."""
  photographs = sorted((release / 'A. Segmentation' / '1. Original Images' / 'b. Testing Set').iterdir())
  dataset = load_dataset('idrid', data_dir=release.parent / 'again', size=predictor.size, source_dir=release)
  truth = unpack_bits(np.stack([example['lesions'] for example in dataset.source('test')]))
  called = predictor(photographs).maps >= thresholds
  return {'tp': (called & truth).sum((1, 2)), 'fp': (called & ~truth).sum((1, 2)), 'fn': (~called & truth).sum((1, 2))}


@pytest.fixture
def save_segmenter(tmp_path):
  """`save_segmenter(name, seed, **changes) -> bundle` of a network whose answers depend on how a photograph lies."""

  def save(name, seed, **changes):
    config = oracle.oracle_config(model={'name': 'lesion_net_8s'}, **changes)
    shape = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
    variables = initialize(models.get_model('lesion_net_8s'), shape, seed)
    save_bundle(tmp_path / name, config=config, card='', variables=variables)
    return tmp_path / name

  return save


@pytest.mark.parametrize('members, options', [
    pytest.param(1, {'tta': 'flips'}, marks=pytest.mark.slow), pytest.param(1, {'tta': 'dihedral'}, marks=pytest.mark.slow), pytest.param(2, {}, marks=pytest.mark.slow), pytest.param(2, {'tta': 'flips'}, marks=pytest.mark.slow),
    pytest.param(1, {'window': 96}, marks=pytest.mark.slow), pytest.param(2, {'window': 96, 'tta': 'flips'}, marks=pytest.mark.slow)], ids=str)
def test_copies_ensembles_and_windows_are_judged_by_what_load_makes_of_them(
    save_segmenter, idrid, evaluate, members, options):
  size = 128 if 'window' in options else 64
  paths = [save_segmenter(f'net{seed}', seed, preprocessing={'size': size, 'crop': 'field of view'})
           for seed in range(members)]
  flags = [word for key, value in options.items() for word in (f'--{key}', value)]
  flags += [word for path in paths[1:] for word in ('--model', path)]
  status, out = evaluate(paths[0], 'idrid', '--data-dir', idrid, *flags)
  assert status == 0
  predictor = lesion_jax.load(paths, **options)
  with np.load(out / 'counts.npz') as counts:
    for kind, expected in counts_of(predictor, idrid).items():
      np.testing.assert_allclose(counts[f'pixel_{kind}'][:, [0, 2, 3]], expected[:, [0, 2, 3]], atol=2, err_msg=kind)
  evaluated = read(out)['evaluated']
  assert (evaluated['tta'], evaluated['at']) == (options.get('tta'), 'network')
  window = options.get('window', 0)
  assert evaluated['window'] == (window if members == 1 else [window] * members)
  for flag in flags:
    assert str(flag) in evaluated['command'].split()
  if members > 1:
    digests = [load_bundle(path).digest for path in paths]
    assert [member['weights_sha256'] for member in evaluated['model']['members']] == digests
    assert evaluated['model']['name'] == 'ensemble of lesion_net_8s, lesion_net_8s'


def test_copies_and_ensembles_change_the_figures(save_segmenter, idrid, evaluate):
  first, second = (save_segmenter(f'net{seed}', seed) for seed in range(2))
  digests = set()
  for flags in ([], ['--tta', 'flips'], ['--model', second]):
    status, out = evaluate(first, 'idrid', '--data-dir', idrid, *flags)
    with np.load(out / 'counts.npz') as counts:
      digests.add(counts['lesion_probabilities'].tobytes())
  assert status == 0 and len(digests) == 3


class TestInTheirOwnPixels:

  @pytest.fixture
  def lesions(self, idrid):
    """The oracle's colours where the masks of the test photographs are, and some where none is."""
    folder = idrid / 'A. Segmentation' / '1. Original Images' / 'b. Testing Set'
    for path in folder.iterdir():
      image = fundus(*IDRID_SHAPE, radius=56, seed=7)
      image[41:45, 60:64], image[20:24, 50:60] = oracle.GREEN, oracle.GREEN
      image[60:68, 80:88] = oracle.BLUE
      Image.fromarray(image).save(path, quality=100, subsampling=0)
    return idrid

  def test_the_figures_are_those_of_maps_brought_back_to_the_photographs(self, save_oracle, lesions, evaluate, capsys):
    bundle = save_oracle(gain=0.02)
    status, out = evaluate(bundle, 'idrid', '--data-dir', lesions, '--at', 'native', '--threshold', 'MA=0.4')
    assert status == 0
    report, predictor = read(out), lesion_jax.load(bundle)
    root = lesions / 'A. Segmentation'
    photographs = sorted((root / '1. Original Images' / 'b. Testing Set').iterdir())
    found = predictor(photographs)
    for key, code, threshold in (('MA', 'MA', 0.4), ('HaEx', 'EX', 0.5)):
      masks = sorted((root / '2. All Segmentation Groundtruths' / 'b. Testing Set' / IDRID_FOLDERS[code]).iterdir())
      levels = [np.asarray(Image.open(mask)) for mask in masks]
      truth = np.concatenate([(mask[..., 0] if mask.ndim == 3 else mask).ravel() > 0 for mask in levels])
      scores = np.concatenate([found.on_photograph(key, number).ravel() for number in range(2)])
      assert truth.size == scores.size == 2 * 96 * 144
      assert report['pixel_f1']['lesions'][key] == pytest.approx(f1_score(truth, scores >= threshold), abs=1e-3)
      assert report['pixel_iou']['lesions'][key] == pytest.approx(jaccard_score(truth, scores >= threshold), abs=1e-3)
      low, high = report['aupr']['bounds'][key]
      assert low - 1e-3 <= average_precision_score(truth, scores) <= high + 1e-3
      assert 0.2 < report['pixel_f1']['lesions'][key] < 1 and report['aupr_11']['lesions'][key] is not None
      assert report['positive_pixels'][key] == truth.sum()
    assert report['intervals']['aupr']['lesions']['MA'] and report['intervals']['pixel_iou']['lesions']['HaEx']
    assert report['aupr']['undefined']['iHE'] == 'not learned'
    evaluated = report['evaluated']
    assert (evaluated['at'], evaluated['batch_size'], evaluated['data']['size']) == ('native', 1, oracle.SIZE)
    assert "grades are not evaluated: idrid has none" in evaluated['notes']
    assert capsys.readouterr().out.startswith('oracle on idrid, split test: 2 photographs in their own pixels\n')
    with np.load(out / 'counts.npz') as counts:
      assert counts['pixel_tp'].shape == (2, 8)

  @pytest.mark.slow
  def test_copies_and_ensembles_are_judged_there_too(self, save_segmenter, idrid, evaluate):
    first, second = (save_segmenter(f'net{seed}', seed) for seed in range(2))
    status, out = evaluate(first, 'idrid', '--data-dir', idrid, '--model', second, '--tta', 'flips', '--at', 'native')
    assert status == 0
    predictor = lesion_jax.load([first, second], tta='flips')
    found = predictor(sorted((idrid / 'A. Segmentation' / '1. Original Images' / 'b. Testing Set').iterdir()))
    expected = [[found.on_photograph(key, number).max() for key in ('MA', 'HaEx', 'CWS')] for number in range(2)]
    with np.load(out / 'counts.npz') as counts:
      np.testing.assert_allclose(counts['lesion_probabilities'][:, [0, 2, 3]], expected, atol=1e-5)

  def test_the_pictures_and_the_place_of_their_own(self, save_oracle, lesions, prepared, tmp_path):
    assert cli.main(['evaluate', '--model', str(save_oracle()), '--data', 'idrid', '--source', str(lesions),
                     '--prepared', str(prepared), '--at', 'native', '--resamples', '20']) == 0
    assert names(tmp_path / 'oracle-idrid-test-native') == FILES | {'precision_recall.png', 'examples.png'}

  def test_a_network_without_numbers_ends_with_1(self, save_oracle, lesions, evaluate, capsys, monkeypatch):
    monkeypatch.setitem(models.MODELS, 'overflowing', oracle.Overflowing)
    status, out = evaluate(save_oracle(model={'name': 'overflowing'}), 'idrid', '--data-dir', lesions, '--at', 'native')
    assert status == 1 and not names(out)
    assert 'something that is not a number on IDRiD_55; its weights are not fit for use' in capsys.readouterr().err

  @pytest.mark.parametrize('options, message', [
      (['--data', 'synthetic', '--other-crop', '--option', 'count=20'],
       "synthetic has nothing to compare in the photographs' own pixels: its images are generated at the size of the"),
      (['--data', 'idrid', '--batch-size', '2'], '--batch-size: in their own pixels photographs go one by one'),
  ])
  def test_what_cannot_be_is_said(self, save_oracle, evaluate, capsys, options, message):
    data, *others = options[1:]
    with pytest.raises(SystemExit) as stop:
      evaluate(save_oracle(), data, '--at', 'native', *others)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_windows_for_a_network_that_grades_are_refused(save_oracle, idrid, evaluate, capsys):
  bundle = save_oracle(preprocessing={'size': 128, 'crop': 'field of view'})
  for window, message in (('96', 'grades, and a grade is of a whole photograph'), ('100', 'window=100 pixels cannot'),
                          ('-1', 'is not a whole number of pixels')):
    with pytest.raises(SystemExit) as stop:
      evaluate(bundle, 'idrid', '--data-dir', idrid, f'--window={window}')
    assert stop.value.code == 2 and message in capsys.readouterr().err


class TestRegions:
  SQUARES = {'size': oracle.SIZE, 'crop': SQUARE}

  def test_figures_by_region_are_of_the_same_photographs_and_the_truth_is_counted_by_scipy(
      self, save_oracle, prepared, tmp_path, capsys):
    bundle = save_oracle(smallest={'MA': {'value': 2, 'unit': 'pixels'}}, preprocessing=self.SQUARES)
    assert cli.main(['evaluate', '--model', str(bundle), '--data', 'synthetic', '--option', f'count={COUNT}', '--prepared',
                     str(prepared), '--out', str(tmp_path / 'out'), '--regions', '--no-pictures', '--resamples', '20']) == 0
    said = capsys.readouterr().out
    assert 'false a photograph' in said and 'regions: a region of the ground truth is found where' in said
    assert 'smaller regions do not count: MA 2 pixels' in said and 'Left out of masks, counts and areas'.lower() in said.lower()
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    source = load_dataset('synthetic', data_dir=str(prepared), size=oracle.SIZE, count=COUNT).source('test')
    assert set(report['regions']['lesions']) == {'MA', 'HaEx', 'CWS'} and report['evaluated']['lesions']['scored'] == [
        'MA', 'HaEx', 'CWS']
    with np.load(tmp_path / 'out' / 'counts.npz') as counts:
      for key, each in report['regions']['lesions'].items():
        j = LESION_KEYS.index(key)
        truth = [ndimage.label(source[n]['lesions'] >> j & ~source[n]['ignore'] >> j & 1, np.ones((3, 3)))[1]
                 for n in range(len(source))]
        assert counts['region_truth'][:, j].tolist() == truth and each['truth'] == sum(truth)
        assert counts['region_called'][:, j].sum() == each['predicted']

  def test_it_is_of_lesion_maps_at_the_networks_size(self, save_oracle, prepared):
    with pytest.raises(ValueError, match="regions=True is of the network's own size"):
      assessment.check(save_oracle(), 'idrid', data_dir=prepared, at='native', regions=True)
    with pytest.raises(ValueError, match='regions=True is of lesion maps, and grader makes none'):
      assessment.check(save_oracle(model={'name': 'grader'}, preprocessing=self.SQUARES), 'synthetic', data_dir=prepared,
                       options={'count': COUNT}, regions=True)
