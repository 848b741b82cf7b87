"""The whole job on a shallow network: what it leaves, how it goes on after any end, and what it says to mistakes."""

import errno
import functools
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_config

from lesion_jax import locking, main, models, stages
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import bootstrap, calibration, choose_smallest, intervals, evaluate_healthy, evaluate_images, report, totals
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.locking import locked
from lesion_jax.predict import make_predict_fn
from lesion_jax.predict.config import check_config
from lesion_jax.data.registry import load_dataset
from lesion_jax.stages.stage import require_same_data
from lesion_jax.train import loop
from lesion_jax.train.checkpoint import OtherRun
from lesion_jax.train.parallel import Devices
from lesion_jax.train.logs import read_scalars
from lesion_jax.weights.bundle import load_bundle
from lesion_jax.weights.initialize import initialize

ROOT = pathlib.Path(__file__).parents[1]
STEPS = 7  # of each stage, of tests/tiny_config.py


pytestmark = pytest.mark.usefixtures('shallow_networks')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return tmp_path_factory.mktemp('data')


@pytest.fixture(scope='module')
def run(data_dir):
  """`run(workdir, segment__learning_rate=..., ...)` in this process; returns the exit status. '__' stands for the dot."""

  def start(workdir, *, pictures=False, **changes):
    config = tiny_config.get_config()
    config.update_from_flattened_dict({key.replace('__', '.'): value for key, value in changes.items()})
    with pytest.MonkeyPatch.context() as patch:
      if not pictures:  # they take longer than the training
        patch.setattr(main, 'write_run', lambda *unused: [])
        patch.setattr(main, 'examples', lambda *unused: [])
      return main.run(config, workdir, str(data_dir), lambda: False)

  return start


@pytest.fixture(scope='module')
def finished(run, tmp_path_factory):
  """The directory of a run that was never interrupted."""
  workdir = tmp_path_factory.mktemp('runs') / 'finished'
  assert run(workdir, pictures=True) == 0
  return workdir


def result_of(workdir):
  """What has to be bit-identical: the weights of both stages and the figures."""
  weights = [(workdir / stage / 'bundle' / 'model.safetensors').read_bytes() for stage in ('segment', 'grade')]
  return weights, (workdir / 'metrics.json').read_text()


def metrics_of(workdir):
  return json.loads((workdir / 'metrics.json').read_text())


def command(workdir, data_dir, *arguments):
  """The same job as a process of its own."""
  argv = [sys.executable, 'tests/tiny_main.py', '--config=tests/tiny_config.py', f'--workdir={workdir}',
          f'--data_dir={data_dir}', *arguments]
  return subprocess.run(argv, cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True,
                        timeout=300, check=False)


def test_it_leaves_a_model_figures_and_pictures(finished):
  assert {path.name for path in finished.iterdir()} == {'config.json', 'metrics.json', 'segment', 'grade'}
  for stage in ('segment', 'grade'):
    folder = finished / stage
    assert {'bundle', 'checkpoints', 'metrics.csv', 'tensorboard', 'curves.png', 'examples.png', 'precision_recall.png',
            'calibration.png', 'report.json', 'test_counts.npz'} <= {path.name for path in folder.iterdir()}
    assert {path.name for path in (folder / 'bundle').iterdir()} == {
        'config.json', 'model.safetensors', 'photographs.safetensors', 'README.md'}
    assert json.loads((folder / 'report.json').read_text()) == metrics_of(finished)[stage]
    assert load_bundle(folder / 'bundle').config['metrics'] == metrics_of(finished)[stage]
  assert metrics_of(finished)['segment'].keys() == {
      'pixel_f1', 'pixel_iou', 'image_f1', 'positive_images', 'positive_pixels', 'undecided_images', 'aupr', 'aupr_11', 'precision_recall',
      'intervals', 'calibration', 'selection', 'presence', 'healthy'}
  assert {'kappa', 'accuracy', 'referable', 'confusion'} <= metrics_of(finished)['grade'].keys()


