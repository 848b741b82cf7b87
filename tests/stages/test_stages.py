"""From configurations to objects: what is built, that every key is read, and that mistakes are found before anything
is trained."""

import dataclasses
import types

import jax
import numpy as np
import pytest
import tiny_config
from ml_collections import ConfigDict
from tiny_config import changed

from configs import common
from lesion_jax import models, stages
from lesion_jax.evaluate import criterion
from lesion_jax.losses import LOSSES
from lesion_jax.photograph import likeness
from lesion_jax.train.loop import TrainResult
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle, save_bundle
from lesion_jax.weights.encoder import EncoderWeights

FULL_MODELS = models.MODELS
DEVICES = Devices(jax.devices()[:2])


pytestmark = pytest.mark.usefixtures('shallow_networks')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('data'))


def test_a_right_configuration_passes_and_names_no_bundles():
  networks = stages.check(tiny_config.get_config(), DEVICES)
  assert networks.keys() == {'segment', 'grade'} and stages.finished(networks) == {}


MISTAKES = {
    'network': ({'segment__model__name': 'resnet'}, "unknown model 'resnet'; the models are lesion_net_32s"),
    'network of the second stage': ({'grade__model__name': 'vgg'}, "unknown model 'vgg'"),
    'dtype': ({'segment__model__dtype': 'int8'}, "unknown dtype 'int8'; choose one of float32, bfloat16"),
    'attention': ({'grade__model__attention': 'dot'}, "unknown attention 'dot'; choose one of conv, cw_maxpool"),
    'loss': ({'segment__loss': 'hinge'}, "unknown loss 'hinge'; the losses are dual_dice, dice"),
    'weights of lesions in a pooled loss': ({'segment__lesion_weights': (1.0,) * 8}, "'dual_dice' takes no lesion_weights"),
    'weights of some lesions': ({'segment__loss': 'focal', 'segment__lesion_weights': (4.0, 1.0)},
                                r'lesion_weights=\(4.0, 1.0\): give 8 numbers of 0 or more'),
    'loss of another task': ({'segment__loss': 'grade_cross_entropy'}, 'needs outputs.grades'),
    'network of another task': ({'segment__model__name': 'inception_v3_grader'}, 'needs outputs.maps'),
    'batch and devices': ({'segment__batch_size': 7}, 'a batch of 7 cannot be divided over 2 device.* multiple of 2'),
    'batch and micro-batches': ({'grade__accumulate': 8}, r'over 2 device\(s\) x 8 micro-batch.* multiple of 16'),
    'no micro-batch': ({'grade__accumulate': 0}, 'accumulate=0: a step has 1 micro-batch or more'),
    'evaluation batch': ({'grade__eval_batch_size': 3}, 'a batch of 3 cannot be divided'),
    'stage': ({'stages': ('segment', 'export')}, 'give one or more of segment, classify, grade'),
    'no stage': ({'stages': ()}, 'give one or more of segment, classify, grade'),
    'joint loss of a frozen branch': ({'grade__loss': 'joint'}, "loss 'joint' does not go with joint=False"),
    'a branch that nothing teaches lesions': ({'grade__model__joint': True}, 'set --config.grade.model.joint=True and'),
    'two lesion networks': ({'stages': ('segment', 'classify', 'grade')}, 'more than one lesion network.*takes one'),
    'attention to a network without maps': ({'stages': ('classify', 'grade')}, "needs 'maps' of its lesion network"),
    'optimizer': ({'grade__optimizer': 'lion'}, "unknown optimizer 'lion'; the optimizers are sgd"),
    'rate': ({'segment__learning_rate': 0.0}, 'learning_rate must be above 0'),
    'criterion': ({'segment__criterion': 'dice'}, "unknown criterion 'dice'; the best model .* pixel_f1, image_f1, "),
    'criterion of grades': ({'segment__criterion': 'kappa'}, "'kappa' is not .* 'dual_dice'; choose one of pixel_f1, "),
    'criterion of lesions': ({'grade__criterion': 'aupr'}, "'aupr' is not .* choose one of kappa$"),
    'criterion of maps': ({'stages': ('classify',), 'classify__criterion': 'aupr'}, 'choose one of image_f1$'),
    'schedule': ({'segment__schedule': 'step'}, "unknown schedule 'step'; the schedules are plateau, cosine, poly"),
    'schedule without an end': ({'grade__schedule': 'cosine', 'grade__max_steps': 0}, "'cosine' needs .* max_steps"),
    'warm-up': ({'segment__schedule': 'poly', 'segment__warm_up': 7}, 'got warm_up=7 of max_steps=7'),
    'averages': ({'segment__ema': 1.0}, 'ema is the decay of an average'),
    'clipping': ({'segment__clip': -1.0}, 'clip is the largest norm'),
    'rate of the encoder': ({'segment__encoder_lr_factor': 0.0}, "freeze it: freeze="),
    'rate of no encoder': ({'segment__encoder_lr_factor': 0.1, 'segment__freeze': ('encoder',)},
                           'finds no parameter to train under a module named encoder .* trained are decoder_16s, head'),
    'freeze': ({'segment__freeze': ('encoder/Conv_*',)}, r"fits the pattern 'encoder/Conv_\*'; .* encoder, "),
    'dual weight': ({'segment__dual_weight': 2.0}, 'dual_weight is lambda of Eq. 2'),
    'validation': ({'grade__validate_every': 0}, 'counted from 1'),
    'thresholds': ({'segment__thresholds': 'best'}, "thresholds='best': choose one of half, validation"),
    'specificity': ({'grade__specificity': 1.0}, 'specificity=1.0: give the share of photographs without a lesion'),
    'augmentation': ({'segment__augmentation__vertical_flip': 2.0}, 'vertical_flip is a probability'),
    'field of another network': (
        {'segment__model__name': 'unet', 'segment__model__decoder_channels': (64, 32)},
        r"decoder_channels=\(64, 32\) is no field of the network 'unet'; those that have it are lesion_net_32s, .* at \(\)"),
    'field of a network with a branch': (
        {'grade__model__name': 'inception_v3_grader', 'grade__model__joint': True},
        "joint=True is no field of the network 'inception_v3_grader'; those that have it are .*multitask"),
    'no lesion network': ({'stages': ('grade',)}, "needs a lesion network.*--config.segment.bundle=DIR"),
    'bundle': ({'segment__bundle': 'no/such/bundle'}, 'no/such/bundle is not a bundle: it does not exist'),
    'pretrained weights': ({'segment__pretrained': 'no/such.pth'}, 'no/such.pth'),
}


