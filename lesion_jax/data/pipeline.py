"""Batches for training and evaluation, read by threads through grain.

A batch is an Example with a leading axis, all NumPy: what goes to the device, and `id` and `patient` as arrays of str,
which stay on the host. `batch_size` is always that of all shards together: shard p of P takes every P-th element of the
stream and yields batch_size / P rows, and `row` says which row of the global batch each is (i * P + p), so that
augmentation keyed by it does not depend on the number of hosts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from lesion_jax.core import UNKNOWN_EDEMA, UNKNOWN_GRADE, Example
from lesion_jax.data.crops import Draw
from lesion_jax.data.sampler import Source, training_order
from lesion_jax.extras import needs

with needs('train'):
  import grain

THREADS = 16  # Decoding releases the GIL. More threads than cores pay, as reading waits for the disk too.


def train_batches(
    source: Source, *, batch_size: int, seed: int, draw: Draw = Draw(), shard_index: int = 0, shard_count: int = 1,
    threads: int = THREADS,
) -> grain.DatasetIterator[Example]:
  """Returns an endless stream of shuffled batches, in another order each epoch.

  Batches run across the ends of epochs, so no example is dropped; how often each is sampled says `sampler.training_order`.
  `get_state()` is a small JSON-serialisable dict and `set_state()` continues exactly behind it; it
  is the same on all shards.

  Args:
    source: the examples, all of one shape.
    batch_size: rows in all shards together, a multiple of `shard_count`.
    seed: of the order, 0..2**32-1. Two seeds give unrelated orders.
    draw: how a photograph, and a crop of it, is chosen; by default all of them, whole.
    shard_index: which shard to yield, 0..shard_count-1.
    shard_count: number of shards.
    threads: for reading and decoding; 0 reads in the caller's.

  Raises:
    ValueError: for an empty source, or where batch size and shards do not fit together.
  """
  rows = _rows_per_shard(source, batch_size, shard_index, shard_count)
  stream = training_order(source, batch_size=batch_size, seed=seed, draw=draw)
  return iter(_batch(stream, rows, shard_index, shard_count, threads))


def eval_batches(
    source: Source, *, batch_size: int, shard_index: int = 0, shard_count: int = 1, threads: int = THREADS
) -> grain.IterDataset[Example]:
  """Iterates over every example exactly once over all shards, in order; can be iterated over again.

  Every shard has ceil(len(source) / batch_size) batches of the same shape, so that hosts that reduce together do not
  wait for one another: the last batch is filled up with rows of weight 0, that annotate nothing, have no grade and
  the id ''.

  Args and errors: as of `train_batches`.
  """
  rows = _rows_per_shard(source, batch_size, shard_index, shard_count)
  stream = grain.MapDataset.source(_Padded(source, multiple=batch_size))
  return _batch(stream, rows, shard_index, shard_count, threads)


class _Padded:
  """A source, filled up to a multiple of the batch size with examples of weight 0."""

  def __init__(self, source: Source, *, multiple: int):
    self._source = source
    self._length = -(-len(source) // multiple) * multiple

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index: int) -> Example:
    return self._source[index] if index < len(self._source) else self._padding

  @functools.cached_property
  def _padding(self) -> Example:
    zeros = {key: '' if isinstance(value, str) else np.zeros_like(value) for key, value in self._source[0].items()}
    return {**zeros, 'grade': np.int32(UNKNOWN_GRADE)} | ({'edema': np.int32(UNKNOWN_EDEMA)} if 'edema' in zeros else {})


def _rows_per_shard(source: Source, batch_size: int, shard_index: int, shard_count: int) -> int:
  if not len(source):
    raise ValueError('there are no examples to batch: the source is empty')
  if not 0 <= shard_index < shard_count:
    raise ValueError(f'shard_index={shard_index}: of {shard_count} shards the indices are 0..{shard_count - 1}')
  if batch_size < 1 or batch_size % shard_count:
    raise ValueError(
        f'batch_size={batch_size} counts the rows of all shards together and must be a positive multiple of '
        f'shard_count={shard_count}; use {max(1, round(batch_size / shard_count)) * shard_count} for instance')
  return batch_size // shard_count


def _batch(
    stream: grain.MapDataset[Example], rows: int, shard_index: int, shard_count: int, threads: int
) -> grain.IterDataset[Example]:

  def number(index: int, example: Example) -> Example:
    return {**example, 'row': np.int32(index % rows * shard_count + shard_index)}

  shard = stream[shard_index::shard_count].map_with_index(number)
  # Grain's own buffer of 500 would hold 2 GB of examples at 896 pixels.
  ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(2 * rows, threads) if threads else 0)
  return shard.to_iter_dataset(ahead).batch(rows, drop_remainder=True, batch_fn=_stack)


def _stack(examples: Sequence[Example]) -> Example:
  return {key: np.stack([example[key] for example in examples]) for key in examples[0]}
