"""The record of one photograph, result.json: what it says is described by result.schema.json beside this file."""

from __future__ import annotations

import copy
import dataclasses
import json
import pathlib
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

import lesion_jax
from lesion_jax.clinical.evidence import weigh
from lesion_jax.clinical.findings import Regions, Smallest, measure, regions_by_quadrant, without_small
from lesion_jax.clinical.look import look
from lesion_jax.clinical.patients import whose_is
from lesion_jax.clinical.schema import fits, read_schema
from lesion_jax.clinical.unsure import margin_of
from lesion_jax.clinical.zones import NEAR, UNSEEN, Zones, edema_by_rule, measure_zones, severe_hemorrhages
from lesion_jax.core import EDEMA, GRADE_KEYS, GRADES, LESION_KEYS, LESIONS, REFERABLE_GRADE, SEVERE_HEMORRHAGES
from lesion_jax.metrics.presence import ABSENT, MAXIMUM, NOT_EVALUATED, PRESENT, TOP, UNGRADABLE, Rule
from lesion_jax.metrics.temperature import temper, temper_classes
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import Field
from lesion_jax.photograph.fingerprint import fingerprint, reduced, twins
from lesion_jax.photograph.landmarks import Landmarks
from lesion_jax.photograph.likeness import judge
from lesion_jax.photograph.quality import assess
from lesion_jax.photograph.square import HEADS, PhotographPrediction, Square
from lesion_jax.weights.origin import SENTENCES, is_synthetic, synthetic_note

SCHEMA = pathlib.Path(__file__).with_name('result.schema.json')
SCHEMA_VERSION = 4
RECORD = 'result.json'
MAX_RECORD = 1 << 24  # bytes; ours have about 30,000
NOT_CALIBRATED = 'The probabilities are not calibrated.'
CALIBRATED = ('Probabilities are calibrated by one temperature a head, on the validation photographs of the network. '
              'Thresholds and presence scores are in the network\'s own probabilities, before it.')
NOTES = (
    'For research only. This is no medical device, and nothing here may decide about a patient.',
    NOT_CALIBRATED,
    'A region is a connected part (8 neighbours) of a lesion\'s mask at the size of the network; lesions that touch '
    'count once.',
    'Quadrants are those of the picture about the centre of the field of view: optic disc and fovea are not known. A '
    'region is in the quadrant of its centroid, an area is divided pixel by pixel.',
    'Areas are counted at the size of the network and given in pixels of the photograph; shares are of the field of '
    'view.',
)


QUADRANTS_OF_THE_PICTURE = NOTES[3]
QUADRANTS_BY_LANDMARKS = (
    'Optic disc and fovea are where a network of landmarks finds them. By them a lesion is in the superior or inferior half as the '
    'line from disc to fovea parts them, and nasal or temporal of the line across it through the fovea; `quadrants` are still '
    'those of the picture about the centre of the field of view. A region is in the quadrant of its centroid, an area is divided pixel '
    'by pixel. A disc diameter is a fixed share of the field of view. Which eye it is is said by the order of disc and fovea: a '
    'mirrored photograph is taken for the other eye.')
RISK_OF_EDEMA = (f'Risk of macular edema is by rule: hard exudates, and whether any lies within {NEAR:g} disc diameter of the fovea. Edema '
                 'itself is a matter of thickness, which no photograph shows.')
EDEMA_BY_NETWORK = ("The network's own risk of macular edema was learned from graders' labels, which go by hard exudates alone, and calibrated on "
                    'photographs that were held out.')
LEARNED_FROM = {
    'train': 'The network learned from this photograph, or a copy of it: what it says here does not show what it says of others.',
    'validation': 'The network was chosen by this photograph, or a copy of it: what it says here does not show what it says of others.'}
IN_MILLIMETRES = ('Areas in mm2 are by the pixel spacing that the DICOM file states, as if the retina were flat: cameras state it for '
                  'an eye of average length.')
