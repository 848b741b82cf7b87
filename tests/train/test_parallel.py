"""Which devices share a batch, and what processes say to each other. The second process is a list of its answers."""

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from lesion_jax.train.parallel import Devices, on_all_processes


@pytest.fixture
def two(monkeypatch):
  """`two(index, answers)`: this is process `index` of two, and the other one answers so; returns what this one said."""

  def start(index, answers):
    said, others = [], iter(answers)

    def gather(mine):
      said.append(bool(mine))
      return np.array([mine, next(others)])

    monkeypatch.setattr(jax, 'process_count', lambda: 2)
    monkeypatch.setattr(jax, 'process_index', lambda: index)
    monkeypatch.setattr(multihost_utils, 'process_allgather', gather)
    return said

  return start


def fail():
  raise FileNotFoundError('no such data')


def test_no_devices_are_not_all_of_them():
  assert Devices().local == jax.local_devices() and Devices(jax.devices()[:1]).local == jax.devices()[:1]
  with pytest.raises(ValueError, match='`devices` is empty; name one at least, or leave it out to use all'):
    Devices([])


def test_without_a_device_it_is_said_which_variable_to_unset(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cuda')
  monkeypatch.setattr(jax, 'devices', lambda: (_ for _ in ()).throw(RuntimeError("Unable to initialize backend 'cuda'")))
  with pytest.raises(ValueError, match="JAX finds no device: JAX_PLATFORMS is 'cuda'.*unset it"):
    Devices()


@pytest.mark.parametrize(('batch_size', 'accumulate', 'message'), [
    (8, 0, 'accumulate=0: a step has 1 micro-batch or more'), (8, -1, 'accumulate=-1'), (0, 1, 'a batch of 0 cannot .* a multiple of 2'),
    (6, 2, 'a batch of 6 cannot be divided over 2 device.* x 2 micro-batch.*; use a multiple of 4')])
def test_a_batch_is_divided_evenly_or_refused(batch_size, accumulate, message):
  devices = Devices(jax.devices()[:2])
  devices.check_batch(8, 4)
  with pytest.raises(ValueError, match=message):
    devices.check_batch(batch_size, accumulate)


@pytest.mark.parametrize(('mine', 'other'), [(True, True), (True, False), (False, True), (False, False)])
def test_what_holds_on_all_holds_on_each(two, mine, other):
  two(0, [other])
  assert on_all_processes(mine) == (mine and other)


def test_a_single_process_asks_nobody():
  assert on_all_processes(True) and not on_all_processes(False)
  assert Devices().first_alone(lambda: 'made') == 'made'


@pytest.mark.parametrize('index', [0, 1])
def test_the_first_makes_and_the_other_finds(two, index):
  devices, said = Devices(), two(index, [True])
  assert devices.first_alone(lambda: list(said)) == ([True] if index else [])
  assert said == [True]


def test_where_the_first_fails_it_tells_the_others(two):
  devices, said = Devices(), two(0, [True])
  with pytest.raises(FileNotFoundError, match='no such data'):
    devices.first_alone(fail)
  assert said == [False]


def test_where_the_first_failed_the_others_do_not_begin(two):
  devices, called = Devices(), []
  two(1, [False])
  with pytest.raises(RuntimeError, match='process 0 failed'):
    devices.first_alone(lambda: called.append(1))
  assert not called


@pytest.mark.parametrize(('step', 'mine', 'other', 'stops'), [
    (10, False, False, False), (10, True, False, True), (10, False, True, True), (11, True, True, False)])
def test_one_wish_stops_all_at_every_tenth_step(two, step, mine, other, stops):
  devices = Devices()
  two(0, [not other])
  assert devices.agree(step, lambda: mine) == stops
