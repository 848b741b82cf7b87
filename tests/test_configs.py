"""The configurations: the paper's numbers, one place for each key, and errors that teach."""

import dataclasses
import functools
import importlib
import json
import pathlib

import pytest

from configs import common, data, idrid
from experiments import presets
from experiments.rows import ROWS, TABLE2, TABLE3
from lesion_jax import stages
from lesion_jax.stages import added
from lesion_jax.augment import Augmentation
from lesion_jax.data.registry import DATASETS
from lesion_jax.losses import LOSSES
from lesion_jax.models import MODELS, get_defaults, get_fields

FIRST = """
accumulate augmentation.brightness augmentation.contrast augmentation.horizontal_flip augmentation.rotation
augmentation.saturation augmentation.scale augmentation.shift augmentation.vertical_flip batch_size bundle
data.count data.name data.size data.source_dir dual_weight eval_batch_size factor log_every loss max_steps
milestones model.attention model.dtype model.joint model.name model.padding model.remat model.sync_batch_norm
model.width momentum optimizer patience pretrained rate stop_after validate_every weight_decay
"""  # keys of a stage from before any was added
FOLDER = pathlib.Path(common.__file__).parent
PROGRAMS = ('segment', 'classify', 'grade', 'multitask')


def config_of(program, *argument):
  return importlib.import_module(f'configs.{program}').get_config(*argument)


def test_each_file_is_a_program_or_known():
  assert {path.stem for path in FOLDER.glob('*.py')} == {'__init__', 'common', 'data', 'idrid', 'landmarks', *PROGRAMS}


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize('argument', data.CHOICES)
def test_every_program_builds_for_every_data_set(program, argument):
  config = config_of(program, argument)
  assert config.is_locked
  assert config.stages == (('segment', 'grade') if program == 'multitask' else (program,))
  assert json.loads(json.dumps(config.to_dict()))
  for stage in (config.segment, config.classify, config.grade):
    assert stage.data.name in DATASETS and stage.loss in LOSSES and stage.model.name in MODELS


@pytest.mark.parametrize('program', PROGRAMS)
def test_the_embedded_data_are_the_default(program):
  assert config_of(program) == config_of(program, 'synthetic')


@pytest.mark.parametrize('program', PROGRAMS)
def test_no_file_adds_a_key(program):
  config = config_of(program)
  for level in (config, config.segment.data, config.grade.model):
    with pytest.raises(AttributeError):
      level.nope = 1
  assert keys(config) == keys(common.get_config())


def keys(config, prefix=''):
  return {prefix + key for key in config} | {
      name for key, value in config.items() if hasattr(value, 'items') for name in keys(value, f'{prefix}{key}.')}


@pytest.mark.parametrize('stage', ['segment', 'classify', 'grade'])
def test_a_key_of_a_network_has_the_default_of_the_networks_that_have_it(stage):
  """So a key that another network has is known to be set: it differs. See `stages.parts.model_config`."""
  for key, value in common.get_config()[stage].model.items():
    for name, default in get_defaults(key).items():
      if key not in ('name', 'dtype'):  # by name
        assert value == default, (key, name)
    assert key in ('name', 'sync_batch_norm') or get_defaults(key), f'{key} is a field of no network'
  for name in MODELS:
    assert 'dtype' in get_fields(name)


def test_every_program_and_every_row_sets_only_fields_of_its_network():
  configs = [config_of(program, argument) for program in PROGRAMS for argument in data.CHOICES]
  configs += [idrid.get_config(preset) for preset in idrid.PRESETS]
  lesion = {'name': 'lesion_net_16s'}
  for config in configs:
    for stage in (config.segment, config.classify, config.grade):
      assert stages.parts.model_config(stage.model, lesion)['name'] == stage.model.name
  for preset in presets.PRESETS:
    for row in TABLE2 + TABLE3:
      contained = (ROWS[row.lesion], 'bundle') if row.lesion else None
      config = presets.configure(preset, row, 0, lesion=contained)
      assert stages.parts.model_config(config[row.stage].model, lesion)['name'] == row.model['name']


def test_a_key_that_came_later_has_a_meaning_for_the_runs_before_it():
  """Put a new key into lesion_jax/stages/added.py: else every run and every result from before is refused."""
  config = common.get_config()
  there = {f'{stage}.{added.RENAMED.get(key, key)}' for stage in stages.STAGES for key in FIRST.split()} | {'seed', 'stages'}
  every = keys(config)
  later = {key for key in every if not any(other.startswith(f'{key}.') for other in every)} - there
  assert later <= stages.ADDED_KEYS.keys() <= every
  flat = {key: functools.reduce(lambda level, name: level[name], key.split('.'), config) for key in stages.ADDED_KEYS}
  other = {f'{stage}.data.split': 'hash' for stage in stages.STAGES}  # what was done before is not the default now
  assert flat | other == dict(stages.ADDED_KEYS)


