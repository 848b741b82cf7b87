"""Photographs are prepared one by one or several at once, in order, without reading ahead too far."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from oracle import photograph

from lesion_jax.predict import Square, ordered_map, prepare


def test_the_square_is_the_field_of_view():
  square = prepare(photograph(200, 300, center=(110, 160), radius=80), 64)
  assert (square.pixels.shape, square.pixels.dtype) == ((64, 64, 3), np.uint8)
  assert abs(square.crop.side - 161) <= 2
  assert square.pixels[32, 0].any() and not square.pixels[0, 0].any()  # it touches the edges, not the corners


def test_a_square_passes_through_when_it_fits():
  square = prepare(photograph(), 64)
  assert prepare(square, 64) is square
  with pytest.raises(ValueError, match=r'its pixels are \[64, 64, 3\]; this network takes \[32, 32, 3\]'):
    prepare(square, 32)


def test_only_squares_go_without_cropping():
  with pytest.raises(ValueError, match=r'eye: expected a square photograph; got 200x300.*crop=True'):
    prepare(photograph(), 64, crop=False, name='eye')
  assert isinstance(prepare(np.zeros((9, 9, 3), np.uint8), 4, crop=False), Square)


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
