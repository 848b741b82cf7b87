"""`lesion-jax evaluate`: training's own figures, what is judged and what is not, and mistakes before it takes long."""

from __future__ import annotations

import functools
import json
import shutil

import jax
import numpy as np
import oracle
import pytest
import tiny_config
from drawing import draw_idrid
from PIL import Image
from tiny import SIZE, TINY_MODELS

import lesion_jax
from lesion_jax import build, cli, models
from lesion_jax.core import LESION_KEYS
from lesion_jax.data.fundus import SQUARE
from lesion_jax.evaluate import bootstrap, intervals
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
  bundles, shape = {}, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  for name, dataset in build.open_datasets(config, str(prepared), devices).items():
    stage = build.build_stage(config, name, dataset, workdir=place, devices=devices, bundles=bundles)
    variables = initialize(stage.model, shape, 0)
    bundles[name] = stage.bundle(variables, {}, best_step=0)
  save_bundle(place / 'bundle', config=bundles['grade'].config, variables=variables, card='')
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
  assert again == {name: found[name] for name in again} and found.keys() - again.keys() == {'aupr'}


def test_the_rule_of_the_bundle_is_judged_beside_eq_1(save_oracle, idrid, evaluate):
  presence = {'rule': 'top100', 'thresholds': dict.fromkeys(LESION_KEYS, 0.5)}
  report = read(evaluate(save_oracle(presence=presence), 'idrid', '--data-dir', idrid, '--threshold', '0.3')[1])
  assert report['evaluated']['presence'] == presence == {name: report['presence'][name] for name in presence}
  assert report['evaluated']['thresholds']['MA'] == 0.3 and report['healthy']['rule'] == 'top100'
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
  assert '- not judged: iHE (not learned by the network)\n' in said
  assert '- not judged: vHE, pHE, NV, FiP (not annotated by idrid)\n' in said
  assert '- grades are not judged: idrid has none\n' in said


def test_a_threshold_for_all_and_one_for_a_lesion(trained, evaluate):
  bundle, _ = trained
  _, out = evaluate(bundle, *synthetic(), '--threshold', '0.999,MA=0.001')
  report = read(out)
  assert report['evaluated']['thresholds'] == dict.fromkeys(LESION_KEYS, 0.999) | {'MA': 0.001}
  assert '--threshold MA=0.001,iHE=0.999' in report['evaluated']['command']
  with np.load(out / 'counts.npz') as counts:
    predicted = (counts['pixel_tp'] + counts['pixel_fp']).sum(axis=0)
  assert predicted[0] > 0 and not predicted[1:].any()


def test_other_splits_come_with_a_warning(trained, evaluate, capsys):
  for split, warning in (('train', 'the network learned from the photographs of this split'),
                         ('validation', 'the weights were chosen by the photographs of this split')):
    status, out = evaluate(trained[0], *synthetic(), '--split', split)
    assert status == 0 and read(out)['evaluated']['notes'] == [warning]
    assert f'\n- {warning}\n' in capsys.readouterr().out


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
  assert 'folder cannot judge this network: it annotates FiP, and the network learned' in capsys.readouterr().err


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


def test_a_network_without_numbers_ends_with_1(save_oracle, idrid, evaluate, capsys):
  status, out = evaluate(save_oracle(gain=np.nan), 'idrid', '--data-dir', idrid)
  assert status == 1 and not names(out)
  assert capsys.readouterr().err.endswith(
      'error: the network answers with something that is no number on 2 of 2 photographs; its weights are not fit for '
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
    'no release': ([], '--source is missing: give the root folder of the release'),
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
                                                 'iHE cannot be judged here, only MA, HaEx, CWS'),
    'weights of another network': (['--model', 'misfit'], 'misfit: config.json and the weights do not make a network'),
    'resamples': (['--resamples', '0'], '0 is below 1'),
    'seed': (['--seed', '-1'], '-1 is not a whole number from 0 on'),
    'file for a folder': (['--out', 'file'], '--out file is a file'),
    'folder of something else': (['--out', 'photographs'], 'holds something else than an evaluation (eye.png)'),
    'folder that cannot be': (['--data', 'synthetic', '--other-crop', '--option', 'count=20', '--out', 'file/out'],
                              'file'),
    'data for another task': (['--data', 'idrid', '--model', 'grader'],
                              'idrid cannot judge this network: it annotates MA, iHE, HaEx, CWS, and the network '
                              'learned grades'),
    'prepared inside the release': (['--data-dir', '.', '--prepared', 'inside'], '--prepared '),
}


@pytest.mark.parametrize(('options', 'message'), MISTAKES.values(), ids=MISTAKES)
def test_usage_errors_end_with_2_and_leave_nothing(
    options, message, save_oracle, tmp_path, monkeypatch, prepared, capsys):
  monkeypatch.chdir(tmp_path)
  given = ['--model', str(save_oracle()), '--data', 'idrid', '--prepared', str(prepared), '--out', 'out']
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
