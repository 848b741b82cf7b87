"""Parts of a stage: pretrained encoders, and what joint training starts from and learns."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util
from tiny import TINY_MODELS
from tiny_config import changed

from configs import data
from lesion_jax import models, stages
from lesion_jax.core import Outputs, Targets
from lesion_jax.stages import parts
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle
from lesion_jax.weights.encoder import EncoderWeights
from lesion_jax.weights.initialize import initialize
from lesion_jax.weights.names import to_torch

FULL_MODELS = models.MODELS
DEVICES = Devices(jax.devices()[:2])


pytestmark = pytest.mark.usefixtures('shallow_networks')


@pytest.mark.parametrize(('stage', 'model', 'prefixes'), [
    ('segment', 'patch_fcn_32s', ['fcn/encoder']), ('classify', 'abn_classifier', ['attention_encoder', 'encoder'])])
def test_pretrained_weights_find_every_encoder(tmp_path, monkeypatch, stage, model, prefixes):
  found = []
  monkeypatch.setattr(models, 'MODELS', FULL_MODELS)
  monkeypatch.setattr(stages.parts, 'read_encoder', lambda path: EncoderWeights({}, '', {}))
  monkeypatch.setattr(stages.parts, 'merge', lambda variables, weights, *, prefix, **_: found.append(prefix) or variables)
  stages.check(changed(**{'stages': (stage,), f'{stage}__pretrained': 'weights.pth', f'{stage}__model__name': model,
                          f'{stage}__data__size': 128}), DEVICES)
  assert found == prefixes


def test_pretrained_weights_fill_both_encoders_of_an_abn(tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'MODELS', FULL_MODELS)
  stage = changed(classify__model__name='abn_classifier', classify__model__width=1 / 16).classify
  network = models.get_model(**stages.parts.model_config(stage.model, None))
  fresh = initialize(network, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), 0)
  flat = traverse_util.flatten_dict(fresh, sep='/')
  published = {name.replace('/encoder/', '/'): value + 1 for name, value in flat.items() if '/encoder/' in name}
  stage.pretrained = str(tmp_path / 'weights.safetensors')
  safetensors.numpy.save_file({name: np.ascontiguousarray(value) for name, value in to_torch(published).items()} |
                              {'fc.weight': np.zeros((2, 2), np.float32)}, stage.pretrained)
  note = stages.loaded_note(stage)
  assert note.startswith(f'the encoder starts from {stage.pretrained}, state dict under torchvision')
  assert f': {len(published)} arrays, {sum(array.size for array in published.values()):,} numbers; skipped: the classifier' in note
  found = traverse_util.flatten_dict(stages.parts.with_pretrained(fresh, stage), sep='/')
  for name, value in found.items():
    source = name.replace('attention_encoder/', 'encoder/')
    np.testing.assert_array_equal(value, flat[source] + 1 if '/encoder/' in source else flat[name], err_msg=name)


def test_what_a_stage_starts_from_is_said():
  assert stages.loaded_note(changed().grade) is None
  started = changed(grade__init='runs/a/grade/bundle', grade__init_drop=('head/*',)).grade
  assert stages.loaded_note(started) == 'starts from the weights of runs/a/grade/bundle, but what init_drop names: head/*'
  assert stages.loaded_note(changed(grade__bundle='runs/a/grade/bundle', grade__pretrained='x.pth').grade) is None


def test_pretrained_weights_that_do_not_fit_are_refused_before_training(tmp_path):
  weights = tmp_path / 'weights.safetensors'
  safetensors.numpy.save_file({'Conv2d_1a_3x3.conv.weight': np.zeros((32, 3, 3, 3), np.float32)}, weights)
  with pytest.raises(ValueError, match='left over in the weights'):
    stages.check(changed(grade__pretrained=str(weights)), DEVICES)


def test_joint_training_starts_with_the_dual_loss():
  stage = changed(grade__loss='joint').grade
  assert stages.parts.plateau(stage).segmentation_weight == stage.dual_weight
  assert stages.parts.plateau(changed().grade).segmentation_weight == 1


def _training(split):
  """A split of one photograph that is annotated for everything."""
  return types.SimpleNamespace(index=types.SimpleNamespace(annotated=np.array([255], np.uint8)))


def test_a_lesion_of_weight_0_is_not_learned():
  """So nothing is said of it, neither in the test report nor by the bundle."""
  stage = types.SimpleNamespace(loss='dice_cross_entropy', lesion_weights=(4, 0.0, 1, 1, 1, 1, 1, 0.5))
  data = types.SimpleNamespace(annotated=('MA', 'iHE', 'FiP'), source=_training)
  assert stages.stage._learned_lesions(stage, data, None, None) == ('MA', 'FiP')


def test_the_weights_of_the_lesions_reach_the_loss():
  stage = changed(segment__loss='cross_entropy', segment__lesion_weights=(3, 0, 1, 0, 0, 0, 0, 0)).segment
  logits = jnp.full((1, 2, 2, 8), 2.0).at[..., 0].set(-1.0)
  targets = Targets(np.ones(logits.shape, bool), np.ones(logits.shape, bool), np.zeros(1, np.int32))
  loss = stages.parts.loss(stage)
  expected = (3 * np.log1p(np.exp(1)) + np.log1p(np.exp(-2))) / 4
  np.testing.assert_allclose(loss.value(loss.sums(Outputs(maps=logits), targets), 1.0)['loss'], expected, rtol=1e-6)


def test_joint_training_learns_the_lesions_of_its_data_too():
  source = Bundle({'annotated': ['HaEx', 'MA']}, {})
  data = types.SimpleNamespace(annotated=('iHE', 'MA'), source=_training)
  learned = lambda loss, source: stages.stage._learned_lesions(
      types.SimpleNamespace(loss=loss, lesion_weights=()), data, None, source)
  assert learned('joint', source) == ('MA', 'iHE', 'HaEx')
  assert learned('grade_cross_entropy', source) == ('MA', 'HaEx')
  assert learned('grade_cross_entropy', None) == ()
  assert learned('dual_dice', None) == ('MA', 'iHE')
  joint = types.SimpleNamespace(loss='joint')
  assert stages.stage._learned_lesions(joint, data, source, None) == ('HaEx', 'MA')  # finished: what its bundle says


@pytest.mark.parametrize(('name', 'changes', 'said'), [
    ('retinal_lesions', {}, True), ('idrid+synthetic', {}, True), ('synthetic', {}, False),
    ('retinal_lesions', {'pretrained': 'inception_v3.pth'}, False), ('idrid', {'bundle': 'finished'}, False),
    ('idrid', {'init': 'before/bundle'}, False)])
def test_a_start_from_random_weights_on_photographs_of_patients_is_said(name, changes, said):
  stage = data.configure('synthetic').segment
  stage.update(changes)
  stage.data.name = name
  note = parts.start_note('segment', stage)
  assert (note is not None) == said
  assert not said or '--config.segment.pretrained=FILE' in note


class TestStartingFromABundle:

  def _bundle(self, tmp_path, monkeypatch, **fields):
    from lesion_jax.weights.bundle import save_bundle
    monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
    config = changed(stages=('segment',), **fields)
    variables = _fresh(config)
    variables['params']['head']['score']['bias'] = np.arange(8, dtype=np.float32)
    path = tmp_path / 'bundle'
    save_bundle(path, config={'model': parts.model_config(config.segment.model, None)}, variables=variables, card='')
    return path, variables

  def test_all_weights_are_taken(self, tmp_path, monkeypatch):
    path, saved = self._bundle(tmp_path, monkeypatch)
    found = parts.with_initial(_fresh(changed(), seed=1), changed(segment__init=str(path)).segment)
    for name, value in traverse_util.flatten_dict(saved, sep='/').items():
      np.testing.assert_array_equal(traverse_util.flatten_dict(found, sep='/')[name], value, err_msg=name)

  def test_a_lesion_network_starts_from_the_one_inside_a_grading_network(self, tmp_path, monkeypatch):
    from lesion_jax.weights.bundle import save_bundle
    path, saved = self._bundle(tmp_path, monkeypatch)
    whole = {name: {'lesion': tree, 'grading': {'head': {'bias': np.zeros(5, np.float32)}}} for name, tree in saved.items()}
    save_bundle(path, config={'model': {'name': 'multitask'}}, variables=whole, card='')
    found = parts.with_initial(_fresh(changed(), seed=1), changed(segment__init=str(path)).segment)
    for name, value in traverse_util.flatten_dict(saved, sep='/').items():
      np.testing.assert_array_equal(traverse_util.flatten_dict(found, sep='/')[name], value, err_msg=name)

  def test_what_is_dropped_starts_afresh(self, tmp_path, monkeypatch):
    path, saved = self._bundle(tmp_path, monkeypatch)
    fresh = _fresh(changed(), seed=1)
    found = parts.with_initial(fresh, changed(segment__init=str(path), segment__init_drop=('head/*',)).segment)
    np.testing.assert_array_equal(found['params']['head']['score']['bias'], fresh['params']['head']['score']['bias'])
    block = found['params']['encoder']['block_2']['conv']['kernel']
    np.testing.assert_array_equal(block, saved['params']['encoder']['block_2']['conv']['kernel'])

  def test_another_network_is_refused_with_what_to_do(self, tmp_path, monkeypatch):
    path, _ = self._bundle(tmp_path, monkeypatch, segment__model__name='lesion_net_8s')
    stage = changed(segment__init=str(path), segment__model__name='lesion_net_32s').segment
    with pytest.raises(ValueError, match='init_drop'):
      parts.with_initial(_fresh(changed(segment__model__name='lesion_net_32s')), stage)

  def test_two_sources_of_weights_are_refused(self, tmp_path, monkeypatch):
    path, _ = self._bundle(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match='leave one'):
      parts.with_initial(_fresh(changed()), changed(segment__init=str(path), segment__pretrained='x.safetensors').segment)


def _fresh(config, seed=0):
  stage = config.segment
  model = models.get_model(**parts.model_config(stage.model, None))
  return initialize(model, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), seed)


def test_a_prior_is_the_probability_at_the_start(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  found = parts.with_prior(_fresh(changed()), changed(segment__prior=0.02).segment)
  np.testing.assert_allclose(1 / (1 + np.exp(-found['params']['head']['score']['bias'])), 0.02, rtol=1e-5)
  with pytest.raises(ValueError, match='prior=1'):
    parts.with_prior({}, changed(segment__prior=1.0).segment)


@pytest.mark.parametrize('fields, named', [
    ({'segment__data__crop': 4096}, 'larger than the prepared photograph'), ({'segment__data__centred': 2.0}, 'centred'),
    ({'segment__data__crop_scale': (0.6, 1.2)}, r'crop_scale=\(0.6, 1.2\) magnifies crops, and data.crop=0')])
def test_a_draw_that_cannot_be_is_refused_before_training(fields, named):
  with pytest.raises(ValueError, match=named):
    parts.draw(changed(**fields).segment)


def test_grades_are_not_learned_from_crops():
  with pytest.raises(ValueError, match='whole photograph'):
    parts.draw(changed(grade__data__crop=32).grade)
