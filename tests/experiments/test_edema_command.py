"""`experiments.edema`: records against the labels of the release, without what the network learned from; `experiments.edema_head`:
what a head learns from."""

from __future__ import annotations

import functools
import json

import jax
import numpy as np
import pytest
from landmark_release import draw_release
from tiny import TINY_MODELS

from experiments import edema, edema_head
from lesion_jax import models
from lesion_jax.data.registry import load_dataset
from lesion_jax.models.forward import forward
from lesion_jax.photograph.fingerprint import reduced
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.initialize import initialize

TEST = 'B. Disease Grading/1. Original Images/b. Testing Set'


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
  root = tmp_path_factory.mktemp('edema')
  return load_dataset('idrid_landmarks', data_dir=root / 'data', size=64, source_dir=draw_release(root / 'idrid'), quiet=True)


def record(number, value, folder=TEST, grade=None):
  """What is read of one."""
  return {'file': f'somewhere/{folder}/IDRiD_{number:03d}.jpg', 'edema': {'value': value},
          'grade': None if grade is None else {'value': grade}}


def test_every_photograph_with_a_record_counts_once(dataset):
  records = [record(1, 1), record(2, 2), record(3, 1), record(4, None), record(4, 1, folder='A. Segmentation/x')]
  found = edema.judge(dataset, 'test', records)
  assert found['confusion'] == [[0, 1, 0], [0, 1, 0], [0, 0, 1]] and found['untold'] == [0, 1, 0]  # the truths are 1, 2, 0 and 1
  assert (found['photographs'], found['left_out'], found['missing'], 'joint' in found) == (4, 0, 0, False)
  some = edema.judge(dataset, 'test', [record(1, 1, grade=1), record(3, 0, grade=0)])
  assert some['missing'] == 2 and some['joint']['value'] == 0.5


def test_what_the_network_learned_from_is_left_out(dataset):
  prints = reduced(dataset.source('test').index.fingerprint)
  found = edema.judge(dataset, 'test', [record(1, 1), record(2, 2)], {'train': prints[:1], 'validation': prints[2:3]})
  assert (found['photographs'], found['left_out'], found['missing']) == (1, 2, 1)


def test_records_of_others_or_without_landmarks_are_refused(dataset):
  with pytest.raises(ValueError, match='no record is of a photograph of idrid_landmarks, split test'):
    edema.judge(dataset, 'test', [record(9, 1), record(1, 1, folder='B. Disease Grading/1. Original Images/a. Training Set')])
  with pytest.raises(ValueError, match='was predicted without landmarks; predict it with --landmarks'):
    edema.judge(dataset, 'test', [{'file': record(1, 1)['file'], 'grade': None}])


