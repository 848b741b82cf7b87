"""Systems on the same images, and predictions against a person: against scikit-learn and a bootstrap written out in NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, f1_score, recall_score

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import compare_grades, compare_systems

N, R, SEED = 24, 30, 3
LESIONS = ('MA', 'iHE', 'CWS')
COLUMNS = [LESION_KEYS.index(key) for key in LESIONS]
OWNERS = np.array([f'p{number // 2}' for number in range(N)])


def make_truth(seed=0):
  rng = np.random.default_rng(seed)
  return rng.random((N, 8)) < 0.5, rng.integers(0, 5, N)


def make_system(seed, truth=None, *, error=0.3, ids=None, annotated=LESIONS, patient=OWNERS):
  """(counts, said, grades) of a system that errs in a share of what it says."""
  lesions, grades = make_truth() if truth is None else truth
  rng = np.random.default_rng(seed)
  said = lesions ^ (rng.random(lesions.shape) < error)
  predicted = np.clip(grades + rng.integers(-1, 2, N), 0, 4)
  counts = {f'image_{kind}': which.astype(np.int64) for kind, which in (
      ('tp', lesions & said), ('fp', ~lesions & said), ('fn', lesions & ~said), ('tn', ~lesions & ~said))}
  pixels = np.where(lesions, 50, 0)
  found = np.where(said, rng.integers(10, 50, lesions.shape), 0) * lesions
  counts |= {'pixel_tp': found, 'pixel_fn': pixels - found, 'pixel_fp': np.where(said, 7, 0)}
  counts['confusion'] = np.eye(5, dtype=np.int64)[grades][:, :, None] * np.eye(5, dtype=np.int64)[predicted][:, None, :]
  counts |= {'id': np.array([f'photo{n}' for n in range(N)] if ids is None else ids), 'annotated': np.array(annotated)}
  return counts | ({} if patient is None else {'patient': patient}), said, predicted


def draws(owners=OWNERS):
  """The images of each resample: P of P patients, drawn with replacement."""
  names = list(dict.fromkeys(owners.tolist()))
  generator = np.random.Generator(np.random.Philox([SEED, len(names)]))
  rows = [np.flatnonzero(owners == name) for name in names]
  return [np.concatenate([rows[each] for each in generator.integers(len(names), size=len(names))]) for _ in range(R)]


def ends(values):
  return pytest.approx(np.quantile(values, [0.025, 0.975]).tolist(), abs=1e-12)


def image_f1(truth, said, column):
  return f1_score(truth[:, column], said[:, column])


class TestSystems:

  def test_metrics_and_differences_are_those_of_a_bootstrap_written_out(self):
    truth, grades = make_truth()
    systems = {name: make_system(seed) for name, seed in (('first', 1), ('second', 2), ('third', 3))}
    found = compare_systems({name: counts for name, (counts, *_) in systems.items()}, resamples=R, seed=SEED)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found['baseline'], found['images'], found['patients'], found['graded']) == ('first', N, N // 2, N)
    assert found['lesions'] == list(LESIONS) and found['notes'] == []
    assert found['positive_images'] == {key: int(truth[:, j].sum()) for key, j in zip(LESIONS, COLUMNS, strict=True)}
    kappa = lambda rows, predicted: cohen_kappa_score(grades[rows], predicted[rows], weights='quadratic')
    mean = lambda rows, said: np.mean([image_f1(truth[rows], said[rows], j) for j in COLUMNS if truth[rows][:, j].any()])
    drawn, everything = draws(), np.arange(N)
    for name, (_, said, predicted) in systems.items():
      metrics = found['systems'][name]
      assert metrics['kappa'] == {'value': pytest.approx(kappa(everything, predicted)),
                                  'interval': ends([kappa(rows, predicted) for rows in drawn])}
      assert metrics['accuracy']['value'] == pytest.approx(accuracy_score(grades, predicted))
      assert metrics['mean_image_f1'] == {'value': pytest.approx(mean(everything, said)),
                                          'interval': ends([mean(rows, said) for rows in drawn])}
      assert metrics['image_f1']['iHE']['value'] == pytest.approx(image_f1(truth, said, COLUMNS[1]))
    _, first_said, first_grades = systems['first']
    for name in ('second', 'third'):
      _, said, predicted = systems[name]
      difference = found['differences'][name]
      assert difference['kappa']['difference'] == pytest.approx(kappa(everything, predicted) - kappa(everything, first_grades))
      assert difference['kappa']['interval'] == ends([kappa(rows, predicted) - kappa(rows, first_grades) for rows in drawn])
      j = COLUMNS[0]
      assert difference['image_f1']['MA']['interval'] == ends(
          [image_f1(truth[rows], said[rows], j) - image_f1(truth[rows], first_said[rows], j) for rows in drawn])
      assert list(difference['pixel_f1']) == list(LESIONS)

  def test_the_p_of_a_lesion_is_the_share_of_swaps_that_differ_as_much(self):
    truth, _ = make_truth()
    (one, said, _), (other, others, _) = make_system(1), make_system(2, error=0.1)
    found = compare_systems({'one': one, 'other': other}, resamples=R, swaps=R, seed=SEED)['differences']['other']['image_f1']
    generator = np.random.Generator(np.random.Philox([SEED, N // 2, 1]))
    swap = generator.integers(2, size=(R, N // 2)).astype(bool)[:, np.arange(N) // 2]
    for key, j in zip(LESIONS, COLUMNS, strict=True):
      observed = image_f1(truth, others, j) - image_f1(truth, said, j)
      chance = [image_f1(truth, np.where(row[:, None], said, others), j) - image_f1(truth, np.where(row[:, None], others, said), j)
                for row in swap]
      assert found[key]['p'] == pytest.approx((1 + np.sum(np.abs(chance) >= abs(observed) - 1e-12)) / (R + 1))

  def test_a_system_does_not_differ_from_itself(self):
    counts, *_ = make_system(1)
    found = compare_systems({'one': counts, 'again': dict(counts)}, resamples=R)['differences']['again']
    for name in ('mean_pixel_f1', 'mean_image_f1', 'kappa', 'accuracy'):
      assert found[name] == {'difference': 0, 'interval': [0, 0], 'p': 1, 'different': False}

  def test_the_order_of_the_photographs_does_not_matter(self):
    (one, *_), (other, *_) = make_system(1), make_system(2)
    mixed = np.random.default_rng(0).permutation(N)
    turned = {name: value if name == 'annotated' else value[mixed] for name, value in other.items()}
    assert compare_systems({'a': one, 'b': turned}, resamples=R) == compare_systems({'a': one, 'b': other}, resamples=R)

  def test_patients_that_one_of_them_knows_count_for_both(self):
    (one, *_), (other, *_), (silent, *_) = make_system(1), make_system(2), make_system(2, patient=None)
    assert compare_systems({'a': one, 'b': silent}, resamples=R) == compare_systems({'a': one, 'b': other}, resamples=R)

  def test_other_photographs_are_refused_or_those_of_both_are_compared(self):
    ids = [f'photo{n}' for n in range(N - 2)] + ['new1', 'new2']
    (one, *_), (other, *_) = make_system(1), make_system(2, ids=ids)
    with pytest.raises(ValueError, match=r"not evaluated on the same photographs: 22 are of all, a has 2 that not all have \(photo22, "
                                         r'photo23\); b has 2 .*new1, new2.*shared=True'):
      compare_systems({'a': one, 'b': other}, resamples=R)
    found = compare_systems({'a': one, 'b': other}, shared=True, resamples=R)
    cut = [{name: value if name == 'annotated' else value[:N - 2] for name, value in counts.items()} for counts in (one, other)]
    expected = compare_systems({'a': cut[0], 'b': cut[1]}, resamples=R)
    assert found.pop('notes')[0].startswith('compared are the 22 photographs of all systems') and expected.pop('notes') == []
    assert found == expected
    nothing = make_system(2, ids=[f'other{n}' for n in range(N)])[0]
    with pytest.raises(ValueError, match='no photograph is of all systems'):
      compare_systems({'a': one, 'b': nothing}, shared=True)

  def test_other_lesions_are_refused_or_those_of_both_are_compared(self):
    (one, *_), (other, *_) = make_system(1), make_system(2, annotated=('CWS', 'MA', 'NV'))
    with pytest.raises(ValueError, match='not evaluated on the same lesions: all on MA, CWS, a also on iHE; b also on NV'):
      compare_systems({'a': one, 'b': other}, resamples=R)
    found = compare_systems({'a': one, 'b': other}, shared=True, resamples=R)
    assert found['lesions'] == ['MA', 'CWS']
    few = [counts | {'annotated': np.array(['MA', 'CWS'])} for counts in (one, other)]
    assert found['differences'] == compare_systems(dict(zip('ab', few, strict=True)), resamples=R)['differences']

  def test_a_network_of_grades_alone_is_compared_by_its_grades(self):
    (one, *_), (other, *_) = make_system(1), make_system(2)
    grader = {name: other[name] for name in ('confusion', 'id', 'patient')} | {'annotated': np.array([], np.str_)}
    with pytest.raises(ValueError, match='all on none, a also on MA, iHE, CWS'):
      compare_systems({'a': one, 'b': grader})
    found = compare_systems({'a': one, 'b': grader}, shared=True, resamples=R)
    assert set(found['systems']['b']) == set(found['systems']['a']) == {'kappa', 'accuracy'}
    lesions = {name: value for name, value in one.items() if name != 'confusion'}
    with pytest.raises(ValueError, match='nothing in common'):
      compare_systems({'a': lesions, 'b': grader}, shared=True)

  def test_photographs_of_one_id_with_other_ground_truth_are_refused(self):
    one, *_ = make_system(1)
    with pytest.raises(ValueError, match=r'photographs of one id with other grades: \d+ of 24 \(photo\d+: DR\d against DR\d\)'):
      compare_systems({'a': one, 'b': make_system(2, make_truth(9))[0]})
    ungraded = lambda counts: {name: value for name, value in counts.items() if name != 'confusion'}
    with pytest.raises(ValueError, match='with other lesions'):
      compare_systems({'a': ungraded(one), 'b': ungraded(make_system(2, make_truth(9))[0])})

  def test_other_sizes_are_said(self):
    (one, *_), (other, *_) = make_system(1), make_system(2)
    larger = other | {f'pixel_{kind}': 4 * other[f'pixel_{kind}'] for kind in ('tp', 'fp', 'fn')}
    note, = compare_systems({'a': one, 'b': larger}, resamples=R)['notes']
    assert 'at different sizes' in note
    lost = dict(larger)
    row = int(np.flatnonzero(lost['image_fn'][:, COLUMNS[0]])[0])
    lost['image_fn'], lost['image_tn'] = lost['image_fn'].copy(), lost['image_tn'].copy()
    lost['image_fn'][row, COLUMNS[0]], lost['image_tn'][row, COLUMNS[0]] = 0, 1
    assert '1 pairs of photograph and lesion' in compare_systems({'a': one, 'b': lost}, resamples=R)['notes'][0]

  def test_a_lesion_that_smaller_masks_have_lost_altogether_is_in_no_mean(self):
    """The mean of the one would be over three lesions, that of the other over two."""
    truth, grades = make_truth()
    truth[:, COLUMNS[2]] = np.arange(N) == 5
    small = truth.copy()
    small[:, COLUMNS[2]] = False
    one, other = make_system(1, (truth, grades))[0], make_system(1, (small, grades))[0]
    found = compare_systems({'a': one, 'b': other}, resamples=R, swaps=20)
    assert found['lesions'] == ['MA', 'iHE'] and any('not compared: CWS, of which' in note for note in found['notes'])
    assert found['differences']['b']['mean_image_f1']['difference'] == 0

  @pytest.mark.parametrize(('lacking', 'said'), [('id', 'which photographs'), ('annotated', 'which lesions')])
  def test_counts_that_do_not_say_of_what_they_are_are_refused(self, lacking, said):
    (one, *_), (other, *_) = make_system(1), make_system(2)
    with pytest.raises(ValueError, match=f'the counts of b do not say {said}'):
      compare_systems({'a': one, 'b': {name: value for name, value in other.items() if name != lacking}})

  def test_one_system_is_no_comparison(self):
    with pytest.raises(ValueError, match='two systems or more; got a'):
      compare_systems({'a': make_system(1)[0]})

  def test_names_that_occur_twice_need_one_order(self):
    ids = ['photo0', *(f'photo{n}' for n in range(N - 1))]
    (one, *_), (other, *_) = make_system(1, ids=ids), make_system(2, ids=ids)
    assert compare_systems({'a': one, 'b': other}, resamples=R)['images'] == N
    turned = {name: value if name == 'annotated' else value[::-1] for name, value in other.items()}
    with pytest.raises(ValueError, match='a has two photographs of one id'):
      compare_systems({'a': one, 'b': turned}, resamples=R)


class TestGrades:

  def test_they_agree_as_scikit_learn_says_with_intervals_of_a_bootstrap_written_out(self):
    rng = np.random.default_rng(0)
    graded, owners = rng.integers(0, 5, N), OWNERS
    predicted = np.clip(graded + rng.integers(-2, 3, N), 0, 4)
    found = compare_grades(graded, predicted, patient=owners, resamples=R, seed=SEED)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    scores = {'kappa': lambda a, b: cohen_kappa_score(a, b, weights='quadratic'), 'accuracy': accuracy_score,
              'sensitivity': lambda a, b: recall_score(a >= 2, b >= 2), 'specificity': lambda a, b: recall_score(a < 2, b < 2)}
    for name, score in scores.items():
      assert found[name] == {'value': pytest.approx(score(graded, predicted)), 'reason': None, 'interval': ends(
          [score(graded[rows], predicted[rows]) for rows in draws()])}, name
    assert found['confusion'] == confusion_matrix(graded, predicted, labels=range(5)).tolist()
    assert (found['images'], found['patients']) == (N, N // 2)

  def test_those_on_which_they_differ_come_the_furthest_first(self):
    found = compare_grades(np.array([0, 1, 2, 3, 4, -1, 0]), np.array([0, 2, 2, 0, 3, 4, -1]), resamples=R)
    assert found['different'] == [3, 1, 4] and found['images'] == 5 and found['patients'] is None

  def test_what_is_undefined_says_why(self):
    found = compare_grades(np.array([0, 0]), np.array([0, 0]), resamples=R)
    assert found['kappa']['value'] is None and 'one and the same grade' in found['kappa']['reason']
    assert found['sensitivity'] == {'value': None, 'reason': 'no image has referable DR', 'interval': None}
    assert found['specificity']['interval'] == [1, 1] and found['different'] == []

  @pytest.mark.parametrize(('graded', 'predicted', 'said'), [
      ([0, 5], [0, 1], 'graded: expected grades'), ([0, 1], [0.5, 1], 'predicted: expected grades'),
      ([0], [0, 1], 'got 1 graded, 2 predicted'), ([-1, 1], [1, -1], 'no image has')])
  def test_what_is_no_pair_of_grades_is_refused(self, graded, predicted, said):
    with pytest.raises(ValueError, match=said):
      compare_grades(np.array(graded), np.array(predicted))
