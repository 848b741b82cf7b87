"""Rows are run once, after the rows that they build on; a stop is no failure, and a failure stops no other row."""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading

import jax
import pytest
from invented import make_result

from experiments import presets, program, record, runner
from experiments.rows import TABLE2, TABLE3, TABLES
from lesion_jax import stages
from lesion_jax.stages.datasets import split_places
from lesion_jax.train.parallel import Devices

ROWS = program.ROWS


@pytest.fixture
def paths(tmp_path):
  return runner.Paths('smoke', tmp_path / 'runs', tmp_path / 'data', tmp_path / 'results', '', '')


@pytest.fixture
def ran(paths, monkeypatch):
  """Takes the paths of the processes: notes the rows and leaves what they would leave. Their `status` can be set, and rows
  during which a signal comes (`stopping`)."""
  rows, status, stopping = [], {}, set()

  def call(command, log):
    del log
    options = dict(flag[2:].split('=', 1) for flag in command if flag.startswith('--'))
    row, seed = ROWS[options['row']], int(options['seed'])
    rows.append(f'{row.key}-{seed}')
    if not (code := status.get(row.key, 0)):
      config = runner.configure(paths, row, seed, ROWS)
      record.save(paths.result(row, seed), make_result(row.key, seed, config=presets.portable(config, paths.runs)))
      paths.bundle(row, seed).mkdir(parents=True, exist_ok=True)
      (paths.bundle(row, seed) / 'config.json').touch()
      (paths.workdir(row, seed) / 'config.json').write_text(json.dumps(config.to_dict()))
    return code, row.key in stopping

  monkeypatch.setattr(runner, '_call', call)
  return argparse.Namespace(rows=rows, status=status, stopping=stopping)


def run(paths, *keys, seeds=(0,)):
  return runner.run_all(paths, [ROWS[key] for key in keys], seeds, ROWS)


def test_the_tables_have_the_papers_rows():
  assert [len(rows) for rows in TABLES.values()] == [17, 12, 4]
  assert len(ROWS) == 29
  for row in ROWS.values():
    assert row.lesion is None or ROWS[row.lesion].table == 2
  kappas = [row.paper['kappa'] for row in TABLE3 if row.paper]
  assert kappas == sorted(kappas)  # as the paper sorts them; another order would be a slip of the pen


@pytest.mark.parametrize(('row', 'metric'), [(row, metric) for row in TABLE2 for metric in row.paper],
                         ids=lambda value: getattr(value, 'key', value))
def test_the_papers_means_are_those_of_its_lesions(row, metric):
  """Guards the transcription: a metric that is off by 0.01 would show."""
  lesions = [value for key, value in row.paper[metric].items() if key != 'mean']
  assert row.paper[metric]['mean'] == pytest.approx(sum(lesions) / 8, abs=0.0007)


def test_a_row_runs_after_the_row_that_it_contains(paths, ran):
  assert run(paths, 'multitask_unet', 'lesion_concat_inception_v3') == 0
  assert ran.rows == ['unet-0', 'multitask_unet-0', 'inception_v3_classifier-0', 'lesion_concat_inception_v3-0']


def test_what_has_a_result_is_not_run_again(paths, ran):
  run(paths, 'fcn_8s', seeds=(0, 1))
  run(paths, 'fcn_8s', 'unet', seeds=(0, 1))
  assert ran.rows == ['fcn_8s-0', 'fcn_8s-1', 'unet-0', 'unet-1']


def test_a_stop_ends_the_table_and_the_same_command_goes_on(paths, ran):
  ran.status['unet'] = runner.STOPPED
  assert run(paths, 'fcn_8s', 'unet', 'danet') == runner.STOPPED
  ran.status.clear()
  assert run(paths, 'fcn_8s', 'unet', 'danet') == 0
  assert ran.rows == ['fcn_8s-0', 'unet-0', 'unet-0', 'danet-0']


def test_a_stop_that_comes_too_late_for_a_row_keeps_it_and_starts_no_other(paths, ran):
  ran.stopping.add('fcn_8s')
  assert run(paths, 'fcn_8s', 'unet') == runner.STOPPED
  assert ran.rows == ['fcn_8s-0']
  assert run(paths, 'fcn_8s', 'unet') == 0
  assert ran.rows == ['fcn_8s-0', 'unet-0']


def test_a_row_that_fails_stops_no_other_and_is_named(paths, ran, capsys):
  ran.status['unet'] = 1
  assert run(paths, 'unet', 'danet') == 1
  assert ran.rows == ['unet-0', 'danet-0']
  assert 'failed: unet-0' in capsys.readouterr().out