def test_it_says_how_each_network_was_chosen(finished):
  segment, grade = (metrics_of(finished)[stage]['selection'] for stage in ('segment', 'grade'))
  assert segment.keys() == {'criterion', 'value', 'step', 'phase'} and grade.keys() == {'criterion', 'value', 'step'}
  series = read_scalars(finished / 'segment' / 'metrics.csv')
  values = dict(zip(*series['validation', 'criterion'], strict=True))
  # The milestone after step 4, the second validation, changes the loss: a network from before it is not returned.
  assert (segment['phase'], segment['criterion']) == ('dual', 'pixel_image_f1') and segment['step'] in (6, 7)
  assert segment['value'] == pytest.approx(values[segment['step']]) == max(values[6], values[7])
  config = load_bundle(finished / 'segment' / 'bundle').config['provenance']
  assert (config['phase'], config['best_step']) == ('dual', segment['step'])
  card = (finished / 'segment' / 'bundle' / 'README.md').read_text()
  assert 'in the dual phase of its loss' in card and '| `phase` | dual |' in card


def test_figures_and_intervals_can_be_computed_again_from_the_counts_of_the_images(finished):
  for stage in ('segment', 'grade'):
    figures, folder = metrics_of(finished)[stage], finished / stage
    with np.load(folder / 'test_counts.npz', allow_pickle=False) as counts:
      annotated = counts['annotated'].tolist()
      images = load_bundle(folder / 'bundle').config['data']['lengths']['test']
      assert {len(counts[name]) for name in counts if name != 'annotated'} == {images}
      again = intervals(bootstrap(counts, annotated))  # all but the AUPR's, whose histograms are too large to keep
      assert again == {name: figures['intervals'][name] for name in again}
      images = {name: counts[name] for name in counts if name != 'annotated'}
      again, calibrated = report(totals(images), annotated), calibration(images, annotated)
    assert again == {name: figures[name] for name in again}
    assert calibrated == {name: figures['calibration'][name] for name in calibrated} and 'image' in calibrated
    assert {'positive_images'} <= again.keys()


def test_each_test_photograph_has_its_patient(finished):
  with np.load(finished / 'grade' / 'test_counts.npz', allow_pickle=False) as file:
    ids, patients = file['id'].tolist(), file['patient'].tolist()
  assert len(set(ids)) == len(ids) > len(set(patients))
  intervals = json.loads((finished / 'metrics.json').read_text())['grade']['intervals']
  assert intervals['patients'] == len(set(patients))


def as_real(stage):
  stage = stage.copy_and_resolve_references()
  stage.data.name = 'retinal_lesions'
  return stage


def test_random_initial_weights_are_said_first_and_in_report_and_card(run, tmp_path, monkeypatch, capsys):
  """On photographs of patients, of which the drawn ones take the place here."""
  said = 'starts from random weights; the paper starts from ImageNet weights'
  original = stages.start_note
  monkeypatch.setattr(stages, 'start_note', lambda name, stage: original(name, as_real(stage)))
  assert run(tmp_path / 'run', stages=('segment',), segment__max_steps=1) == 0
  assert capsys.readouterr().out.splitlines()[0].startswith("NOTE: the encoder of the stage 'segment' " + said)
  assert said in metrics_of(tmp_path / 'run')['segment']['notes'][0]
  assert said in (tmp_path / 'run' / 'segment' / 'bundle' / 'README.md').read_text()


def test_the_judgement_of_photographs_can_be_computed_again_from_the_counts(finished):
  figures = metrics_of(finished)['segment']
  with np.load(finished / 'segment' / 'test_counts.npz', allow_pickle=False) as file:
    counts, scored = dict(file), file['annotated'].tolist()
  assert counts['patient'].dtype.kind == counts['id'].dtype.kind == 'U' and len(set(counts['id'])) == len(counts['id'])
  again = evaluate_healthy(counts, scored, resamples=RESAMPLES, seed=SEED)
  assert again == figures['healthy'] and again['graded']['images'] == (counts['grade'] == 0).sum()
  assert evaluate_images(counts, scored, resamples=RESAMPLES, seed=SEED) == figures['presence']


def test_by_default_a_bundle_has_the_papers_thresholds_and_no_rule_of_its_own(finished):
  config = load_bundle(finished / 'segment' / 'bundle').config
  assert set(config['thresholds'].values()) == {0.5} and not {'presence', 'temperatures'} & set(config)


