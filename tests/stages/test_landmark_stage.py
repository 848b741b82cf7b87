"""The stage of the landmarks: from a configuration to a bundle, exact resume, the guard against leaks, and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from landmark_release import CHANNELS, draw_release

from configs import landmarks
from lesion_jax import stages
from lesion_jax.predict.landmarks import load_landmarks
from lesion_jax.report.card import landmark_card
from lesion_jax.report.terminal import format_report
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import save_bundle

DEVICES = Devices(jax.devices()[:2])


def tiny(release, **changes):
  """The configuration on a handful of small photographs; '__' stands for the dot."""
  config = landmarks.get_config()
  stage = config.landmarks
  stage.data.update(size=64, source_dir=str(release), keep=0.0)
  stage.model.channels = CHANNELS
  stage.update(batch_size=4, eval_batch_size=4, max_steps=4, warm_up=1, validate_every=2, save_every=0, log_every=1, track=())
  with config.unlocked():
    config.update_from_flattened_dict({key.replace('__', '.'): value for key, value in changes.items()})
  return config


@pytest.fixture(scope='module')
def release(tmp_path_factory):
  return draw_release(tmp_path_factory.mktemp('release') / 'idrid')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('data'))


def build(config, workdir, data_dir):
  networks = stages.check(config, DEVICES)
  dataset = stages.open_datasets(config, data_dir, DEVICES)['landmarks']
  return stages.build_stage(config, 'landmarks', dataset, networks['landmarks'], workdir=workdir, devices=DEVICES, bundles={})


@pytest.fixture(scope='module')
def whole(release, tmp_path_factory, data_dir):
  """A run without interruption: (stage, what training returned)."""
  stage = build(tiny(release), tmp_path_factory.mktemp('whole'), data_dir)
  return stage, stage.train(lambda: False)


@pytest.mark.slow  # as the other stages do, in test_main
def test_a_run_that_was_stopped_ends_with_the_same_bits(whole, release, tmp_path, data_dir):
  stage = build(tiny(release), tmp_path, data_dir)
  asked = iter([False, True])
  assert not stage.train(lambda: next(asked)).finished
  again = build(tiny(release), tmp_path, data_dir).train(lambda: False)
  assert again.step == 4
  for one, other in zip(jax.tree.leaves(again.state), jax.tree.leaves(whole[1].state), strict=True):
    np.testing.assert_array_equal(one, other)


def test_the_bundle_of_a_run_is_one_that_prediction_takes(whole, tmp_path):
  stage, trained = whole
  variables = stage.variables(trained.state)
  evaluation = stage.evaluate(variables, 'test', stage.choose(variables))
  report = evaluation.report | {'selection': stage.selection(trained)}
  assert report['landmarks']['disc']['images'] == len(stage.dataset.source('test'))
  assert report['landmarks']['fovea']['outside']['of'] == report['landmarks']['fovea']['images']
  bundle = stage.bundle(variables, report, best_step=trained.best_step)
  save_bundle(tmp_path / 'bundle', config=bundle.config, variables=variables, card=landmark_card(bundle.config),
              photographs=bundle.photographs)
  finder = load_landmarks(tmp_path / 'bundle')
  assert finder.size == 64 and finder.config['landmarks'] == ['disc', 'fovea']
  card = (tmp_path / 'bundle' / 'README.md').read_text('utf-8')
  assert 'CC BY 4.0' in card and '| fovea |' in card and 'load(landmarks=' in card
  text = format_report(report, 'landmarks')
  assert 'errors in disc diameters' in text and 'chosen on validation by nearness of the landmarks' in text
  finished = tiny(stage.config.data.source_dir, landmarks__bundle=str(tmp_path / 'bundle'))
  network = stages.check(finished, DEVICES)['landmarks']
  again = dataclasses.replace(stage, network=network)
  assert again.choose({}) == {'found': 0.5}
  assert again.evaluate(network.bundle.variables, 'test', {'found': 0.5}).report == evaluation.report


def test_a_training_photograph_that_is_in_test_as_well_is_left_out(tmp_path):
  """The same photograph under another number, as IDRiD has them across its split."""
  root = draw_release(tmp_path / 'idrid')
  folder = root / 'B. Disease Grading' / '1. Original Images'
  kept = build(tiny(root), tmp_path / 'a', str(tmp_path / 'data')).dataset
  learned = kept.source('train').index.id[0]
  (folder / 'b. Testing Set' / 'IDRiD_002.jpg').write_bytes((folder / 'a. Training Set' / f'{learned}.jpg').read_bytes())
  stage = build(tiny(root), tmp_path / 'b', str(tmp_path / 'other'))
  assert learned not in stage.dataset.source('train').index.id
  assert stage.leaks['dropped'] == {'idrid_landmarks': {'train': 1}}


@pytest.mark.parametrize('changes, message', [
    ({'landmarks__loss': 'dice'}, 'landmark_cross_entropy.* and the stage .*landmarks.* belong together'),
    ({'landmarks__criterion': 'kappa'}, 'is chosen by nearness'),
    ({'landmarks__model__channels': (2, 2)}, 'give five numbers from 1 to 512'),
    ({'landmarks__model__name': 'unet'}, "described by the name 'landmark_net'"),
    ({'landmarks__data__crop': 32}, 'landmarks are looked for in whole photographs'),
    ({'landmarks__hard_negatives': 0.1}, 'has no lesions; leave lesion_weights'),
    ({'landmarks__augmentation__field': (0.0, 1.0)}, 'field must be positive'),
    ({'landmarks__data__size': 72}, 'side is a multiple of 32'),
])
def test_a_mistake_is_named(release, changes, message):
  with pytest.raises(ValueError, match=message):
    stages.check(tiny(release, **changes), DEVICES)


def test_data_without_places_teach_nothing(release, data_dir):
  with pytest.raises(ValueError, match='idrid_grading says of no training photograph where optic disc and fovea are'):
    stages.open_datasets(tiny(release, landmarks__data__name='idrid_grading'), data_dir, DEVICES)


def test_a_configuration_from_before_there_was_the_stage_is_the_same_run():
  now = landmarks.get_config()
  now.stages = ('segment',)
  then = {key: value for key, value in now.to_dict().items() if key != 'landmarks'}
  assert stages.differing(then, now.to_dict()) == {}
