"""A network of landmarks beside one that predicts: one call, places in the photograph's own pixels, absent where there is none."""

from __future__ import annotations

import json
import pickle

import jsonschema
import numpy as np
import oracle
import packaged
import pytest
from landmark_release import landmark_bundle
from PIL import Image

import lesion_jax
from lesion_jax import cli, pretrained
from lesion_jax.clinical.record import SCHEMA
from lesion_jax.predict import load
from lesion_jax.predict.landmarks import load_landmarks
from lesion_jax.pretrained import networks


@pytest.fixture
def photographs():
  """Two of different size; the field of view of the second lies elsewhere."""
  return [oracle.photograph(grade=2, lesions=[(oracle.BLUE, (150, 100, 170, 120))]), oracle.photograph(260, 400, center=(140, 250))]


def test_places_are_in_the_photographs_own_pixels(make_bundle, tmp_path, photographs):
  """All logits are alike but that of being outside: the likeliest cell is the first, and the mean of its window lies near it."""
  predictor = load(make_bundle(), landmarks=landmark_bundle(tmp_path / 'marks', at=(0, 0)))
  found = predictor(photographs, batch_size=2)
  assert len(found.landmarks) == 2 and found[1].landmarks == found.landmarks[1:]
  for marks, crop in zip(found.landmarks, found.crops, strict=True):
    cell = crop.side / 4
    np.testing.assert_allclose([marks.disc.row - crop.top, marks.disc.column - crop.left], 1.5 * cell)  # of three by three cells
    np.testing.assert_allclose(marks.disc.confidence, 9 / 16, atol=1e-5)
    assert marks.disc.found and marks.eye is None and marks.diameter == pytest.approx(0.1526 * crop.side)
  alone = predictor(photographs[1])
  assert alone.landmarks[0] == found.landmarks[1]
  np.testing.assert_array_equal(alone.maps[0], load(make_bundle('plain'))(photographs[1]).maps[0])


def test_a_network_that_sees_none_says_not_found(make_bundle, tmp_path, photographs):
  marks = load(make_bundle(), landmarks=landmark_bundle(tmp_path / 'marks'))(photographs[0]).landmarks[0]
  assert not marks.disc.found and not marks.fovea.found and marks.disc.confidence < 0.01


def test_without_one_nothing_is_said_of_landmarks(make_bundle, photographs):
  predictor = load(make_bundle())
  assert predictor.landmarks is None and predictor(photographs[0]).landmarks is None


def test_a_predictor_goes_to_another_process_with_it(make_bundle, tmp_path, photographs):
  predictor = load(make_bundle(), landmarks=landmark_bundle(tmp_path / 'marks', at=(1, 1)))
  again = pickle.loads(pickle.dumps(predictor))
  assert again(photographs[0]).landmarks == predictor(photographs[0]).landmarks


@pytest.mark.parametrize('changes, message', [
    ({'landmarks': ['disc']}, 'is no bundle of a network of disc and fovea'),
    ({'size': 40}, 'multiple of 32'),
    ({'size': 64.0}, 'multiple of 32'),
    ({'found': 1.5}, 'a confidence above 0 and below 1'),
    ({'model': {'name': 'landmark_net', 'channels': [2, 2, 4, 4, 8]}}, 'do not make a network of landmarks'),
    ({'model': None}, "model is 'None'; it must be an object"),
    ({'preprocessing': [32]}, 'preprocessing.size is None; it must be a multiple of 32'),
])
def test_a_bundle_of_something_else_is_refused(tmp_path, changes, message):
  with pytest.raises(ValueError, match=message):
    load_landmarks(landmark_bundle(tmp_path / 'marks', **changes))


def test_a_bundle_of_lesions_is_no_network_of_landmarks_and_the_other_way_round(make_bundle, tmp_path):
  with pytest.raises(ValueError, match='is no bundle of a network of disc and fovea'):
    load(make_bundle(), landmarks=make_bundle('other'))
  with pytest.raises(ValueError, match='is of a network of landmarks, .* beside one that does, as --landmarks'):
    load(landmark_bundle(tmp_path / 'marks'))
  with pytest.raises(FileNotFoundError, match='nowhere is not a bundle of a network of landmarks'):
    load(make_bundle(), landmarks='nowhere')


class TestPackaged:

  @pytest.fixture
  def root(self, monkeypatch, tmp_path):
    """Two networks; with the first one goes a network of landmarks."""
    root = packaged.packaged(monkeypatch, tmp_path, 'first', 'second')
    bundle = landmark_bundle(root / 'marks', at=(1, 1))
    digests = {key: packaged.digest(bundle / file) for file, key in pretrained.PINNED.items()}
    monkeypatch.setattr(networks, 'LANDMARKS', {'marks': {'folder': 'marks', 'about': 'two places', 'licence': 'CC0', 'size': 32,
                                                          'storage': 'float32', **digests}})
    networks.NETWORKS['first']['landmarks'] = 'marks'
    return root

  def test_it_is_used_beside_its_own_network_and_beside_others_when_it_is_named(self, root):
    del root
    assert lesion_jax.load().landmarks is not None and lesion_jax.load('first').landmarks is not None
    assert lesion_jax.load('second').landmarks is None and lesion_jax.load(landmarks=False).landmarks is None
    assert lesion_jax.load('second', landmarks='marks').landmarks is not None
    assert lesion_jax.load('second', landmarks=True).landmarks is not None
    assert lesion_jax.load(['first', 'second']).landmarks is None  # not of one network

  def test_another_file_than_the_pinned_one_is_refused(self, root):
    (root / 'marks' / 'model.safetensors').write_bytes(b'')
    with pytest.raises(ValueError, match="is not the file with which the network 'marks' was released"):
      lesion_jax.load()

  def test_predict_writes_it_into_record_table_and_page(self, root, tmp_path, photographs):
    del root
    Image.fromarray(photographs[0]).save(tmp_path / 'eye.png')
    out, schema = tmp_path / 'out', json.loads(SCHEMA.read_text('utf-8'))
    assert cli.main(['predict', str(tmp_path / 'eye.png'), '--out', str(out)]) == 0
    record = json.loads((out / 'eye' / 'result.json').read_text('utf-8'))
    jsonschema.validate(record, schema)
    assert record['landmarks']['fovea']['found'] and record['landmarks']['eye'] is None
    assert record['edema']['value'] is None and 'not evaluated' in record['edema']['sentence']  # this network does not know exudates
    assert record['run']['options']['landmarks'] == networks.LANDMARKS['marks']['config_sha256']
    page = (out / 'report.html').read_text('utf-8')
    assert 'Disc, fovea, quadrants' in page and 'Risk of macular edema' in page
    assert (out / 'results.csv').read_text('utf-8').splitlines()[0].endswith('eye,disc,fovea,edema risk,edema distance')
    assert cli.main(['predict', str(tmp_path / 'eye.png'), '--out', str(out), '--no-landmarks']) == 0  # predicts it again
    without = json.loads((out / 'eye' / 'result.json').read_text('utf-8'))
    jsonschema.validate(without, schema)
    assert 'landmarks' not in without and 'landmarks' not in without['run']['options']
    assert 'edema' not in (out / 'results.csv').read_text('utf-8')
