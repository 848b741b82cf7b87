"""What a frozen lesion network says of each training photograph, asked once and kept.

A frozen network answers the same each time. On a CPU it takes seconds for a large photograph and the grading branch a
tenth of that, so asking it at each step would be nearly all of the time of training.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from PIL import Image

from lesion_jax.core import Example
from lesion_jax.data.index import Index
from lesion_jax.data.sampler import Source

SAVE_EVERY = 50  # photographs, so that an interrupted run can resume


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
  """Asks a network about every photograph of a source, or reads what an earlier call was told.

  Args:
    look: image uint8 [S, S, 3] -> float32 [...], of one shape.
    source: the examples.
    path: the file that keeps the outputs; those of another key are forgotten.
    key: what the outputs depend on: the network's weights, the size.
    watch: what the positions go through on their way, a progress bar for instance.

  Returns:
    id -> the output.
  """
  path = pathlib.Path(path)
  found = _read(path, key)
  for number, position in enumerate(watch(range(len(source))), 1):
    example = source[position]
    if example['id'] not in found:
      found[example['id']] = np.asarray(look(example['image']), np.float32)
      if number % SAVE_EVERY == 0:
        _write(path, key, found)
  _write(path, key, found)
  return found


def _read(path: pathlib.Path, key: str) -> dict[str, np.ndarray]:
  if not path.exists():
    return {}
  with np.load(path, allow_pickle=False) as kept:
    return dict(zip(kept['ids'].tolist(), kept['found'], strict=True)) if kept['key'] == key else {}


def _write(path: pathlib.Path, key: str, found: dict[str, np.ndarray]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  fresh = path.with_name(f'.{path.name}.{os.getpid()}.npz')
  np.savez_compressed(fresh, key=key, ids=np.array(list(found)), found=np.stack(list(found.values())))
  fresh.replace(path)
