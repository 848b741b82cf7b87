"""Learning from IDRiD (four lesions, no grades) and the synthetic data set (everything) at once."""

import functools
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_config
from absl import flags
from drawing import draw_idrid
from ml_collections import config_flags
from real import IDRID, link_idrid
from tiny import random_batch

from lesion_jax import cli, main, models, stages
from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE, Outputs, unpack_targets
from lesion_jax.data.mixture import Mixture
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.registry import load_dataset
from lesion_jax.losses import get_loss
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import load_bundle

SIZE = 32
FOUR = ('MA', 'iHE', 'HaEx', 'CWS')
KNOWN = np.array([key in FOUR for key in LESION_KEYS])
LOSSES = ('dual_dice', 'dice', 'weighted_cross_entropy', 'focal', 'cross_entropy', 'dice_cross_entropy',
          'focal_tversky')
HOST = ('id', 'patient')


pytestmark = pytest.mark.usefixtures('shallow_networks')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  return tmp_path_factory.mktemp('mixture')


@pytest.fixture(scope='module', params=['drawn', pytest.param('real', marks=pytest.mark.slow)])
def release(request, place):
  """IDRiD in its own layout: drawn here, and a few real photographs where they are at hand."""
  if request.param == 'drawn':
    return draw_idrid(place / 'idrid')
  if not IDRID.is_dir():
    pytest.skip('IDRiD is not at hand')
  return link_idrid(place / 'real', segmentation=(*range(1, 12), 55, 56))


@pytest.fixture(scope='module')
def mixture(release, place):
  idrid = load_dataset('idrid', data_dir=place / 'data', size=SIZE, source_dir=release)
  return Mixture((idrid, load_dataset('synthetic', data_dir=place / 'data', size=SIZE, count=60)), (1.0, 1.0))


@pytest.fixture(scope='module')
def network():
  """A Lesion-Net and its variables, away from the start, where no gradient is zero by symmetry."""
  model = models.get_model('lesion_net_32s')
  variables = model.init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 3), np.uint8), train=False)
  leaves, tree = jax.tree.flatten(variables['params'])
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
  return model, variables | {'params': jax.tree.unflatten(tree, moved)}


@functools.cache
def head_gradient(model, loss):
  """Jitted: (variables, batch) -> gradient of the head's kernel [.., 8] and bias [8], as training computes it."""

  def value(params, statistics, batch):
    outputs, _ = model.apply({'params': params, 'batch_stats': statistics}, batch['image'], train=True,
                             mutable=['batch_stats'])
    loss_of = get_loss(loss)
    return loss_of.value(loss_of.sums(outputs, unpack_targets(batch)), 0.8)['loss']

  return jax.jit(lambda variables, batch: jax.grad(value)(
      variables['params'], variables['batch_stats'], batch)['head']['score'])


def on_device(batch):
  return {key: value for key, value in batch.items() if key not in HOST}


def of_idrid(batch):
  return np.char.startswith(batch['id'], 'IDRiD')


@pytest.mark.parametrize('loss', [pytest.param(loss, marks=() if number < 4 else pytest.mark.slow) for number, loss in enumerate(LOSSES)])
def test_idrid_moves_nothing_of_the_lesions_that_it_does_not_annotate(mixture, network, loss):
  """The gradient of their weights and biases in the head is exactly zero, and that of the others is not."""
  idrid, _ = mixture.parts
  model, variables = network
  batch = next(train_batches(idrid.source('train'), batch_size=4, seed=0, threads=2))
  gradient = head_gradient(model, loss)(variables, on_device(batch))
  for array in (gradient['kernel'], gradient['bias']):
    strongest = np.abs(array).reshape(-1, len(LESION_KEYS)).max(axis=0)
    assert np.all(strongest[~KNOWN] == 0), dict(zip(LESION_KEYS, strongest, strict=True))
    assert np.all(strongest[KNOWN] > 0), dict(zip(LESION_KEYS, strongest, strict=True))