_OF_THE_PHOTOGRAPH = {RISK_OF_EDEMA, UNSEEN, EDEMA_BY_NETWORK, IN_MILLIMETRES, *LEARNED_FROM.values()}  # notes that come after those of the network


class Network(NamedTuple):
  """What the records of all photographs say of their network, worked out once.

  Attributes:
    config: the bundle's config.json, with the thresholds that were chosen.
    thresholds: [8], from which probability a pixel is taken for the lesion.
    rule: by which a lesion is called present.
    temperatures: of its heads, {} where it is not calibrated.
    model: what stands under 'model' in a record.
    notes: what stands under 'notes'.
    smallest: the smallest region that counts, by lesion; {} where none is too small.
    operating_point: from which probabilities a photograph is to be looked at, where one was chosen: 'name', 'referable', 'edema'.
    photographs: fingerprints of what it learned from, by split, see `weights.bundle.Bundle`; {} where that is not known.
  """

  config: Mapping[str, Any]
  thresholds: tuple[float, ...]
  rule: Rule
  temperatures: Mapping[str, Any]
  model: dict[str, Any]
  notes: list[str]
  smallest: Mapping[str, Smallest] = {}
  operating_point: Mapping[str, Any] | None = None
  photographs: Mapping[str, np.ndarray] = {}

  @classmethod
  def of(cls, config: Mapping[str, Any], photographs: Mapping[str, np.ndarray] | None = None) -> Network:
    """The network of a bundle, or of several that answer as one, by its configuration and what it learned from."""
    rule, temperatures = Rule.of(config), config.get('temperatures', {})
    chosen = config.get('operating_point')
    model = {
        'name': config['model']['name'], 'size': config['preprocessing']['size'],
        'annotated': list(config['annotated']),
        'data': config.get('data', {}).get('name'), 'provenance': config.get('provenance', {}), 'rule': rule.name,
        'temperatures': temperatures, 'synthetic': is_synthetic(config)}
    notes = [CALIBRATED if temperatures and note == NOT_CALIBRATED else note for note in NOTES]
    notes += [warning] if (warning := synthetic_note(config)) else []
    notes += [rule.describe()] if rule.name == TOP else []
    smallest = smallest_of(config)
    notes += [smallest_note(smallest)] if smallest else []
    return cls(config, tuple(float(config['thresholds'][key]) for key in LESION_KEYS), rule, temperatures, model, notes, smallest,
               _point(config['operating_points'][chosen], chosen) if chosen else None, photographs or {})


@dataclasses.dataclass(frozen=True)
class Run:
  """What a result depends on. A photograph whose record has the same is not predicted again.

  Attributes:
    photograph: SHA-256 of the file.
    model: what tells the bundle from every other one.
    options: what the user chose that changes results, plain JSON.
    place: SHA-256 of the file's absolute path. Tells which folder is whose; results do not depend on it.
  """

  photograph: str
  model: str
  options: Mapping[str, Any]
  place: str = ''

  def to_json(self) -> dict[str, Any]:
    """As it stands in a record."""
    return {'lesion_jax': lesion_jax.__version__, **dataclasses.asdict(self)}


