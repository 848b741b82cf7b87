"""Two systems on the same photographs: over which lesions, over which patients, and how often equal ones are told apart."""

from __future__ import annotations

import numpy as np
import pytest

from lesion_jax.core import LESION_KEYS, NUM_LESIONS
from lesion_jax.evaluate import bootstrap, compare, full_report, patients, report, totals
from lesion_jax.evaluate.bootstrap import SWAPS
from lesion_jax.metrics import SCORE_BINS

KINDS = ('tp', 'fp', 'fn', 'tn')


def judged(truth, positive, **others):
  """Counts of images, by what each has and what a system says."""
  return {'image_tp': truth & positive, 'image_fp': ~truth & positive, 'image_fn': truth & ~positive,
          'image_tn': ~truth & ~positive} | others


def as_counts(found):
  return {name: value.astype(np.int64) if value.dtype == bool else value for name, value in found.items()}


class TestLesions:

  def test_a_false_pixel_of_a_lesion_that_nobody_has_moves_no_mean(self):
    """The audit's case: eight lesions of which one is absent, all others at 0.6."""
    counts = {f'pixel_{kind}': np.full(8, value) for kind, value in (('tp', 3), ('fp', 2), ('fn', 2))}
    counts |= {f'image_{kind}': np.full(8, value) for kind, value in (('tp', 3), ('fp', 2), ('fn', 2), ('tn', 0))}
    for value in counts.values():
      value[7] = 0
    clean = report(counts, LESION_KEYS)
    alarmed = report(counts | {'pixel_fp': counts['pixel_fp'] + np.eye(8, dtype=int)[7]}, LESION_KEYS)
    assert clean['pixel_f1']['mean'] == alarmed['pixel_f1']['mean'] == pytest.approx(0.6)
    assert clean['pixel_f1']['undefined']['FiP'] == 'no positive in the ground truth and none predicted'
    assert alarmed['pixel_f1']['undefined']['FiP'] == 'no positive in the ground truth, yet some predicted'

  def test_models_that_are_equal_on_every_lesion_do_not_differ_in_any_resample(self):
    """One calls the rare lesion, which few resamples hold, in photographs without it; the other in none."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, NUM_LESIONS)) < 0.4
    truth[:, 4] = np.arange(60) == 0  # in many resamples nobody has it
    truth[:, 5] = False
    silent = truth.copy()
    loud = truth.copy()
    loud[30:, 5] = True  # false alarms for a lesion that nobody has
    one, other = (bootstrap(as_counts(judged(truth, system)), LESION_KEYS) for system in (silent, loud))
    assert np.isnan(one['image_f1'][:, 4]).mean() == pytest.approx(1 / np.e, abs=0.06)
    np.testing.assert_array_equal(one['mean_image_f1'], other['mean_image_f1'])
    np.testing.assert_array_equal(np.isnan(one['image_f1']), np.isnan(other['image_f1']))

  def test_whether_a_lesion_counts_in_a_resample_is_known_from_the_truth(self):
    rng = np.random.default_rng(1)
    truth = rng.random((15, NUM_LESIONS)) < 0.1
    found = bootstrap(as_counts(judged(truth, rng.random(truth.shape) < 0.5)), LESION_KEYS, resamples=50)
    perfect = bootstrap(as_counts(judged(truth, truth)), LESION_KEYS, resamples=50)
    np.testing.assert_array_equal(np.isnan(found['image_f1']), np.isnan(perfect['image_f1']))
    assert np.isnan(perfect['image_f1']).any() and set(perfect['image_f1'][~np.isnan(perfect['image_f1'])]) == {1.0}


class TestPatients:

  OWNER = np.array(['b', 'b', 'a', 'c', 'c', 'd'])

  def test_a_resample_holds_whole_patients(self):
    """An accuracy in which each photograph of a patient has a weight of its own is enough to see it."""
    rng = np.random.default_rng(0)
    counts = {f'image_{kind}': rng.integers(0, 1000, (6, 8)) for kind in KINDS}
    found = bootstrap(counts | {'patient': self.OWNER}, LESION_KEYS, resamples=30, seed=5)['image_f1']
    generator = np.random.Generator(np.random.Philox([5, 4]))
    images_of = [[0, 1], [2], [3, 4], [5]]  # b, a, c, d: in the order in which they come
    for row in found:
      images = np.concatenate([images_of[patient] for patient in generator.integers(4, size=4)])
      tp, fp, fn = (counts[f'image_{kind}'][images].sum(0) for kind in ('tp', 'fp', 'fn'))
      np.testing.assert_allclose(row, 2 * tp / (2 * tp + fp + fn), rtol=1e-15)

  def test_where_every_photograph_is_another_patients_the_draws_are_those_without_names(self):
    rng = np.random.default_rng(0)
    counts = {f'image_{kind}': rng.integers(0, 9, (20, 8)) for kind in KINDS}
    named = counts | {'patient': np.array([f'p{i}' for i in rng.permutation(20)])}
    for name, value in bootstrap(counts, LESION_KEYS, resamples=20).items():
      np.testing.assert_array_equal(bootstrap(named, LESION_KEYS, resamples=20)[name], value)

  def test_histograms_are_drawn_by_patient_as_well(self):
    rng = np.random.default_rng(0)
    kept = rng.integers(0, 3, (6, 2, 8, SCORE_BINS)).astype(np.int32)
    pairs = np.concatenate([kept[:3], kept[:3]])  # each patient has the same photograph twice
    twice = bootstrap({'histograms': pairs, 'patient': np.tile(['a', 'b', 'c'], 2)}, LESION_KEYS, resamples=20)
    once = bootstrap({'histograms': kept[:3], 'patient': np.array(['a', 'b', 'c'])}, LESION_KEYS, resamples=20)
    np.testing.assert_allclose(twice['aupr'], once['aupr'])

  def test_eye_pairs_widen_the_interval_as_much_as_they_should(self):
    """Against the truth: the standard deviation of the accuracy over many sets of patients with two like eyes each."""
    rng = np.random.default_rng(2)

    def one():
      ease = rng.beta(2, 0.7, 60)
      right = rng.random((60, 2)) < ease[:, None]
      confusion = np.zeros((120, 5, 5), int)
      confusion[:, 2, 2], confusion[:, 2, 3] = right.ravel(), ~right.ravel()
      return confusion

    owner = np.repeat(np.arange(60), 2).astype(str)
    truth = np.std([one()[:, 2, 2].mean() for _ in range(3000)])
    found = {'patients': [], 'images': []}
    for _ in range(40):
      confusion = one()
      found['images'].append(bootstrap({'confusion': confusion}, (), resamples=200)['accuracy'].std())
      found['patients'].append(
          bootstrap({'confusion': confusion, 'patient': owner}, (), resamples=200)['accuracy'].std())
    assert np.mean(found['patients']) == pytest.approx(truth, rel=0.06)
    assert np.mean(found['images']) < 0.9 * truth

  def test_a_report_says_how_many_patients_were_drawn_from(self):
    rng = np.random.default_rng(0)
    truth = rng.random((6, 8)) < 0.5
    counts = as_counts(judged(truth, truth)) | {'lesion_probabilities': truth.astype(np.float32)}
    assert patients(counts) is full_report(counts, LESION_KEYS, resamples=5)['intervals']['patients'] is None
    assert full_report(counts | {'patient': self.OWNER}, LESION_KEYS, resamples=5)['intervals']['patients'] == 4
    assert 'patient' not in totals(counts | {'patient': self.OWNER})

  def test_names_that_are_not_those_of_the_images_are_refused(self):
    with pytest.raises(ValueError, match='the same images in each'):
      bootstrap({'confusion': np.ones((5, 5, 5), int), 'patient': self.OWNER}, ())


def simulated(rng, pairs=75):
  """The truth of `pairs` patients with two eyes each, and what two equal systems say, wrong in the same way on average.

  The eyes of a patient are alike: what one has, the other has mostly, and what is hard in one is hard in the other. Two
  lesions are rare, one nobody has.
  """
  shares = np.array([0.8, 0.6, 0.45, 0.3, 0.05, 0.04, 0.15, 0.0])
  has = rng.random((pairs, 1, NUM_LESIONS)) < shares
  own = rng.random((pairs, 2, NUM_LESIONS)) < shares
  truth = np.where(rng.random(own.shape) < 0.95, has, own)
  truth[..., 7] = False

  def system():
    trouble = rng.beta(0.25, 1.0, (pairs, 1, NUM_LESIONS))  # of this patient, to this system
    return (truth ^ (rng.random(truth.shape) < trouble)).reshape(-1, NUM_LESIONS)

  return truth.reshape(-1, NUM_LESIONS), system(), system()


def told_apart(trials, *, by_patient):
  rng, wrong = np.random.default_rng(2020), []
  owner = {'patient': np.repeat(np.arange(75), 2).astype(str)} if by_patient else {}
  for seed in range(trials):
    truth, *systems = simulated(rng)
    counts = (as_counts(judged(truth, system)) | owner for system in systems)
    wrong.append(compare(*counts, LESION_KEYS, resamples=200, swaps=200, seed=seed)['mean_image_f1']['different'])
  return np.mean(wrong)


class TestCompare:

  def pair(self, better=0.0):
    rng = np.random.default_rng(4)
    truth = rng.random((200, NUM_LESIONS)) < 0.4
    systems = [truth ^ (rng.random(truth.shape) < share) for share in (0.2 - better, 0.2)]
    return [as_counts(judged(truth, system)) | {'patient': np.repeat(np.arange(100), 2).astype(str),
                                                'id': np.arange(200).astype(str)} for system in systems]

  def test_a_better_system_is_found(self):
    one, other = self.pair(0.1)
    found = compare(one, other, LESION_KEYS)['mean_image_f1']
    low, high = found['interval']
    assert 0 < low < found['difference'] < high and found['p'] == pytest.approx(1 / (SWAPS + 1)) and found['different']
    turned = compare(other, one, LESION_KEYS)['mean_image_f1']
    assert (turned['difference'], turned['interval']) == (-found['difference'], [-high, -low])

  def test_the_difference_and_its_interval_are_those_of_the_reports_and_of_shared_resamples(self):
    one, other = self.pair(0.02)
    found = compare(one, other, ('MA', 'iHE'), resamples=50)['mean_image_f1']
    means = [report(totals(counts), ('MA', 'iHE'))['image_f1']['mean'] for counts in (one, other)]
    assert found['difference'] == pytest.approx(means[0] - means[1])
    draws = [bootstrap(counts, ('MA', 'iHE'), resamples=50)['mean_image_f1'] for counts in (one, other)]
    assert found['interval'] == pytest.approx(np.quantile(draws[0] - draws[1], [0.025, 0.975]))

  def test_patients_are_swapped_whole(self):
    """One patient with two photographs: either nothing is swapped, or everything, and no swap is smaller."""
    one, other = ({name: value[:2] for name, value in counts.items()} for counts in self.pair(0.1))
    assert compare(one, other, LESION_KEYS)['mean_image_f1']['p'] == 1

  def test_whose_photographs_they_are_need_not_be_said_twice(self):
    """Else the two would be resampled by different units, and a system would differ from itself."""
    one, other = self.pair(0.02)
    nameless = {name: value for name, value in other.items() if name != 'patient'}
    assert compare(one, nameless, LESION_KEYS, resamples=20) == compare(one, other, LESION_KEYS, resamples=20)
    assert compare(nameless, one, LESION_KEYS, resamples=20) == compare(other, one, LESION_KEYS, resamples=20)

  def test_a_system_does_not_differ_from_itself(self):
    one, _ = self.pair()
    found = compare(one, one, LESION_KEYS)['mean_image_f1']
    assert (found['difference'], found['interval'], found['p'], found['different']) == (0, [0, 0], 1, False)

  def test_what_has_no_value_is_not_different(self):
    one, other = self.pair()
    assert compare(one, other, ())['mean_image_f1'] == {
        'difference': None, 'interval': None, 'p': None, 'different': False}

  def test_a_lesion_on_which_one_was_not_judged_is_refused(self):
    """Else what a network never learned would count against it."""
    one, other = self.pair()
    named = [one | {'annotated': np.array(['MA', 'iHE', 'CWS'])}, other | {'annotated': np.array(['MA', 'iHE'])}]
    with pytest.raises(ValueError, match='the second of the two systems was not evaluated on CWS'):
      compare(*named, named[0]['annotated'].tolist())
    assert compare(*named, ('MA', 'iHE'), resamples=5) == compare(one, other, ('MA', 'iHE'), resamples=5)

  def test_other_photographs_are_refused(self):
    one, other = self.pair()
    with pytest.raises(ValueError, match="'id' differs"):
      compare(one, other | {'id': other['id'][::-1]}, LESION_KEYS)


def test_two_equal_systems_are_called_different_in_at_most_one_of_twenty_comparisons():
  assert told_apart(150, by_patient=True) <= 0.05


@pytest.mark.slow
def test_drawing_photographs_calls_equal_systems_different_too_often():
  """What the test above would be without patients: the trouble is real, and the simulation sees it."""
  assert told_apart(300, by_patient=False) > 0.08
