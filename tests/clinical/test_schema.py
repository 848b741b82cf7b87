"""The small reader of schemas, held to `jsonschema`; records that are damaged are none."""

from __future__ import annotations

import copy
import json

import jsonschema
import numpy as np
import oracle
import pytest

from lesion_jax.clinical import record as records
from lesion_jax.clinical.record import SCHEMA, Network, Run, describe, read_record
from lesion_jax.clinical.schema import fits, read_schema
from lesion_jax.photograph.prepare import prepare
from lesion_jax.photograph.square import PhotographPrediction


@pytest.fixture(scope='module')
def sound():
  """A record of a network that has everything."""
  rng = np.random.default_rng(0)
  square = prepare(oracle.photograph(), oracle.SIZE)
  maps = rng.random((1, oracle.SIZE, oracle.SIZE, 8), np.float32)
  found = PhotographPrediction(maps, maps.max(axis=(1, 2)), np.full((1, 5), 0.2, np.float32), None, (square,))
  made = describe(found, Network.of(oracle.oracle_config()), file='eye.jpg', run=Run('a', 'b', {}, 'c'))
  return json.loads(json.dumps(made | {'files': []}))


def _places(value, path=()):
  """Every place in JSON."""
  yield path
  items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
  for key, each in items:
    yield from _places(each, (*path, key))


def _changed(value, path, act):
  value = copy.deepcopy(value)
  node = value
  for key in path[:-1]:
    node = node[key]
  act(node, path[-1])
  return value


STRANGE = (None, True, 0, -1, 1.5, 1e9, '', '<script>', [], [1, 1], {}, {'x': 1})


def test_it_agrees_with_jsonschema_on_every_damage(sound):
  schema = read_schema(SCHEMA)
  oracle_of = jsonschema.Draft202012Validator(schema)
  assert fits(sound, schema) and oracle_of.is_valid(sound)
  places = [path for path in _places(sound) if path]
  agreed = {True: 0, False: 0}
  for number, path in enumerate(places):
    damages = [_changed(sound, path, lambda node, key: node.pop(key)),
               _changed(sound, path, lambda node, key, number=number: node.__setitem__(key, STRANGE[number % len(STRANGE)]))]
    for damaged in damages:
      expected = oracle_of.is_valid(damaged)
      assert fits(damaged, schema) == expected, path
      agreed[expected] += 1
  assert agreed[False] > 300 and agreed[True] > 5


@pytest.mark.parametrize('value, schema, expected', [
    (True, {'type': 'integer'}, False), (1.0, {'type': 'integer'}, True), (1, {'const': True}, False), ([1, True], {'uniqueItems': True}, True),
    ([1, 1], {'uniqueItems': True}, False), (3, {'oneOf': [{'minimum': 1}, {'minimum': 2}]}, False)])
def test_corners(value, schema, expected):
  assert fits(value, schema) == expected == jsonschema.Draft202012Validator(schema).is_valid(value)


def test_a_keyword_that_is_not_done_is_no_silent_yes():
  with pytest.raises(NotImplementedError, match='pattern'):
    fits('x', {'pattern': 'y'})


@pytest.mark.parametrize('text', [
    '', '[]', '{"schema_version": 4}', '[' * 100_000, '{"a":' * 100_000, 'NaN', '\udcff'.encode('utf-8', 'surrogateescape').decode('latin-1')])
def test_what_is_no_record_is_none(tmp_path, text):
  (tmp_path / 'result.json').write_text(text, 'utf-8')
  assert read_record(tmp_path) is None


@pytest.mark.parametrize('change', [
    lambda record: record.pop('quality'), lambda record: record['grade'].__setitem__('key', '<b>DR1</b>'),
    lambda record: record['quality'].__setitem__('light', float('nan')), lambda record: record.__setitem__('evidence', None),
    lambda record: record.__setitem__('lesions', []), lambda record: record['lesions'].pop('MA'),
    lambda record: record['states'].__setitem__('NV', 'absent')])
def test_a_damaged_record_is_none(tmp_path, sound, change):
  (tmp_path / 'result.json').write_text(json.dumps(sound))
  assert read_record(tmp_path) == sound
  damaged = copy.deepcopy(sound)
  change(damaged)
  (tmp_path / 'result.json').write_text(json.dumps(damaged))
  assert read_record(tmp_path) is None


def test_a_record_of_endless_length_is_not_read(tmp_path, sound, monkeypatch):
  monkeypatch.setattr(records, 'MAX_RECORD', 1000)
  (tmp_path / 'result.json').write_text(json.dumps(sound))
  assert read_record(tmp_path) is None