def describe(
    found: PhotographPrediction, network: Network, *, file: str, run: Run, whose: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """The record of one photograph but for its list of files, ready for JSON.

  Lesions that the training data do not annotate are left out: that part of the network was never trained. What is said
  to be there, and so every mask, count and outline, goes by the network's rule for presence, or by Eq. 1.

  Args:
    found: the prediction of one photograph (B = 1).
    network: that answered.
    file: the photograph, as the reader of the record will look for it.
    run: where it comes from.
    whose: of `patients.Whose.to_json`, what a table or its name says of whose eye it is; None: nothing, so that a DICOM file may.

  Raises:
    ValueError: the prediction is of several photographs, or something else than finite numbers.
  """
  square, = found.squares
  for head in HEADS:
    values = getattr(found, head)
    if values is not None and not np.isfinite(values.sum()):  # in one pass; a sum of probabilities is finite if all are
      raise ValueError(f'{file}: the network answered with numbers that are not finite ({head}); its weights are '
                       'damaged, or its dtype is too small for them')
  crop, field = square.crop, square.field
  quality = assess(square.view, square.doubts, field, crop.side / len(square.pixels))
  known, seen = network.config.get('likeness'), fingerprint(square.view)
  judged = {'quality': quality.to_json(), 'likeness': judge(known, seen).to_json() if known else None}
  learned_from = [split for split, prints in network.photographs.items() if twins(reduced(seen[None]), prints)[0]][:1]
  marks = Landmarks.of(found.landmarks[0].to_json()) if found.landmarks else None  # as they are kept, so that `rethreshold` agrees
  lesions = None if found.lesions is None else _lesions(found, network, marks)
  grade = None if found.grades is None else _grade(found.grades[0], network.temperatures.get('grades', 1.0), margin_of(network.config))
  attention, scale = None if found.attention is None else found.attention[0], crop.side / len(square.pixels)
  whose = whose_is(whose, square.laterality)
  record = {
      'schema_version': SCHEMA_VERSION,
      'file': file,
      'photograph': _photograph(square),
      **({'whose': whose} if whose else {}),
      'crop': {'top': crop.top, 'left': crop.left, 'side': crop.side},
      'field': {  # in the photograph's pixels
          'pixels': round(np.count_nonzero(field.inside) * scale ** 2),
          'centre': {'row': round(crop.top + field.row * scale), 'column': round(crop.left + field.column * scale)}},
      **judged,
      **({'learned_from': learned_from[0]} if learned_from else {}),
      'grade': grade,
      'lesions': lesions,
      **({'landmarks': marks.to_json()} if marks else {}),
      **_drawn_from(lesions, is_reliable(judged), grade, marks),
      **({} if found.edema is None else {'edema_by_network': _edema(found.edema[0])}),
      **({'operating_point': dict(network.operating_point)} if network.operating_point else {}),
      'attention': None if attention is None else {
          'minimum': round(float(attention.min()), 6), 'maximum': round(float(attention.max()), 6),
          'height': attention.shape[0], 'width': attention.shape[1]},
      'model': network.model,
      'notes': [*_notes(found, network, lesions), *map(LEARNED_FROM.get, learned_from)],
      'run': run.to_json(),
  }
  return record | {'look': look(record)}


def _photograph(square: Square) -> dict[str, Any]:
  return {'height': square.crop.height, 'width': square.crop.width} | (
      {'spacing': dict(zip(('row', 'column'), square.spacing, strict=True))} if square.spacing else {}) | (
          {'laterality': square.laterality} if square.laterality else {})


def _notes(found: PhotographPrediction, network: Network, lesions: Mapping[str, Any] | None) -> list[str]:
  """What is said to the numbers of this photograph."""
  notes = network.notes
  if found.landmarks:
    notes = [QUADRANTS_BY_LANDMARKS if note == QUADRANTS_OF_THE_PICTURE else note for note in notes] + [
        RISK_OF_EDEMA, *([UNSEEN] if 'iHE' in (lesions or {}) else [])]
  return [*notes, *([EDEMA_BY_NETWORK] if found.edema is not None else []),
          *([IN_MILLIMETRES] if found.squares[0].spacing and lesions else [])]


def rethreshold(
    record: Mapping[str, Any], maps: np.ndarray, field: Field, thresholds: Mapping[str, float],
    smallest: Mapping[str, Smallest] | None = None,
) -> dict[str, Any]:
  """The record that the same photograph would have with other thresholds, of its maps alone: masks, counts, what Table I
  says to them, and whether a person should look. Probabilities, grade and quality stay.

  Args:
    record: with 'maps', see `maps_entry`, and 'files' that are no longer right.
    maps: float32 [S, S, 8], probabilities at the network's size; of lesions that are not evaluated anything.
    field: of view at that size.
    thresholds: by lesion, those that change; of lesions that are not evaluated they are no more than written down.
    smallest: smallest regions by lesion in the place of those of the record, likewise; None leaves these.
  """
  about, lesions = record['maps'], copy.deepcopy(record['lesions'])
  marks = Landmarks.of(record['landmarks']) if record.get('landmarks') else None
  crop = Crop(**record['crop'], height=record['photograph']['height'], width=record['photograph']['width'])
  zones = Zones.of(marks, crop, len(maps)) if marks else None
  known = record['photograph'].get('spacing')
  spacing = (known['row'], known['column']) if known else None
  asked = {} if smallest is None else {'smallest': {key: each._asdict() for key, each in smallest.items()}}
  if smallest is None:
    smallest = {key: Smallest.of(lesion['smallest']) for key, lesion in lesions.items() if 'smallest' in lesion}
  smallest = {key: each for key, each in smallest.items() if key in lesions}
  for key, lesion in lesions.items():
    lesion['threshold'] = float(thresholds.get(key, lesion['threshold']))
    if about['presence_follows']:
      lesion['presence'] = _presence(about['scores'][key], lesion['threshold'])
      lesion['present'] = about['scores'][key] >= lesion['threshold']
    mask = (maps[..., LESION_KEYS.index(key)] >= lesion['threshold']) & lesion['present']
    lesion.pop('smallest', None)
    lesion |= _where(mask, field, record['crop']['side'], smallest.get(key), spacing, zones)
  notes = [note for note in record['notes'] if not note.startswith(_SMALLEST)]
  place = next((number for number, note in enumerate(notes) if note in _OF_THE_PHOTOGRAPH), len(notes))
  notes[place:place] = [smallest_note(smallest)] if smallest else []
  chosen = record['run']['options']
  options = {**chosen, 'threshold': {**chosen.get('threshold', {}), **{key: float(value) for key, value in thresholds.items()}}, **asked}
  changed = {key: value for key, value in record.items() if key not in ('look', 'severe_hemorrhages')} | {
      'lesions': lesions, 'notes': notes, 'run': record['run'] | {'options': options},
      **_drawn_from(lesions, is_reliable(record), record['grade'], marks)}
  looked = look(changed)
  # In the order of before; hemorrhages may be judged now that were not, or the other way round.
  order = [each for key in record if key != 'severe_hemorrhages' for each in (key, *(['severe_hemorrhages'] if key == 'edema' else []))]
  return {key: looked if key == 'look' else changed[key] for key in order if key == 'look' or key in changed}


def maps_entry(record: Mapping[str, Any], found: PhotographPrediction, network: Network, form: str, at: str) -> dict[str, Any]:
  """What a record says of the probability maps beside it, 'maps': all that `rethreshold` needs and that is not in them.

  Args:
    record: of `describe`.
    found: the prediction of one photograph (B = 1), with maps.
    network: that answered.
    form: of the files.
    at: at whose size they are.

  Returns:
    {'format', 'at', 'centre': {'row', 'column'} of the quadrants at the network's size, 'scores': {key: score, by which
    presence is judged, unrounded}, 'presence_follows': whether a lesion is present from the threshold of its pixels on
    (Eq. 1) and not from one of its own}.
  """
  scores = network.rule.score(found.maps, found.lesions)[0]
  field = found.squares[0].field
  return {'format': form, 'at': at, 'centre': {'row': int(field.row), 'column': int(field.column)}, 'scores': {
      key: float(scores[LESION_KEYS.index(key)]) for key in record['lesions']},
          'presence_follows': network.rule.name == MAXIMUM and network.config.get('presence') is None}


def with_whose(record: Mapping[str, Any], said: Mapping[str, Any] | None) -> dict[str, Any]:
  """The record as it is once a table or the name says this of whose eye it is, 'whose' and 'look' are others.

  Args:
    record: of `describe`, with or without its list of files.
    said: as `whose` of `describe`.
  """
  whose = whose_is(said, record['photograph'].get('laterality'))
  if whose == record.get('whose'):
    return dict(record)
  changed: dict[str, Any] = {}
  for key, value in record.items():
    if key not in ('whose', 'look'):
      changed[key] = value
    if key == 'photograph' and whose:
      changed['whose'] = whose
    if key == 'look':
      changed['look'] = None
  if 'look' in changed:
    changed['look'] = look({key: value for key, value in changed.items() if key != 'look'})
  return changed


_SMALLEST = 'Left out of masks, counts and areas: '


def smallest_of(config: Mapping[str, Any]) -> dict[str, Smallest]:
  """The smallest regions that a bundle's configuration names, by lesion; {} where it names none.

  Raises:
    ValueError: it names something else.
  """
  return {key: Smallest.of(found) for key, found in (config.get('smallest') or {}).items()}


def smallest_note(smallest: Mapping[str, Smallest]) -> str:
  """What is left out, in a sentence for people."""
  named = ', '.join(f'{key} {smallest[key]}' for key in LESION_KEYS if key in smallest)
  return (f'{_SMALLEST}regions smaller than these, at the size of the network: {named}. Whether a lesion is called present does not '
          'depend on it.')


def read_record(folder: pathlib.Path) -> dict[str, Any] | None:
  """The record in a folder, or None where there is none of this version, or one that is not what `SCHEMA` describes:
  damaged, or written by somebody else."""
  record = _read(folder)
  try:
    if record is None or record.get('schema_version') != SCHEMA_VERSION or not fits(record, read_schema(SCHEMA)):
      return None
    consistent = (record['lesions'] is None) == (record['evidence'] is None) and all(
        (key in (record['lesions'] or {})) == (state != NOT_EVALUATED) for key, state in record['states'].items())
    return record if consistent else None
  except RecursionError:  # of what the schema leaves open
    return None


def is_record(folder: pathlib.Path) -> bool:
  """Whether a folder has a record of any version of this library, sound or not."""
  record = _read(folder)
  return record is not None and {'schema_version', 'file', 'run'} <= record.keys()


def _read(folder: pathlib.Path) -> dict[str, Any] | None:
  path = folder / RECORD
  try:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_RECORD:
      return None
    record = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError, RecursionError):
    return None
  return record if isinstance(record, dict) else None