@pytest.mark.parametrize('loss', LOSSES)
def test_in_a_mixed_batch_unannotated_lesions_have_no_gradient_in_the_rows_of_idrid_alone(mixture, loss):
  batch = next(train_batches(mixture.source('train'), batch_size=8, seed=0, threads=2))
  rows = of_idrid(batch)
  assert rows.sum() == 4
  maps = jax.random.normal(jax.random.key(2), (8, SIZE, SIZE, len(LESION_KEYS)))

  def value(maps):
    loss_of = get_loss(loss)
    return loss_of.value(loss_of.sums(Outputs(maps=maps), unpack_targets(on_device(batch))), 0.8)['loss']

  gradient = np.abs(jax.grad(value)(maps)).max(axis=(1, 2))
  assert np.all(gradient[np.ix_(rows, ~KNOWN)] == 0)
  assert np.all(gradient[np.ix_(rows, KNOWN)] > 0) and np.all(gradient[~rows] > 0)


@pytest.mark.parametrize('loss', ['grade_cross_entropy', 'joint'])
def test_a_photograph_without_a_grade_moves_no_grade(mixture, loss):
  batch = next(train_batches(mixture.source('train'), batch_size=8, seed=0, threads=2))
  unknown = batch['grade'] == UNKNOWN_GRADE
  np.testing.assert_array_equal(unknown, of_idrid(batch))
  maps = jnp.zeros((8, SIZE, SIZE, len(LESION_KEYS)))

  def value(grades):
    loss_of = get_loss(loss)
    outputs = Outputs(maps=maps, grades=grades)
    return loss_of.value(loss_of.sums(outputs, unpack_targets(on_device(batch))), 0.8)['loss']

  gradient = np.abs(jax.grad(value)(jax.random.normal(jax.random.key(3), (8, 5)))).max(axis=1)
  assert np.all(gradient[unknown] == 0) and np.all(gradient[~unknown] > 0)


def test_the_gradient_test_can_fail(network):
  """A batch in which all eight are annotated moves all eight."""
  model, variables = network
  batch = random_batch(0, 4) | {'annotated': np.full(4, 255, np.uint8)}
  assert np.all(np.abs(head_gradient(model, 'dual_dice')(variables, batch)['bias']) > 0)


@pytest.fixture(scope='module')
def finished(place):
  """The working directory of a whole job on the mixture, and the exit status."""
  config = tiny_config.get_config()
  config.stages = ('segment',)
  config.segment.data.update(name='idrid+synthetic', weights=(1.0, 3.0),
                             source_dir=f'{draw_idrid(place / "job" / "idrid")}{os.pathsep}')
  config.segment.update(max_steps=3, validate_every=2)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(main, 'write_run', lambda *unused: [])  # pictures take longer than the training
    patch.setattr(main, 'examples', lambda *unused: [])
    assert main.run(config, place / 'job' / 'run', str(place / 'job' / 'data'), lambda: False) == 0
  return place / 'job' / 'run'


def test_a_whole_job_learns_all_lesions_of_both(finished):
  config = load_bundle(finished / 'segment' / 'bundle').config
  assert config['annotated'] == list(LESION_KEYS)
  assert config['preprocessing'] == {'size': SIZE, 'crop': 'field of view'}


def test_its_report_is_of_both_as_one_and_of_each_by_itself(finished):
  report = json.loads((finished / 'metrics.json').read_text())['segment']
  alone = report['data_sets']
  assert list(alone) == ['idrid', 'synthetic']
  for key in ('MA', 'HaEx', 'NV'):
    counts = [part['positive_images'].get(key, 0) for part in alone.values()]
    assert report['positive_images'][key] == sum(counts)
    pixels = [part['positive_pixels'].get(key, 0) for part in alone.values()]
    assert report['positive_pixels'][key] == sum(pixels)
  undefined = alone['idrid']['pixel_f1']['undefined']
  assert {key for key, why in undefined.items() if why == 'not annotated'} == set(LESION_KEYS) - set(FOUR)
  assert alone['idrid'].keys() == report.keys() - {'data_sets', 'selection', 'notes'}, 'with AUPR, intervals and calibration'