@pytest.mark.parametrize(('name', 'split', 'same'), [
    ('synthetic', '', True), ('synthetic', 'stratified', False), ('idrid', '', True), ('idrid+synthetic', '', True),
    ('idrid+synthetic', 'hash', True), ('eyepacs', 'stratified', True),  # all splits are the release's
    ('retinal_lesions', '', False), ('retinal_lesions', 'hash', True), ('idrid+retinal_lesions', '', False),
    ('imagenet', '', True)])  # refused later, by name
def test_before_there_were_two_ways_to_deal_photographs_it_was_by_hash(name, split, same):
  config = common.get_config()
  config.segment.data.update(name=name, split=split)
  now = config.to_dict()
  then = json.loads(json.dumps(now))
  del then['segment']['data']['split']
  assert (stages.differing(then, now) == {}) is same
  assert stages.differing(json.loads(json.dumps(now)), now) == {}
  assert stages.differing(stages.resolved(now), now) == stages.differing(now, stages.resolved(now)) == {}


def test_a_result_from_before_is_one_of_today_s_configuration():
  path = pathlib.Path(presets.__file__).parent / 'results' / 'smoke' / 'unet-0.json'
  now = presets.configure('smoke', next(row for row in TABLE2 if row.key == 'unet'), 0)
  assert stages.differing(json.loads(path.read_text())['config'], now.to_dict()) == {}


def test_a_key_under_the_name_that_it_had_is_the_same_key():
  now = common.get_config().to_dict()
  then = json.loads(json.dumps(now))
  for old, new in added.RENAMED.items():
    then['segment'][old] = then['segment'].pop(new)
  assert stages.differing(then, now) == {}
  then['segment']['rate'] = 7.0
  assert stages.differing(then, now) == {'segment.learning_rate': (7.0, now['segment']['learning_rate'])}


def test_a_stage_that_does_not_run_makes_no_difference():
  then, now = (config_of('multitask', 'synthetic').to_dict() for _ in range(2))
  then['classify']['learning_rate'] = 7.0
  assert stages.differing(then, now) == {}
  then['grade']['learning_rate'] = 7.0
  assert stages.differing(then, now) == {'grade.learning_rate': (7.0, now['grade']['learning_rate'])}
  for config in (then, now):
    config.update(stages=('segment',))
  assert stages.differing(then, now) == {}
  now['grade']['bundle'] = 'net'
  assert set(stages.differing(then, now)) == {'grade.bundle', 'grade.learning_rate'}


@pytest.mark.parametrize('program', PROGRAMS)
def test_an_unknown_argument_lists_the_choices(program):
  with pytest.raises(ValueError, match=r"unknown data 'imagenet'; choose one of synthetic, retinal_lesions, idrid"):
    config_of(program, 'imagenet')


# Section IV-A unless another is named.
PAPER = {
    'data.name': 'retinal_lesions',
    'data.size': 896,
    'optimizer': 'sgd',
    'learning_rate': 1e-3,
    'momentum': 0.95,
    'weight_decay': 1e-4,
    'validate_every': 1000,
    'lr_decay': 10.0,
    'patience': 4,
    'stop_after': 10,
    'max_steps': 0,  # only early stop ends the training
    'milestones': (),
    'lesion_weights': (),  # lesions weigh alike
    'schedule': 'plateau',
    'warm_up': 0,
    'ema': 0.0,
    'clip': 0.0,
    'encoder_lr_factor': 1.0,
    'freeze': (),
    'dual_weight': 0.8,  # III-A
    'model.width': 1.0,
    'model.padding': 'SAME',
}


@pytest.mark.parametrize('stage', ['segment', 'classify', 'grade'])
@pytest.mark.parametrize('key', PAPER)
def test_the_papers_setting_has_the_papers_numbers(stage, key):
  value = config_of('multitask', 'retinal_lesions')[stage]
  for part in key.split('.'):
    value = value[part]
  assert value == PAPER[key]


def test_the_papers_networks_and_losses():
  config = config_of('multitask', 'retinal_lesions')
  assert (config.segment.model.name, config.segment.loss) == ('lesion_net_16s', 'dual_dice')  # IV-C
  assert (config.grade.model.name, config.grade.model.attention) == ('multitask', 'conv')  # Eq. 7
  assert config.grade.loss == 'grade_cross_entropy'
  assert (config.classify.model.name, config.classify.loss) == ('inception_v3_classifier', 'presence_dice')  # IV-C


@pytest.mark.parametrize('stage', ['segment', 'classify', 'grade'])
def test_the_papers_kinds_of_augmentation_are_on(stage):
  augmentation = config_of('multitask', 'retinal_lesions')[stage].augmentation
  assert set(augmentation) == {field.name for field in dataclasses.fields(Augmentation)}
  neutral = {'rotation': (0, 0), 'scale': (1, 1), 'shift': (0, 0), 'brightness': (1, 1), 'saturation': (1, 1),
             'contrast': (1, 1), 'horizontal_flip': 0, 'vertical_flip': 0}
  assert all(augmentation[kind] != off for kind, off in neutral.items())