def is_whole(record: Mapping[str, Any], folder: pathlib.Path) -> bool:
  """Whether all files of which a record speaks are in its folder."""
  return all((folder / name).is_file() for name in record['files'])


def is_done(record: Mapping[str, Any] | None, folder: pathlib.Path, run: Run) -> bool:
  """Does the folder hold the result of this run, all files of it?"""
  if record is None:
    return False
  same = {**record['run'], 'place': run.place} == run.to_json()
  return same and is_whole(record, folder)


def _lesions(found: PhotographPrediction, network: Network, marks: Landmarks | None) -> dict[str, dict[str, Any]]:
  scores = network.rule.score(found.maps, found.lesions)[0]
  called, lesions, square = network.rule.decide(scores), {}, found.squares[0]
  temperatures = network.temperatures.get('lesions', {})
  zones = Zones.of(marks, square.crop, len(square.pixels)) if marks else None
  for j, (lesion, threshold) in enumerate(zip(LESIONS, network.thresholds, strict=True)):
    if lesion.key not in network.config['annotated']:
      continue
    present, probability = bool(called[j]), temper(found.lesions[0, j], temperatures.get(lesion.key, 1.0))
    lesions[lesion.key] = {
        'name': lesion.name,
        'probability': round(float(probability), 6),
        'threshold': threshold,
        'presence': _presence(float(scores[j]), float(network.rule.thresholds[j])),
        'present': present,
        **({'found': None} if found.maps is None else _where(
            (found.maps[0, ..., j] >= threshold) & present, square.field, square.crop.side, network.smallest.get(lesion.key),
            square.spacing, zones)),
    }
  return lesions


