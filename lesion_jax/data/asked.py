"""What a frozen lesion network says of each training photograph, asked once and kept.

A frozen network answers the same each time. On a CPU it takes seconds for a large photograph and the grading branch a
tenth of that, so asking it at each step would be nearly all of the time of training.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import logging
from PIL import Image

from lesion_jax.core import Example
from lesion_jax.data.index import DAMAGE, Index
from lesion_jax.data.sampler import Source
from lesion_jax.whole import whole

SAVE_EVERY = 60.0  # seconds, so that an interrupted run can resume
SAVING = 0.05  # share of the time that goes to it at most: a file is written whole, and grows

Found = dict[tuple[str, str], np.ndarray]  # (id, digest of the photograph) -> output


class Asked(Sequence):
  """The examples of a source with what was found in each, and the image at the size that grading takes.

  Masks are left empty: a grade is learned, not lesions.

  Args:
    source: the examples; has `index`.
    found: by id, what the network said.
    size: side of the images, in pixels, at most that of the source.
  """

  def __init__(self, source: Source, found: dict[str, np.ndarray], size: int):
    self._source, self._found, self._size = source, found, size

  @property
  def index(self) -> Index:
    """Of the source."""
    return self._source.index

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    example = self._source[index]
    image = Image.fromarray(example['image']).resize((self._size, self._size), Image.Resampling.BOX)
    empty = np.zeros((self._size, self._size), np.uint8)
    return {**example, 'image': np.asarray(image), 'lesions': empty, 'ignore': empty, 'found': self._found[example['id']]}


def kept_outputs(part: int = 0) -> str:
  """Returns the name of the file that keeps what the network said of a data set, or about a part of a mixture."""
  return f'found{part or ""}.npz'


def ask(
    look: Callable[[np.ndarray], np.ndarray], source: Source, path: str | os.PathLike[str], *, key: str,
    watch: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> dict[str, np.ndarray]:
  """Asks a network about every photograph of a source, but for those of which an earlier call kept what it was told. No other
  is decoded.

  Args:
    look: image uint8 [S, S, 3] -> float32 [...], of one shape.
    source: the examples; has `index`, by whose fingerprints a photograph is told from another of the same id.
    path: the file that keeps the outputs; those of another key are forgotten. One that cannot be read counts as absent.
    key: what the outputs depend on: the network's weights, the size.
    watch: what the positions of those that are asked about go through on their way, a progress bar for instance.

  Returns:
    id -> the output.
  """
  path = pathlib.Path(path)
  found, index = _read(path, key), source.index
  photographs = list(zip(index.id.tolist(), map(_digest, index.fingerprint), strict=True))
  missing = [position for position, photograph in enumerate(photographs) if photograph not in found]
  due = time.monotonic() + SAVE_EVERY
  for position in watch(missing) if missing else ():
    found[photographs[position]] = np.asarray(look(source[position]['image']), np.float32)
    if (start := time.monotonic()) >= due:
      _write(path, key, found)
      due = time.monotonic() + max(SAVE_EVERY, (time.monotonic() - start) / SAVING)
  if missing:
    _write(path, key, found)
  return {photograph[0]: found[photograph] for photograph in photographs}


def copy_outputs(kept: pathlib.Path, own: pathlib.Path) -> None:
  """Copies the file of one run for another, whole or not at all; of what it keeps, `ask` takes what is of the same network and the
  same photographs. Does nothing where there is `own`."""
  if not own.exists():
    with whole(own) as fresh:
      shutil.copyfile(kept, fresh)


def _digest(fingerprint: np.ndarray) -> str:
  return hashlib.blake2b(np.ascontiguousarray(fingerprint).tobytes(), digest_size=16).hexdigest()


def _read(path: pathlib.Path, key: str) -> Found:
  try:
    with path.open('rb') as file, np.load(file, allow_pickle=False) as kept:
      if kept['key'] != key:
        return {}
      photographs = zip(kept['ids'].tolist(), kept['digests'].tolist(), strict=True)
      return dict(zip(photographs, kept['found'], strict=True))
  except FileNotFoundError:
    return {}
  except DAMAGE as error:
    logging.warning('%s is damaged, or of an earlier version (%s); the network is asked again', path, error)
    return {}


def _write(path: pathlib.Path, key: str, found: Found) -> None:
  ids, digests = zip(*found, strict=True)
  with whole(path) as fresh, fresh.open('wb') as file:
    np.savez_compressed(file, key=key, ids=np.array(ids), digests=np.array(digests), found=np.stack(list(found.values())))
