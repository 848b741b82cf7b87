"""The benchmark of training: both sides take the same step, and the page of its result."""

from __future__ import annotations

import json
import math

import pytest

from experiments import benchmark
from experiments.benchmarks import train
from experiments.benchmarks.train import Job

RESULT = {
    'size': 896, 'dtype': 'bfloat16', 'width': 1.0, 'rounds': 5, 'matmul_flops_per_second': 5e14,
    'copy_bytes_per_second': 2e12, 'versions': {'torch': '2'}, 'hardware': {'device': 'X100', 'devices': 1, 'cpus': 4}, 'command': 'go',
}


def side(seconds):
  times = {'median': seconds, 'lowest': seconds / 2, 'highest': 2 * seconds}
  return {'seconds': times, 'cpu_seconds': times, 'peak_memory': {'bytes': 3e9}, 'seconds_to_ready': 20}


def test_the_page_has_ratios_shares_and_what_did_not_fit():
  fits = {'network': 'lesion_net_16s', 'batch': 8, 'side_by_side': True, 'flops': 4e12, 'loss_difference': 1e-6,
          'loss_difference_after_a_step': 1e-5, 'ratios': {'torch': {'of_medians': 1.3, 'median': 1.25, 'low': 1.1, 'high': 1.5}}, 'sides': {'ours': side(0.02), 'torch': side(0.025)}}
  too_large = {'network': 'lesion_net_16s', 'batch': 64, 'side_by_side': False, 'flops': None, 'loss_difference': None,
               'ratios': {}, 'sides': {'ours': {'error': 'out of memory'}, 'torch': side(0.2)}}
  page = train.render(RESULT | {'rows': [fits, too_large]})
  assert '| lesion_net_16s | 8 | ours | 0.020 | 0.010–0.040 | 400.00 |  |  |  | 0.02 | 0.40 | 20 |' in page
  assert '| lesion_net_16s | 8 | PyTorch | 0.025 | 0.013–0.050 | 320.00 | 1.30 | 1.25 | 1.10–1.50 |' in page
  assert '| lesion_net_16s | 64 | ours | out of memory |' in page and 'On 1 x X100, 4 CPU cores.' in page
  assert 'lesion_net_16s, batch 64: the implementations do not fit into memory together' in page


def test_a_stopped_run_goes_on_behind_the_batches_that_it_wrote(tmp_path, monkeypatch):
  row = {'network': 'lesion_net_16s', 'side_by_side': True, 'flops': 4e12, 'loss_difference': None, 'ratios': {},
         'sides': {'ours': side(0.02)}}
  measured = []

  def measure(network, batch, arguments):
    if batch == 16 and not measured.count(16):
      measured.append(16)
      raise KeyboardInterrupt  # stopped here
    measured.append(batch)
    return row | {'batch': batch}, {name: RESULT[name] for name in train.MACHINE}

  monkeypatch.setattr(train, 'measure', measure)
  command = ['train', '--network', 'lesion_net_16s', '--batch', '8', '16', '--resume', '--out', str(tmp_path)]
  with pytest.raises(KeyboardInterrupt):
    benchmark.main(command)
  assert benchmark.main(command) == 0 and measured == [8, 16, 16]
  assert [row['batch'] for row in json.loads((tmp_path / 'train-gpu.json').read_text())['rows']] == [8, 16]
  assert benchmark.main([*command, '--size', '128']) == 0 and measured[3:] == [8, 16]  # another measurement


@pytest.mark.parametrize('first, second, dtype, agree', [
    (1e-6, 1e-2, 'float32', True), (2e-3, 0, 'float32', False), (0, 3e-2, 'float32', False), (2e-3, 3e-2, 'bfloat16', True),
    (math.nan, 0, 'float32', False), (0, math.nan, 'float32', False)])
def test_both_losses_must_agree(first, second, dtype, agree):
  assert train._agree(first, second, dtype) == agree


def test_every_network_of_a_job_has_its_width_and_type():
  fields = Job('multitask', 64, 2, 'bfloat16', 0.5).fields
  assert fields == {'name': 'multitask', 'width': 0.5, 'dtype': 'bfloat16',
                    'lesion': {'name': 'lesion_net_16s', 'width': 0.5, 'dtype': 'bfloat16'}}


def test_sides_that_do_not_fit_together_are_started_alone(monkeypatch):
  started = []

  def together(sides, network, batch, arguments, rounds):
    started.append((sides, rounds))
    if len(sides) > 1:
      return {'ours': {'error': 'out of memory'}}
    return {sides[0]: {'seconds': [0.1] * rounds, 'cpu_seconds': [0.1] * rounds, 'losses': [1.0, 1.0], 'flops': 1e9,
                       'peak_memory': {}, 'seconds_to_ready': 1}}

  monkeypatch.setattr(train, '_together', together)
  arguments = type('', (), {'implementations': ['torch'], 'rounds': 5})
  row, _ = train.measure('lesion_net_16s', 64, arguments)
  assert started == [(('ours', 'torch'), 5), (('ours',), 3), (('torch',), 3), (('ours',), 3), (('torch',), 3)]
  assert not row['side_by_side'] and len(row['sides']['torch']['seconds']['all']) == 6


@pytest.mark.slow
def test_both_sides_take_the_same_step(tmp_path, capsys):
  pytest.importorskip('torch')
  assert benchmark.main(['train', '--size', '96', '--width', '0.1', '--rounds', '1', '--implementations', 'torch',
                         '--network', 'lesion_net_16s', '--out', str(tmp_path)]) == 0
  row, = json.loads((tmp_path / 'train.json').read_text())['rows']
  assert row['loss_difference'] < 1e-5 and row['loss_difference_after_a_step'] < 1e-4