def smallest_by_hand(bundle, data_dir):
  """What a bundle should say of smallest regions: chosen at its thresholds, on the validation photographs of the tiny data."""
  source = load_dataset('synthetic', data_dir=str(data_dir), size=32, count=60).source('validation')
  predict = make_predict_fn(models.get_model(**bundle.config['model']))
  return choose_smallest(lambda image: predict(bundle.variables, image[None]).maps[0], [source[n] for n in range(len(source))],
                         bundle.config['annotated'], [bundle.config['thresholds'][key] for key in LESION_KEYS])


def test_thresholds_from_validation_ship_with_the_weights_and_are_those_of_the_figures(run, finished, data_dir, tmp_path):
  assert run(tmp_path, segment__thresholds='validation', grade__thresholds='validation', segment__specificity=0.8,
             segment__smallest='validation') == 0
  weights = [(workdir / 'segment' / 'bundle' / 'model.safetensors').read_bytes() for workdir in (finished, tmp_path)]
  assert weights[0] == weights[1], 'they are chosen when all is trained'
  config = load_bundle(tmp_path / 'segment' / 'bundle').config
  check_config(config, 'bundle')
  assert config['presence']['specificity'] == 0.8 and len(set(config['thresholds'].values())) > 1
  found = metrics_of(tmp_path)['segment']
  assert (found['presence']['rule'], found['presence']['thresholds']) == (
      config['presence']['rule'], config['presence']['thresholds'])
  assert found['aupr'] == metrics_of(finished)['segment']['aupr'] and found['pixel_f1'] != metrics_of(finished)['segment'][
      'pixel_f1']
  assert '## Thresholds' in (tmp_path / 'segment' / 'bundle' / 'README.md').read_text()
  grade = load_bundle(tmp_path / 'grade' / 'bundle').config
  assert grade['temperatures']['grades'] > 0 and 'tempered' in metrics_of(tmp_path)['grade']
  assert metrics_of(tmp_path)['grade']['referral']['at_operating_point']['threshold'] == grade['referral']['threshold']
  assert config.get('smallest', {}) == smallest_by_hand(load_bundle(tmp_path / 'segment' / 'bundle'), data_dir)
  # A finished bundle is evaluated as it says itself.
  again = tmp_path / 'again'
  assert run(again, stages=('segment',), segment__bundle=str(tmp_path / 'segment' / 'bundle')) == 0
  assert metrics_of(again)['segment'] == found


def test_every_step_is_in_the_log(finished):
  series = read_scalars(finished / 'segment' / 'metrics.csv')
  assert series['train', 'loss'][0] == list(range(1, STEPS + 1))
  assert series['validation', 'mean_pixel_f1'][0] == [2, 4, 6, 7]


def test_the_lesion_branch_comes_out_of_grading_bit_identical(finished):
  segment, grade = (load_bundle(finished / stage / 'bundle').variables for stage in ('segment', 'grade'))
  for collection in ('params', 'batch_stats'):
    jax.tree.map(np.testing.assert_array_equal, grade[collection]['lesion'], segment[collection])


def test_a_finished_run_started_again_trains_nothing_and_says_the_same(run, finished, capsys):
  before, rows = result_of(finished), (finished / 'grade' / 'metrics.csv').read_bytes()
  assert run(finished) == 0
  assert result_of(finished) == before
  assert (finished / 'grade' / 'metrics.csv').read_bytes() == rows
  said = capsys.readouterr().out
  assert said.startswith('segment: data synthetic') and said.count(f'resuming from the checkpoint of step {STEPS}') == 2


@pytest.mark.slow
def test_terminated_in_its_second_stage_it_ends_bit_identical(run, finished, data_dir, tmp_path):
  """Of what is killed: below, and test_kills.py."""
  ended = command(tmp_path, data_dir, '--die=SIGTERM', f'--die_after={STEPS + 1}')
  assert ended.returncode == main.STOPPED, ended.stderr
  assert 'of grade and saved; the same command resumes it' in ended.stdout
  assert run(tmp_path) == 0
  assert result_of(tmp_path) == result_of(finished)


