"""A network that learned from synthetic data alone says so with every result."""

from __future__ import annotations

import csv
import json

import batch
import jsonschema
import numpy as np
import pytest
from PIL import Image

from lesion_jax.clinical.record import SCHEMA, warnings_of
from lesion_jax.report.html import write_report
from lesion_jax.report.overlay import warning_strip
from lesion_jax.report.result_folder import OVERLAY
from lesion_jax.report.table import write_table
from lesion_jax.weights.origin import ALONE, GRADES_ALONE, LESIONS_ALONE

GRADED = {'name': 'idrid_grading', 'before': {'lesion': ['synthetic']}}
DRAWN = {'name': 'synthetic', 'before': {'lesion': ['idrid']}}


@pytest.mark.parametrize('data, synthetic, notes', [
    ({'name': 'synthetic'}, True, [ALONE]), ({'name': 'idrid'}, False, []), (GRADED, False, [LESIONS_ALONE]),
    (DRAWN, False, [GRADES_ALONE]), ({}, False, [])])
def test_record_and_schema(tmp_path, data, synthetic, notes):
  record = batch.write(tmp_path, batch.MILD, data=data).record
  assert record['model']['synthetic'] is synthetic and warnings_of(record) == notes
  assert set(notes) <= set(record['notes'])
  schema = json.loads(SCHEMA.read_text())
  jsonschema.validate(record, schema)
  del record['model']['synthetic']  # results of before have none
  jsonschema.validate(record, schema)


def test_table_and_overlay_say_it_too(tmp_path):
  entries = [batch.write(tmp_path, batch.RICH, data=GRADED), batch.failed()]
  write_table(tmp_path / 'results.csv', entries)
  with (tmp_path / 'results.csv').open(newline='') as file:
    assert [row['warning'] for row in csv.DictReader(file)] == [LESIONS_ALONE, '']
  warned = np.asarray(Image.open(tmp_path / entries[0].folder / OVERLAY))
  strip = warning_strip(warned.shape[1], LESIONS_ALONE)
  np.testing.assert_array_equal(warned[-len(strip):], strip)
  plain = np.asarray(Image.open(tmp_path / batch.write(tmp_path, batch.RICH, data={'name': 'idrid'}).folder / OVERLAY))
  np.testing.assert_array_equal(plain, warned[:-len(strip)])


def test_a_warning_takes_as_many_rows_as_it_needs():
  one, several = warning_strip(300, 'short'), warning_strip(300, ALONE)
  assert one.shape[1] == several.shape[1] == 300 and len(several) > 2 * len(one)
  assert (several[:, -2:] == several[0, 0]).all(), 'no word is cut'


def test_the_banner_is_the_first_thing_on_the_page(tmp_path):
  entries = [batch.write(tmp_path, index, data={'name': 'synthetic'}) for index in (batch.MILD, batch.RICH)]
  write_report(tmp_path / 'report.html', entries)
  page = (tmp_path / 'report.html').read_text()
  banner = f'<p class="banner" role="alert"><strong>Synthetic.</strong> {ALONE}</p>'
  assert page.count(banner) == 1
  assert page.index('<header class="top">') < page.index(banner) < page.index('<h1>')


def test_one_synthetic_result_among_others_is_enough(tmp_path):
  entries = [batch.write(tmp_path, batch.MILD, data={'name': 'idrid'}), batch.failed(),
             batch.write(tmp_path, batch.RICH, data=GRADED)]
  write_report(tmp_path / 'report.html', entries)
  assert (tmp_path / 'report.html').read_text().count('class="banner"') == 1


@pytest.mark.parametrize('entries', [[], [batch.failed()]])
def test_without_a_synthetic_network_there_is_no_banner(tmp_path, entries):
  entries = [*entries, batch.write(tmp_path, batch.MILD, data={'name': 'idrid'})]
  write_report(tmp_path / 'report.html', entries)
  assert 'class="banner"' not in (tmp_path / 'report.html').read_text()
