"""The folder of one photograph: its files, and a record that keeps to the schema."""

from __future__ import annotations

import dataclasses
import json

import batch
import jsonschema
import numpy as np
import pytest
from batch import HEALTHY, MILD, RICH
from PIL import Image

from lesion_jax.clinical.record import SCHEMA, describe, is_done, read_record
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.report import result_folder
from lesion_jax.report.table import write_table


@pytest.fixture(scope='module')
def schema():
  content = json.loads(SCHEMA.read_text('utf-8'))
  jsonschema.Draft202012Validator.check_schema(content)
  return jsonschema.Draft202012Validator(content)


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image)


@pytest.mark.parametrize('heads', [
    batch.HEADS, ('maps', 'lesions'), ('lesions',), ('grades',), ('grades', 'attention'),
    ('maps', 'lesions', 'grades')])
@pytest.mark.parametrize('index', [RICH, HEALTHY])
def test_every_record_keeps_to_the_schema(tmp_path, schema, heads, index):
  batch.write(tmp_path, index, heads=heads)
  record = json.loads((tmp_path / str(index) / 'result.json').read_text())
  assert not list(schema.iter_errors(record))


@pytest.mark.parametrize('change', [{'schema_version': 1}, {'grade': {'value': 5}}, {'crop': None}, {'more': 1}])
def test_the_schema_refuses_other_records(tmp_path, schema, change):
  record = batch.write(tmp_path, MILD).record
  assert not schema.is_valid({**record, **change})


def test_the_folder_holds_the_files_that_the_record_names_and_no_other(tmp_path):
  entry = batch.write(tmp_path, RICH)
  names = {path.name for path in (tmp_path / entry.folder).iterdir()}
  assert names == {'result.json', *entry.record['files']}
  assert names >= {'field.jpg', 'overlay.png', 'lesions.png', 'outlines.svg', 'attention.png', 'MA.png', 'iHE.png'}


def test_the_masks_are_the_lesions_and_the_packed_one_holds_them_all(tmp_path):
  batch.write(tmp_path, RICH)
  folder, truth = tmp_path / str(RICH), unpack_bits(batch.sample(RICH).truth)
  packed = unpack_bits(pixels(folder / 'lesions.png'))
  for j, key in enumerate(LESION_KEYS):
    np.testing.assert_array_equal(packed[..., j], truth[..., j])
    assert (folder / f'{key}.png').exists() == truth[..., j].any()
    if truth[..., j].any():
      with Image.open(folder / f'{key}.png') as image:
        assert image.mode == '1'  # a bit a pixel
        np.testing.assert_array_equal(np.asarray(image.convert('L')), truth[..., j] * np.uint8(255))


def test_the_record_counts_what_the_masks_show(tmp_path):
  record = batch.write(tmp_path, RICH).record
  truth = unpack_bits(batch.sample(RICH).truth)
  for j, key in enumerate(LESION_KEYS):
    found = record['lesions'][key]['found']
    assert found['pixels'] == truth[..., j].sum()
    assert found['pixels'] == sum(part['pixels'] for part in found['quadrants'].values())
  assert record['evidence']['verdict'] == 'supported' and record['grade']['value'] == batch.sample(RICH).true_grade


def _present(record):
  return {key: lesion['present'] for key, lesion in record['lesions'].items()}


def test_what_is_not_found_in_a_photograph_of_poor_quality_is_left_open_and_nothing_else_changes():
  found = batch.find(RICH)
  dark = batch.seen_as(found, (found.squares[0].pixels * 0.2).astype(np.uint8))
  records = [describe(item, batch.network(), file='eye.png', run=batch.run_of(RICH))
             for item in (found, dark)]
  assert 'dark' not in records[0]['quality']['reasons'] and 'dark' in records[1]['quality']['reasons']
  assert not records[1]['quality']['gradable'] and records[0]['quality']['light'] > records[1]['quality']['light']
  good, poor = records
  assert good['grade'] == poor['grade'] and _present(good) == _present(poor)
  assert {state for key, state in good['states'].items() if state != poor['states'][key]} == {'absent'}
  for one, other in zip(good['evidence']['findings'], poor['evidence']['findings'], strict=True):
    assert other['state'] == ('not judged' if poor['states'].get(one['lesion']) == 'ungradable' else one['state'])


@pytest.mark.parametrize('score, threshold, present', [
    (0.99997448, 0.9999744494847533, True), (0.4999997, 0.5, False), (0.5, 0.5, True), (0.1234567, 0.1, True)])