def test_killed_with_crops_schedule_averages_clipping_and_frozen_blocks_it_goes_on_bit_identical(run, data_dir, tmp_path, capsys):
  fields = {'schedule': 'cosine', 'warm_up': 2, 'ema': 0.9, 'clip': 0.5, 'encoder_lr_factor': 0.5, 'encoder_held': 1,
            'lr_factors': (('encoder/block_8', 0.5),), 'freeze':
            ('encoder/block_2', '*/block_4/conv'), 'loss': 'dice_cross_entropy', 'hard_negatives': 0.2,
            'data__crop': 16, 'data__centred': 0.5, 'data__crop_scale': (0.8, 1.2), 'data__keep': 0.1}
  changes = {'stages': ('segment',)} | {f'segment__{key}': value for key, value in fields.items()}
  assert run(tmp_path / 'whole', **changes) == 0
  flags = [f'--config.{key.replace("__", ".")}={value}' for key, value in changes.items()]
  killed = command(tmp_path / 'killed', data_dir, *flags, '--die=SIGKILL', '--die_after=5')
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  assert run(tmp_path / 'killed', **changes) == 0
  assert 'resuming from the checkpoint' in capsys.readouterr().out
  bundles = [tmp_path / name / 'segment' / 'bundle' for name in ('whole', 'killed')]
  assert len({(bundle / 'model.safetensors').read_bytes() for bundle in bundles}) == 1
  assert metrics_of(tmp_path / 'whole') == metrics_of(tmp_path / 'killed')
  series = read_scalars(tmp_path / 'killed' / 'segment' / 'metrics.csv')
  shares = [0, 0.5] + [0.01 + 0.99 * (1 + math.cos(math.pi * n / 5)) / 2 for n in range(5)]
  assert series['train', 'learning_rate'][1] == pytest.approx([0.05 * share for share in shares], abs=1e-6)
  bundle = load_bundle(bundles[0])
  fresh = initialize(models.get_model(**bundle.config['model']), np.zeros((1, 32, 32, 3), np.uint8), 0)
  moved = lambda *path: not np.array_equal(*(functools.reduce(dict.get, path, tree) for tree in (bundle.variables, fresh)))
  assert not moved('params', 'encoder', 'block_2', 'bn', 'scale')
  assert not moved('batch_stats', 'encoder', 'block_2', 'bn', 'mean')
  assert not moved('params', 'encoder', 'block_4', 'conv', 'kernel')
  assert moved('batch_stats', 'encoder', 'block_4', 'bn', 'mean') and moved('params', 'encoder', 'block_8', 'conv',
                                                                             'kernel')


def test_grading_alone_takes_a_finished_lesion_network(run, finished, tmp_path):
  assert run(tmp_path, stages=('grade',), segment__bundle=str(finished / 'segment' / 'bundle')) == 0
  assert metrics_of(tmp_path) == {'grade': metrics_of(finished)['grade']}
  weights = [(workdir / 'grade' / 'bundle' / 'model.safetensors').read_bytes() for workdir in (finished, tmp_path)]
  assert weights[0] == weights[1]


def test_stages_whose_bundles_are_named_are_evaluated_and_not_trained(run, finished, tmp_path):
  bundles = {f'{stage}__bundle': str(finished / stage / 'bundle') for stage in ('segment', 'grade')}
  assert run(tmp_path, **bundles) == 0
  assert metrics_of(tmp_path) == metrics_of(finished)
  for stage in ('segment', 'grade'):
    assert not (tmp_path / stage / 'checkpoints').exists()
    assert load_bundle(tmp_path / stage / 'bundle').config == load_bundle(finished / stage / 'bundle').config


def test_a_loss_that_is_not_finite_ends_it_with_one_line(run, tmp_path, capsys):
  with pytest.raises(SystemExit) as end:
    run(tmp_path, segment__learning_rate=1e30)
  said = capsys.readouterr().err.splitlines()[-1]
  assert end.value.code == 1
  assert said.startswith('error: step ') and 'on the images ' in said and 'last good checkpoint is' in said


def test_a_directory_of_another_configuration_is_refused(run, finished, capsys):
  with pytest.raises(SystemExit) as end:
    run(finished, segment__learning_rate=0.5, seed=3)
  said = capsys.readouterr().err
  assert end.value.code == 2
  assert 'seed: 0 there, 3 now' in said and 'segment.learning_rate: 0.05 there, 0.5 now' in said and 'momentum' not in said
  assert f'Another run begins with what this one has learned by --config.segment.init={finished}/segment/bundle' in said


