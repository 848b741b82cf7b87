"""The benchmark of inference: work counted from shapes, ratios round by round, and the guard over them."""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import (
    bulk, convolutions, guard, machine, memory, predict, profile, scale, startup, train, tricks)
from experiments.benchmarks.predict import Job, make_images, make_variables
from experiments.benchmarks.turns import compare
from lesion_jax import runtime
from lesion_jax.cpu import arranged, summed

COMMITTED = pathlib.Path(__file__).parents[2] / 'experiments' / 'results' / 'benchmark'


def ratio(median, low=None, high=None):
  return {'of_medians': median, 'median': median, 'low': low or 0.95 * median, 'high': high or 1.05 * median}


def test_work_is_counted_from_shapes_in_functions_that_are_called_too():
  def function(x, kernel, matrix):
    x = jax.jit(lambda x: jax.lax.conv_general_dilated(
        x, kernel, (2, 2), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')))(x)
    return jnp.tanh(x) @ matrix

  works = machine.count(function, jnp.zeros((2, 8, 6, 3)), jnp.zeros((3, 5, 3, 7)), jnp.zeros((7, 4)))
  outputs = 2 * 4 * 3
  assert works == [
      machine.Work(2 * outputs * 7 * 3 * 5 * 3, 4 * (2 * 8 * 6 * 3 + 3 * 5 * 3 * 7 + outputs * 7)),
      machine.Work(2 * outputs * 4 * 7, 4 * (outputs * 7 + 7 * 4 + outputs * 4))]


def test_the_roofline_takes_of_each_the_longer_of_arithmetic_and_memory():
  assert machine.roofline([machine.Work(100, 1), machine.Work(1, 50)], 10, 5) == 100 / 10 + 50 / 5


def test_sides_are_compared_round_by_round():
  found = compare([1.0, 2.0, 10.0], [2.0, 4.0, 20.0])  # a busy machine in the third round
  assert found == {'of_medians': 2.0, 'median': 2.0, 'low': 2.0, 'high': 2.0}
  uneven = compare([1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.5, 2.0, 2.5, 3.0])
  assert uneven['low'] < uneven['median'] == 2.0 < uneven['high']


@pytest.mark.parametrize('now, lost', [
    (ratio(1.25), False), (ratio(1.01), False), (ratio(0.9), True),
    (ratio(0.9, 0.5, 1.4), False)])  # too noisy to tell
def test_the_guard_speaks_when_more_than_a_fifth_of_a_ratio_is_lost(now, lost):
  sentences = guard.losses({'torch / ours': ratio(1.25), 'torch / gone': ratio(9)}, {'torch / ours': now, 'new / ours': ratio(1)})
  assert sentences == (['ours has become slower: torch takes 0.90 times as long, 1.25 were recorded, 28% less'] if lost else [])


def test_the_guard_measures_all_of_it_and_a_loss_counts_more_than_what_could_not_be_compared(monkeypatch):
  statuses, asked = {'host': 1, 'inference': guard.NOTHING, 'training': 0}, []
  for name in statuses:
    monkeypatch.setattr(guard, f'guard_{name}', lambda *_, name=name: asked.append(name) or statuses[name])
  assert guard.run(argparse.Namespace(source_dir='idrid', work='')) == 1 and asked == list(statuses)
  statuses['host'] = 0
  assert guard.run(argparse.Namespace(source_dir='idrid', work='')) == guard.NOTHING


@pytest.mark.parametrize('now, status', [((1.2, 1.3), 0), ((0.7, 0.8), 1)])
def test_the_guard_looks_at_training_steps_too(now, status, tmp_path, monkeypatch, capsys):
  recorded = tmp_path / 'train.json'
  facts = {'hardware': {'device': 'cpu'}}
  recorded.write_text(json.dumps({'size': 256, 'dtype': 'float32', 'width': 1.0, **facts, 'rows': [
      {'network': 'multitask', 'batch': 2, 'ratios': {'torch': ratio(1.2)}}]}))
  asked = []
  monkeypatch.setattr(train, 'measure', lambda network, batch, options: asked.append((network, batch, options.size)) or (
      {'ratios': {'torch': {'median': now[0], 'low': now[0], 'high': now[1]}}}, facts))
  assert guard.guard_training(recorded, argparse.Namespace(rounds=1, with_compiled=False)) == status
  assert asked == [('multitask', 2, 256)]
  assert ('a step of multitask has become slower' in capsys.readouterr().err) == bool(status)


def test_the_guard_says_that_there_is_nothing_to_compare_with(tmp_path, capsys, monkeypatch):
  from experiments import benchmark

  monkeypatch.setattr(guard, 'guard_training', lambda *_: 0)  # which would measure
  assert benchmark.main(['guard', '--recorded', str(tmp_path / 'none.json')]) == 2
  assert 'there is nothing to compare with' in capsys.readouterr().err


@pytest.mark.slow
def test_the_network_has_statistics_as_after_training_the_same_each_time():
  job = Job(32, 2, 'float32', 1 / 16)
  first, second = make_variables(job), make_variables(job)
  jax.tree.map(np.testing.assert_array_equal, first, second)
  assert all(np.ptp(leaf) > 0 for path, leaf in jax.tree_util.tree_leaves_with_path(first) if leaf.size > 1)
  assert make_images(job).shape == (2, 32, 32, 3)


def test_what_is_measured_from_its_start_imports_nothing_that_others_would_not():
  code = 'import experiments.benchmarks.startup, sys; print({"jax", "torch", "PIL", "scipy"} & set(sys.modules))'
  assert subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout == 'set()\n'


def test_on_the_machine_of_a_gpu_jax_flax_optax_and_numpy_are_enough():
  absent = ('PIL', 'scipy', 'grain', 'tensorflow_datasets', 'orbax', 'safetensors', 'matplotlib', 'torch', 'ml_collections')
  code = (f'import sys; sys.modules.update(dict.fromkeys({absent!r}))\n'
          'from experiments.benchmarks import gpu, memory, predict, profile, train')
  subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('name, render', [
    ('predict', predict.render), ('startup', startup.render), ('memory', memory.render), ('train', train.render),
    ('scale', scale.render), ('bulk', bulk.render), ('convolutions', convolutions.render), ('tricks', tricks.render),
    ('profile-inference', lambda result: profile.render(result, 15)), ('profile-step', lambda result: profile.render(result, 15))])
def test_the_committed_page_is_of_the_committed_result(name, render):
  result = json.loads((COMMITTED / f'{name}.json').read_text(encoding='utf-8'))
  assert (COMMITTED / f'{name}.md').read_text(encoding='utf-8') == render(result)


@pytest.mark.parametrize('trick, primitive', [('pools', 'reduce_window'), ('winograd', 'conv_general_dilated[')])
def test_an_arrangement_is_left_out_of_what_is_traced_inside(trick, primitive):
  def function(x, kernel):
    return jax.lax.reduce_window(jax.lax.conv_general_dilated(
        x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')), -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')

  def text():
    return str(jax.make_jaxpr(arranged(function, 'cpu'))(jnp.zeros((1, 32, 32, 256)), jnp.zeros((3, 3, 256, 256))))

  with tricks.without(trick):
    assert primitive in text()
  with tricks.without(tricks.ALL):
    assert primitive not in text()
  assert primitive not in text()


def test_sums_gradients_of_kernels_and_options_are_left_out_too():
  total = lambda: str(jax.make_jaxpr(summed(lambda x: x.sum(), 'cpu'))(jnp.zeros((4, 64, 64, 8))))
  own = lambda: str(jax.make_jaxpr(arranged(lambda x, kernel: jax.lax.conv_general_dilated(
      x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=('NHWC', 'HWIO', 'NHWC')), 'cpu'))(jnp.zeros((1, 8, 8, 4)), jnp.zeros((3, 3, 4, 4))))
  assert 'dot_general' in total() and 'custom_vjp' in own()
  with tricks.without('sums'), tricks.without('kernels'), tricks.without('options'):
    assert 'dot_general' not in total() and 'custom_vjp' not in own() and runtime.compiler_options('cpu') is None


def test_a_page_says_what_earns_little():
  times = {'all': [1.0, 1.0, 1.0], 'pools': [1.3, 1.3, 1.3], 'winograd': [1.01, 1.01, 1.01], 'options': [1.2, 1.2, 1.2]}
  row = {'what': 'inference', 'network': 'multitask', 'seconds': times,
         'ratios': {trick: compare(times['all'], times[trick]) for trick in ('pools', 'winograd', 'options')}}
  text = tricks.render({'inference_size': 896, 'size': 256, 'batch': 2, 'width': 1, 'rounds': 3, 'rows': [row],
                        'hardware': {'device': 'cpu', 'cpus': 2, 'devices': 1}, 'versions': {'jax': '0'}, 'command': 'python'})
  assert 'Earns less than 5 % here: winograd.' in text and '| 1.30 |' in text


def test_computations_take_turns_each_compiled_without_its_arrangement():
  seen = []

  def make():
    left = runtime.compiler_options('cpu') is None
    return lambda: seen.append(left)

  row = tricks.measure('inference', 'multitask', make, rounds=2)
  assert seen == [False, False, False, True] + [False, False, False, True] * 2
  assert {len(times) for times in row['seconds'].values()} == {2} and set(row['ratios']) == set(tricks.OF['inference'])