def test_the_result_of_another_configuration_is_refused(paths, ran):
  run(paths, 'fcn_8s')
  path = paths.result(ROWS['fcn_8s'], 0)
  result = json.loads(path.read_text())
  result['config']['segment']['learning_rate'] = 7
  path.write_text(json.dumps(result))
  with pytest.raises(ValueError, match=r'another configuration \(segment.learning_rate 7 -> 0.002\); remove it'):
    run(paths, 'unet', 'fcn_8s')
  assert ran.rows == ['fcn_8s-0']  # nothing was trained before it was found


def test_a_result_survives_a_key_that_came_later_with_its_default(paths, ran):
  run(paths, 'fcn_8s')
  path = paths.result(ROWS['fcn_8s'], 0)
  result = json.loads(path.read_text())
  for stage in ('segment', 'classify', 'grade'):
    for key in ('weights', 'split', 'seed', 'folds', 'fold'):
      del result['config'][stage]['data'][key]
  path.write_text(json.dumps(result))
  assert run(paths, 'fcn_8s') == 0 and ran.rows == ['fcn_8s-0']
  result['config']['segment']['of_old'] = 1  # a key that there is no more, whatever it did
  path.write_text(json.dumps(result))
  with pytest.raises(ValueError, match='segment.of_old 1 -> .*absent'):
    run(paths, 'fcn_8s')


def test_the_committed_results_are_of_this_configuration():
  paths = runner.Paths('smoke', runner.ROOT / 'runs', runner.ROOT / 'data', runner.ROOT / 'experiments' / 'results', '', '')
  assert all(runner.is_done(paths, row, 0, ROWS) for row in ROWS.values())


def test_a_key_that_came_later_is_not_taken_for_what_it_was_not():
  now = presets.portable(presets.configure('paper', ROWS['fcn_8s'], 0), runner.ROOT)
  then = json.loads(json.dumps(now))
  del then['segment']['data']['split']
  assert presets.differing(then, now) == {'segment.data.split': ('hash', 'stratified')}
  del then['segment']['data']['folds']
  now['segment']['data']['folds'] = 5
  assert presets.differing(then, now)['segment.data.folds'] == (0, 5)


def test_networks_are_made_to_fit_a_card(paths, ran):
  fitted = dataclasses.replace(paths, remat=True, accumulate=4, dtype='bfloat16')
  config = runner.configure(fitted, ROWS['multitask_unet'], 0, ROWS)
  assert (config.grade.model.remat, config.grade.accumulate, config.grade.model.dtype) == (True, 4, 'bfloat16')
  assert fitted.flags()[-3:] == ['--remat', '--accumulate=4', '--dtype=bfloat16']
  options = runner.parse('', ['unet'], ['--preset=smoke', '--remat', '--accumulate=2', '--dtype=bfloat16'])
  assert runner.Paths.of(options).flags()[-3:] == ['--remat', '--accumulate=2', '--dtype=bfloat16']
  run(paths, 'unet')
  run(dataclasses.replace(paths, remat=True), 'unet')  # the same numbers with less memory
  assert ran.rows == ['unet-0']
  with pytest.raises(ValueError, match=r"segment.model.dtype 'float32' -> 'bfloat16'"):
    run(fitted, 'unet')


def test_a_result_from_other_weights_is_refused(paths, ran):
  run(paths, 'fcn_8s')
  with pytest.raises(ValueError, match="segment.pretrained '' -> 'imagenet.pth'"):
    run(dataclasses.replace(paths, pretrained='weights/imagenet.pth'), 'fcn_8s')


def test_a_lesion_network_of_another_configuration_is_refused(paths, ran):
  run(paths, 'unet')
  path = paths.workdir(ROWS['unet'], 0) / 'config.json'
  config = json.loads(path.read_text())
  config['segment']['max_steps'] = 7
  path.write_text(json.dumps(config))
  with pytest.raises(ValueError, match=r'segment.max_steps 7 -> 150\); remove the folder .*unet-0'):
    run(paths, 'danet', 'multitask_unet')
  assert ran.rows == ['unet-0']  # nothing was trained before it was found


def test_the_configuration_of_a_grading_row_tells_its_lesion_network(paths):
  config = runner.configure(paths, ROWS['multitask_unet'], 0, ROWS)
  assert (config.segment.model.name, config.segment.loss) == ('unet', 'dice')
  assert config.segment.bundle == str(paths.bundle(ROWS['unet'], 0))


@pytest.mark.parametrize('preset', presets.PRESETS)
@pytest.mark.parametrize('row', ROWS.values(), ids=lambda row: row.key)
def test_every_row_has_a_configuration_for_every_preset(row, preset, tmp_path):
  lesion = (ROWS[row.lesion], tmp_path) if row.lesion else None
  config = presets.configure(preset, row, 3, lesion=lesion, source_dir='release', pretrained='weights')
  stage = config[row.stage]
  assert (config.seed, config.stages, stage.loss, stage.model.name) == (3, (row.stage,), row.loss, row.model['name'])
  assert set(stage.data.source_dir.split(':')) == {'release'} and stage.pretrained == 'weights'
  assert len(stage.data.source_dir.split(':')) == len(stage.data.name.split('+'))
  assert config.is_locked