@pytest.mark.parametrize(('changes', 'message'), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_what_is_allowed(changes, message):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    stages.check(changed(**changes), DEVICES)


def test_a_field_of_another_network_at_its_default_is_none_of_this_one():
  config = changed(segment__model__name='unet', grade__model__name='inception_v3_grader')
  networks = stages.check(config, DEVICES)
  assert 'decoder_channels' not in networks['segment'].fields
  assert not {'attention', 'joint', 'grading_size', 'sync_batch_norm'} & networks['grade'].fields.keys()


def test_a_network_is_made_once(fits, tmp_path, data_dir, monkeypatch):
  networks = stages.check(tiny_config.get_config(), DEVICES)
  monkeypatch.setattr(stages.parts, 'get_model', lambda **_: pytest.fail('made again'))
  for name, dataset in stages.open_datasets(tiny_config.get_config(), data_dir, DEVICES).items():
    bundles = {'segment': Bundle({'model': networks['segment'].fields, 'annotated': []}, {})} if name == 'grade' else {}
    stage = build_one(tiny_config.get_config(), name, dataset, tmp_path, bundles, networks)
    assert stage.model is networks[name].model


def test_an_image_too_small_for_the_encoder_is_found(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', FULL_MODELS)
  with pytest.raises(ValueError, match=r"64x64 is too small for Inception-v3 with padding 'VALID'.* at least 75"):
    stages.check(changed(segment__data__size=64, segment__model__padding='VALID'), DEVICES)


DATA = {
    'name': ({'segment__data__name': 'imagenet'}, "unknown data set 'imagenet'; there are: synthetic, retinal_lesions"),
    'no source_dir': ({'grade__data__name': 'idrid_grading'}, 'source_dir is missing'),
    'wrong source_dir': ({'segment__data__name': 'idrid',
                          'segment__data__source_dir': 'no/such/release'}, 'no/such/release'),
    'size': ({'segment__data__size': 16}, 'at least 32'),
    'scale of another data set': ({'grade__data__scale': 'referable'}, r"--config\.grade\.data\.scale=referable is of the data set 'folder', and synthetic"),
    'values of another data set': ({'segment__data__mask_values': 'lesion=1', 'segment__data__mask_indices': '1=MA'},
                                   r'mask_values=lesion=1 and --config\.segment\.data\.mask_indices=1=MA is of the data set .* leave it out'),
    'empty split': ({'segment__data__count': 1}, r"no examples in the split '\w+'; its splits are: train \d"),
}


@pytest.mark.parametrize(('changes', 'message'), DATA.values(), ids=DATA)
def test_wrong_data_are_named(changes, message, data_dir):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    stages.open_datasets(changed(**changes), data_dir, DEVICES)


def test_each_loss_has_a_figure_by_which_the_best_model_is_chosen():
  assert stages.CRITERIA.keys() == LOSSES.keys()


class Recorder:
  """A configuration that remembers which of its keys were read."""

  def __init__(self, config, read, path=''):
    self.__dict__.update(config=config, read=read, path=path)

  def __getattr__(self, key):
    value, path = getattr(self.config, key), f'{self.path}{key}'
    if isinstance(value, ConfigDict):
      return Recorder(value, self.read, f'{path}.')
    self.read.add(path)
    return value

  __getitem__ = __getattr__

  def __contains__(self, key):
    return key in self.config

  def items(self):
    return [(key, getattr(self, key)) for key in self.config]

  def to_dict(self):
    return dict(self.items())


def leaves(config, path=''):
  for key, value in config.items():
    yield from leaves(value, f'{path}{key}.') if isinstance(value, ConfigDict) else [f'{path}{key}']


@pytest.fixture
def fits(monkeypatch):
  """Instead of training, what `fit` was given, call by call."""
  calls = []

  def fit(**given):
    calls.append(types.SimpleNamespace(**given))
    given['make_logs'](0).close()
    return TrainResult(given['state'], given['plateau'], 0, 0, finished=True)

  monkeypatch.setattr(stages.stage, 'fit', fit)
  return calls


def build_one(config, name, dataset, tmp_path, bundles=types.MappingProxyType({}), networks=None):
  networks = networks or stages.check(config, DEVICES)
  return stages.build_stage(config, name, dataset, networks[name], workdir=tmp_path, devices=DEVICES, bundles=bundles)


def build_all(config, tmp_path, data_dir):
  """Builds and 'trains' the stages; returns them and their bundles by name."""
  networks, made = stages.check(config, DEVICES), {}
  bundles = stages.finished(networks)
  for name, dataset in stages.open_datasets(config, data_dir, DEVICES).items():
    stage = build_one(config, name, dataset, tmp_path, bundles, networks)
    trained = stage.train(lambda: False)
    bundles[name] = stage.bundle(stage.variables(trained.state), {}, best_step=trained.best_step)
    made[name] = stage
  return made, bundles


def test_every_key_of_the_configuration_is_read(fits, tmp_path, data_dir):
  read = set()
  for names in (('segment', 'grade'), ('classify',)):
    build_all(Recorder(changed(stages=names), read), tmp_path, data_dir)
  of_these = lambda keys: {key for key in keys if 'landmarks' not in key}  # that stage is tested by itself
  assert of_these(leaves(common.get_config())) == of_these(read)


@pytest.mark.parametrize('platform', ['cpu', 'gpu'])
def test_steps_and_counts_are_arranged_for_the_platform_of_the_devices(fits, tmp_path, data_dir, monkeypatch, platform):
  asked = {'step': [], 'count': []}
  monkeypatch.setattr(stages.counting, 'arranged', lambda function, platform: asked['count'].append(platform) or function)
  make = stages.stage.make_train_step
  monkeypatch.setattr(stages.stage, 'make_train_step', lambda *given, **named: asked['step'].append(named['platform']) or make(*given, **named))
  config, devices = changed(stages=('segment',)), Devices()
  devices.platform = platform
  dataset, = stages.open_datasets(config, data_dir, devices).values()
  stage = stages.build_stage(config, 'segment', dataset, stages.check(config, devices)['segment'], workdir=tmp_path, devices=devices, bundles={})
  stage.train(lambda: False)
  stages.make_counter(lambda variables, images: None, devices, batch_size=devices.count)
  assert asked == {'step': [platform], 'count': [platform]}


def test_the_lesion_branch_is_frozen_outside_state_and_optimiser(fits, tmp_path, data_dir):
  _, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  grade = fits[1]
  for tree in (grade.state.params, grade.state.batch_stats, grade.state.opt_state):
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    assert paths and not any("'lesion'" in path for path in paths)
  for collection in ('params', 'batch_stats'):
    whole, alone = bundles['grade'].variables[collection]['lesion'], bundles['segment'].variables[collection]
    assert set(grade.frozen[collection]) == {'lesion'}
    jax.tree.map(np.testing.assert_array_equal, whole, alone)


def test_a_stage_may_freeze_more_than_its_lesion_branch(fits, tmp_path, data_dir):
  config = changed(segment__freeze=('encoder/block_2',), grade__freeze=('grading/encoder/block_*/conv',),
                   grade__ema=0.9)
  _, bundles = build_all(config, tmp_path, data_dir)
  segment, grade = fits
  assert set(segment.frozen['params']['encoder']) == {'block_2'} and 'block_2' not in segment.state.params['encoder']
  assert set(grade.frozen['params']) == {'lesion', 'grading'} and set(grade.frozen['batch_stats']) == {'lesion'}
  assert {name for block in grade.state.ema['params']['grading']['encoder'].values() for name in block} == {'bn'}
  for stage in ('segment', 'grade'):  # the bundle holds the whole network
    network = models.get_model(**bundles[stage].config['model'])
    shapes = jax.eval_shape(lambda network=network: network.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.uint8),
                                                                 train=False))
    assert jax.tree.structure(bundles[stage].variables) == jax.tree.structure(shapes)