def _presence(score: float, threshold: float) -> dict[str, float]:
  """What decides whether a lesion is present; the score to six places, or all of them where fewer would say another thing."""
  few = round(score, 6)
  same = (few >= threshold) == (score >= threshold) and (few > threshold) == (score > threshold)
  return {'score': few if same else score, 'threshold': threshold}


def _where(
    mask: np.ndarray, field: Field, side: int, smallest: Smallest | None, spacing: tuple[float, float] | None,
    zones: Zones | None = None,
) -> dict[str, Any]:
  """Where a lesion is, by its mask, in which nothing is set unless it is present: 'found', and 'smallest' where a smallest region
  was chosen."""
  least = smallest.pixels(field) if smallest else 1
  mask = without_small(mask, least)
  regions = Regions.of_mask(mask)
  by_landmarks = {'by_landmarks': measure_zones(regions, field, side, zones)} if zones else {}
  return {'found': measure(regions, field, side, spacing) | by_landmarks} | (
      {'smallest': smallest._asdict() | {'network_pixels': least}} if smallest else {})


def is_reliable(record: Mapping[str, Any]) -> bool:
  """Whether what is not found in a photograph is not there, as far as it can be seen: nothing speaks against its quality, and it is not
  unlike those that the network learned from."""
  likeness = record.get('likeness')
  return not record['quality']['reasons'] and (likeness is None or likeness['like'])


