"""The writer of all pages of experiments: paragraphs, metrics with their ranges, and where they come from."""

from __future__ import annotations

import json

import pytest

from experiments import page

CPU = {'device': 'cpu', 'devices': 1, 'cpus': 2}


def test_paragraphs_stand_apart_and_empty_ones_are_left_out():
  assert page.join('# Title', '', page.table(['a', 'b'], [['1', '2']]), page.code([])) == (
      '# Title\n\n| a | b |\n| --- | ---: |\n| 1 | 2 |')
  assert page.code(['first', 'second']) == '```\nfirst\nsecond\n```'


def test_a_metric_has_its_interval_where_it_is_defined():
  assert page.number(0.4194, [0.3915, 0.4471]) == '0.419 [0.392, 0.447]'
  assert page.number(0.4194) == '0.419' and page.number(None, [0, 1], undefined='–') == '–'
  assert page.span(0.951, 1.05) == '0.95–1.05' and page.span(1.5, 2, '.1f') == '1.5–2.0'


@pytest.mark.parametrize('hardware, words, name', [
    (CPU, '2 CPU cores', 'train'), (CPU | {'cpus': 1}, '1 CPU core', 'train'), (CPU | {'devices': 8}, '8 x cpu, 2 CPU cores', 'train'),
    ({'device': 'NVIDIA H200', 'devices': 2, 'cpus': 16}, '2 x NVIDIA H200, 16 CPU cores', 'train-gpu')])
def test_the_machine_is_named(hardware, words, name):
  assert page.machine(hardware) == words and page.on_gpu('train', hardware) == name


def test_what_is_written_says_what_wrote_it(tmp_path, monkeypatch):
  monkeypatch.setattr('sys.argv', ['benchmark.py', 'bulk', '--count', '3'])
  result = {'benchmark': 'bulk', 'hardware': CPU, 'versions': {'jax': '1', 'flax': '2'}}
  text = page.write(tmp_path, 'bulk', result, page.provenance)
  assert text == 'On 2 CPU cores. Versions: jax 1, flax 2.\n\nWritten by `python -m experiments.benchmark bulk --count 3`.'
  assert (tmp_path / 'bulk.md').read_text() == text
  assert page.provenance(json.loads((tmp_path / 'bulk.json').read_text())) == text
  assert page.provenance(result).endswith('Written by `python -m experiments.benchmark bulk`.')  # kept without a command
