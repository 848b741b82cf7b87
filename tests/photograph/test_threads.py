"""Threads and items on their way are bounded by what the process may use, by what is asked for, and by bytes."""

from __future__ import annotations

import threading
import time

import pytest

from lesion_jax import machine
from lesion_jax.cli import options
from lesion_jax.photograph import threads
from lesion_jax.photograph.threads import allowed_threads, limited, ordered_map, room


@pytest.fixture(autouse=True)
def large(monkeypatch):
  """A process that may use 64 processors and 64 GB."""
  monkeypatch.setattr(machine, 'processors', lambda: 64)
  monkeypatch.setattr(machine, 'memory', lambda: float(64 << 30))


def _watch(**settings):
  """The most threads at once, and the most items taken whose results had not been asked for."""
  lock, now, most, taken, given = threading.Lock(), [0], [0], [0], [0]
  waiting = [0]

  def items():
    for number in range(40):
      taken[0] += 1
      waiting[0] = max(waiting[0], taken[0] - given[0])
      yield number

  def work(number):
    with lock:
      now[0] += 1
      most[0] = max(most[0], now[0])
    time.sleep(0.002)
    with lock:
      now[0] -= 1
    return number

  for place, result in enumerate(ordered_map(work, items(), **settings)):
    given[0] += 1
    assert result == place
  return most[0], waiting[0]


def test_threads_are_those_that_the_process_may_use(monkeypatch):
  assert allowed_threads() == threads.MAX_WORKERS
  monkeypatch.setattr(machine, 'processors', lambda: 2)
  assert allowed_threads() == 2 and _watch() == (2, 5)


def test_threads_that_are_asked_for_count_inside_and_on_threads_of_it():
  with limited(threads=3):
    assert allowed_threads() == 3 and _watch()[0] == 3
    assert list(ordered_map(lambda _: allowed_threads(), range(3))) == [3, 3, 3]
    with limited(threads=1):
      assert list(ordered_map(lambda _: allowed_threads(), range(2))) == [1, 1]
    assert allowed_threads() == 3
  assert allowed_threads() == threads.MAX_WORKERS


def test_items_on_their_way_are_bounded_by_bytes():
  with limited(memory=4 << 30):
    assert room(256 << 20) == 4, 'a quarter of the memory'
    assert _watch(each=256 << 20)[1] == 4
    assert _watch(each=10 << 30) == (1, 1), 'one always goes'
  assert room(1 << 30) == 4, 'however much memory there is'


def test_more_memory_than_the_machine_has_is_none(monkeypatch):
  monkeypatch.setattr(machine, 'memory', lambda: float(2 << 30))
  with limited(memory=1 << 40):
    assert room(128 << 20) == 4


@pytest.mark.parametrize('text, value', [('2G', 2 << 30), ('1.5g', 3 << 29), ('800M', 800 << 20), ('512MiB', 512 << 20), ('77', 77)])
def test_memory_as_people_write_it(text, value):
  assert options.memory(text) == value


@pytest.mark.parametrize('text', ['', 'much', '-1G', '0', '2 houses'])
def test_no_amount_of_memory_is_refused(text):
  with pytest.raises(Exception, match='no amount of memory; write 2G, 800M'):
    options.memory(text)


def test_numbers_below_one_are_refused():
  with pytest.raises(ValueError, match='threads=0: give a whole number from 1 on'), limited(threads=0):
    pass


@pytest.mark.parametrize('closed_by_another', [False, True])
def test_what_is_left_unfinished_is_waited_for_but_not_by_another_thread(closed_by_another):
  """On which the collector may end it, while it holds a lock that joining needs."""
  begun, may_end, ended = threading.Event(), threading.Event(), []

  def work(number):
    if number:
      begun.set()
      may_end.wait(60)
      ended.append(number)
    return number

  with limited(threads=1):  # so that some have not begun, and never will
    results = ordered_map(work, range(8), ahead=4)
    assert next(results) == 0 and begun.wait(60)
  if closed_by_another:
    other = threading.Thread(target=results.close)
    other.start()
    other.join(30)
    assert not other.is_alive() and not ended
    may_end.set()
  else:
    threading.Timer(0.1, may_end.set).start()
    results.close()
    assert ended == [1]
