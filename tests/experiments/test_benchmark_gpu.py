"""One command runs every benchmark of a GPU, whatever becomes of one of them."""

from __future__ import annotations

import argparse
import importlib
import subprocess

import pytest

from experiments import benchmark
from experiments.benchmarks import gpu


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
