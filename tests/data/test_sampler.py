"""Several sources in one training: how often each is drawn, in which order, on every host."""

from __future__ import annotations

import collections
import itertools
import json

import numpy as np
import pytest

from lesion_jax.data.pipeline import eval_batches, train_batches
from lesion_jax.data.sampler import Joined


class Named:
  """Example i of source 'a' is named 'a0', 'a1', ..."""

  def __init__(self, name: str, length: int):
    self.name, self.length = name, length

  def __len__(self):
    return self.length

  def __getitem__(self, index):
    assert 0 <= index < self.length
    return {'image': np.full((2, 2, 3), index, np.uint8), 'annotated': np.uint8(ord(self.name)), 'grade': np.int32(0),
            'weight': np.float32(1), 'id': f'{self.name}{index}'}


def joined(lengths, weights=()):
  return Joined([Named(name, length) for name, length in zip('abcd', lengths, strict=False)], weights)


def ids(batches, count):
  return [name for batch in itertools.islice(batches, count) for name in batch['id'].tolist()]


def train(source, batch_size=4, seed=0, **options):
  return train_batches(source, batch_size=batch_size, seed=seed, threads=2, **options)


class TestJoined:

  def test_parts_stand_behind_one_another(self):
    source = joined((2, 1, 3))
    assert [example['id'] for example in source] == ['a0', 'a1', 'b0', 'c0', 'c1', 'c2']
    assert len(source) == 6 and source[-1]['id'] == 'c2'
    with pytest.raises(IndexError):
      source[6]

  @pytest.mark.parametrize('shard_count', [1, 2])
  def test_evaluation_sees_every_example_of_every_part_once(self, shard_count):
    """Whatever the weights, which are of training alone; the last batch is padded."""
    found = [name for index in range(shard_count)
             for name in ids(eval_batches(joined((5, 2), (1, 9)), batch_size=4, shard_index=index,
                                          shard_count=shard_count), None)]
    assert sorted(found) == ['', 'a0', 'a1', 'a2', 'a3', 'a4', 'b0', 'b1']


class TestWithoutWeights:

  def test_every_example_is_drawn_once_an_epoch(self):
    source = joined((7, 3))
    found = ids(train(source, batch_size=5), 4)
    everything = [example['id'] for example in source]
    assert sorted(found[:10]) == sorted(found[10:]) == everything and found[:10] != found[10:]
    assert found[:7] != everything[:7], 'the parts are mixed'


class TestWithWeights:

  @pytest.mark.parametrize('weights', [(1.0, 1.0), (1, 3), *(pytest.param(each, marks=pytest.mark.slow) for each in ((3, 1), (0.75, 0.25), (300.0, 100.0)))])
  @pytest.mark.parametrize('lengths', [pytest.param((5, 5), marks=pytest.mark.slow), (40, 3), (2, 90)])
  def test_every_batch_has_its_shares_however_long_the_parts_are(self, lengths, weights):
    batches = train(joined(lengths, weights), batch_size=8)
    expected = 8 * weights[0] / sum(weights)
    for _ in range(8):
      assert collections.Counter(name[0] for name in ids(batches, 1))['a'] == expected

  def test_shares_that_are_no_whole_numbers_are_met_over_many_batches(self):
    found = collections.Counter(name[0] for name in ids(train(joined((6, 5, 4), (2.0, 1.0, 0.5)), batch_size=5), 14))
    assert found == {'a': 40, 'b': 20, 'c': 10}

  def test_within_a_part_every_example_is_drawn_once_an_epoch_of_its_own(self):
    """15 batches hold 10 epochs of the one and 6 of the other."""
    found = ids(train(joined((6, 5), (2, 1)), batch_size=6), 15)
    assert collections.Counter(found) == {f'a{i}': 10 for i in range(6)} | {f'b{i}': 6 for i in range(5)}
    own = [name for name in found if name[0] == 'b']
    assert len({tuple(own[start:start + 5]) for start in range(0, 30, 5)}) > 1, 'in another order each epoch'

  def test_parts_of_equal_length_do_not_meet_in_pairs(self):
    found = ids(train(joined((8, 8), (1, 1)), batch_size=2), 32)
    partners = {frozenset(pair) for pair in zip(found[::2], found[1::2], strict=True)}
    assert len(partners) > 8

  def test_the_order_depends_on_the_seed_and_on_nothing_else(self):
    source = joined((9, 4), (2, 1))
    one, again, other = (ids(train(source, seed=seed), 10) for seed in (5, 5, 6))
    assert one == again != other
    assert ids(train_batches(source, batch_size=4, seed=5, threads=0), 10) == one
    assert ids(train(source, seed=2**32 - 1), 3), 'the largest seed'

  @pytest.mark.parametrize('done', [0, 1, 7])
  def test_resumes_exactly(self, done):
    running, resumed = (train(joined((9, 4), (2, 1))) for _ in range(2))
    ids(running, done)
    state = json.loads(json.dumps(running.get_state()))
    next(resumed)
    resumed.set_state(state)
    assert ids(running, 9) == ids(resumed, 9)

  @pytest.mark.parametrize('shard_count', [2, 4])
  def test_shards_deal_out_the_rows_of_the_unsharded_stream(self, shard_count):
    source = joined((9, 4), (1, 1))
    whole = train(source)
    shards = [train(source, shard_index=index, shard_count=shard_count) for index in range(shard_count)]
    for _ in range(6):
      rows = {int(row): name for shard in shards for batch in [next(shard)]
              for row, name in zip(batch['row'], batch['id'], strict=True)}
      assert [rows[row] for row in range(4)] == next(whole)['id'].tolist()
    assert len({json.dumps(shard.get_state()) for shard in shards}) == 1

  def test_no_shard_sees_one_part_alone(self):
    """With two hosts and equal weights every second example would always be of the same part."""
    for index in range(2):
      found = {name[0] for name in ids(train(joined((9, 9), (1, 1)), shard_index=index, shard_count=2), 10)}
      assert found == {'a', 'b'}

  def test_a_batch_of_one(self):
    assert collections.Counter(name[0] for name in ids(train(joined((3, 3), (1, 1)), batch_size=1), 10)) == {
        'a': 5, 'b': 5}
