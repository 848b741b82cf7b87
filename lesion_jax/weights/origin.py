"""What a network learned from, as its bundle says it, and whether that is nothing but synthetic data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SYNTHETIC = 'synthetic'  # the data set that a program draws
SEPARATOR = '+'  # between the names of the data sets of a mixture
LESION, START = 'lesion', 'init'  # of `data.before`: the lesion network inside the network; the bundle from which it started
ALONE = ('This network learned from synthetic data alone: images that a program generated. On a photograph of a patient its '
         'results mean nothing.')
LESIONS_ALONE = ('The lesion network inside this network learned from synthetic data alone: images that a program generated. '
                 'On a photograph of a patient the lesions that it finds mean nothing.')
GRADES_ALONE = ('This network learned to grade from synthetic data alone: images that a program generated. The grade of a '
                'photograph of a patient means nothing.')
SOME_ALONE = ('Among the networks that are averaged here are some that learned lesions or grades from synthetic data alone: images that a '
              'program generated. On a photograph of a patient what these add to the results means nothing.')
SENTENCES = (ALONE, LESIONS_ALONE, GRADES_ALONE, SOME_ALONE)


def data_sets(config: Mapping[str, Any]) -> list[str]:
  """Names of the data sets from which a network learned, those of the networks inside it or at its start included as far as
  its bundle says; [] where it says nothing. A pretrained encoder (provenance.pretrained) saw no retina and is none of them.

  Args:
    config: of a bundle. `data` has the name of a data set, or of several with SEPARATOR between, the same as `parts`, and
      `before`: {'lesion' or 'init': names}, which bundles of before do not have.
  """
  return sorted({*_own(config), *(name for names in _before(config).values() for name in names)})


def is_synthetic(config: Mapping[str, Any]) -> bool:
  """Returns whether a network learned from synthetic data alone, see `data_sets`; of several that answer as one, all of
  them."""
  members = config.get('provenance', {}).get('members')
  if members:
    return all(member.get('synthetic', False) for member in members)
  return set(data_sets(config)) == {SYNTHETIC}


def synthetic_note(config: Mapping[str, Any]) -> str:
  """Returns the sentence to be said loudly with every result: ALONE, or LESIONS_ALONE or GRADES_ALONE of a network that
  contains, frozen, a lesion network, where that holds for the lesions or for the grades alone; else ''. Of several that answer as
  one the sentence of all of them, or SOME_ALONE where it is not that of all (`members` of `provenance` have it as `warning`)."""
  if is_synthetic(config):
    return ALONE
  if members := config.get('provenance', {}).get('members'):
    said = {member.get('warning', '') for member in members}
    return said.pop() if len(said) == 1 else SOME_ALONE
  before = _before(config)
  if not before.get(LESION) or config['model'].get('joint'):
    return ''
  if set(before[LESION]) == {SYNTHETIC}:
    return LESIONS_ALONE
  return GRADES_ALONE if {*_own(config), *before.get(START, ())} == {SYNTHETIC} else ''


def _own(config: Mapping[str, Any]) -> list[str]:
  data = config.get('data', {})
  parts = [part.get('name') for part in data.get('parts', ())] or str(data.get('name') or '').split(SEPARATOR)
  return [name for name in parts if name]


def _before(config: Mapping[str, Any]) -> Mapping[str, list[str]]:
  return config.get('data', {}).get('before', {})