def test_averages_are_what_a_bundle_gets(fits, tmp_path, data_dir):
  config = changed(stages=('segment',), segment__ema=0.9)
  dataset = stages.open_datasets(config, data_dir, DEVICES)['segment']
  stage = build_one(config, 'segment', dataset, tmp_path)
  state = stage.train(lambda: False).state
  state = state.replace(ema=jax.tree.map(lambda x: x + 1, state.ema))
  jax.tree.map(np.testing.assert_array_equal, stage.variables(state), state.ema)


def test_joint_training_starts_from_the_lesion_network_and_freezes_nothing(fits, tmp_path, data_dir):
  _, bundles = build_all(changed(grade__model__joint=True, grade__loss='joint'), tmp_path, data_dir)
  grade = fits[1]
  assert grade.frozen == {}
  jax.tree.map(np.testing.assert_array_equal, grade.state.params['lesion'], bundles['segment'].variables['params'])
  assert bundles['grade'].config['model']['joint']


@pytest.mark.parametrize(('joint', 'learned'), [(True, ('MA', 'iHE', 'NV')), (False, ('MA',))])
def test_joint_training_teaches_the_lesions_of_its_own_data_too(fits, tmp_path, data_dir, joint, learned):
  config = changed(grade__model__joint=joint, grade__loss='joint' if joint else 'grade_cross_entropy')
  _, bundles = build_all(changed(stages=('segment',)), tmp_path, data_dir)
  bundles['segment'].config['annotated'] = ['MA']
  dataset = dataclasses.replace(stages.open_datasets(config, data_dir, DEVICES)['grade'], annotated=('iHE', 'NV'))
  stage = build_one(config, 'grade', dataset, tmp_path, bundles)
  assert stage.annotated == learned
  assert stage.scored == (('iHE', 'NV') if joint else ())


