"""What of a run goes into the page: maps where they are asked for, and from then on; and photographs in their own pixels."""

from __future__ import annotations

import pytest
from PIL import Image
from test_rethreshold import place, predict  # noqa: F401  the photographs, the network and the run of there

from lesion_jax.bulk import predict_photographs, rethreshold
from lesion_jax.bulk.options import Options
from lesion_jax.report import html
from lesion_jax.report.result_folder import FIELD_SIDE


def page_of(out):
  return (out / 'report.html').read_text('utf-8')


def test_maps_are_in_the_page_where_they_are_asked_for_and_stay_there(place):  # noqa: F811
  predict(place, 'out', maps='npz')
  assert '<image class="map ' not in page_of(place / 'out')
  said = []
  predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle', maps='npz', page_maps=True), notice=said.append)
  assert page_of(place / 'out').count('data-map="MA"') == 2 and 'with the maps' in said[0]
  predict(place, 'out', maps='npz')
  assert '<image class="map ' in page_of(place / 'out'), 'a page that has them is made anew with them'


def test_new_thresholds_can_put_them_there_and_move_the_sliders(place):  # noqa: F811
  predict(place, 'out', maps='png')
  found = rethreshold(place / 'out', {'MA': 0.3}, page_maps=True)
  assert len(found.entries) == 2 and f'data-start="{round(0.3 * 255 + 0.5)}"' in page_of(place / 'out')


def test_a_run_without_maps_in_its_folders_has_a_page_all_the_same(place):  # noqa: F811
  predict(place, 'out', maps='npz', page_maps=True)
  predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle'))
  assert '<image class="map ' not in page_of(place / 'out') and page_of(place / 'out').count('<article') == 2


@pytest.mark.parametrize('full_size', [False, True])
def test_photographs_in_their_own_pixels(place, monkeypatch, full_size):  # noqa: F811
  monkeypatch.setattr('lesion_jax.bulk.run.FIELD_SIDE', 32)
  monkeypatch.setattr(html, 'SIDES', ((9, 32),))
  entries = predict(place, 'out', full_size=full_size)
  side = entries[0].record['crop']['side']
  with Image.open(place / 'out' / entries[0].folder / 'field.jpg') as image:
    assert image.size == ((side, side) if full_size else (32, 32))
  assert 32 < side <= FIELD_SIDE
