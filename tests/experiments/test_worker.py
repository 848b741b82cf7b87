"""Rows from end to end on a shallow encoder: trained, evaluated, written down, read back and rendered."""

import argparse
import shutil

import pytest
from tiny import TINY_MODELS

from experiments import collect, presets, program, runner, worker
from lesion_jax import main, models
from lesion_jax.locking import locked
from lesion_jax.report import run as report_run


def tiny(config, row):
  """In the paths of `smoke`: seconds a row."""
  for name in presets.STAGES:
    stage = config[name]
    stage.data.update(size=32, count=60)
    stage.update(batch_size=8, eval_batch_size=8, max_steps=2, validate_every=1, log_every=1, milestones=())
    stage.augmentation.update(rotation=(0.0, 0.0), scale=(1.0, 1.0), shift=(0.0, 0.0), horizontal_flip=0.0,
                              vertical_flip=0.0)


@pytest.fixture
def options(tmp_path, monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  monkeypatch.setitem(presets.PRESETS, 'smoke', tiny)
  without_pictures = lambda *given: report_run.write_run(*given[:3], [], *given[4:])
  monkeypatch.setattr(main, 'write_run', without_pictures)
  return argparse.Namespace(preset='smoke', workdir=tmp_path / 'runs', data_dir=tmp_path / 'data',
                            results=tmp_path / 'results', source_dir='', pretrained='', remat=False, accumulate=1,
                            dtype='float32')


@pytest.mark.slow
def test_rows_run_from_end_to_end(options):
  paths = runner.Paths.of(options)
  for key in ('fcn_32s', 'inception_v3_classifier', 'lesion_concat_inception_v3'):
    assert worker.run(argparse.Namespace(**vars(options), row=key, seed=0)) == 0
    assert runner.is_done(paths, collect.ROWS[key], 0, collect.ROWS)
    assert runner.is_trained(paths, collect.ROWS[key], 0, collect.ROWS)
  found = {result['row']: result for result in collect.load(paths.folder)}
  assert list(found) == ['fcn_32s', 'inception_v3_classifier', 'lesion_concat_inception_v3']
  assert found['fcn_32s']['command'] == 'python -m experiments.table2 --preset=smoke --rows=fcn_32s --seeds=0'
  assert found['fcn_32s']['steps'] == 2 and found['fcn_32s']['size'] == 32
  assert 'kappa' in found['lesion_concat_inception_v3']['replicates']
  assert 'pixel_f1' not in found['inception_v3_classifier']['report']
  assert str(options.workdir) not in paths.result(collect.ROWS['lesion_concat_inception_v3'], 0).read_text()
  for table in (2, 3, 4):
    program.write(table, paths)
  assert {path.name for path in paths.folder.iterdir()} >= {'table2.md', 'table3.md', 'table4.md', 'orderings.md',
                                                            'fig5.png'}


@pytest.mark.slow
def test_a_result_that_is_there_stays_when_its_network_is_trained_again(options):
  row = collect.ROWS['fcn_32s']
  run = lambda: worker.run(argparse.Namespace(**vars(options), row=row.key, seed=0))
  assert run() == 0
  path = runner.Paths.of(options).result(row, 0)
  before = path.read_text()
  shutil.rmtree(options.workdir)
  assert run() == 0
  assert path.read_text() == before and runner.Paths.of(options).bundle(row, 0).exists()


def test_two_processes_do_not_run_the_same_row(options, capsys):
  with locked(runner.Paths.of(options).workdir(collect.ROWS['fcn_32s'], 0), 'a run of fcn_32s with seed 0', name=worker.LOCK):
    assert worker.run(argparse.Namespace(**vars(options), row='fcn_32s', seed=0)) == 1
  assert 'fcn_32s-0 is in use: a run of fcn_32s with seed 0 by process' in capsys.readouterr().out


def test_the_command_of_a_result_names_all_that_gave_it(options):
  options.preset, options.source_dir, options.pretrained, options.seed = 'paper', '/a/release', '/b/weights.pth', 1
  assert worker.command(collect.ROWS['unet'], options) == (
      'python -m experiments.table2 --preset=paper --source_dir=release --pretrained=weights.pth --rows=unet --seeds=1')
  options.remat, options.accumulate, options.dtype = True, 4, 'bfloat16'
  assert ' --remat --accumulate=4 --dtype=bfloat16 --rows=unet' in worker.command(collect.ROWS['unet'], options)


def test_rows_around_the_same_lesion_network_ask_it_once(options):
  paths = runner.Paths.of(options)
  place = lambda key, seed=0: paths.workdir(collect.ROWS[key], seed) / 'grade' / 'found.npz'
  place('multitask').parent.mkdir(parents=True)
  place('multitask').write_bytes(b'said')
  for key, seed in (('multitask_cw_maxpool', 0), ('multitask_cw_maxpool', 1), ('multitask_unet', 0), ('lesion_concat_lesion_net_16s', 0),
                    ('inception_v3', 0)):
    worker.share_outputs(paths, collect.ROWS[key], seed)
  assert [path.parts[-3] for path in sorted(paths.runs.rglob('found.npz'))] == ['multitask-0', 'multitask_cw_maxpool-0']
  assert place('multitask_cw_maxpool').read_bytes() == b'said'