def test_no_score_is_rounded_to_the_other_side_of_its_threshold(score, threshold, present):
  found = dataclasses.replace(batch.find(RICH), lesions=np.full((1, 8), score, np.float32))
  record = describe(found, batch.network(thresholds=dict.fromkeys(LESION_KEYS, threshold)), file='eye.png', run=batch.run_of(RICH))
  said = record['lesions']['MA']['presence']
  assert record['lesions']['MA']['present'] == (said['score'] >= said['threshold']) == present
  assert said['score'] == pytest.approx(score, abs=6e-7)


def test_lesions_that_are_not_annotated_are_neither_drawn_nor_counted(tmp_path):
  record = batch.write(tmp_path, RICH, annotated=['MA', 'CWS']).record
  assert list(record['lesions']) == ['MA', 'CWS'] and 'iHE.png' not in record['files']
  assert not pixels(tmp_path / str(RICH) / 'lesions.png').max() & 0b10


def test_attention_is_stretched_and_the_record_says_between_what(tmp_path):
  record = batch.write(tmp_path, RICH).record
  assert record['attention'] == {'minimum': 0.4, 'maximum': 0.6, 'height': 8, 'width': 8}
  picture = pixels(tmp_path / str(RICH) / 'attention.png')
  assert (picture.dtype, picture[0, 0], picture[-1, -1]) == (np.uint8, 0, 255)


def test_what_an_earlier_run_left_is_removed(tmp_path):
  batch.write(tmp_path, RICH, folder='eye')
  batch.write(tmp_path, HEALTHY, folder='eye', heads=('maps', 'lesions'))
  assert {path.name for path in (tmp_path / 'eye').iterdir()} == {
      'result.json', 'field.jpg', 'overlay.png', 'lesions.png', 'outlines.svg'}


def test_a_folder_that_was_interrupted_does_not_look_complete(tmp_path, monkeypatch):
  batch.write(tmp_path, MILD)

  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(result_folder, 'write_outlines', interrupt)
  with pytest.raises(KeyboardInterrupt):
    batch.write(tmp_path, MILD)
  assert (tmp_path / str(MILD) / 'lesions.png').exists()
  assert read_record(tmp_path / str(MILD)) is None


@pytest.mark.parametrize('head', ['maps', 'grades'])
def test_a_network_that_answers_with_nan_is_said(head):
  found = batch.find(MILD)
  values = getattr(found, head).copy()
  values.flat[-1] = np.nan
  with pytest.raises(ValueError, match=rf'eye.png: the network answered with numbers that are not finite \({head}\)'):
    describe(dataclasses.replace(found, **{head: values}), batch.network(), file='eye.png',
             run=batch.run_of(MILD))


class TestIsDone:

  @pytest.fixture
  def folder(self, tmp_path):
    batch.write(tmp_path, MILD)
    return tmp_path / str(MILD)

  def test_the_same_run_is(self, folder):
    assert is_done(read_record(folder), folder, batch.run_of(MILD))

  def test_the_place_of_the_photograph_does_not_matter(self, folder):
    assert is_done(read_record(folder), folder, dataclasses.replace(batch.run_of(MILD), place='elsewhere'))

  @pytest.mark.parametrize('change', [{'photograph': 'other'}, {'model': 'other'}, {'options': {'crop': True}}])
  def test_another_photograph_model_or_option_is_not(self, folder, change):
    assert not is_done(read_record(folder), folder, dataclasses.replace(batch.run_of(MILD), **change))

  def test_a_folder_that_lacks_a_file_is_not(self, folder):
    (folder / 'lesions.png').unlink()
    assert not is_done(read_record(folder), folder, batch.run_of(MILD))

  @pytest.mark.parametrize('text', ['', '[]', '{"schema_version": 2}', '{"schema_version": 3}', '\xff'])
  def test_a_record_of_another_kind_is_none(self, folder, text):
    (folder / 'result.json').write_text(text, 'latin-1')
    assert read_record(folder) is None


def test_the_table_has_counts_and_shares_beside_probabilities(tmp_path):
  import csv

  entry = batch.write(tmp_path, RICH)
  write_table(tmp_path / 'results.csv', [entry, batch.failed()])
  with (tmp_path / 'results.csv').open(newline='', encoding='utf-8') as file:
    first, second = csv.DictReader(file)
  assert (first['status'], first['grade'], first['evidence']) == ('predicted', '3', 'supported')
  assert first['quality'] == (', '.join(entry.record['quality']['reasons']) or 'gradable') and not second['quality']
  assert int(first['iHE regions']) > 80 and 0 < float(first['iHE share']) < 0.2 and first['NV regions'] == '0'
  assert second['status'] == 'failed' and 'it is no image' in second['error'] and second['MA'] == ''
