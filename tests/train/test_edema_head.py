"""The head of the risk of macular edema, against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lesion_jax.train.edema import FOLDS, PENALTIES, fit_edema


def photographs(count=90, channels=12, seed=0, noise=1.0):
  """Features [N, C] on scales of their own, risks, and two photographs a patient."""
  generator = np.random.default_rng(seed)
  edema = generator.integers(0, 3, count)
  centres = generator.normal(size=(3, channels))
  features = (centres[edema] + noise * generator.normal(size=(count, channels))) * generator.uniform(0.01, 30, channels) + 5
  return features.astype(np.float32), edema, [f'patient {number // 2}' for number in range(count)]


def probabilities(head, features):
  logits = features @ head.kernel + head.bias
  powers = np.exp(logits - logits.max(1, keepdims=True))
  return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize('penalty', [1.0, 100.0])
def test_it_is_logistic_regression_on_scaled_features_divided_by_a_temperature(penalty):
  features, edema, patients = photographs()
  head = fit_edema(features, edema, patients, penalties=(penalty,))
  deviations = features.std(0, dtype=np.float64)
  inputs = (features - features.mean(0, dtype=np.float64)) / np.sqrt(deviations ** 2 + np.median(deviations) ** 2)
  oracle = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(inputs, edema)
  logits = (inputs @ oracle.coef_.T + oracle.intercept_) / head.temperature
  expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  np.testing.assert_allclose(probabilities(head, features), expected, atol=2e-3)


@pytest.mark.parametrize('constant', [1, 9, 12], ids=['one', 'most', 'all'])
def test_features_that_never_change_say_nothing(constant):
  features, edema, patients = photographs(count=60)
  features[:, :constant] = np.linspace(0.1, 9.7, constant)  # of which sums and means are not exact
  head = fit_edema(features, edema, patients, penalties=(10.0,))
  assert np.isfinite(head.kernel).all() and np.isfinite(head.bias).all() and np.isfinite(head.held_out).all()
  np.testing.assert_allclose(head.kernel[:constant], 0, atol=1e-6)
  assert constant == 12 or np.abs(head.kernel[constant:]).max() > 1e-3


def test_features_that_are_no_numbers_are_refused():
  features, edema, patients = photographs(count=60)
  features[7, 3] = np.nan
  with pytest.raises(ValueError, match='features of 1 of 60 photographs are not numbers'):
    fit_edema(features, edema, patients)


def test_penalty_and_temperature_are_those_of_the_least_cross_entropy_of_held_out_photographs():
  features, edema, patients = photographs(noise=2.0)
  entropy = lambda head: -np.log(head.held_out[np.arange(len(edema)), edema]).mean()
  chosen = fit_edema(features, edema, patients)
  each = {penalty: entropy(fit_edema(features, edema, patients, penalties=(penalty,))) for penalty in PENALTIES}
  assert chosen.penalty == min(each, key=each.get)
  assert entropy(chosen) == pytest.approx(min(each.values()), rel=1e-6)
  for factor in (0.7, 1.4):  # another temperature is worse
    other = chosen.held_out ** (1 / factor)
    other /= other.sum(1, keepdims=True)
    assert -np.log(other[np.arange(len(edema)), edema]).mean() > entropy(chosen)


def test_photographs_of_one_patient_are_held_out_together():
  """Each patient's photographs are twins that no other patient's are like: who has seen one knows the other."""
  generator = np.random.default_rng(3)
  once = generator.normal(size=(60, 400))
  edema = np.repeat(generator.integers(0, 3, 60), 2)
  patients = np.repeat(np.arange(60), 2)
  by_patient = fit_edema(np.repeat(once, 2, axis=0), edema, patients.tolist(), penalties=(1.0,))
  by_photograph = fit_edema(np.repeat(once, 2, axis=0), edema, list(range(120)), penalties=(1.0,))
  right = lambda head: (head.held_out.argmax(1) == edema).mean()
  assert right(by_patient) < 0.6 < right(by_photograph)


def test_a_feature_that_hardly_ever_changes_gets_no_weight_beside_which_8_bits_keep_nothing():
  features, edema, patients = photographs()
  features[:, 4] = 7 + 1e-4 * (np.arange(len(edema)) == 3)
  kernel = fit_edema(features, edema, patients, penalties=(10.0,)).kernel
  step = np.abs(kernel).max(0) / 127
  rounded = np.round(kernel / step) * step
  assert np.abs((features - features.mean(0)) @ (rounded - kernel)).max() < 0.5


def test_a_feature_that_never_changes_says_nothing():
  features, edema, patients = photographs()
  features[:, 4] = 7
  head = fit_edema(features, edema, patients, penalties=(100.0,))
  assert np.isfinite(head.kernel).all() and not head.kernel[4].any()


@pytest.mark.parametrize('change, said', [
    (lambda f, e, p: (f[:-1], e, p), 'expected features'),
    (lambda f, e, p: (f, np.where(e == 1, 2, e), p), r'\[1\]'),
    (lambda f, e, p: (f, np.where(e == 1, -1, e), p), r'-1'),
    (lambda f, e, p: (f, e, ['one'] * len(p)), f'{FOLDS} patients')])
def test_what_cannot_be_fitted_is_refused(change, said):
  with pytest.raises(ValueError, match=said):
    fit_edema(*change(*photographs()))
