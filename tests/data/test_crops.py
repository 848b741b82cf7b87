"""What training draws: photographs by lesion and grade, crops around lesions, the same wherever a run goes on."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.data.crops import Draw, Draws, Kept
from lesion_jax.data.index import Index
from lesion_jax.data.pipeline import train_batches
from lesion_jax.data.sampler import Joined, keep_decoded, training_order

SIZE, CROP = 96, 32
MA, CWS = LESION_KEYS.index('MA'), LESION_KEYS.index('CWS')


class Photographs:
  """Photographs of noise; `lesions` gives the lesion each has as a block of 6 x 6 pixels, None for none."""

  def __init__(self, lesions, *, grades=None, side=SIZE, seed=0, name='p'):
    rng = np.random.default_rng(seed)
    count = len(lesions)
    self.decoded = 0
    self.images = rng.integers(30, 256, (count, SIZE, SIZE, 3), np.uint8)
    self.masks = np.zeros((count, SIZE, SIZE), np.uint8)
    self.ignored = np.zeros((count, SIZE, SIZE), np.uint8)
    for i, lesion in enumerate(lesions):
      if lesion is not None:
        row, column = rng.integers(6, SIZE - 12, 2)
        self.masks[i, row:row + 6, column:column + 6] = 1 << lesion
    areas = np.stack([((self.masks >> j) & 1).sum((1, 2)) for j in range(8)], -1)
    names = np.array([f'{name}{i}' for i in range(count)])
    grade = np.full(count, UNKNOWN_GRADE) if grades is None else np.array(grades)
    self.index = Index(names, names, grade.astype(np.int32), np.full(count, 255, np.uint8),
                       np.full(count, side, np.int32), areas.astype(np.int32), np.zeros((count, 32, 32, 3), np.uint8))

  def __len__(self):
    return len(self.images)

  def __getitem__(self, i):
    self.decoded += 1
    i = range(len(self))[i]
    return {'image': self.images[i], 'lesions': self.masks[i], 'ignore': self.ignored[i], 'annotated': np.uint8(255),
            'grade': self.index.grade[i], 'weight': np.float32(1), 'id': str(self.index.id[i]), 'patient': 'x'}


def _drawn(draws, count=400):
  return [draws.sample(place) for place in range(count)]


def test_a_rare_lesion_is_drawn_as_often_as_a_common_one():
  source = Photographs([MA] * 19 + [CWS])
  places = _drawn(Draws(source, seed=0, draw=Draw(crop=CROP, centred=0.8)))
  share = {lesion: np.mean([place.lesion == lesion for place in places]) for lesion in (MA, CWS, None)}
  assert share[MA] == pytest.approx(0.4, abs=0.07) and share[CWS] == pytest.approx(0.4, abs=0.07)
  assert share[None] == pytest.approx(0.2, abs=0.06)
  assert {place.photograph for place in places if place.lesion == CWS} == {19}


def test_lesions_are_drawn_by_their_weights_and_one_of_weight_0_never():
  source = Photographs([MA] * 5 + [CWS] * 5)
  weights = tuple({MA: 0.0, CWS: 2.0}.get(j, 1.0) for j in range(8))
  places = _drawn(Draws(source, seed=0, draw=Draw(centred=1.0, lesions=weights)))
  assert {place.lesion for place in places} == {CWS}


def test_grades_are_drawn_by_their_weights_however_many_photographs_have_them():
  source = Photographs([None] * 40, grades=[0] * 36 + [3] * 4)
  places = _drawn(Draws(source, seed=1, draw=Draw(grades=(1.0, 0.0, 0.0, 1.0, 0.0))))
  worst = np.mean([source.index.grade[place.photograph] == 3 for place in places])
  assert worst == pytest.approx(0.5, abs=0.08)


def test_a_centred_crop_holds_its_lesion_and_nothing_is_moved_against_the_photograph():
  source = Photographs([MA, CWS, MA])
  draws = Draws(source, seed=3, draw=Draw(crop=CROP, centred=1.0))
  for place in range(20):
    example, chosen = draws[place], draws.sample(place)
    assert example['image'].shape == (CROP, CROP, 3) and example['lesions'].shape == (CROP, CROP)
    assert ((example['lesions'] >> chosen.lesion) & 1).any()
    # At magnification 1 the crop is a window of the photograph, black beyond it.
    whole = np.pad(source.images[chosen.photograph], ((CROP, CROP), (CROP, CROP), (0, 0)))
    mask = np.pad(source.masks[chosen.photograph], CROP)
    found = [(top, left) for top in range(len(mask) - CROP) for left in range(len(mask) - CROP)
             if mask[top, left] == example['lesions'][0, 0]
             and np.array_equal(whole[top:top + CROP:8, left:left + CROP:8], example['image'][::8, ::8])]
    (top, left), = found
    np.testing.assert_array_equal(whole[top:top + CROP, left:left + CROP], example['image'])
    np.testing.assert_array_equal(mask[top:top + CROP, left:left + CROP], example['lesions'])


def test_a_photograph_that_was_enlarged_is_never_drawn_larger_than_its_own_pixels(monkeypatch):
  cut = []
  monkeypatch.setattr('lesion_jax.data.crops.Crop', lambda **fields: cut.append(fields['side']) or _Square(**fields))
  for side, smallest in ((SIZE * 3, CROP / 1.5), (SIZE * 0.75, CROP / 0.75), (SIZE * 0.1, CROP / 0.5)):
    cut.clear()
    draws = Draws(Photographs([None] * 3, side=side), seed=0, draw=Draw(crop=CROP, scale=(0.5, 1.5)))
    for place in range(200):
      draws[place]
    assert min(cut) >= round(smallest) and max(cut) <= round(CROP / 0.5)
    assert min(cut) <= smallest * 1.05


def _Square(**fields):
  from lesion_jax.photograph.crop import Crop
  return Crop(**fields)


def test_a_crop_larger_than_the_photograph_is_black_around_it():
  source = Photographs([MA])
  example = Draws(source, seed=0, draw=Draw(crop=CROP, scale=(0.2, 0.2)))[0]
  inside = example['image'].any(-1)
  assert inside.any() and not inside[0].any() and not inside[-1].any()
  assert not example['ignore'].any() and not example['lesions'][~inside].any()


def test_ignored_pixels_stay_ignored_in_a_crop():
  source = Photographs([None])
  source.ignored[:] = 0b100
  example = Draws(source, seed=0, draw=Draw(crop=CROP))[5]
  inside = example['image'].any(-1)
  assert (example['ignore'][inside] == 0b100).all() and not example['ignore'][~inside].any()


def _batches(source, *, draw, start=None, count=3, **shard):
  batches = train_batches(source, batch_size=4, seed=7, draw=draw, threads=2, **shard)
  if start is not None:
    batches.set_state(start)
  found = [next(batches) for _ in range(count)]
  return found, batches.get_state()


@pytest.mark.parametrize('weights', [(), (3.0, 1.0)])
class TestTheStream:
  DRAW = Draw(crop=CROP, centred=0.7, scale=(0.6, 1.2))

  def _source(self, weights):
    return Joined([Photographs([MA, CWS, MA, None, MA]), Photographs([None] * 4, seed=1, name='q')], weights)

  def test_goes_on_exactly(self, weights):
    source = self._source(weights)
    whole, _ = _batches(source, draw=self.DRAW, count=6)
    _, state = _batches(source, draw=self.DRAW, count=2)
    rest, _ = _batches(source, draw=self.DRAW, start=state, count=4)
    for a, b in zip(whole[2:], rest, strict=True):
      for key in a:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)

  def test_is_the_same_for_two_processes_as_for_one(self, weights):
    source = self._source(weights)
    whole, _ = _batches(source, draw=self.DRAW)
    shards = [_batches(source, draw=self.DRAW, shard_index=p, shard_count=2)[0] for p in range(2)]
    for number, batch in enumerate(whole):
      for p in range(2):
        np.testing.assert_array_equal(batch['image'][p::2], shards[p][number]['image'])
        np.testing.assert_array_equal(batch['row'][p::2], shards[p][number]['row'])

  def test_keeps_the_weights_of_a_mixture_in_every_batch(self, weights):
    batches, _ = _batches(self._source(weights), draw=self.DRAW, count=8)
    if weights:
      assert all(sum(name.startswith('q') for name in batch['id']) == 1 for batch in batches)
    assert len({name for batch in batches for name in batch['id']}) > 5


def test_other_seeds_draw_otherwise():
  source = Photographs([MA, CWS, None, MA])
  draw = Draw(crop=CROP, centred=0.5)
  first, second = ([place.photograph for place in _drawn(Draws(source, seed=seed, draw=draw), 50)] for seed in (0, 1))
  assert first != second


class TestKeeping:

  def test_what_is_kept_is_decoded_once(self):
    source = Photographs([MA, CWS, None])
    kept = Kept(source, limit=10**9)
    for _ in range(3):
      for i in range(3):
        np.testing.assert_array_equal(kept[i]['image'], source.images[i])
    assert source.decoded == 3 and kept.index is source.index

  def test_no_more_is_kept_than_allowed(self):
    source = Photographs([MA] * 4)
    one = sum(value.nbytes for value in source[0].values() if hasattr(value, 'nbytes'))
    source.decoded = 0
    kept = Kept(source, limit=2 * one)
    for i in (0, 1, 0, 2, 0, 1):  # 0 is used again and again, so 1 goes
      kept[i]
    assert source.decoded == 4

  def test_parts_of_a_mixture_share_the_limit_by_their_length(self):
    parts = Joined([Photographs([MA] * 3), Photographs([None], name='q')], (1.0, 1.0))
    kept = keep_decoded(parts, 4000)
    assert kept.weights == (1.0, 1.0) and [part._limit for part in kept.parts] == [3000, 1000]
    assert keep_decoded(parts, 0) is parts


class TestWhatCannotBeDrawn:

  @pytest.mark.parametrize('fields, named', [
      ({'crop': -1}, 'crop=-1'), ({'centred': 1.5}, 'centred=1.5'), ({'scale': (1.2, 0.8)}, 'scale='),
      ({'scale': (0.0, 1.0)}, 'scale='), ({'lesions': (1.0,)}, 'lesions='), ({'grades': (0.0,) * 5}, 'grades='),
      ({'lesions': (-1.0,) + (1.0,) * 7}, 'lesions='),
  ])
  def test_is_refused_by_name(self, fields, named):
    with pytest.raises(ValueError, match=named):
      Draw(**fields)

  @pytest.mark.parametrize('lesions', [(), tuple(float(j == MA) for j in range(8))])
  def test_a_lesion_that_no_photograph_has_cannot_be_centred_on(self, lesions):
    source = Joined([Photographs([CWS if lesions else None] * 3), Photographs([None], name='q')], (1.0, 1.0))
    with pytest.raises(ValueError, match=r'centred=0.5: no training photograph has a lesion, .*set it to 0'):
      training_order(source, batch_size=2, seed=0, draw=Draw(centred=0.5, lesions=lesions))

  def test_a_part_without_lesions_beside_one_with_them_is_drawn_whole(self):
    """As a data set of grades is, beside one of masks."""
    source = Joined([Photographs([MA] * 3), Photographs([None] * 2, name='q')], (1.0, 1.0))
    stream = training_order(source, batch_size=4, seed=0, draw=Draw(centred=1.0))
    assert {stream[place]['id'][0] for place in range(8)} == {'p', 'q'}

  def test_grades_that_are_unknown_cannot_be_drawn_by(self):
    with pytest.raises(ValueError, match='2 of 3 photographs have no grade'):
      Draws(Photographs([None] * 3, grades=[1, -1, -1]), seed=0, draw=Draw(grades=(1.0,) * 5))

  def test_a_grade_that_no_photograph_has_leaves_nothing(self):
    with pytest.raises(ValueError, match='3 of DR0'):
      Draws(Photographs([None] * 3, grades=[0] * 3), seed=0, draw=Draw(grades=(0.0, 0.0, 0.0, 0.0, 1.0)))
