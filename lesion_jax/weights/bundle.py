"""The prediction bundle: one directory with a network's configuration, weights and card, or a zip archive of one. No
pickle.

    config.json         the configuration, the format's version, the storage and the digest of the weights; sorted, readable
    model.safetensors   every variable under its flat name, 'params/...' and 'batch_stats/...'
    README.md           the model card
    photographs.safetensors   what the network learned from: fingerprints of the photographs (`photograph.fingerprint`), uint8
                              [N, 16, 16, 3] each, under 'train' and 'validation'; bundles of before have none

`storage` in config.json says how the weights lie in the file; without it, as 'float32':

    float32   every array as it was given, whatever its type; format_version 1
    float16   float16; float32 remain 'batch_stats/...' and arrays with a value above 65,504; format_version 2
    int8      as float16, but kernels of two and more dimensions and at least 1024 elements are int8, and
              'scales/params/...' holds float32 [C] for each: weight = int8 * scale along the last axis; format_version 2

A bundle is loaded as float32 from either of the last two, see `weights.storage`. The digest is of the file as it is stored.
Whatever the storage, weights are finite floating-point numbers: a network of others answers 'no lesion' to everything.
Versions of this library that do not know a storage refuse the bundle by its format_version.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import shutil
import uuid
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from lesion_jax import locking
from lesion_jax.places import home, real
from lesion_jax.weights import archive, tensors
from lesion_jax.weights.storage import FLOAT32, STORAGES, pack, unpack

VERSION = 1  # of bundles in float32, which every lesion_jax reads
STORED_VERSION = 2  # of those in another storage
VERSIONS = {VERSION: (FLOAT32,), STORED_VERSION: STORAGES[1:]}  # which storages go with which
CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
PHOTOGRAPHS = 'photographs.safetensors'
# Bytes that each file may have, in an archive or a directory; the largest network here has 0.2 GB of weights, and 100,000
# photographs are 0.08 GB.
LIMITS = {CONFIG: 16 << 20, WEIGHTS: 2 << 30, CARD: 16 << 20, PHOTOGRAPHS: 1 << 30}
REQUIRED = ('format_version', 'weights_sha256')
RESERVED = (*REQUIRED, 'photographs_sha256', 'storage')  # keys of config.json that are the format's own
LEFTOVERS = {'.DS_Store', 'Thumbs.db', 'desktop.ini'}  # of systems that showed a folder
PRINT = (16, 16, 3)  # shape of a fingerprint
# Pixels of the square that a network takes: above the fields of the finest releases (3,600 of 4288 x 2848). A bundle may come
# from a stranger, and memory grows with the square.
MAX_SIZE = 4_096
# Of the names of arrays, 'params/.../kernel'. The deepest of the networks here has 9 parts and 77 characters.
MAX_ARRAYS, MAX_NAME, MAX_PARTS = 10_000, 250, 32


@dataclasses.dataclass(frozen=True)
class Bundle:
  """What a bundle holds: `config` as it was saved (tuples have become lists), `variables` as a tree of NumPy arrays,
  `digest`, the SHA-256 of the weights' file, '' of a bundle that was not read from one, and `photographs`, fingerprints of
  what the network and those inside it learned from, uint8 [N, 16, 16, 3] under 'train' and 'validation'; None where that
  is not known. `storage` says how the weights lay in the file, one of `weights.storage.STORAGES`; the variables are float32
  from any but 'float32', which keeps types as they were."""

  config: dict[str, Any]
  variables: dict[str, Any]
  digest: str = ''
  photographs: dict[str, np.ndarray] | None = None
  storage: str = FLOAT32


def taken_size(config: Mapping[str, Any]) -> int:
  """Returns the side of the images that the network of a bundle is asked about, in pixels: of its windows
  (preprocessing.window) where it has them, else of the whole square."""
  preprocessing = config['preprocessing']
  return preprocessing.get('window') or preprocessing['size']


def save_bundle(
    path: str | pathlib.Path, *, config: Mapping[str, Any], variables: Mapping[str, Any], card: str,
    photographs: Mapping[str, np.ndarray] | None = None, storage: str = FLOAT32,
) -> None:
  """Writes a bundle. What stands at `path` is either the old state or the whole new bundle, whenever the writer dies.

  A bundle already there is moved aside, replaced and then removed; killed between the two renames, it is left beside
  `path` as '.NAME.HEX.old'. What writers that were killed left beside `path` is removed once the new bundle is there.

  Args:
    path: the directory to make; parents are made too.
    config: plain JSON values under string keys.
    variables: tree {'params': ..., 'batch_stats': ...} of arrays; types, bfloat16 included, are kept.
    card: the model card in Markdown.
    photographs: of `Bundle`.
    storage: 'float32' (arrays as they are), 'float16' or 'int8', see `weights.storage.pack`.

  Raises:
    FileExistsError: at `path` is a file, or a directory that holds something else than a bundle.
    TypeError, ValueError: `config` is not JSON, uses a reserved key or holds NaN; a variable has a type not stored, or a
      value that is not finite.
  """
  path = real(home(path))
  _check_replaceable(path)
  flat = traverse_util.flatten_dict(variables, sep='/')
  weights = tensors.encode(pack({name: np.asarray(array) for name, array in flat.items()}, storage))
  check_weights({name: np.asarray(array) for name, array in flat.items()}, 'the network')
  kept = {} if photographs is None else {PHOTOGRAPHS: tensors.encode(photographs)}
  text = _config_text(config, weights, kept.get(PHOTOGRAPHS), storage)
  files = {CONFIG: text.encode(), WEIGHTS: weights, CARD: card.encode(), **kept}

  path.parent.mkdir(parents=True, exist_ok=True)
  unique = uuid.uuid4().hex[:8]
  fresh, old = (path.with_name(f'.{path.name}.{unique}.{suffix}') for suffix in ('new', 'old'))
  fresh.mkdir()
  held = locking.hold(fresh)  # by which the next writer sees that this one is alive
  try:
    for name, data in files.items():
      _write(fresh / name, data)
    if path.exists():
      path.rename(old)
    try:
      fresh.rename(path)
    except OSError:
      if old.exists():
        old.rename(path)
      raise
  finally:
    shutil.rmtree(fresh, ignore_errors=True)
    if held is not None:
      os.close(held)
  shutil.rmtree(old, ignore_errors=True)
  locking.sweep(path)


def load_bundle(path: str | os.PathLike) -> Bundle:
  """Reads a bundle and checks it. An archive is read in memory: nothing is unpacked.

  Args:
    path: a directory that `save_bundle` wrote, or a zip archive of it, its files at the top or in one folder.

  Raises:
    FileNotFoundError: there is nothing at `path`, or a file of it is missing.
    ValueError: config.json is broken or of another version; the weights are not those that were saved, or are no finite
      floating-point numbers; a file is too large; an archive holds anything else than a bundle, see
      `archive.read_archive`.
  """
  path = home(path)
  if path.is_file():
    files = archive.read_archive(path, LIMITS)
  else:
    files = {name: _read(path / name) for name in (CONFIG, WEIGHTS, PHOTOGRAPHS) if (path / name).is_file()}
  if missing := [name for name in (CONFIG, WEIGHTS) if name not in files]:
    state = f'lacks {" and ".join(missing)}' if path.exists() else 'does not exist'
    raise FileNotFoundError(f'{path} is not a bundle: it {state}; name a directory that save_bundle wrote, or a zip '
                            'archive of one')
  config, weights = _parse_config(files[CONFIG], path / CONFIG), files[WEIGHTS]
  digest = hashlib.sha256(weights).hexdigest()
  if digest != config['weights_sha256']:
    raise ValueError(f'{path / WEIGHTS} is damaged or from another bundle: its SHA-256 is {digest}, '
                     f'{CONFIG} says {config["weights_sha256"]}; copy the bundle again')
  storage = config.get('storage', FLOAT32)
  flat = unpack(tensors.decode(weights, source=str(path / WEIGHTS)), storage, source=str(path / WEIGHTS))
  check_weights(flat, str(path / WEIGHTS))
  folders = {name[:place] for name in flat for place, letter in enumerate(name) if letter == '/'}
  if clash := sorted(folders & set(flat)):
    raise ValueError(f'{path / WEIGHTS}: {", ".join(clash)} is the name of an array and of a group of arrays')
  variables = {'params': {}, 'batch_stats': {}} | traverse_util.unflatten_dict(flat, sep='/')
  photographs = _photographs(files.get(PHOTOGRAPHS), config.get('photographs_sha256'), path / PHOTOGRAPHS)
  return Bundle({key: value for key, value in config.items() if key not in RESERVED}, variables, digest, photographs,
                storage)


def _photographs(data: bytes | None, expected: str | None, path: pathlib.Path) -> dict[str, np.ndarray] | None:
  """What a network learned from; None of a bundle that does not say it."""
  digest = None if data is None else hashlib.sha256(data).hexdigest()
  if digest != expected:
    raise ValueError(f'{path} is damaged, missing or from another bundle: its SHA-256 is {digest}, {CONFIG} says '
                     f'{expected}; copy the bundle again')
  if data is None:
    return None
  found = tensors.decode(data, source=str(path))
  if set(found) != {'train', 'validation'} or any(
      each.dtype != np.uint8 or each.shape[1:] != PRINT for each in found.values()):
    shapes = {name: f'{each.dtype} {list(each.shape)}' for name, each in found.items()}
    raise ValueError(f'{path} holds {shapes}, not the fingerprints of a bundle, uint8 [N, 16, 16, 3] under train and '
                     'validation; save the bundle again')
  return found


def check_weights(arrays: Mapping[str, np.ndarray], source: str) -> None:
  """Raises ValueError, naming the array, where these cannot be the weights of a network: too many or too long names, a type
  other than floating-point, or a value that is not finite.

  Args:
    arrays: by flat name, as they are computed with.
    source: names the file, or whatever they are of, in errors.
  """
  if len(arrays) > MAX_ARRAYS:
    raise ValueError(f'{source} has {len(arrays):,} arrays, more than the {MAX_ARRAYS:,} that any network here may have')
  for name, array in arrays.items():
    if len(name) > MAX_NAME or name.count('/') >= MAX_PARTS:
      raise ValueError(f'{source} has an array whose name has {len(name):,} characters and {name.count("/") + 1:,} parts, '
                       f'{name[:60]!r}...; at most {MAX_NAME} and {MAX_PARTS} are allowed')
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise ValueError(f'{source}: {name} is {array.dtype}, and weights are floating-point numbers; save the network again')
    with np.errstate(over='ignore'):  # networks compute in float32: what is larger is infinite there
      finite = np.isfinite(array.astype(np.float32) if array.dtype == np.float64 else array)
    if not finite.all():
      raise ValueError(f'{source}: {name} has {np.count_nonzero(~finite):,} of {math.prod(array.shape):,} weights that are '
                       'not finite (NaN, infinite or beyond float32); such a network answers nothing of use. Its training diverged, or the '
                       'file was damaged before it was saved: take an earlier one')


def _read(path: pathlib.Path) -> bytes:
  """A file of a bundle, never more of it than its limit."""
  with path.open('rb') as file:
    data = file.read(LIMITS[path.name] + 1)
  if len(data) > LIMITS[path.name]:
    raise ValueError(f'{path} has more than the {LIMITS[path.name]:,} bytes that it may have in a bundle')
  return data


def _refuse_constant(name: str) -> None:
  raise ValueError(f'it has the value {name}, which JSON has not')


def _check_replaceable(path: pathlib.Path) -> None:
  if not path.exists():
    return
  if not path.is_dir():
    raise FileExistsError(f'{path} is a file; a bundle is a directory, give another name')
  names = {item.name for item in path.iterdir()} - LEFTOVERS
  if names and not {CONFIG, WEIGHTS} <= names <= {CONFIG, WEIGHTS, CARD, PHOTOGRAPHS}:
    raise FileExistsError(f'{path} is neither empty nor a bundle and nothing else; it is left alone, as replacing it '
                          f'would remove {sorted(names)}; give another name')


def _config_text(config: Mapping[str, Any], weights: bytes, photographs: bytes | None, storage: str) -> str:
  clash = sorted(set(RESERVED) & set(config))
  if clash:
    raise ValueError(f'config must not have the keys {clash}: they are the format\'s own')
  document = {**config, 'format_version': VERSION if storage == FLOAT32 else STORED_VERSION, 'storage': storage,
              'weights_sha256': hashlib.sha256(weights).hexdigest()}
  if photographs is not None:
    document['photographs_sha256'] = hashlib.sha256(photographs).hexdigest()
  try:
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + '\n'
  except (TypeError, ValueError) as error:
    raise type(error)(f'config must be plain JSON (strings, finite numbers, lists, dicts): {error}') from error


def _parse_config(data: bytes, path: pathlib.Path) -> dict[str, Any]:
  try:
    config = json.loads(data.decode('utf-8'), parse_constant=_refuse_constant)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON ({str(error)[:200]}); copy the bundle again') from error
  if not isinstance(config, dict) or not set(REQUIRED) <= set(config):
    raise ValueError(f'{path} is not the configuration of a bundle: it lacks {" or ".join(REQUIRED)}')
  version, storage = config['format_version'], config.get('storage', FLOAT32)
  if not isinstance(version, int) or version not in VERSIONS:
    raise ValueError(f'{path} has format version {version!r}, this lesion_jax reads {" and ".join(map(str, VERSIONS))}; '
                     'save the bundle again, or install the lesion_jax that wrote it')
  if storage not in VERSIONS[version]:
    raise ValueError(f'{path} has format version {version} and the storage {storage!r}; with that version go '
                     f'{" and ".join(VERSIONS[version])}. Save the bundle again, or install the lesion_jax that wrote it')
  return config


def _write(path: pathlib.Path, data: bytes) -> None:
  with path.open('wb') as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
