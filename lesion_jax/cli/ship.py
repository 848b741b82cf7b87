"""`lesion-jax ship`: a bundle in fewer bytes."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from lesion_jax import pretrained
from lesion_jax.cli import options
from lesion_jax.places import home, real

STORAGES = ('float16', 'int8', 'float32')  # of lesion_jax.weights.storage, spelt here so that help stays light
# What the card of a bundle says further.
ROUNDED = {'float16': 'Its weights are stored in half precision, rounded from the float32 of the training.',
           'int8': 'Its weights are stored in 8 bits, rounded from the float32 of the training, with one scale for each output '
                   'channel.'}
SHIP = '''\
Writes a bundle again with its weights in fewer bytes, to be sent, or packaged:

  float16   half precision: half of the bytes
  int8      8 bits and one scale for each output channel, for kernels; a quarter of the bytes
  float32   as training leaves them, of a bundle that was stored as one of the others

Running means and variances stay float32, and so do arrays that half precision cannot hold. What comes out is a bundle like
every other: all commands take it, and compute with float32. Weights are rounded, so metrics may change: the largest error of
a weight is printed, and `lesion-jax evaluate` on the validation split measures what it does.'''
EXAMPLES = '''\
examples:
  lesion-jax ship runs/demo/grade/bundle --storage int8 --out small
  lesion-jax evaluate --model small --data synthetic --split validation

exit status: 0, or 2 where nothing was written.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'ship', help='a bundle in fewer bytes', description=SHIP, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('bundle', type=pathlib.Path, metavar='BUNDLE', help=options.NETWORK)
  parser.add_argument('--storage', choices=STORAGES, default=STORAGES[0], help='default float16')
  parser.add_argument('--out', required=True, type=pathlib.Path, metavar='DIR',
                      help='the bundle to make; one that is there is replaced, but never BUNDLE itself')
  parser.add_argument('--no-photographs', action='store_true',
                      help='leave out the fingerprints of what the network learned from, coarse pictures of 16 x 16 pixels; '
                           '`evaluate` then cannot tell whether it is evaluated on photographs that it knows')
  parser.set_defaults(run=_ship, parser=parser)


def ship(source: pathlib.Path, out: pathlib.Path, storage: str, *, photographs: bool = True) -> list[tuple[str, str]]:
  """Writes the bundle at `source` to `out` in a storage, with its card made anew, and no file that is no part of a bundle.

  Args:
    source: a bundle, or the name of a packaged network.
    out: the folder to make; a bundle there is replaced.
    storage: of `weights.storage.STORAGES`.
    photographs: keep the fingerprints, where there are some.

  Returns:
    What to print, as (key, text): bytes before and after, and the largest error of a weight.

  Raises:
    FileNotFoundError: there is no bundle at `source`.
    FileExistsError: something else is at `out`.
    ValueError: the bundle is damaged, its weights are rounded already, some are not finite, or `out` is `source`.
  """
  from flax import traverse_util

  from lesion_jax.predict.config import check_config
  from lesion_jax.predict.landmarks import check_landmarks
  from lesion_jax.report.card import landmark_card, model_card
  from lesion_jax.weights.bundle import WEIGHTS, load_bundle, save_bundle
  from lesion_jax.weights.storage import FLOAT32, largest_loss

  path = pretrained.find(source)
  bundle = load_bundle(path)
  of_landmarks = 'landmarks' in bundle.config
  if of_landmarks:
    check_landmarks(bundle.config, path)
  else:
    check_config(bundle.config, str(path / 'config.json'))
  if real(home(out)) == real(home(path)):
    raise ValueError(f'{out} is the bundle itself, whose weights would be lost; give another name')
  if bundle.storage not in (FLOAT32, storage) and storage != FLOAT32:
    raise ValueError(f'{path} is stored as {bundle.storage} already, and rounding twice adds up; ship the bundle that training '
                     'left')
  kept = bundle.photographs if photographs else None
  card = (landmark_card if of_landmarks else model_card)(bundle.config) + (f'\n{ROUNDED[storage]}\n' if storage in ROUNDED else '')
  save_bundle(out, config=bundle.config, variables=bundle.variables, card=card, photographs=kept, storage=storage)
  written = load_bundle(out)
  loss = largest_loss(*(traverse_util.flatten_dict(each.variables, sep='/') for each in (bundle, written)))
  before, after = _size(path), _size(home(out))
  error = f'{loss.error:.3g}, {100 * loss.share:.2g} % of the largest of {loss.name}' if loss.error else '0'
  return [
      ('read', f'{path}: {before:,} bytes as {bundle.storage}'),
      ('wrote', f'{out}: {after:,} bytes as {storage}, {100 * after / before:.0f} %'),
      ('largest error of a weight', error),
      *([('left out', 'fingerprints of what it learned from')] if bundle.photographs is not None and kept is None else []),
      (f'SHA-256 of {WEIGHTS}', written.digest),
  ]


def _ship(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  try:
    lines = ship(arguments.bundle, arguments.out, arguments.storage, photographs=not arguments.no_photographs)
  except (OSError, TypeError, ValueError) as error:
    parser.error(str(error))
  width = max(len(key) for key, _ in lines)
  print(*(f'{key:<{width}}  {text}' for key, text in lines), sep='\n')
  return 0


def _size(path: pathlib.Path) -> int:
  """Bytes of a bundle, a directory or a zip archive."""
  path = home(path)
  return sum(file.stat().st_size for file in path.rglob('*') if file.is_file()) if path.is_dir() else path.stat().st_size
