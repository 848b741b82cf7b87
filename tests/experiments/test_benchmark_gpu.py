"""One command runs every benchmark of a GPU, whatever becomes of one of them."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess

import pytest

from experiments import benchmark
from experiments.benchmarks import gpu, train


@pytest.mark.parametrize('name', gpu.RUNS)
def test_each_is_a_command_that_there_is(name):
  program, *options = gpu.RUNS[name].split()
  parser = argparse.ArgumentParser()
  importlib.import_module(f'experiments.benchmarks.{program}').add_options(parser)
  assert parser.parse_args(options).dtype == 'bfloat16'
  small = parser.parse_args([*options, *gpu.SMALL[name].split()])
  assert (small.dtype, small.size, small.width) == ('bfloat16', 64, 0.125)


def test_one_that_fails_does_not_keep_the_others_from_running(monkeypatch, capsys, tmp_path):
  started = []

  def run(command, check):
    started.append(command[3])
    return subprocess.CompletedProcess(command, returncode=int(command[3] == 'memory'))

  monkeypatch.setattr(subprocess, 'run', run)
  assert benchmark.main(['gpu', '--out', str(tmp_path)]) == 1
  assert started == ['predict', 'memory', 'train', 'profile', 'profile']
  assert 'these failed, each says above why: memory' in capsys.readouterr().err
  assert benchmark.main(['gpu', '--only', 'train', '--out', str(tmp_path)]) == 0


@pytest.mark.parametrize('there', [True, False])
def test_a_rehearsal_has_pytorch_beside_ours_where_it_is_installed(monkeypatch, tmp_path, there):
  started = []
  monkeypatch.setattr(subprocess, 'run', lambda command, check: started.append(command) or subprocess.CompletedProcess(command, 0))
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: there or None)
  assert benchmark.main(['gpu', '--small', '--only', 'train', 'profile-step', '--out', str(tmp_path)]) == 0
  parser = argparse.ArgumentParser()
  train.add_options(parser)
  found = parser.parse_args(started[0][started[0].index('train') + 1:])
  assert found.implementations == (['ours', 'torch'] if there else ['ours']) and found.size == 64
  assert '--implementations' not in started[1]
