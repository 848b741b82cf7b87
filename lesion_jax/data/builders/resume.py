"""Preparing a data set so that an interrupted preparation resumes where it stopped.

TFDS writes a data set whole or not at all. So each finished example is also kept in a file of its own, beside the data
set, until that is there. The files need as much room again as the data set. (Threads prepare as fast as processes do:
decoding, resizing and writing PNG all release the GIL.)
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

import lesion_jax
from lesion_jax.data.progress import Progress, progress_bar, silent
from lesion_jax.locking import hold, locked
from lesion_jax.whole import seal, unseal, whole

FOLDER = '.preparing'  # below data_dir
Features = dict[str, Any]  # what TFDS encodes: bytes of pictures, numbers and text


class Partial:
  """The finished examples of a data set that is not finished, one file each; safe to use from threads.

  A file is named after all that its example depends on: the item of the raw dataset and, of every path in it, size and time
  of change. What has changed since is therefore made again, and so is what does not match its own checksum.

  Attributes:
    folder: where the files lie; made when the first is written.
    done: how many examples are ready.
  """

  def __init__(self, folder: pathlib.Path, progress: Progress = silent):
    self.folder, self.done = folder, 0
    self._progress, self._total, self._lock = progress, 0, threading.Lock()

  def expect(self, count: int) -> None:
    """Tells how many examples there will be."""
    self._total = count
    self._progress(self.done, count)

  def example(self, item: Any, make: Callable[[Any], Features]) -> Features:
    """The features of one item of the raw dataset: those that an earlier preparation kept, else `make(item)`.

    Args:
      item: numbers, text, paths and None, in tuples, lists and dictionaries. `make` opens no file that is not in it. An
        item that holds anything else is never kept.
      make: reads and encodes it.
    """
    path = self.folder / f'{name}.example' if (name := _name(item)) else None
    features = path and _read(path)
    if features is None:
      features = make(item)
      if path:
        _write(path, features)
    with self._lock:
      self.done += 1
      self._progress(self.done, self._total)
    return features


def prepare(builder: Any, progress: Progress | None = None) -> None:
  """Prepares a builder's data set where that was not done. A second process that wants the same one waits.

  Args:
    builder: a LesionBuilder, whose `partial` is set.
    progress: called as photographs are prepared; None: a bar on stderr, if that is a terminal.
  """
  target = builder.data_path
  name = f'{builder.name}-{builder.builder_config.name}-{builder.version}'
  folder = pathlib.Path(builder.data_dir_root, FOLDER, name)
  if target.exists() and not folder.exists():
    return
  with locked(folder.parent, f'a preparation of {name}', name=f'{name}.lock', wait=True):
    if not target.exists():
      logging.info('preparing %s in %s; this happens once', builder.name, builder.data_dir)
      for dead in pathlib.Path(target.parent).glob(f'incomplete.*_{target.name}'):  # killed, or it had the lock
        shutil.rmtree(dead)
      bar = contextlib.nullcontext(progress) if progress else progress_bar(f'preparing {builder.name}')
      # TFDS wants a folder for downloads also where there are none.
      with _no_other_bar(), bar as told, tempfile.TemporaryDirectory() as unused:
        builder.partial = Partial(folder, told)
        builder.download_and_prepare(download_dir=unused)
    shutil.rmtree(folder, ignore_errors=True)
  with contextlib.suppress(OSError):  # others are being prepared
    folder.parent.rmdir()


@contextlib.contextmanager
def set_aside(target: pathlib.Path) -> Iterator[None]:
  """Puts the folder of preprocessed data aside for as long as the body takes to prepare them anew; where that raises, it is put
  back, and where that is killed, by `put_back`. Of several processes one does, and the others' bodies find no folder."""
  old = target.with_name(f'.{target.name}.{uuid.uuid4().hex[:8]}.old')
  held = hold(target)
  try:
    with contextlib.suppress(FileNotFoundError):  # another process was first
      target.rename(old)
    try:
      yield
    except BaseException:
      if old.exists() and not target.exists():
        old.rename(target)
      raise
    shutil.rmtree(old, ignore_errors=True)
  finally:
    if held is not None:
      os.close(held)


def put_back(target: pathlib.Path) -> None:
  """Puts back a folder that a killed process had put aside (`set_aside`), or removes it where there is another by now. One whose
  process is alive stays as it is."""
  for old in target.parent.glob(f'.{glob.escape(target.name)}.{8 * "[0-9a-f]"}.old'):
    if (held := hold(old)) is not None:
      if target.exists():
        shutil.rmtree(old, ignore_errors=True)
      else:
        old.rename(target)
      os.close(held)


@contextlib.contextmanager
def _no_other_bar() -> Iterator[None]:
  """Without the bars of TFDS, which do not know how many examples there are."""
  tqdm_utils.display_progress_bar(False)
  try:
    yield
  finally:
    tqdm_utils.display_progress_bar(True)


def _name(item: Any) -> str | None:
  """A digest of the item and of the state of its files, None where it holds what has no lasting description."""
  try:
    text = json.dumps([lesion_jax.__version__, _describe(item)])
  except TypeError:
    return None
  return hashlib.sha256(text.encode()).hexdigest()


def _describe(item: Any) -> Any:
  match item:
    case os.PathLike():
      try:
        status = os.stat(item)
      except OSError:
        return [os.fspath(item)]
      return [os.fspath(item), status.st_size, status.st_mtime_ns]
    case dict():
      return [[_describe(key), _describe(value)] for key, value in item.items()]
    case tuple() | list():
      return [_describe(part) for part in item]
  return item


def _write(path: pathlib.Path, features: Features) -> None:
  """One line of JSON, then the pictures. Whole or not at all."""
  pictures = {key: value for key, value in features.items() if isinstance(value, bytes)}
  payload = b''.join(pictures.values())
  values = {key: value for key, value in features.items() if key not in pictures}
  header = {'order': list(features), 'values': values, 'pictures': {key: len(value) for key, value in pictures.items()}}
  head = json.dumps(header, default=lambda number: number.item()).encode()  # NumPy's
  with whole(path) as fresh:
    fresh.write_bytes(seal(head + b'\n' + payload))


def _read(path: pathlib.Path) -> Features | None:
  """What `_write` wrote; None where there is nothing, or it is damaged."""
  try:
    body = unseal(path.read_bytes())
  except FileNotFoundError:
    return None
  if body is None:
    return None
  head, _, payload = body.partition(b'\n')
  header = json.loads(head)
  features, start = header['values'], 0
  for key, length in header['pictures'].items():
    features[key] = payload[start:start + length]
    start += length
  return {key: features[key] for key in header['order']}
