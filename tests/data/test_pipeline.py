"""Streams of batches: order, sharding, resuming, padding."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from lesion_jax.core import UNKNOWN_GRADE
from lesion_jax.data.pipeline import eval_batches, train_batches

SIZE = 4


class Numbered:
  """Example i holds i everywhere."""

  def __init__(self, length: int):
    self.length = length

  def __len__(self):
    return self.length

  def __getitem__(self, index):
    assert 0 <= index < self.length
    return {
        'image': np.full((SIZE, SIZE, 3), index, np.uint8), 'lesions': np.full((SIZE, SIZE), index, np.uint8),
        'ignore': np.full((SIZE, SIZE), index, np.uint8), 'annotated': np.uint8(index), 'grade': np.int32(index % 5),
        'weight': np.float32(1), 'id': f'photograph_{index}', 'patient': f'patient_{index // 2}',
    }


def _numbers(batches, count=None):
  return [int(number) for batch in itertools.islice(batches, count) for number in batch['annotated']]


def _train(length=10, batch_size=4, seed=0, **options):
  return train_batches(Numbered(length), batch_size=batch_size, seed=seed, threads=2, **options)


def _assert_same(batch, other):
  assert batch.keys() == other.keys()
  for key in batch:
    np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


class TestTraining:

  def test_a_batch_is_a_stacked_example(self):
    batch = next(_train())
    shapes = {key: (value.dtype.kind, value.dtype.itemsize, value.shape) for key, value in batch.items()}
    assert shapes.pop('id')[2] == shapes.pop('patient')[2] == (4,)
    assert shapes == {
        'image': ('u', 1, (4, SIZE, SIZE, 3)),
        'lesions': ('u', 1, (4, SIZE, SIZE)), 'ignore': ('u', 1, (4, SIZE, SIZE)),
        'annotated': ('u', 1, (4,)), 'grade': ('i', 4, (4,)), 'weight': ('f', 4, (4,)), 'row': ('i', 4, (4,)),
    }
    np.testing.assert_array_equal(batch['row'], range(4))
    for row, number in enumerate(batch['annotated']):
      assert np.all(batch['image'][row] == number) and batch['id'][row] == f'photograph_{number}'

  def test_every_epoch_holds_every_example_once_across_batches(self):
    numbers = _numbers(_train(length=10, batch_size=4), 15)  # 60 examples: six epochs
    epochs = [numbers[start:start + 10] for start in range(0, 60, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6, 'each epoch has an order of its own'

  def test_the_seed_decides_the_order(self):
    assert _numbers(_train(seed=3), 5) == _numbers(_train(seed=3), 5)
    assert _numbers(_train(seed=3), 5) != _numbers(_train(seed=4), 5)

  def test_threads_do_not_change_the_order(self):
    single = train_batches(Numbered(10), batch_size=4, seed=0, threads=0)
    assert _numbers(single, 9) == _numbers(_train(), 9)

  @pytest.mark.parametrize('done', [0, 1, 4, 13])
  def test_resumes_exactly_within_and_across_epochs(self, done):
    """10 examples in batches of 4: 4 batches end within the second epoch, 13 within the sixth."""
    running = _train()
    for _ in range(done):
      next(running)
    state = json.loads(json.dumps(running.get_state()))
    resumed = _train()
    next(resumed)  # whatever it has done before
    resumed.set_state(state)
    for _ in range(7):
      _assert_same(next(running), next(resumed))

  @pytest.mark.parametrize('shard_count', [2, 4])
  def test_shards_deal_out_the_rows_of_the_unsharded_stream(self, shard_count):
    whole = _train(batch_size=4)
    shards = [_train(batch_size=4, shard_index=index, shard_count=shard_count) for index in range(shard_count)]
    for _ in range(8):
      expected, parts = next(whole), [next(shard) for shard in shards]
      assert all(len(part['row']) == 4 // shard_count for part in parts)
      joined = {key: np.concatenate([part[key] for part in parts]) for key in expected}
      order = np.argsort(joined['row'])
      _assert_same({key: value[order] for key, value in joined.items()}, expected)

  def test_the_state_is_the_same_on_all_shards(self):
    shards = [_train(shard_index=index, shard_count=2) for index in range(2)]
    for shard in shards:
      next(shard)
    assert shards[0].get_state() == shards[1].get_state()

  @pytest.mark.parametrize('length', [1, 2, 3])
  def test_fewer_examples_than_a_batch(self, length):
    numbers = _numbers(_train(length=length, batch_size=4), 3 * length)
    assert sorted(numbers) == sorted(list(range(length)) * 12)


class TestEvaluation:

  @pytest.mark.parametrize('length', [1, 7, 8, 9])
  @pytest.mark.parametrize('shard_count', [1, 2, 4])
  def test_every_example_counts_once_over_all_shards(self, length, shard_count):
    shards = [
        list(eval_batches(Numbered(length), batch_size=4, shard_index=index, shard_count=shard_count, threads=2))
        for index in range(shard_count)
    ]
    assert {len(shard) for shard in shards} == {-(-length // 4)}, 'or the hosts would wait for one another'
    batches = [batch for shard in shards for batch in shard]
    assert {batch['image'].shape for batch in batches} == {(4 // shard_count, SIZE, SIZE, 3)}
    real = [(batch['weight'] > 0, batch) for batch in batches]
    ids = np.concatenate([batch['id'][rows] for rows, batch in real])
    assert sorted(ids) == sorted(f'photograph_{number}' for number in range(length))
    assert sum(batch['weight'].sum() for batch in batches) == length

  def test_order_is_that_of_the_source(self):
    assert _numbers(eval_batches(Numbered(8), batch_size=4)) == list(range(8))

  def test_padding_says_nothing(self):
    *_, last = eval_batches(Numbered(5), batch_size=4)
    np.testing.assert_array_equal(last['weight'], [1, 0, 0, 0])
    np.testing.assert_array_equal(last['row'], range(4))
    assert list(last['id']) == ['photograph_4', '', '', ''] and list(last['patient'][1:]) == [''] * 3
    assert np.all(last['grade'][1:] == UNKNOWN_GRADE)
    assert not last['annotated'][1:].any() and not last['lesions'][1:].any() and not last['image'][1:].any()
    assert last['annotated'].dtype == np.uint8 and last['weight'].dtype == np.float32

  def test_can_be_iterated_over_again(self):
    batches = eval_batches(Numbered(6), batch_size=4)
    assert _numbers(batches) == _numbers(batches)


@pytest.mark.parametrize('batches', [lambda *args, **kw: train_batches(*args, seed=0, **kw), eval_batches],
                         ids=['train', 'eval'])
class TestErrors:

  def test_an_empty_source(self, batches):
    with pytest.raises(ValueError, match='the source is empty'):
      batches(Numbered(0), batch_size=4)

  @pytest.mark.parametrize('batch_size, shard_count', [(3, 2), (2, 4), (0, 1), (-4, 2)])
  def test_a_batch_that_the_shards_cannot_share(self, batches, batch_size, shard_count):
    with pytest.raises(ValueError, match=rf'batch_size={batch_size} .* multiple of shard_count={shard_count}'):
      batches(Numbered(9), batch_size=batch_size, shard_count=shard_count)

  @pytest.mark.parametrize('shard_index', [-1, 2])
  def test_a_shard_that_does_not_exist(self, batches, shard_index):
    with pytest.raises(ValueError, match='indices are 0..1'):
      batches(Numbered(9), batch_size=4, shard_index=shard_index, shard_count=2)
