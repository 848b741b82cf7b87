"""Work on threads comes back in order, without taking items too far ahead."""

from __future__ import annotations

import threading

import pytest

from lesion_jax.photograph.threads import ordered_map


def test_ordered_map_keeps_the_order_whatever_finishes_first():
  gate = threading.Event()

  def slow_first(item):
    if item == 0:
      assert gate.wait(10)
    else:
      gate.set()
    return item * 10

  assert list(ordered_map(slow_first, range(6), ahead=2)) == [0, 10, 20, 30, 40, 50]


def test_ordered_map_is_lazy():
  taken = []
  items = (taken.append(i) or i for i in range(100))
  results = ordered_map(lambda item: item, items, ahead=3)
  assert next(results) == 0
  assert len(taken) == 4  # one that is out, three ahead
  results.close()


def test_ordered_map_raises_where_the_result_would_stand():
  results = ordered_map(lambda item: 1 // item, [1, 0, 1], ahead=2)
  assert next(results) == 1
  with pytest.raises(ZeroDivisionError):
    next(results)


def test_ordered_map_chooses_how_far_ahead_it_works():
  assert list(ordered_map(lambda item: -item, range(100))) == [-item for item in range(100)]
