"""Lesions by landmarks: quadrants, distances in disc diameters, hemorrhages of the 4-2-1 rule, and the risk of edema."""

from __future__ import annotations

import dataclasses
import itertools
import json

import batch
import jsonschema
import numpy as np
import pytest

from lesion_jax.clinical import record as records
from lesion_jax.clinical.findings import Regions, Smallest, measure, regions_by_quadrant
from lesion_jax.clinical.look import EDEMA, look
from lesion_jax.clinical.record import SCHEMA, describe, rethreshold
from lesion_jax.clinical.schema import fits, read_schema
from lesion_jax.clinical.zones import QUADRANTS, UNSEEN, Zones, edema_by_rule, measure_zones, severe_hemorrhages
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import Field
from lesion_jax.photograph.landmarks import LEFT, RIGHT, Landmark, Landmarks

SIZE = 80
FIELD = Field(np.ones((SIZE, SIZE), bool), SIZE // 2, SIZE // 2)
CROP = Crop(top=0, left=0, side=SIZE, height=SIZE, width=SIZE)


def measured(mask, *arguments):
  return measure(Regions.of_mask(mask), *arguments)


def zoned(mask, *arguments):
  return measure_zones(Regions.of_mask(mask), *arguments)


def marks(disc, fovea, *, found=(True, True), diameter=10.0):
  return Landmarks(Landmark(*disc, 0.9, found[0]), Landmark(*fovea, 0.8, found[1]), diameter)


def dots(*places):
  """A mask of single pixels."""
  mask = np.zeros((SIZE, SIZE), bool)
  for row, column in places:
    mask[row, column] = True
  return mask


def test_which_eye_it_is_by_the_order_of_disc_and_fovea():
  """In a right eye that looks at the camera the disc is to the right of the fovea."""
  assert marks((40, 60), (42, 30)).eye == RIGHT and marks((40, 10), (42, 50)).eye == LEFT
  assert marks((40, 60), (42, 30), found=(True, False)).eye is None
  assert marks((40, 60), (42, 55)).eye is None  # half a diameter: they are not beside each other
  assert marks((10, 40), (70, 52)).eye is None  # nor one above the other


@pytest.mark.parametrize('mirrored', [False, True])
def test_quadrants_are_by_the_line_from_disc_to_fovea(mirrored):
  """Nasal is where the disc is, whichever eye; superior is up."""
  flip = (lambda column: SIZE - column) if mirrored else (lambda column: column)
  zones = Zones.of(marks((40.0, flip(60.0)), (40.0, flip(30.0))), CROP, SIZE)
  at = {'superior_nasal': [(10, 50), (12, 60)], 'superior_temporal': [(10, 10)], 'inferior_nasal': [(70, 50), (72, 60), (74, 70)],
        'inferior_temporal': []}
  mask = dots(*((row, SIZE - 1 - column if mirrored else column) for row, column in itertools.chain(*at.values())))
  found = zoned(mask, FIELD, SIZE, zones)['quadrants']
  assert tuple(found) == QUADRANTS
  assert {name: part['regions'] for name, part in found.items()} == {name: len(places) for name, places in at.items()}
  assert sum(part['pixels'] for part in found.values()) == mask.sum()


def test_a_tilted_line_parts_what_the_picture_does_not():
  """The disc is higher than the fovea by 30 degrees: a lesion just below the line of the picture is above that of the eye."""
  zones = Zones.of(marks((40 - 30 * np.sin(np.pi / 6), 40 + 30 * np.cos(np.pi / 6)), (40.0, 40.0)), CROP, SIZE)
  found = zoned(dots((42, 20)), FIELD, SIZE, zones)['quadrants']  # temporal; the line is at row 51 there
  assert found['superior_temporal']['regions'] == 1
  assert measured(dots((42, 20)), FIELD, SIZE)['quadrants']['lower_left']['regions'] == 1


def test_quadrants_agree_with_complex_numbers(rng):
  """Turned so that the disc is on the positive real axis, a place is nasal by its real and superior by its imaginary part."""
  disc, fovea = (33.0, 15.0), (44.0, 52.0)  # a left eye: the disc is on the left
  zones = Zones.of(marks(disc, fovea), CROP, SIZE)
  rows, columns = rng.uniform(0, SIZE, (2, 500))
  as_complex = lambda row, column: (column - fovea[1]) - 1j * (row - fovea[0])  # up is positive
  axis = as_complex(*disc)
  turned = as_complex(rows, columns) / axis * abs(axis)
  superior = turned.imag < 0  # a half turn brings the disc to the right: what is up is then below the axis
  expected = 2 * ~superior + (turned.real < 0)
  np.testing.assert_array_equal(zones.quadrant(rows, columns), expected)


def test_without_both_or_with_a_steep_line_there_are_no_quadrants():
  for given in (marks((40, 60), (40, 30), found=(False, True)), marks((10, 42), (60, 40))):
    zones = Zones.of(given, CROP, SIZE)
    found = zoned(dots((20, 30)), FIELD, SIZE, zones)
    assert found['quadrants'] is None and found['nearest'] > 0


def test_distances_are_from_the_fovea_to_the_nearest_pixel_in_disc_diameters():
  zones = Zones.of(marks((40.5, 60.5), (40.5, 30.5)), CROP, SIZE)
  mask = dots((40, 38), (40, 39), (40, 50), (60, 30))  # 8 and 9, 20, and 20 pixels away
  found = zoned(mask, FIELD, 2 * SIZE, zones)
  assert found['nearest'] == 0.8
  assert found['near_fovea'] == {'regions': 1, 'pixels': 8, 'share': round(2 / SIZE ** 2, 8)}  # in the photograph's pixels
  assert found['disc_areas'] == round(4 / (np.pi * 25), 6)


def test_an_empty_mask_is_nowhere():
  found = zoned(dots(), FIELD, SIZE, Zones.of(marks((40, 60), (40, 30)), CROP, SIZE))
  assert found['nearest'] is None and found['near_fovea']['regions'] == 0 and found['disc_areas'] == 0


def test_a_fovea_that_is_not_found_leaves_distances_open():
  found = zoned(dots((1, 1)), FIELD, SIZE, Zones.of(marks((40, 60), (40, 30), found=(True, False)), CROP, SIZE))
  assert found['nearest'] is None and found['near_fovea'] is None and found['quadrants'] is None


def hemorrhages(picture, by_landmarks=None):
  """The lesions of a record with so many hemorrhages by quadrant."""
  part = lambda names, counts: {name: {'regions': count, 'pixels': count, 'share': 0.0} for name, count in zip(names, counts, strict=True)}
  found = {'quadrants': part(('upper_left', 'upper_right', 'lower_left', 'lower_right'), picture)}
  if by_landmarks is not None:
    found['by_landmarks'] = {'quadrants': by_landmarks and part(QUADRANTS, by_landmarks)}
  return {'iHE': {'found': found}}


@pytest.mark.parametrize('lesions, by, met', [
    (hemorrhages((21, 21, 21, 21), (21, 22, 40, 20)), 'landmarks', False),
    (hemorrhages((0, 0, 0, 99), (21, 21, 21, 21)), 'landmarks', True),
    (hemorrhages((21, 30, 21, 25), False), 'picture', True),
    (hemorrhages((21, 30, 20, 25)), 'picture', False),
])
def test_over_twenty_hemorrhages_in_each_quadrant_by_landmarks_where_they_are_known(lesions, by, met):
  found = severe_hemorrhages(lesions)
  assert (found['by'], found['met'], found['note']) == (by, met, UNSEEN)
  assert 'venous beading and IrMA' in UNSEEN
  assert regions_by_quadrant(lesions) == list(found['regions'].values())


def test_hemorrhages_that_are_not_counted_meet_nothing():
  assert severe_hemorrhages({}) is None and severe_hemorrhages({'iHE': {'found': None}}) is None


def exudates(nearest):
  return {'HaEx': {'found': {'by_landmarks': {'nearest': nearest}}}}


@pytest.mark.parametrize('state, lesions, fovea, value, least', [
    ('absent', exudates(None), True, 0, 0),
    ('absent', exudates(None), False, 0, 0),  # without exudates nobody has to know where the fovea is
    ('present', exudates(1.0), True, 2, 2),
    ('present', exudates(1.01), True, 1, 1),
    ('present', exudates(None), True, None, 1),  # no pixel in the mask
    ('present', exudates(None), False, None, 1),
    ('present', {'HaEx': {'found': None}}, True, None, 1),  # a classifier
    ('ungradable', exudates(None), True, None, None),
    ('not evaluated', {}, True, None, None),
])
def test_the_risk_of_edema_by_its_definition(state, lesions, fovea, value, least):
  found = edema_by_rule({'HaEx': state}, lesions, fovea=fovea, reliable=True)
  assert (found['value'], found['least']) == (value, least) and found['sentence'].endswith('.')
  assert (found['name'] is None) == (value is None)


def test_a_distant_exudate_says_nothing_of_nearer_ones_in_a_photograph_that_cannot_be_relied_on():
  found = edema_by_rule({'HaEx': 'present'}, exudates(1.7), fovea=True, reliable=False)
  assert (found['value'], found['least'], found['nearest']) == (None, 1, 1.7) and 'a nearer one may be missed' in found['sentence']
  assert edema_by_rule({'HaEx': 'present'}, exudates(0.7), fovea=True, reliable=False)['value'] == 2  # what is found is found


def test_exudates_that_are_not_in_the_mask_are_said_to_be_too_small_where_that_is_why():
  small = {'HaEx': exudates(None)['HaEx'] | {'smallest': {'value': 9, 'unit': 'pixels', 'network_pixels': 9}}}
  said = lambda lesions: edema_by_rule({'HaEx': 'present'}, lesions, fovea=True, reliable=True)['sentence']
  assert 'no region is as large as the smallest that counts' in said(small) and 'no pixel reaches the threshold' in said(exudates(None))


@pytest.mark.parametrize('nearest, said', [(0.999, '1.00 disc diameters from the fovea, within 1.'), (1.0, '1.00 disc diameters from the fovea, within 1.'),
                                           (1.0012, '1.001 disc diameters from the fovea, beyond 1.'), (1.00003, '1.00003 disc')])
def test_the_distance_that_is_said_is_on_the_side_that_is_said(nearest, said):
  assert said in edema_by_rule({'HaEx': 'present'}, exudates(nearest), fovea=True, reliable=True)['sentence']


def test_a_distance_is_not_rounded_into_the_disc_diameter():
  zones = Zones((40.5, 30.5), None, 10 / 1.00004)
  found = zoned(dots((40, 40)), FIELD, SIZE, zones)  # 1.00004 disc diameters away
  assert found['near_fovea']['regions'] == 0 and found['nearest'] > 1
  assert edema_by_rule({'HaEx': 'present'}, {'HaEx': {'found': {'by_landmarks': found}}}, fovea=True, reliable=True)['value'] == 1


class TestRecords:

  @pytest.fixture
  def found(self):
    """A synthetic photograph with four kinds of lesions, and landmarks."""
    prediction = batch.find(batch.RICH)
    places = Landmarks(Landmark(120.0, 200.0, 0.97, True), Landmark(130.0, 110.0, 0.9, True), 0.1526 * batch.SIZE)
    return dataclasses.replace(prediction, landmarks=(places,))

  def describe(self, found):
    return describe(found, batch.network(), file='eye.png', run=batch.run_of(batch.RICH)) | {'files': []}

  def test_a_record_with_landmarks_is_what_the_schema_says_and_one_without_is_as_before(self, found):
    schema = json.loads(SCHEMA.read_text('utf-8'))
    record, before = self.describe(found), self.describe(dataclasses.replace(found, landmarks=None))
    for each in (record, before):
      jsonschema.validate(each, schema)
      assert fits(each, read_schema(SCHEMA))
    assert record.keys() - before.keys() == {'landmarks', 'edema', 'severe_hemorrhages'}
    assert all('by_landmarks' not in lesion['found'] for lesion in before['lesions'].values())
    assert record['landmarks']['eye'] == RIGHT and records.SCHEMA_VERSION == 4
    assert any(note.startswith('Optic disc and fovea are where a network') for note in record['notes']) and UNSEEN in record['notes']
    assert records.NOTES[3] in before['notes'] and records.NOTES[3] not in record['notes']

  def test_every_region_is_in_one_quadrant(self, found):
    for lesion in self.describe(found)['lesions'].values():
      parts = lesion['found']['by_landmarks']['quadrants'].values()
      assert sum(part['regions'] for part in parts) == lesion['found']['regions']

  def test_the_record_of_other_thresholds_measures_anew(self, found):
    record = self.describe(found)
    record['maps'] = records.maps_entry(record, found, batch.network(), 'npz', 'network')
    thresholds = dict.fromkeys(record['lesions'], 0.95)  # above every probability
    again = rethreshold(record, found.maps[0], found.squares[0].field, thresholds)
    assert all(lesion['found']['by_landmarks']['nearest'] is None for lesion in again['lesions'].values())
    assert again['edema']['value'] != 2 and again['landmarks'] == record['landmarks']
    same = rethreshold(record, found.maps[0], found.squares[0].field, {})
    assert same['lesions'] == record['lesions'] and same['edema'] == record['edema']
    smallest = {'iHE': {'value': 9, 'unit': 'pixels'}}
    fresh = describe(found, batch.network(smallest=smallest), file='eye.png', run=batch.run_of(batch.RICH)) | {'files': [], 'maps': record['maps']}
    for before in (record, fresh):  # what is left out stands where it stands in a new record
      again = rethreshold(before, found.maps[0], found.squares[0].field, {}, {'iHE': Smallest(9)})
      assert {**again, 'run': 0} == {**fresh, 'run': 0}

  def test_that_too_few_hemorrhages_were_found_means_something_in_a_photograph_that_can_be_relied_on_alone(self, found):
    dark = dataclasses.replace(batch.seen_as(found, found.squares[0].pixels // 8), landmarks=found.landmarks)
    none = dataclasses.replace(dark, maps=np.zeros_like(dark.maps), lesions=np.zeros_like(dark.lesions))
    states = lambda record: [each['state'] for each in record['evidence']['findings'] if each['lesion'] == 'iHE']
    bright, some, nothing = map(self.describe, (found, dark, none))
    assert not bright['severe_hemorrhages']['met'] and states(bright) == ['found', 'absent']
    assert some['quality']['reasons'] and 'severe_hemorrhages' not in some and states(some) == ['found', 'not judged']
    assert nothing['states']['iHE'] == 'ungradable' and 'severe_hemorrhages' not in nothing and states(nothing) == ['not judged'] * 2
    schema = json.loads(SCHEMA.read_text('utf-8'))
    maps = np.zeros_like(found.maps[0])
    maps[1::8, 1::8, 1] = 0.9  # over twenty in each quadrant
    some['maps'] = records.maps_entry(some, dark, batch.network(), 'npz', 'network')
    many = rethreshold(some, maps, dark.squares[0].field, {})
    assert many['severe_hemorrhages']['met'] and states(many) == ['found', 'found'] and look(many)['rule']['grade'] >= 3
    again = rethreshold(many, dark.maps[0], dark.squares[0].field, {})
    for each in (bright, some, nothing, many, again):
      jsonschema.validate(each, schema)
    assert list(again) == list(some) and again | {'run': some['run']} == some

  def test_exudates_near_the_fovea_are_a_reason_to_look(self, found):
    rows, columns = np.nonzero(found.maps[0, ..., 2] > 0.5)
    assert len(rows)  # the photograph has hard exudates
    at = Landmarks(found.landmarks[0].disc, Landmark(float(rows[0]), float(columns[0]), 0.9, True), found.landmarks[0].diameter)
    record = self.describe(dataclasses.replace(found, landmarks=(at,)))
    assert record['edema']['value'] == 2 and EDEMA in look(record)['reasons']
    assert any(sentence.startswith('Risk of macular edema: the nearest hard exudate is') for sentence in record['look']['sentences'])