def test_its_bundle_and_card_name_both(finished):
  data = load_bundle(finished / 'segment' / 'bundle').config['data']
  assert data['name'] == 'idrid+synthetic' and data['weights'] == [1.0, 3.0]
  assert [(part['name'], part['annotated']) for part in data['parts']] == [
      ('idrid', list(FOUR)), ('synthetic', list(LESION_KEYS))]
  card = (finished / 'segment' / 'bundle' / 'README.md').read_text()
  for words in ('porwal2018idrid', 'idrid: CC BY 4.0; synthetic: Apache-2.0', '| split | photographs | `idrid` |',
                'sampled from as 1 : 3', '`idrid` annotates MA, iHE, HaEx, CWS;', '### On `idrid` alone',
                '### On `synthetic` alone', 'A part of its training data is synthetic'):
    assert words in card, words
  assert 'were never trained' not in card and 'Its training data are synthetic' not in card


def test_evaluate_judges_it_on_each_of_its_data_sets(finished, tmp_path):
  """Also on squares, of which it learned some, though it is a network of fields of view."""
  job = finished.parent
  options = {'synthetic': ['--option', 'count=60'], 'idrid': ['--data-dir', str(job / 'idrid'), '--split', 'validation']}
  notes = {}
  for name, further in options.items():
    assert cli.main(['evaluate', '--model', str(finished / 'segment' / 'bundle'), '--data', name, *further,
                     '--prepared', str(job / 'data'), '--out', str(tmp_path / name), '--resamples', '20',
                     '--no-pictures']) == 0
    notes[name] = json.loads((tmp_path / name / 'report.json').read_text())['evaluated']['notes']
  assert not any('field of view' in note for note in notes['synthetic'])
  assert 'the weights were chosen by the photographs of this split' in notes['idrid']
  alone = json.loads((finished / 'metrics.json').read_text())['segment']['data_sets']['synthetic']
  again = json.loads((tmp_path / 'synthetic' / 'report.json').read_text())
  for figure in ('pixel_f1', 'image_f1', 'aupr', 'calibration'):
    assert again[figure] == alone[figure], 'the figures that training gave for it alone'


CHOICES = {
    'a second name': ({'name': 'idrid+imagenet', 'source_dir': 'no:'}, "unknown data set 'imagenet'"),
    'folders': ({'name': 'idrid+synthetic', 'source_dir': 'no/such'},
                r"=no/such names 1 folders, and idrid\+synthetic is 2 data sets: give one for each, with ':'"),
    'no folder': ({'name': 'synthetic+idrid', 'source_dir': ''}, 'source_dir is missing'),
    'weights of one': ({'weights': (1.0,)}, r'--config.segment.data.weights=\(1.0,\) are of several data sets'),
    'number of weights': ({'name': 'idrid+synthetic', 'source_dir': 'a:', 'weights': (1.0,)}, 'give one for each'),
    'one twice': ({'name': 'synthetic+synthetic'}, 'names a data set twice'),
}


@pytest.mark.parametrize(('changes', 'message'), CHOICES.values(), ids=CHOICES)
def test_mistakes_are_named(changes, message, place):
  config = tiny_config.get_config()
  config.segment.data.update(**changes)
  with pytest.raises(ValueError, match=message):
    stages.open_datasets(config, str(place / 'data'), Devices(jax.devices()[:1]))


def test_a_part_from_which_the_stage_learns_nothing_is_refused(place):
  """IDRiD has no grades; its photographs would only shift the statistics of BatchNorm."""
  config = tiny_config.get_config()
  config.stages = ('grade',)
  config.grade.data.update(name='synthetic+idrid', source_dir=f':{draw_idrid(place / "graded")}')
  with pytest.raises(ValueError, match="idrid has no grades, from which the loss 'grade_cross_entropy'"):
    stages.open_datasets(config, str(place / 'data'), Devices(jax.devices()[:1]))


def test_the_keys_can_be_set_on_the_command_line(monkeypatch):
  arguments = ['main', '--config.segment.data.name=idrid+synthetic', '--config.segment.data.source_dir=/a b/IDRiD:',
               '--config.segment.data.weights=(3,1.5)']
  monkeypatch.setattr('sys.argv', arguments)  # which config_flags looks into
  values = flags.FlagValues()
  config_flags.DEFINE_config_dict('config', tiny_config.get_config(), flag_values=values)
  values(arguments)
  data = values.config.segment.data
  assert (data.name, data.source_dir, data.weights) == ('idrid+synthetic', '/a b/IDRiD:', (3, 1.5))