@pytest.mark.parametrize('joint', [True, False])
def test_batch_norm_is_synchronised_where_it_is_trained(fits, tmp_path, data_dir, joint):
  config = changed(grade__model__sync_batch_norm=True, grade__model__joint=joint,
                   grade__loss='joint' if joint else 'grade_cross_entropy')
  model = build_all(config, tmp_path, data_dir)[0]['grade'].model
  assert (model.bn_axis, model.lesion.bn_axis) == ('batch', 'batch' if joint else None)


def test_a_grading_network_may_contain_a_lesion_classifier(fits, tmp_path, data_dir):
  config = changed(stages=('classify', 'grade'), grade__model__name='lesion_concat')
  made, bundles = build_all(config, tmp_path, data_dir)
  assert bundles['grade'].config['model']['lesion']['name'] == 'inception_v3_classifier'
  assert made['grade'].annotated == made['classify'].annotated
  jax.tree.map(np.testing.assert_array_equal, fits[1].frozen['params']['lesion'],
               bundles['classify'].variables['params'])


def test_a_bundle_knows_what_made_it(fits, tmp_path, data_dir):
  made, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  config = bundles['grade'].config
  assert config['model']['name'] == 'multitask' and config['model']['lesion']['name'] == 'lesion_net_16s'
  assert models.get_model(**config['model']) == made['grade'].model
  assert config['provenance']['stage'] == 'grade' and config['preprocessing']['size'] == 32
  assert sum(config['data']['lengths'].values()) == 60