@pytest.mark.parametrize('row', [
    pytest.param(row, id=row.key, marks=() if row.key == 'patch_fcn_32s' else pytest.mark.slow)
    for row in ROWS.values() if row.key not in presets.NOT_RUN['idrid']])
def test_every_row_of_real_photographs_can_be_built(row):
  config = presets.configure('idrid', row, 0, source_dir='release')
  if row.lesion:  # trained here, so that its own settings are looked at too
    config.stages = ROWS[row.lesion].stage, row.stage
    presets._apply(config, ROWS[row.lesion])
    presets._apply(config, row)
  for stage in presets.STAGES:
    config[stage].model.width = 1 / 32
  stages.check_values(config)
  assert set(stages.check(config, Devices(jax.local_devices()[:1]))) == set(config.stages)


def test_the_papers_preset_is_the_papers_setting():
  sizes = {key: presets.configure('paper', ROWS[key], 0).grade.data.size
           for key in ('inception_v3', 'inception_v3_448', 'inception_v3_224')}
  assert sizes == {'inception_v3': 896, 'inception_v3_448': 448, 'inception_v3_224': 224}
  config = presets.configure('paper', ROWS['fcn_8s'], 0)
  assert (config.segment.optimizer, config.segment.learning_rate, config.segment.max_steps) == ('sgd', 1e-3, 0)


def test_unknown_rows_and_a_missing_release_are_named(capsys):
  for arguments, message in ((['--preset=smoke', '--rows=resnet'], 'no row resnet; the rows are patch_fcn_32s'),
                             (['--preset=smoke', '--seeds=a'], "'a' is no list of seeds"),
                             (['--preset=paper'], 'needs --source_dir=DIR')):
    with pytest.raises(SystemExit):
      runner.parse('', [row.key for row in TABLE2], arguments)
    assert message in capsys.readouterr().err


PATIENT = ('import signal, sys, time\n'
           'signal.signal(signal.SIGTERM, lambda *unused: sys.exit({status}))\n'
           'print("ready", flush=True)\n'
           'time.sleep(60)')


@pytest.mark.parametrize('status', [runner.STOPPED, 0])
def test_sigterm_goes_to_the_row_and_is_told(tmp_path, status):
  log = tmp_path / 'log.txt'

  def send_when_ready():
    while not log.exists() or 'ready' not in log.read_text():
      pass
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=send_when_ready, daemon=True).start()
  with log.open('wb') as file:
    assert runner._call([sys.executable, '-c', PATIENT.format(status=status)], file) == (status, True)
  assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize('table', [2, *(pytest.param(table, marks=pytest.mark.slow) for table in (3, 4))])
def test_each_table_is_a_program_with_help(table):
  found = subprocess.run([sys.executable, '-m', f'experiments.table{table}', '--help'], cwd=runner.ROOT, check=True,
                         capture_output=True, text=True)
  assert '--preset' in found.stdout and '--rows' in found.stdout


def test_a_result_names_no_place_of_the_machine(paths):
  row = ROWS['multitask_unet']
  config = presets.configure('paper', row, 0, lesion=(ROWS['unet'], paths.bundle(ROWS['unet'], 0)),
                             source_dir=str(paths.runs / 'release'), pretrained=str(paths.runs / 'weights.pth'))
  config.landmarks.data.source_dir = config.landmarks.pretrained = f'{paths.runs}/release'
  config.landmarks.bundle, config.grade.init = f'{paths.runs}/marks/bundle', f'{paths.runs.parent}/of old/runs/idrid/grade/bundle'
  found = presets.portable(config, paths.runs)
  assert str(paths.runs.parent) not in json.dumps(found)
  assert (found['landmarks']['bundle'], found['grade']['init'], found['segment']['init']) == ('marks/bundle', 'idrid/grade/bundle', '')
  assert found['segment']['bundle'] == 'smoke/unet-0/segment/bundle'
  assert (found['grade']['data']['source_dir'], found['grade']['pretrained']) == ('release', 'weights.pth')


def test_nor_where_the_folder_has_a_colon_in_its_name(paths):
  config = presets.configure('idrid', ROWS['unet'], 0, source_dir=f'{paths.runs}/all:of it')
  assert config.segment.data.name == 'idrid+idrid_grading' and config.grade.data.name == 'idrid_grading'
  assert split_places(config.segment.data.source_dir) == [config.grade.data.source_dir] * 2 == [f'{paths.runs}/all:of it'] * 2
  found = presets.portable(config, paths.runs)
  assert found['segment']['data']['source_dir'] == found['grade']['data']['source_dir'] == 'all:of it'
