"""The benchmark of scaling: what it reads out of a program, what it works out on paper, and its page."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks.scale import SIZE, Cluster, Shallow, all_reduces, at_best, difference, make_batch, reading_time
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.train.parallel import AXIS, Devices


def test_all_reduces_are_read_from_the_text_of_a_program():
  program = '''
  %all-reduce.2 = (f32[], bf16[3,3,4]{2,1,0}, /*index=2*/s32[7]{0}) all-reduce(%a, %b, /*index=2*/%c), channel_id=1
  %all-reduce-start = f32[10]{0} all-reduce-start(%d), to_apply=%add
  %all-reduce-done = f32[10]{0} all-reduce-done(%all-reduce-start)
  %x = f32[10]{0} add(%all-reduce-done, %all-reduce.2)
'''
  assert all_reduces(program) == [{'arrays': 3, 'bytes': 4 + 2 * 36 + 4 * 7}, {'arrays': 1, 'bytes': 40}]


def test_a_tree_is_sent_in_one_operation():
  devices = Devices(jax.devices()[:2])
  tree = {'a': jnp.ones((5, 3)), 'b': jnp.ones(7), 'c': jnp.ones(())}
  step = devices.evaluate(lambda tree, rows: jax.tree.map(lambda x: jax.lax.psum(x * rows.sum(), AXIS), tree))
  found = all_reduces(step.lower(tree, np.ones((2, 4), np.float32)).compile().as_text())
  assert found == [{'arrays': 3, 'bytes': 4 * (15 + 7 + 1)}]


def test_rows_do_not_depend_on_how_many_there_are():
  few, many = make_batch(2), make_batch(5)
  for key, rows in few.items():
    np.testing.assert_array_equal(many[key][:2], rows)


@pytest.mark.parametrize('shared_norm', [True, False])
def test_its_encoder_takes_the_place_of_inception(shared_norm):
  network = LesionNet(encoder=Shallow, stride=32, width=0.25, bn_axis=AXIS if shared_norm else None)
  shapes = jax.eval_shape(lambda key: network.init(key, jnp.zeros((1, SIZE, SIZE, 3), jnp.uint8), train=False), jax.random.key(0))
  assert {f'block_{stride}' for stride in (2, 4, 8, 16, 32)} == shapes['params']['encoder'].keys()


def test_the_difference_is_relative_to_the_largest_entry():
  assert difference([np.array([1.0, 100.0])], [np.array([2.0, 100.0])]) == pytest.approx(0.01)


def test_a_ring_on_paper():
  cluster = Cluster(flops=1e12, node=8, inside=1e9, between=1e8, latency=0.0, batch=2)
  one, eight, more = (at_best(n, 1_000_000, 1e9, cluster) for n in (1, 8, 16))
  assert one['efficiency'] == 1 and one['images_per_second'] == pytest.approx(1000)
  assert eight['send'] == pytest.approx(2 * 7 / 8 * 1e-3)
  assert more['send'] == pytest.approx(2 * 15 / 16 * 1e-2)
  assert at_best(8, 0, 1e9, cluster._replace(latency=1e-3))['send'] == pytest.approx(14e-3)


def test_the_time_of_reading_is_taken_where_it_was_measured(tmp_path):
  assert reading_time(tmp_path / 'input.json') is None
  rows = [{'reader': 'ours, 16 threads', 'cpu_ms': 11.0}, {'reader': 'DataLoader', 'cpu_ms': 44.0}]
  (tmp_path / 'input.json').write_text(json.dumps({'rows': rows}))
  assert reading_time(tmp_path / 'input.json') == 11.0