def _drawn_from(
    lesions: Mapping[str, Mapping[str, Any]] | None, reliable: bool, grade: Mapping[str, Any] | None,
    marks: Landmarks | None = None,
) -> dict[str, Any]:
  """'states' and 'evidence', which follow from the lesions, the grade and whether the photograph is reliable; with landmarks 'edema'
  and 'severe_hemorrhages' too."""
  # What is found is found whatever the photograph; that nothing is there takes a reliable one.
  states = {key: NOT_EVALUATED if key not in (lesions or {}) else PRESENT if lesions[key]['present'] else
            ABSENT if reliable else UNGRADABLE for key in LESION_KEYS}
  counts = None if lesions is None else regions_by_quadrant(lesions)
  if counts and not reliable and min(counts) <= SEVERE_HEMORRHAGES:
    counts = None  # too few were found, and there may be more
  drawn = {'states': states, 'evidence': None if lesions is None else weigh(states, counts, None if grade is None else grade['value'])}
  if marks is None:
    return drawn
  return drawn | {'edema': edema_by_rule(states, lesions, fovea=marks.fovea.found, reliable=reliable)} | (
      {'severe_hemorrhages': severe_hemorrhages(lesions)} if lesions and counts else {})


def _grade(probabilities: np.ndarray, temperature: float, margin: Mapping[str, Any] | None) -> dict[str, Any]:
  value = int(np.argmax(probabilities))
  probabilities = temper_classes(probabilities, temperature)
  return {
      'value': value,
      'key': GRADES[value].key,
      'name': GRADES[value].name,
      'referable': value >= REFERABLE_GRADE,
      'probabilities': {key: round(float(p), 6) for key, p in zip(GRADE_KEYS, probabilities, strict=True)},
      **({'margin': dict(margin)} if margin else {}),
  }


def _edema(probabilities: np.ndarray) -> dict[str, Any]:
  value = int(np.argmax(probabilities))
  return {'value': value, 'name': EDEMA[value],
          'probabilities': {str(risk): round(float(p), 6) for risk, p in enumerate(probabilities)}}


def _point(point: Mapping[str, Any], name: str) -> dict[str, Any]:
  """An operating point of a bundle as it stands in a record."""
  return {'name': name, **{what: float(point[what]['threshold']) for what in ('referable', 'edema') if what in point}}


def warnings_of(record: Mapping[str, Any]) -> list[str]:
  """The notes of a record that are to be said loudly: that its network learned from synthetic data alone, wholly or in a
  part."""
  return [note for note in record['notes'] if note in SENTENCES]


def not_evaluated(record: Mapping[str, Any]) -> list[str]:
  """Keys of the lesions of which a record says nothing, as its network never learned them, in the order of LESIONS."""
  return [key for key in LESION_KEYS if record['states'][key] == NOT_EVALUATED]


def present_lesions(record: Mapping[str, Any]) -> list[str]:
  """Keys of the lesions that a record says are there, in the order of LESIONS."""
  lesions = record['lesions'] or {}
  return [key for key in LESION_KEYS if key in lesions and lesions[key]['present']]