@pytest.mark.slow
def test_it_goes_on_bit_identical_where_no_step_depends_on_what_changed(data_dir, run, tmp_path, capsys):
  only = {'stages': ('segment',)}
  assert run(tmp_path / 'whole', **only) == 0
  asked = []

  def stop():
    asked.append(1)
    return len(asked) == 4

  assert main.run(tiny_config.changed(**only), tmp_path / 'changed', str(data_dir), stop) == main.STOPPED
  capsys.readouterr()
  changes = {'log_every': 3, 'eval_batch_size': 4, 'save_every': 5, 'data__keep': 0.1}
  assert run(tmp_path / 'changed', **only, **{f'segment__{key}': value for key, value in changes.items()}) == 0
  said = capsys.readouterr().out
  assert 'resuming from the checkpoint of step 4' in said
  assert 'NOTE: segment.log_every was 1 and is 3 from here on; no step depends on it' in said
  bundles = [tmp_path / name / 'segment' / 'bundle' / 'model.safetensors' for name in ('whole', 'changed')]
  assert bundles[0].read_bytes() == bundles[1].read_bytes()
  assert json.loads((tmp_path / 'changed' / 'config.json').read_text())['segment']['log_every'] == 3
  with pytest.raises(SystemExit):
    run(tmp_path / 'changed', **only, segment__log_every=2, segment__batch_size=4)
  said = capsys.readouterr().err
  assert 'segment.batch_size: 8 there, 4 now' in said and 'log_every' not in said


@pytest.mark.slow
def test_it_goes_on_with_another_number_of_devices(data_dir, tmp_path, monkeypatch, capsys):
  asked = []

  def stop():
    asked.append(1)
    return len(asked) == 3

  config = tiny_config.changed(stages=('segment',))
  monkeypatch.setattr(main, 'write_run', lambda *unused: [])
  assert main.run(config, tmp_path, str(data_dir), stop) == main.STOPPED
  monkeypatch.setattr(main, 'Devices', lambda: Devices(jax.local_devices()[:2]))
  assert main.run(config, tmp_path, str(data_dir), lambda: False) == 0
  assert 'resuming from the checkpoint of step 3' in capsys.readouterr().out


class TestSameData:

  @pytest.fixture
  def data(self, data_dir):
    return load_dataset('synthetic', data_dir=str(data_dir), size=32, count=60)

  def test_the_photographs_of_a_run_are_known_wherever_they_lie(self, data, data_dir, tmp_path):
    require_same_data(tmp_path, data, begun=False)
    require_same_data(tmp_path, data, begun=True)
    other = load_dataset('synthetic', data_dir=str(data_dir), size=32, count=60, split_seed=1)
    with pytest.raises(OtherRun, match='training photographs are others than the .* with which the run in .* began'):
      require_same_data(tmp_path, other, begun=True)
    require_same_data(tmp_path, other, begun=False)  # nothing was learned from the others
    require_same_data(tmp_path, other, begun=True)

  @pytest.mark.parametrize('text', ['', '{"photographs": 4', '[]', '3'])
  def test_what_was_written_down_of_them_may_be_damaged(self, data, tmp_path, text):
    (tmp_path / 'data.json').write_text(text)
    with pytest.raises(OtherRun, match='others than|data.json is damaged .* if they are, remove it'):
      require_same_data(tmp_path, data, begun=True)
    assert (tmp_path / 'data.json').read_text() == text

  def test_a_folder_may_lie_elsewhere_where_that_can_be_seen(self, tmp_path):
    judge = stages.may_differ(tmp_path, tiny_config.get_config().to_dict())
    may_differ = lambda key: judge(key, 'there', 'now')
    assert may_differ('segment.data.source_dir') and may_differ('grade.log_every')
    (tmp_path / 'segment' / 'checkpoints').mkdir(parents=True)
    assert not may_differ('segment.data.source_dir'), 'a run from before photographs were written down'
    (tmp_path / 'segment' / 'data.json').write_text('{}')
    assert may_differ('segment.data.source_dir')
    assert not any(map(may_differ, ('seed', 'segment.learning_rate', 'segment.data.size', 'log_every')))


