"""A batch as `lesion-jax predict` leaves it: synthetic photographs whose prediction is their truth."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib

import numpy as np

from lesion_jax.clinical.patients import by_name
from lesion_jax.clinical.record import Network, Run, describe
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.photograph.crop import whole
from lesion_jax.photograph.square import PhotographPrediction, Square
from lesion_jax.report.result_folder import write_result
from lesion_jax.report.table import FAILED, PREDICTED, Entry

SIZE = 256
RICH, MILD, HEALTHY = 0, 1, 3  # numbers of synthetic photographs: four kinds of lesions, microaneurysms, none
HEADS = ('maps', 'lesions', 'grades', 'attention')


def config(**changes):
  """A bundle's configuration."""
  return {'model': {'name': 'multitask'}, 'preprocessing': {'size': SIZE}, 'annotated': list(LESION_KEYS),
          'thresholds': dict.fromkeys(LESION_KEYS, 0.5), 'data': {'name': 'synthetic'},
          'provenance': {'seed': 7}} | changes


def network(**changes):
  """What records say of the network of that bundle."""
  return Network.of(config(**changes))


@functools.cache
def sample(index):
  """A synthetic photograph with its truth."""
  return synthetic.generate(seed=11, index=index, size=SIZE)


def find(index, heads=HEADS, grade=None):
  """The prediction of a photograph by a network with these heads; `grade` instead of the true one."""
  drawn = sample(index)
  maps = (unpack_bits(drawn.truth) * 0.9 + 0.02).astype(np.float32)
  rows, columns = np.mgrid[:8, :8] / 7
  values = {
      'maps': maps, 'lesions': maps.max((0, 1)), 'attention': (0.4 + 0.2 * rows * columns).astype(np.float32),
      'grades': (0.1 + 0.5 * np.eye(5)[drawn.true_grade if grade is None else grade]).astype(np.float32)}
  return PhotographPrediction(**{head: values[head][None] if head in heads else None for head in HEADS},
                              squares=(Square(drawn.image, whole(SIZE, SIZE), drawn.image),))


def seen_as(found, pixels):
  """The same prediction, as if of a photograph of these pixels."""
  return dataclasses.replace(found, squares=(Square(pixels, found.squares[0].crop, pixels),))


def run_of(index, **options):
  """Where a result comes from."""
  return Run(hashlib.sha256(sample(index).image.tobytes()).hexdigest(), 'm' * 64, options, place=f'place of {index}')


def write(out, index, *, file=None, folder=None, heads=HEADS, grade=None, **changes):
  """Writes the folder of a photograph; returns its entry."""
  file, folder = file or f'eyes/{index}.png', folder or str(index)
  found = find(index, heads, grade)
  record = describe(found, network(**changes), file=file, run=run_of(index), whose=whose(file))
  return Entry(file, folder, PREDICTED, write_result(out / folder, found, record))


def whose(file):
  """What a name says of patient and eye."""
  said = by_name(file)
  return said and said.to_json()


def failed(file='broken.jpg', error='cannot read the photograph broken.jpg: it is no image'):
  """The entry of a file that could not be done."""
  return Entry(file, '', FAILED, error=error)


def changed(entry, number, **changes):
  """The entry as another photograph with the same results: `changes` go into its record, those of 'grade' into the grade."""
  record = copy.deepcopy(entry.record)
  record['run']['photograph'] = f'{number:064x}'
  record['grade'] = record['grade'] and record['grade'] | changes.pop('grade', {})
  record['file'] = changes.pop('file', entry.file)
  if 'whose' not in changes and (said := whose(record['file'])):
    record['whose'] = said
  record |= changes
  return dataclasses.replace(entry, file=record['file'], record=record)
