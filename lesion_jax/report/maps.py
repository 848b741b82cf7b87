"""Probability maps on disk: what the network says of every pixel, for other tools, and for new thresholds without the network."""

from __future__ import annotations

import io
import pathlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lesion_jax.core import LESION_KEYS, NUM_LESIONS, lesion_index
from lesion_jax.photograph.crop import Crop
from lesion_jax.photograph.field import Field
from lesion_jax.report.files import opened, write_grey
from lesion_jax.weights.archive import DAMAGE

PNG, NPZ = 'png', 'npz'
FORMS = (PNG, NPZ)
NETWORK, PHOTOGRAPH = 'network', 'photograph'  # at whose size
PLACES = (NETWORK, PHOTOGRAPH)
ARCHIVE, INSIDE = 'maps.npz', 'inside.png'
FULL = 2**16 - 1  # of a PNG: the probability 1
MAX_BYTES = 1 << 33  # of an archive, unpacked
EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of what is in an archive: the same maps are the same bytes


class Maps(NamedTuple):
  """How maps are written.

  Attributes:
    form: PNG, one file a lesion, '<lesion>_map.png', in 16 bits: a pixel v stands for the probability v / 65535, which
      is within 1 / 131070 of the network's. NPZ, all in ARCHIVE, float32 under the lesion's key, exactly what the
      network says.
    at: NETWORK, the square that the network saw at its size S, [S, S]; PHOTOGRAPH, [H, W] in the photograph's own
      pixels, 0 outside of the square, bilinear, as masks are cut from.
  """

  form: str = NPZ
  at: str = NETWORK


def map_name(key: str) -> str:
  """Returns the file of a lesion's map as PNG."""
  return f'{key}_map.png'


NAMES = (ARCHIVE, INSIDE, *map(map_name, LESION_KEYS))


def write_maps(folder: pathlib.Path, maps: np.ndarray, field: Field, crop: Crop, keys: Sequence[str], how: Maps) -> list[str]:
  """Writes the maps of some lesions and, at the network's size, INSIDE, the field of view by which areas are counted.

  Args:
    folder: where they go.
    maps: float32 [S, S, 8], probabilities.
    field: of the square, at the network's size.
    crop: where it lies in the photograph.
    keys: of the lesions.
    how: form and size.

  Returns:
    The names of the files.

  Raises:
    OSError: one could not be written.
  """
  def values(key: str) -> np.ndarray:
    one = np.ascontiguousarray(maps[..., lesion_index(key)], np.float32)
    return one if how.at == NETWORK else np.clip(crop.invert(one), 0, 1)

  if how.form == PNG:
    names = [map_name(key) for key in keys]
    for key, name in zip(keys, names, strict=True):
      Image.fromarray(np.rint(values(key) * np.float32(FULL)).astype(np.uint16)).save(folder / name, compress_level=1)
  else:
    names = [ARCHIVE]
    with zipfile.ZipFile(folder / ARCHIVE, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
      for key in keys:  # one after the other: in a large photograph's own pixels each has 50 MB
        entry = zipfile.ZipInfo(f'{key}.npy', EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, 'w', force_zip64=True) as file:
          np.lib.format.write_array(file, values(key), allow_pickle=False)
  if how.at == NETWORK:
    write_grey(folder / INSIDE, field.inside * np.uint8(255))
    names.append(INSIDE)
  return names


def read_maps(folder: pathlib.Path, record: Mapping[str, Any]) -> tuple[np.ndarray, Field]:
  """Returns the maps that lie beside a record, at the network's size, and the field of view.

  Returns:
    float32 [S, S, 8], 0 where a lesion has none; and the field, at that size.

  Raises:
    ValueError: there are none of use, or they cannot be read, with what to do.
  """
  about = record.get('maps')
  if not about or not record['lesions']:
    raise ValueError('it has no probability maps; predict again with --maps npz')
  if about['at'] != NETWORK:
    raise ValueError("its maps are in the photograph's own pixels, and counts are made at the network's size; predict again with "
                     '--maps npz')
  size = record['model']['size']
  maps = np.zeros((size, size, NUM_LESIONS), np.float32)
  read = _png if about['format'] == PNG else _archived
  try:
    for key, values in read(folder, list(record['lesions'])):
      if values.shape != (size, size) or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ValueError(f'the map of {key} is not [{size}, {size}] of probabilities')
      maps[..., lesion_index(key)] = values
    with opened(folder / INSIDE) as image:
      inside = np.asarray(image) > 0
    if inside.shape != (size, size) or not inside.any():
      raise ValueError(f'{INSIDE} is no field of view of {size} x {size} pixels')
  except DAMAGE as error:
    raise ValueError(f'its maps are damaged ({error}); predict again with --overwrite') from error
  return maps, Field(inside, about['centre']['row'], about['centre']['column'])


def _png(folder: pathlib.Path, keys: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
  for key in keys:
    with opened(folder / map_name(key)) as image:
      yield key, np.asarray(image).astype(np.float32) / np.float32(FULL)


def _archived(folder: pathlib.Path, keys: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
  with zipfile.ZipFile(folder / ARCHIVE) as archive:
    if sum(item.file_size for item in archive.infolist()) > MAX_BYTES:
      raise ValueError(f'{ARCHIVE} is too large')
    for key in keys:
      whole = archive.read(f'{key}.npy')  # by which its checksum is looked at before anything of it is believed
      yield key, np.lib.format.read_array(io.BytesIO(whole), allow_pickle=False)