class TestMoreSteps:
  """A run that has ended goes on where nothing but max_steps grew."""

  @pytest.mark.slow
  def test_it_ends_bit_identical_to_one_that_was_longer_from_the_beginning(self, run, tmp_path, capsys):
    only = {'stages': ('segment',), 'segment__milestones': (), 'segment__patience': 2}
    assert run(tmp_path / 'longer', **only, segment__max_steps=11) == 0
    assert run(tmp_path / 'grown', **only, segment__max_steps=7) == 0
    shorter = (tmp_path / 'grown' / 'segment' / 'bundle' / 'model.safetensors').read_bytes()
    capsys.readouterr()
    assert run(tmp_path / 'grown', **only, segment__max_steps=11) == 0
    said = capsys.readouterr().out
    assert 'NOTE: segment.max_steps was 7 and is 11 from here on; the run resumes' in said
    assert 'resuming from the checkpoint of step 7' in said
    weights = [(tmp_path / name / 'segment' / 'bundle' / 'model.safetensors').read_bytes() for name in ('longer', 'grown')]
    assert weights[0] == weights[1] != shorter
    assert metrics_of(tmp_path / 'longer') == metrics_of(tmp_path / 'grown')
    assert json.loads((tmp_path / 'grown' / 'config.json').read_text())['segment']['max_steps'] == 11
    series = read_scalars(tmp_path / 'grown' / 'segment' / 'metrics.csv')
    assert series['train', 'loss'][0] == list(range(1, 12))
    # It is finished again, and a shorter one is another run.
    assert run(tmp_path / 'grown', **only, segment__max_steps=11) == 0
    with pytest.raises(SystemExit):
      run(tmp_path / 'grown', **only, segment__max_steps=9)
    assert 'segment.max_steps: 11 there, 9 now' in capsys.readouterr().err

  def test_a_schedule_that_ends_with_the_run_is_refused_and_init_is_named(self, run, tmp_path, capsys):
    only = {'stages': ('segment',), 'segment__schedule': 'cosine', 'segment__milestones': ()}
    assert run(tmp_path, **only, segment__max_steps=2) == 0
    with pytest.raises(SystemExit):
      run(tmp_path, **only, segment__max_steps=4)
    said = capsys.readouterr().err
    assert "segment.max_steps: 2 there, 4 now (the rate of the schedule 'cosine' depends on it from the first step on)" in said
    assert f'--config.segment.init={tmp_path}/segment/bundle' in said

  def test_a_grader_of_the_shorter_network_has_to_go_first(self, run, finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / 'run')
    with pytest.raises(SystemExit):
      run(tmp_path / 'run', segment__max_steps=9)
    said = capsys.readouterr().err
    assert f'(grade has been trained with the network of segment; remove {tmp_path}/run/grade to train it anew)' in said
    # More steps of the grader alone are no matter of the lesion network.
    judge = stages.may_differ(tmp_path / 'run', tiny_config.get_config().to_dict())
    assert judge('grade.max_steps', 7, 9) is True and judge('grade.max_steps', 7, 0) is True
    assert judge('grade.max_steps', 7, 6) is False and judge('grade.max_steps', 0, 9) is False
    shutil.rmtree(tmp_path / 'run' / 'grade')
    assert judge('segment.max_steps', 7, 9) is True


def test_a_run_from_before_photographs_were_dealt_in_two_ways_goes_on_by_hash_alone(run, tmp_path, capsys):
  """Retinal-Lesions is now dealt by 'stratified': its test photographs may be among those from which the run learned."""
  config = tiny_config.changed(segment__data__name='retinal_lesions').to_dict()
  del config['segment']['data']['split']
  (tmp_path / 'config.json').write_text(json.dumps(config))
  (tmp_path / 'segment').mkdir()
  with pytest.raises(SystemExit):
    run(tmp_path, segment__data__name='retinal_lesions')
  assert "segment.data.split: 'hash' there, 'stratified' now" in capsys.readouterr().err