def test_a_bundle_knows_what_its_photographs_looked_like(fits, tmp_path, data_dir):
  _, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  known = bundles['segment'].config['likeness']
  assert [(entry['data'], len(entry['groups'])) for entry in known] == [('synthetic', 1)]
  assert known[0]['groups'][0]['photographs'] == bundles['segment'].config['data']['lengths']['train']
  assert bundles['grade'].config['likeness'] == known  # the lesion network inside learned from the same
  likeness.check(known)


def test_what_a_frozen_lesion_network_learned_from_is_known_beside_its_own(fits, tmp_path, data_dir):
  made, _ = build_all(changed(grade__data__seed=5), tmp_path, data_dir)
  bundle = made['grade'].bundle(made['grade'].variables(fits[1].state), {}, best_step=0)
  assert len(bundle.config['likeness']) == 2
  assert bundle.config['likeness'][1:] == made['grade'].inside != []


def test_of_too_few_photographs_a_bundle_says_nothing(fits, tmp_path, data_dir, monkeypatch):
  monkeypatch.setattr(likeness, 'LEAST', 1000)
  _, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  assert all('likeness' not in bundle.config for bundle in bundles.values())


def test_a_bundle_of_the_other_stage_is_refused(fits, tmp_path, data_dir):
  _, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  save_bundle(tmp_path / 'bundle', config=bundles['grade'].config, variables=bundles['grade'].variables, card='')
  with pytest.raises(ValueError, match="is a bundle of the stage 'grade'; name one of the stage 'segment'"):
    stages.check(changed(segment__bundle=str(tmp_path / 'bundle')), DEVICES)


def test_pretrained_weights_reach_the_encoder_of_each_stage(fits, tmp_path, data_dir, monkeypatch):
  found = []
  monkeypatch.setattr(stages.parts, 'read_encoder', lambda path: EncoderWeights({}, '', {}))
  monkeypatch.setattr(stages.parts, 'merge', lambda variables, weights, *, prefix, **_: found.append(prefix) or variables)
  weights = tmp_path / 'weights.pth'
  weights.touch()
  build_all(changed(segment__pretrained=str(weights), grade__pretrained=str(weights)), tmp_path, data_dir)
  assert found == ['encoder', 'grading/encoder'] * 2  # once before anything is trained, once for good


def test_networks_of_different_sizes_do_not_go_together(fits, tmp_path, data_dir):
  with pytest.raises(ValueError, match='the lesion network takes 32 pixels and the network around it 64'):
    stages.check(changed(grade__data__size=64), DEVICES)
  _, bundles = build_all(tiny_config.get_config(), tmp_path, data_dir)
  save_bundle(tmp_path / 'bundle', config=bundles['segment'].config, variables=bundles['segment'].variables, card='')
  with pytest.raises(ValueError, match='takes 32 pixels; set --config.segment.data.size=32'):
    stages.check(changed(segment__bundle=str(tmp_path / 'bundle'), segment__data__size=64), DEVICES)


def test_the_criterion_is_a_mean_over_the_lesions_that_occur():
  scores = {'lesions': {'MA': 0.5, 'iHE': 0.0, 'HaEx': 0.1}}
  assert criterion({'pixel_f1': scores, 'positive_images': {'MA': 3, 'iHE': 0, 'HaEx': 1}}, 'pixel_f1') == 0.3
  assert criterion({'pixel_f1': scores, 'positive_images': {'MA': 0, 'iHE': 0, 'HaEx': 0}}, 'pixel_f1') is None
  assert criterion({'kappa': {'value': 0.7}}, 'kappa') == 0.7
  found = {'pixel_f1': scores, 'aupr': {'lesions': {'MA': None, 'iHE': 0.9, 'HaEx': 0.4}},
           'image_f1': {'lesions': {'MA': 1.0, 'iHE': None, 'HaEx': 0.4}},
           'positive_images': {'MA': 3, 'iHE': 0, 'HaEx': 1}}
  assert criterion(found, 'pixel_image_f1') == pytest.approx((0.3 + 0.7) / 2)
  assert criterion(found, 'aupr') == 0.4  # that of MA is undefined: images have it, and no scored pixel
  undefined = found | {'image_f1': {'lesions': dict.fromkeys(scores['lesions'])}}
  assert criterion(undefined, 'pixel_image_f1') is None


