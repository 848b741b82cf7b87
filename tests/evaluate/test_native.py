"""Counts in the photograph's own pixels equal those of a loop over single pixels, and scikit-learn's figures."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, jaccard_score

from lesion_jax.core import LESION_KEYS, Prediction, Targets
from lesion_jax.data.native import Native
from lesion_jax.evaluate import bootstrap, intervals, native_counts, native_report
from lesion_jax.evaluate import native as module
from lesion_jax.metrics import segmentation_counts
from lesion_jax.metrics.histogram import SCORE_BINS, score_bin
from lesion_jax.photograph.crop import Crop

SIZE = 12
THRESHOLDS = np.linspace(0.2, 0.9, 8).astype(np.float32)
# Inside the photograph, past its edges, and all of it; the square is smaller than the photograph, and larger.
CROPS = [Crop(top=3, left=5, side=30, height=40, width=50), Crop(top=-4, left=2, side=37, height=29, width=41),
         Crop(top=0, left=0, side=9, height=9, width=9)]


def photographs():
  """Three: the second has pixels that are not scored, and the last annotates two lesions and has a mask of one."""
  rng = np.random.default_rng(0)
  made = []
  for number, crop in enumerate(CROPS):
    shape = (crop.height, crop.width)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    annotated = ('MA', 'iHE') if number == 2 else ('MA', 'iHE', 'HaEx')
    present = {key: rng.random(shape) < 0.2 for key in annotated if not (number == 2 and key == 'iHE')}
    unscored = {'MA': rng.random(shape) < 0.5} if number == 1 else {}
    made.append(Native(image, crop, present, unscored, {'id': f'eye {number}', 'patient': f'patient {number}', 'annotated': annotated}))
  return made


def predict(square):
  """Maps that differ by lesion, with zeros, ones and everything between."""
  rng = np.random.default_rng(int(square.sum()))
  return np.clip(rng.normal(0.5, 0.5, (*square.shape[:2], 8)), 0, 1).astype(np.float32)


@pytest.fixture(scope='module')
def counts():
  return native_counts(predict, photographs(), size=SIZE, lesions=LESION_KEYS[:3], thresholds=THRESHOLDS)


def by_pixel(photograph, key):
  """(score, truth) of every scored pixel, one after the other."""
  lesion = LESION_KEYS.index(key)
  scores = photograph.crop.invert(predict(photograph.crop.apply(photograph.image, SIZE))[..., lesion])
  pairs = []
  for row in range(photograph.crop.height):
    for column in range(photograph.crop.width):
      truth = key in photograph.present and bool(photograph.present[key][row, column])
      if truth or not (key in photograph.unscored and photograph.unscored[key][row, column]):
        pairs.append((min(max(scores[row, column], np.float32(0)), np.float32(1)), truth))
  return pairs


def test_every_count_is_that_of_single_pixels(counts):
  for number, photograph in enumerate(photographs()):
    for j, key in enumerate(LESION_KEYS):
      pairs = by_pixel(photograph, key) if key in photograph.labels['annotated'] else []
      expected = dict.fromkeys(('tp', 'fp', 'fn', 'tn'), 0)
      histogram = np.zeros((2, SCORE_BINS), int)
      for score, truth in pairs:
        expected[('tp' if truth else 'fp') if score >= THRESHOLDS[j] else ('fn' if truth else 'tn')] += 1
        histogram[int(truth), int(score_bin(np.float32(score)))] += 1
      for kind in ('tp', 'fp', 'fn'):
        assert counts[f'pixel_{kind}'][number, j] == expected[kind], (number, key, kind)
      np.testing.assert_array_equal(counts['histograms'][number, :, j], histogram)
      called, present = expected['tp'] + expected['fp'] > 0, expected['tp'] + expected['fn'] > 0
      outcome = {(True, True): 'tp', (True, False): 'fp', (False, True): 'fn', (False, False): 'tn'}[called, present]
      for kind in ('tp', 'fp', 'fn', 'tn'):
        assert counts[f'image_{kind}'][number, j] == (bool(pairs) and kind == outcome), (number, key, kind)
      assert counts['lesion_probabilities'][number, j] == max((score for score, _ in pairs), default=0)


def test_the_figures_are_scikit_learns(counts):
  found = native_report(counts, LESION_KEYS[:4], resamples=20)
  for key in LESION_KEYS[:3]:
    pairs = [pair for photograph in photographs() if key in photograph.labels['annotated']
             for pair in by_pixel(photograph, key)]
    scores, truth = (np.array(column) for column in zip(*pairs, strict=True))
    called = scores >= THRESHOLDS[LESION_KEYS.index(key)]
    assert found['pixel_f1']['lesions'][key] == pytest.approx(f1_score(truth, called))
    assert found['pixel_iou']['lesions'][key] == pytest.approx(jaccard_score(truth, called))
    low, high = found['aupr']['bounds'][key]
    assert low <= average_precision_score(truth, scores) <= high
    assert found['aupr_11']['lesions'][key] is not None
  assert found['aupr']['undefined']['NV'] == 'not annotated'
  assert found['aupr']['undefined']['CWS'] == 'no positive in the ground truth', 'of the data set, not of these'
  assert found['positive_pixels']['MA'] == sum(np.sum(photograph.present['MA']) for photograph in photographs())
  assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_intervals_are_over_the_photographs(counts):
  found = native_report(counts, LESION_KEYS[:3], resamples=50, seed=3)['intervals']
  assert found == intervals(bootstrap(counts, LESION_KEYS[:3], resamples=50, seed=3))
  assert found['aupr']['lesions']['MA'] and found['pixel_f1']['mean'] and found['pixel_iou']['lesions']['iHE']


def test_types_and_names(counts):
  assert counts['histogram'].dtype == counts['pixel_tp'].dtype == np.int64
  assert counts['lesion_probabilities'].dtype == np.float32 and counts['histograms'].dtype == np.int32
  np.testing.assert_array_equal(counts['histogram'], counts['histograms'].sum(0))
  assert not counts['histogram'][:, 3:].any(), 'nothing of lesions that were not asked for'


def test_what_lies_outside_the_square_is_missed():
  crop = Crop(top=10, left=10, side=20, height=40, width=40)
  truth = np.zeros((40, 40), bool)
  truth[2:5, 2:6] = True
  photograph = Native(np.zeros((40, 40, 3), np.uint8), crop, {'MA': truth}, {}, {'id': '', 'patient': '', 'annotated': ('MA',)})
  found = native_counts(lambda square: np.ones((SIZE, SIZE, 8), np.float32), [photograph], size=SIZE, lesions=['MA'])
  assert [int(found[f'pixel_{kind}'][0, 0]) for kind in ('tp', 'fp', 'fn')] == [0, 400, 12]
  assert found['histograms'][0, 1, 0, 0] == 12


def test_blocks_change_nothing(counts, monkeypatch):
  monkeypatch.setattr(module, 'BLOCK', 7)
  again = native_counts(predict, photographs(), size=SIZE, lesions=LESION_KEYS[:3], thresholds=THRESHOLDS)
  for name, value in counts.items():
    np.testing.assert_array_equal(again[name], value, err_msg=name)


def test_the_next_photograph_is_on_its_way_while_one_is_counted():
  order = []

  def lazily():
    for photograph in photographs():
      order.append(f'read {photograph.labels["id"]}')
      yield photograph

  def asked(square):
    order.append('asked')
    return predict(square)

  native_counts(asked, lazily(), size=SIZE, lesions=['MA'])
  assert order == ['read eye 0', 'asked', 'read eye 1', 'asked', 'read eye 2', 'asked']


def test_probabilities_that_are_no_numbers_are_an_error():
  with pytest.raises(FloatingPointError, match='not a number on eye 0; its weights are not fit for use'):
    native_counts(lambda square: np.full((SIZE, SIZE, 8), np.nan), photographs(), size=SIZE, lesions=['MA'])


def test_nothing_to_evaluate_is_an_error():
  with pytest.raises(ValueError, match='no photograph came'):
    native_counts(predict, [], size=SIZE, lesions=['MA'])


def test_a_photograph_whose_only_sign_of_a_lesion_is_not_scored_counts_for_no_image_metric_as_in_the_square():
  crop, empty, some = Crop(top=0, left=0, side=8, height=8, width=8), np.zeros((8, 8), bool), np.eye(8, dtype=bool)
  made = [Native(np.zeros((8, 8, 3), np.uint8), crop, {'MA': lesion}, {'MA': ignored}, {'id': str(number), 'patient': '', 'annotated': ('MA',)})
          for number, (lesion, ignored) in enumerate([(empty, some), (some, np.roll(some, 1, 0)), (empty, ~empty), (empty, empty)])]
  for level in (0.0, 1.0):
    maps = np.full((8, 8, 8), level, np.float32)
    found = native_counts(lambda square, maps=maps: maps, made, size=8, lesions=['MA'])
    packed = lambda masks: np.stack(masks)[..., None] & (np.arange(8) == 0)
    lesions, ignore = (packed([getattr(each, name)['MA'] for each in made]) for name in ('present', 'unscored'))
    scored = packed([~empty] * 4) & ~ignore
    targets = Targets(lesions, scored, np.full(4, -1), ignore.any((1, 2)) & ~(lesions & scored).any((1, 2)))
    square = segmentation_counts(Prediction(maps=np.stack([maps] * 4)), targets, per_image=True)
    for name, value in square.items():
      np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert native_report(found, ['MA'], resamples=5)['undecided_images'] == {'MA': 2}
