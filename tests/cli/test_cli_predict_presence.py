"""`lesion-jax predict` with a bundle that has a rule for presence: what is not present is nowhere shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oracle import GREEN
from PIL import Image

SPECK, SPOT = (120, 100, 124, 104), (100, 80, 139, 119)  # 2x2 and 16x16 of the network's pixels


def read(out):
  record = json.loads((out / 'eye' / 'result.json').read_text())
  return record, {file.name for file in (out / 'eye').iterdir()}


def test_a_speck_is_a_lesion_to_eq_1_and_none_to_the_rule(predict, save, give_rule, read_table):
  path = save('eye.png', grade=3, lesions=[(GREEN, SPECK)])
  before, files = read(predict(path)[1])
  assert before['lesions']['MA']['present'] and 'MA.png' in files and before['model']['rule'] == 'maximum'
  assert before['lesions']['MA']['presence'] == {'score': before['lesions']['MA']['probability'], 'threshold': 0.5}
  overlay = np.asarray(Image.open(predict(path)[1] / 'eye' / 'overlay.png'))

  give_rule()
  status, out = predict(path)
  record, files = read(out)
  assert status == 0 and record['model']['rule'] == 'top500'
  lesion = record['lesions']['MA']
  assert not lesion['present'] and lesion['presence']['score'] < 0.1 and lesion['probability'] > 0.9
  assert lesion['found']['regions'] == lesion['found']['pixels'] == 0
  assert 'MA.png' not in files and '<path' not in (out / 'eye' / 'outlines.svg').read_text()
  assert not np.asarray(Image.open(out / 'eye' / 'lesions.png')).any()
  hidden = np.asarray(Image.open(out / 'eye' / 'overlay.png'))
  assert np.abs(hidden[:1000].astype(int) - overlay[:1000]).max() > 50
  assert record['quality']['gradable'] and 'found' not in {each['state'] for each in record['evidence']['findings']}
  assert record['states'] == {'MA': 'absent', 'CWS': 'absent'} | dict.fromkeys(
      ('iHE', 'HaEx', 'vHE', 'pHE', 'NV', 'FiP'), 'not evaluated')
  row, = read_table(out)
  assert (row['MA state'], row['MA regions'], row['NV state']) == ('absent', '0', 'not evaluated')
  page = (out / 'report.html').read_text()
  assert 'by the mean of their log odds' in page and 'not evaluated' in page
  assert polygons(out) == []


def polygons(out):
  """The polygons that go to Label Studio."""
  from lesion_jax.report.label_studio import read_results

  return [result for task in read_results(out) for result in task['predictions'][0]['result']
          if result['type'] == 'polygonlabels']


def test_a_larger_lesion_is_present_and_its_mask_is_of_the_threshold_of_its_pixels(predict, save, give_rule):
  give_rule(thresholds=dict.fromkeys(('MA', 'iHE', 'HaEx', 'CWS', 'vHE', 'pHE', 'NV', 'FiP'), 0.9))
  record, files = read(predict(save('eye.png', lesions=[(GREEN, SPOT)]))[1])
  assert record['states']['MA'] == 'present' and 'MA.png' in files
  assert record['lesions']['MA']['threshold'] == 0.9 and record['lesions']['MA']['presence']['threshold'] == 0.5


def test_eq_1_and_any_threshold_stay_available_and_are_predicted_again(predict, save, give_rule):
  give_rule()
  path = save('eye.png', lesions=[(GREEN, SPECK)])
  assert not read(predict(path)[1])[0]['lesions']['MA']['present']
  record, files = read(predict(path, '--rule', 'maximum', '--threshold', '0.4')[1])
  assert record['lesions']['MA']['present'] and 'MA.png' in files and record['model']['rule'] == 'maximum'
  assert record['lesions']['MA']['presence']['threshold'] == record['lesions']['MA']['threshold'] == 0.4
  assert record['run']['options']['rule'] == 'maximum'


def test_temperatures_are_of_what_is_shown_and_decide_nothing(predict, save, give_rule):
  path = save('eye.png', grade=2, lesions=[((0, 112, 0), SPOT)])  # a logit of 2
  give_rule()
  plain = read(predict(path)[1])[0]
  give_rule(temperatures={'lesions': {'MA': 4.0}, 'grades': 5.0})
  record = read(predict(path)[1])[0]
  assert plain['lesions']['MA']['probability'] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)
  assert record['lesions']['MA']['probability'] == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-3)
  for key in ('presence', 'present', 'found'):
    assert record['lesions']['MA'][key] == plain['lesions']['MA'][key]
  assert record['grade']['value'] == plain['grade']['value'] == 2
  powers = np.exp([0, 0, 2, 0, 0])
  np.testing.assert_allclose(list(record['grade']['probabilities'].values()), powers / powers.sum(), atol=1e-4)
  assert 'The probabilities are not calibrated.' in plain['notes'] and not any(
      'not calibrated' in note for note in record['notes'])


def test_of_a_photograph_that_cannot_be_graded_nothing_is_called_absent(predict, save):
  record, _ = read(predict(save('eye.png', lesions=[(GREEN, SPOT)]))[1])
  assert record['quality']['reasons'] == ['dark']
  assert record['states']['CWS'] == 'ungradable' and record['states']['NV'] == 'not evaluated'
  assert record['states']['MA'] == 'present'