@pytest.mark.parametrize(('changes', 'name'), [
    ({}, 'pixel_image_f1'), ({'criterion': 'aupr'}, 'aupr'), ({'loss': 'dice'}, 'pixel_f1')])
def test_training_is_judged_by_the_criterion(fits, tmp_path, data_dir, changes, name):
  config = changed(stages=('segment',), **{f'segment__{key}': value for key, value in changes.items()})
  stage = build_all(config, tmp_path, data_dir)[0]['segment']
  value, logged = fits[0].validate(fits[0].state)
  found = stage.evaluate(stage.variables(fits[0].state), 'validation').report
  assert value == logged['criterion'] == criterion(found, name) and stage.criterion == name
  assert fits[0].plateau.two_phases == (changes.get('loss') is None)


def test_how_the_network_was_chosen_is_in_the_bundle(fits, tmp_path, data_dir):
  config = changed(stages=('segment',))
  stage = build_all(config, tmp_path, data_dir)[0]['segment']
  plateau = dataclasses.replace(fits[0].plateau, best=0.25)
  trained = TrainResult(fits[0].state, plateau, 9, 6, finished=True, phase='dual')
  selection = stage.selection(trained)
  assert selection == {'criterion': 'pixel_image_f1', 'value': 0.25, 'step': 6, 'phase': 'dual'}
  last = dataclasses.replace(trained, phase=None, selected=False)
  assert stage.selection(last) == {'criterion': 'pixel_image_f1', 'value': None, 'step': 6}
  provenance = stage.bundle(stage.variables(trained.state), {'selection': selection}, best_step=6).config['provenance']
  assert (provenance['phase'], provenance['criterion'], provenance['best_step']) == ('dual', 'pixel_image_f1', 6)


def test_data_whose_lesions_all_weigh_nothing_are_refused(monkeypatch, data_dir):
  four = types.SimpleNamespace(name='four', source=lambda split: None, annotated=('MA', 'CWS'), graded=True,
                               grades_as_lesions=False)
  monkeypatch.setattr(stages.datasets, 'load_dataset', lambda *args, **kwargs: four)
  config = changed(stages=('segment',), segment__loss='focal_tversky', segment__lesion_weights=(0, 1, 1, 0, 1, 1, 1, 1))
  with pytest.raises(ValueError, match='four has no lesions of a weight above 0, from which .*focal_tversky'):
    stages.open_datasets(config, data_dir, DEVICES)


@pytest.mark.parametrize('stage, lacking, message', [
    ('segment', {'annotated': (), 'graded': True}, "has no lesions, from which the loss 'dual_dice'"),
    ('classify', {'annotated': (), 'graded': True}, "has no lesions, from which the loss 'presence_dice'"),
    ('grade', {'annotated': ('MA',), 'graded': False}, "has no grades, from which the loss 'grade_cross_entropy'")])
def test_data_without_what_the_stage_learns_from_is_refused(monkeypatch, data_dir, stage, lacking, message):
  poor = types.SimpleNamespace(name='poor', source=lambda split: None, grades_as_lesions=False, **lacking)
  monkeypatch.setattr(stages.datasets, 'load_dataset', lambda *args, **kwargs: poor)
  with pytest.raises(ValueError, match=message):
    stages.open_datasets(changed(stages=(stage,)), data_dir, DEVICES)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'segment__data__aside': 0.2}, 'data.aside=0.2 is of graded data sets .* synthetic has none here'),
    ({'grade__data__aside': 0.2}, 'data.aside=0.2 is of graded data sets'),
    ({'segment__data__sick': False}, 'data.sick=False is of graded data sets .* leave it out'),
    ({'segment__data__aside': 1.0, 'segment__data__grades_as_lesions': 'on'}, 'give a share of 0 or more and below 1')])
def test_photographs_are_set_aside_only_where_grades_say_something(data_dir, changes, message):
  with pytest.raises(ValueError, match=message):
    stages.open_datasets(changed(**changes), str(data_dir), Devices(jax.devices()[:1]))