def test_the_command_prints_and_writes(dataset, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(edema, 'records_in', lambda folder: [record(1, 1), record(2, 0)])
  monkeypatch.setattr(edema, 'SIZE', 64)
  source, data_dir = dataset.builder.builder_config.source_dir, dataset.builder.data_dir_root
  assert edema.main([str(tmp_path), '--source_dir', str(source), '--data_dir', str(data_dir), '--out', str(tmp_path / 'f.json')]) == 0
  said = capsys.readouterr().out
  assert 'split test: 2 photographs of 2 visits (0 left out that the network learned from, 2 without a record)' in said
  assert 'accuracy 0.500' in said and json.loads((tmp_path / 'f.json').read_text())['photographs'] == 2


def told(number, risk, grade, folder=TEST):
  """A record of a network that is sure of a risk of edema and of a grade, with probabilities of 0.6."""
  sure = lambda value, count: {key: 0.6 if key == value else 0.4 / (count - 1) for key in range(count)}
  record = {'file': f'somewhere/{folder}/IDRiD_{number:03d}.jpg', 'edema': {'value': None, 'sentence': '-'}, 'lesions': None, 'states': {},
            'quality': {'reasons': []}}
  return record | {
      'grade': {'value': grade, 'key': f'DR{grade}', 'referable': grade >= 2,
                'probabilities': {f'DR{key}': value for key, value in sure(grade, 5).items()}},
      'edema_by_network': {'value': risk, 'name': '-', 'probabilities': {str(key): value for key, value in sure(risk, 3).items()}}}


def test_a_resample_without_anybody_to_be_seen_has_no_sensitivity(dataset):
  """One sick eye of four, and it is found: there is no resample in which one is missed."""
  grade, patient = np.array([0, 0, 0, 4]), np.array(list('abcd'))
  records = [told(number, 0, int(each)) for number, each in enumerate(grade)]
  figures = edema.referrals(grade, np.zeros(4, int), patient, records, {})[edema.DEFAULT_POINT]
  assert figures['sensitivity'] == {'value': 1.0, 'count': 1, 'of': 1, 'interval': [1.0, 1.0]}
  chosen = [each | {'operating_point': {'name': 'all', 'referable': 0.01, 'edema': 0.01}} for each in records]  # at which they were predicted
  assert edema.referrals(grade, np.zeros(4, int), patient, chosen, {})[edema.DEFAULT_POINT] == figures
  healthy = edema.referrals(grade[:3], np.zeros(3, int), patient[:3], records[:3], {})
  assert healthy[edema.DEFAULT_POINT]['sensitivity'] == {'value': None, 'count': 0, 'of': 0, 'interval': None}
  report = edema.judge(dataset, 'test', [told(int(name[-3:]), 0, 0) for name in dataset.source('test').index.id])
  assert f'{edema.DEFAULT_POINT}: sensitivity undefined (0 of 0)' in '\n'.join(edema._lines(report | {'operating_points': healthy}))


def test_what_the_network_tells_itself_and_its_operating_points_are_judged_too(dataset):
  index = dataset.source('test').index
  records = [told(int(name[-3:]), int(risk), int(grade)) for name, risk, grade in zip(index.id, index.edema, index.grade, strict=True)]
  points = {'sharp': {'referable': {'threshold': 0.9}, 'edema': {'threshold': 0.9}}, 'blunt': {'referable': {'threshold': 0.01}, 'edema': {'threshold': 0.01}}}
  found = edema.judge(dataset, 'test', records, None, points)
  assert found['by_network']['accuracy']['value'] == 1 and found['by_network']['joint']['value'] == 1
  truth = (index.grade >= 2) | (index.edema == 2)
  figures = {name: (each['sensitivity']['value'], each['specificity']['value']) for name, each in found['operating_points'].items()}
  assert figures == {'most probable': (1, 1), 'sharp': (0, 1), 'blunt': (1, 0)}
  assert found['operating_points']['sharp']['sensitivity']['of'] == truth.sum() > 0
  assert 'sharp: sensitivity 0.000' in '\n'.join(edema._lines(found))


def test_a_head_learns_from_what_the_network_makes_of_those_photographs_alone_that_it_learned_from(dataset, tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  fields, source = {'name': 'multitask', 'lesion': {'name': 'lesion_net_32s'}}, dataset.source('train')
  model, index, rows = models.get_model(**fields), source.index, np.arange(1, len(source), 2)
  variables = initialize(model, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), 0)
  bundle = Bundle({'model': fields, 'preprocessing': {'size': 64}}, variables, photographs={'train': reduced(index.fingerprint[rows])})
  found = edema_head.ask(bundle, dataset, 'train', tmp_path)
  np.testing.assert_array_equal(found['edema'], index.edema[rows])
  assert found['patient'].tolist() == index.patient[rows].tolist() and len(found['features']) == len(rows)
  images = np.stack([source[int(row)]['image'] for row in rows])
  np.testing.assert_allclose(found['grades'], jax.jit(forward(model))(variables, images).grades, atol=1e-5)


def test_weights_are_arguments_of_the_program_and_no_part_of_it():
  model = TINY_MODELS['multitask'](lesion=TINY_MODELS['lesion_net_32s']())
  images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8)
  variables = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images)
  found = jax.eval_shape(functools.partial(model.apply, method='look'), variables, images)
  program = edema_head.features_of(model).lower(variables, *(jax.ShapeDtypeStruct(each.shape[1:], each.dtype) for each in (images, found)))
  kernel = variables['params']['grading']['encoder']['block_32']['conv']['kernel']
  assert 'x'.join(map(str, kernel.shape)) in program.as_text().partition('{')[2].partition('->')[0]
