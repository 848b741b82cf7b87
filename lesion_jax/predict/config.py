"""What prediction needs of a bundle's config.json, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lesion_jax import models, plugins
from lesion_jax.clinical.findings import Smallest
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.metrics.presence import RULES
from lesion_jax.photograph.crop import FIELD_OF_VIEW, SQUARE
from lesion_jax.photograph.likeness import check as check_likeness
from lesion_jax.photograph.windows import GRID, MIN_WINDOW, check_window
from lesion_jax.weights.bundle import MAX_SIZE

NEEDED = ('model', 'lesions', 'grades', 'preprocessing', 'thresholds', 'annotated')
TOLD = ('data', 'provenance', 'metrics')  # what a bundle may say of itself, for people to read
DECIDED = ('referable', 'edema')  # what an operating point decides
LONGEST = 300  # characters of a value that a message shows
CROPS = (FIELD_OF_VIEW, SQUARE)


def check_config(config: Mapping[str, Any], source: str) -> None:
  """Holds a configuration to what this version of prediction does; keys that it does not know are left alone.

  Args:
    config: a bundle's configuration.
    source: what error messages call it.

  Raises:
    ValueError: naming the key, what stands there and what must.
  """
  if missing := [key for key in NEEDED if key not in config]:
    if 'landmarks' in config:
      raise ValueError(f'{source} is of a network of landmarks, which finds no lesions and does not grade: it goes beside one that '
                       'does, as --landmarks or load(..., landmarks=...)')
    raise ValueError(f'{source} lacks {", ".join(missing)}; prediction needs {", ".join(NEEDED)}')
  model, preprocessing, thresholds = config['model'], config['preprocessing'], config['thresholds']
  size = preprocessing.get('size') if isinstance(preprocessing, Mapping) else None
  crop = preprocessing.get('crop') if isinstance(preprocessing, Mapping) else None
  _require(isinstance(model, Mapping) and isinstance(model.get('name'), str), source, 'model', model,
           'an object with the name of a network and its fields')
  _require_imported(config, source)
  _require(config['lesions'] == list(LESION_KEYS), source, 'lesions', config['lesions'],
           f'{list(LESION_KEYS)}, in this order: it is the order of the network\'s outputs')
  _require(config['grades'] == list(GRADE_KEYS), source, 'grades', config['grades'], f'{list(GRADE_KEYS)}')
  _require(isinstance(size, int) and not isinstance(size, bool) and 0 < size <= MAX_SIZE, source, 'preprocessing.size', size,
           f'a number of pixels from 1 to {MAX_SIZE}')
  _require(crop in CROPS, source, 'preprocessing.crop', crop, ' or '.join(map(repr, CROPS)))
  window = preprocessing.get('window', 0)
  _require(_is_window(window, size), source, 'preprocessing.window', window,
           f'0, left out, or a multiple of {GRID} from {MIN_WINDOW} to preprocessing.size, which is {size}')
  _require(isinstance(thresholds, Mapping) and set(thresholds) == set(LESION_KEYS), source, 'thresholds', thresholds,
           f'one number for each of {", ".join(LESION_KEYS)}')
  _require(all(isinstance(value, int | float) and 0 < value < 1 for value in thresholds.values()), source,
           'thresholds', thresholds, 'probabilities between 0 and 1')
  annotated = config['annotated']
  _require(isinstance(annotated, list) and all(key in LESION_KEYS for key in annotated), source, 'annotated', annotated,
           f'a list of keys out of {", ".join(LESION_KEYS)}')
  _check_presence(config, source)
  _check_smallest(config, source)
  _check_temperatures(config, source)
  _check_likeness(config, source)
  for key in TOLD:
    _require(isinstance(config.get(key, {}), Mapping), source, key, config.get(key), 'an object, or left out')
  members = config.get('provenance', {}).get('members', [])
  _require(isinstance(members, list) and all(isinstance(each, Mapping) for each in members), source, 'provenance.members', members,
           'a list of objects, or left out')
  _check_data(config.get('data', {}), source)
  _check_points(config.get('operating_points', {}), source)


def _require_imported(config: Mapping[str, Any], source: str) -> None:
  """Raises ValueError where the network is of another package, whose module was not imported; a bundle cannot import one."""
  modules = config.get('imports', [])
  _require(isinstance(modules, list) and all(map(plugins.is_module_name, modules)), source, 'imports', modules,
           'a list of names of modules, or left out')
  names, inside = [], config['model']
  while isinstance(inside, Mapping) and len(names) < models.MAX_DEPTH:
    names.append(inside.get('name'))
    inside = inside.get('lesion')
  missing = [name for name in names if modules and not plugins.look_up('model', name, models.MODELS)]
  if missing:
    raise ValueError(f'{source}: the network {str(missing[0])[:60]!r} is not part of lesion_jax but of {", ".join(modules)}, '
                     'which was not imported; importing runs what it holds, and a bundle never does that by itself. If you '
                     f'trust it: --import {modules[0]}, or `import {modules[0]}` before lesion_jax.load')


def _check_data(data: Mapping[str, Any], source: str) -> None:
  """Of what is said with every result: the names of the data sets that the network, and those before it, learned from."""
  name, parts, before = data.get('name'), data.get('parts', []), data.get('before', {})
  _require(name is None or isinstance(name, str), source, 'data.name', name, 'a text')
  _require(isinstance(parts, list) and all(isinstance(part, Mapping) and isinstance(part.get('name'), str) for part in parts),
           source, 'data.parts', parts, 'a list of objects with a name, or left out')
  _require(isinstance(before, Mapping) and all(isinstance(names, list) and all(isinstance(each, str) for each in names)
                                               for names in before.values()),
           source, 'data.before', before, 'an object of lists of names, or left out')


def _is_window(window: Any, size: int) -> bool:
  try:
    check_window(window, size)
  except ValueError:
    return False
  return True


def _check_presence(config: Mapping[str, Any], source: str) -> None:
  """Of the rule by which lesions are called present; a bundle without one has Eq. 1 at its thresholds."""
  presence = config.get('presence')
  if presence is None:
    return
  _require(isinstance(presence, Mapping) and presence.get('rule') in RULES, source, 'presence', presence,
           f'an object whose rule is {" or ".join(map(repr, RULES))}, or left out')
  thresholds, specificity = presence.get('thresholds'), presence.get('specificity')
  _require(isinstance(thresholds, Mapping) and set(thresholds) == set(LESION_KEYS), source, 'presence.thresholds',
           thresholds, f'one number for each of {", ".join(LESION_KEYS)}')
  _require(all(isinstance(value, int | float) and 0 <= value <= 1 for value in thresholds.values()), source,
           'presence.thresholds', thresholds, 'numbers from 0 to 1')
  _require(specificity is None or (isinstance(specificity, int | float) and 0 < specificity < 1), source,
           'presence.specificity', specificity, 'between 0 and 1, or left out')


def _check_smallest(config: Mapping[str, Any], source: str) -> None:
  """Of the smallest regions that count; of a bundle without them every region does."""
  smallest = config.get('smallest', {})
  _require(isinstance(smallest, Mapping) and set(smallest) <= set(LESION_KEYS), source, 'smallest', smallest,
           f'an object by lesion, out of {", ".join(LESION_KEYS)}, or left out')
  try:
    for found in smallest.values():
      Smallest.of(found)
  except ValueError as error:
    raise ValueError(f'{source}: smallest: {error}. Save the bundle again with this lesion_jax') from None


def _check_temperatures(config: Mapping[str, Any], source: str) -> None:
  """Of what is shown to people; a bundle without temperatures shows what the network says."""
  temperatures = config.get('temperatures', {})
  _require(isinstance(temperatures, Mapping), source, 'temperatures', temperatures, 'an object, or left out')
  lesions = temperatures.get('lesions', {})
  _require(isinstance(lesions, Mapping) and set(lesions) <= set(LESION_KEYS), source, 'temperatures.lesions', lesions,
           f'numbers by lesion, out of {", ".join(LESION_KEYS)}')
  for value in (*lesions.values(), temperatures.get('grades', 1)):
    _require(isinstance(value, int | float) and 0 < value < float('inf'), source, 'temperatures', temperatures,
             'made of numbers above 0')


def _check_points(points: Any, source: str) -> None:
  """Of the operating points by name; most bundles have none."""
  _require(isinstance(points, Mapping), source, 'operating_points', points, 'an object, or left out')
  for name, point in points.items():
    thresholds = [point[what] for what in DECIDED if what in point] if isinstance(point, Mapping) else [None]
    _require(bool(thresholds) and all(isinstance(each, Mapping) and _is_share(each.get('threshold')) for each in thresholds), source,
             f'operating_points.{name}', point, f'an object with {" or ".join(DECIDED)}, each with a threshold from 0 to 1')


def _is_share(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _check_likeness(config: Mapping[str, Any], source: str) -> None:
  """Of what the network learned from; of a bundle without it that is not known."""
  if config.get('likeness') is None:
    return
  try:
    check_likeness(config['likeness'])
  except ValueError as error:
    raise ValueError(f'{source}: likeness must be {error}, or left out. Save the bundle again with this '
                     'lesion_jax') from None


def _require(holds: bool, source: str, key: str, found: Any, needed: str) -> None:
  if not holds:
    shown = repr(found)
    shown = shown if len(shown) <= LONGEST else f'{shown[:LONGEST]}...'
    raise ValueError(f'{source}: {key} is {shown}; it must be {needed}. Save the bundle again with this lesion_jax')