@pytest.mark.parametrize('changes', [
    {'stages': ('paint',)}, {'segment__model__name': 'resnet'}, {'grade__data__name': 'imagenet'},
    {'grade__batch_size': 3}, {'segment__bundle': 'no/such/bundle'}, {'grade__data__source_dir': 'no/such/folder'},
])
def test_a_mistake_is_one_line_before_anything_is_trained(run, tmp_path, capsys, changes):
  with pytest.raises(SystemExit) as end:
    run(tmp_path, **changes)
  said = capsys.readouterr().err
  assert end.value.code == 2
  assert said.startswith('error: ') and said.count('\n') == 1
  assert {path.name for path in tmp_path.iterdir()} <= {'config.json'}


def test_a_raw_dataset_that_is_not_named_is_asked_for_by_its_key(run, tmp_path, capsys):
  with pytest.raises(SystemExit):
    run(tmp_path, segment__data__name='idrid')
  assert capsys.readouterr().err == ('error: source_dir is missing: give the root folder of the raw dataset, as its authors lay it out: '
                                     '--config.segment.data.source_dir=DIR\n')


def test_the_command_says_which_keys_there_are(data_dir, tmp_path):
  ended = command(tmp_path, data_dir, '--config.segment.nope=1')
  assert ended.returncode == 2
  assert ended.stderr.startswith("error: --config.segment.nope: config.segment has no key 'nope'; its keys are accumul")


def test_a_home_that_the_shell_left_is_followed(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setattr(main, '_run', lambda config, workdir, *others: workdir)
  assert main.run(None, pathlib.Path('~/first'), '', lambda: False) == tmp_path / 'first'


def test_a_second_training_in_the_same_place_is_refused_and_told_who_is_there(run, finished, capsys):
  before = result_of(finished)
  with locked(finished, 'a training'), pytest.raises(SystemExit) as end:
    run(finished)
  said = capsys.readouterr().err
  assert end.value.code == 2
  assert said.startswith(f'error: {finished} is in use: a training by process {os.getpid()} on ') and said.count('\n') == 1
  assert result_of(finished) == before


def test_results_that_cannot_be_written_are_one_line_and_what_was_there_stays(run, finished, tmp_path, capsys, monkeypatch):
  workdir = tmp_path / 'run'
  shutil.copytree(finished, workdir)
  before = result_of(workdir)

  def full(*unused, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  for name in ('save_bundle', 'write_run'):
    with monkeypatch.context() as patch:
      patch.setattr(main, name, full)
      if name == 'write_run':
        patch.setattr(main, 'examples', lambda *unused: [])
      with pytest.raises(SystemExit) as end:
        run(workdir, pictures=name == 'write_run')
    said = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 1
    assert said.startswith('error: the results of segment could not be written to ') and 'No space left' in said
    assert result_of(workdir) == before
  assert run(workdir) == 0 and result_of(workdir) == before


def best_at_the_third(update):
  """The plateau, whose third validation (after step 6 of 7) is the best whatever the network."""
  return lambda plateau, value: update(plateau, float(plateau.validations == 2))


def test_where_the_best_network_is_lost_the_status_says_so(run, tmp_path, capsys, monkeypatch):
  workdir = tmp_path / 'run'
  monkeypatch.setattr(loop.plateau_lib, 'update', best_at_the_third(loop.plateau_lib.update))

  def unreadable(self, step, target):
    raise OSError(f'checkpoint {step} is gone')

  monkeypatch.setattr(loop.Checkpoints, 'read', unreadable)
  assert run(workdir) == 1
  said = capsys.readouterr()
  assert said.err.splitlines()[-1].startswith(
      'error: segment: the best checkpoint, step 6, cannot be read (checkpoint 6 is gone)')
  assert 'grade took' not in said.out and not (workdir / 'grade').exists()
  assert metrics_of(workdir)['segment']['selection']['value'] is None


def test_a_signal_while_it_evaluates_is_heard_and_the_same_command_goes_on(finished, data_dir, tmp_path, monkeypatch):
  workdir = tmp_path / 'run'
  shutil.copytree(finished, workdir)
  before, config = result_of(workdir), tiny_config.get_config()

  def evaluating(*unused, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    raise AssertionError('it went on')

  monkeypatch.setattr(stages.Stage, 'choose', evaluating)
  with main.Interrupt() as should_stop, pytest.raises(main.Interrupted):
    main.run(config, workdir, str(data_dir), should_stop)
  monkeypatch.undo()
  assert not (workdir / locking.NAME).exists() and result_of(workdir) == before
