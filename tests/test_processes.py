"""Two processes on this machine, with two devices each, do what one process with one device does."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny_config
from tiny import TINY_MODELS

from lesion_jax import models, runtime, stages
from lesion_jax.main import STOPPED
from lesion_jax.train.logs import read_scalars
from lesion_jax.train.parallel import Devices

ROOT = pathlib.Path(__file__).parents[1]
# One step without weight decay: the trace of the momentum is then the gradient.
CHANGES = {'stages': ('segment',), 'segment.model.name': 'lesion_net_32s', 'segment.max_steps': 1,
           'segment.weight_decay': 0.0, 'segment.model.sync_batch_norm': True}


def configuration():
  config = tiny_config.get_config()
  config.update_from_flattened_dict(CHANGES)
  return config


def train(config, workdir, data_dir):
  """Trains, or takes up what was trained there, on one device in this process; returns the stage too."""
  devices = Devices(jax.devices()[:1])
  dataset = stages.open_datasets(config, str(data_dir), devices)['segment']
  network = stages.check(config, devices)['segment']
  stage = stages.build_stage(config, 'segment', dataset, network, workdir=workdir, devices=devices, bundles={})
  return stage, stage.train(lambda: False)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(models, 'MODELS', TINY_MODELS)
    # It rounds otherwise, and several processes go without it.
    patch.setattr(runtime, 'compiler_options', lambda platform: None)
    yield tmp_path_factory.mktemp('processes')


def free_port():
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    return found.getsockname()[1]


def two_processes(place, workdir, *arguments, second=()):
  """Runs the job in two processes, the second one with further arguments; returns their exit statuses."""
  flags = [f'--config.{key}={value[0] if isinstance(value, tuple) else value}' for key, value in CHANGES.items()]
  argv = [sys.executable, 'tests/tiny_main.py', '--config=tests/tiny_config.py', f'--workdir={workdir}',
          f'--data_dir={place / "data"}', f'--coordinator=127.0.0.1:{free_port()}', '--processes=2', *flags, *arguments]
  devices = '--xla_force_host_platform_device_count=2'
  started = []
  for process in (0, 1):
    log = (place / f'{process}.log').open('w+')
    started.append((log, subprocess.Popen(
        [*argv, f'--process={process}', *(second if process else ())], cwd=ROOT, stdout=log, stderr=log,
        env=os.environ | {'PYTHONPATH': str(ROOT), 'XLA_FLAGS': devices})))
  try:
    statuses = [process.wait(timeout=300) for _, process in started]
  finally:
    for log, process in started:
      process.kill()
      process.wait()
      log.seek(0)
      print(log.read())  # shown where the test fails
      log.close()
  return statuses


def test_loss_gradient_and_figures_are_those_of_one_device(place):
  _, one = train(configuration(), place / 'one', place / 'data')
  assert two_processes(place, place / 'two') == [0, 0]
  stage, two = train(configuration(), place / 'two', place / 'data')
  assert (one.step, two.step) == (1, 1)
  for mine, other in zip(jax.tree.leaves(one.state), jax.tree.leaves(two.state), strict=True):
    assert np.abs(mine - other).max() <= 3e-5 * np.abs(mine).max()  # sums of halves, by matrix products
  first, second = (read_scalars(place / name / 'segment' / 'metrics.csv') for name in ('one', 'two'))
  assert first.keys() == second.keys()
  for series in first.keys() - {('train', 'images_per_second'), ('train', 'waiting_for_data')}:
    np.testing.assert_allclose(second[series], first[series], rtol=1e-5, err_msg=series)
  # The images are drawn by their position: other intervals would mean another order.
  theirs = json.loads((place / 'two' / 'metrics.json').read_text())['segment']['intervals']['pixel_f1']
  evaluation = stage.evaluate(stage.variables(two.state), 'test')
  assert theirs['mean'] == pytest.approx(evaluation.report['intervals']['pixel_f1']['mean'], rel=1e-5)
  with np.load(place / 'two' / 'segment' / 'test_counts.npz', allow_pickle=False) as counts:
    for name in ('id', 'patient'):  # text is on the hosts, each of which has half of it
      assert counts[name].tolist() == evaluation.counts[name].tolist()


def test_all_images_have_their_names_on_every_process(place):
  program = '''
import sys
import jax, numpy as np
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from lesion_jax.evaluate import image_counts
from lesion_jax.data.pipeline import eval_batches
p = jax.process_index()
source = [{'image': np.zeros((2, 2, 3), np.uint8), 'weight': np.float32(1), 'grade': np.int32(0), 'id': f'eye-\u00e9{i}',
           'patient': 'p' * (i + 1)} for i in range(5)]
batches = eval_batches(source, batch_size=4, shard_index=p, shard_count=2, threads=0)
reals = iter([[True] * 4, [True] + [False] * 3])  # as the step gathers it from all processes
found = image_counts(lambda variables, batch: {'real': np.array(next(reals)), 'image_tp': np.zeros((4, 8))}, None, batches)
assert found['id'].tolist() == [f'eye-\u00e9{i}' for i in range(5)], found['id']
assert found['patient'].tolist() == ['p' * (i + 1) for i in range(5)], found['patient']
'''
  address = f'127.0.0.1:{free_port()}'
  started = [subprocess.Popen([sys.executable, '-c', program, address, str(process)], cwd=ROOT,
                              env=os.environ | {'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}) for process in (0, 1)]
  try:
    assert [process.wait(timeout=120) for process in started] == [0, 0]
  finally:
    for process in started:
      process.kill()


def test_where_one_process_is_told_to_stop_both_save_and_stop(place):
  length = ('--config.segment.max_steps=12', '--config.segment.validate_every=100')
  statuses = two_processes(place, place / 'stopped', *length, second=('--die=SIGTERM', '--die_after=1'))
  assert statuses == [STOPPED, STOPPED]
  assert (place / 'stopped' / 'segment' / 'checkpoints' / '10').is_dir()  # they ask each other at every tenth step
