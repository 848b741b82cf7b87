"""Cross entropy of grades against scikit-learn's log loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from lesion_jax.core import Outputs
from lesion_jax.losses.grading import grade_cross_entropy_loss, grade_sums


def test_equals_log_loss_of_the_graded_images(outputs, targets):
  known = np.asarray(targets.grade) >= 0
  probabilities = np.asarray(jax.nn.softmax(outputs.grades))[known]
  expected = log_loss(np.asarray(targets.grade)[known], probabilities / probabilities.sum(1, keepdims=True),
                      labels=range(5))
  np.testing.assert_allclose(grade_cross_entropy_loss(outputs.grades, targets.grade), expected, rtol=1e-6)


def test_ungraded_images_have_no_gradient(outputs, targets):
  gradient = jax.grad(grade_cross_entropy_loss)(outputs.grades, targets.grade)
  np.testing.assert_array_equal(np.any(gradient, axis=1), np.asarray(targets.grade) >= 0)


def test_an_ungraded_image_may_have_any_logits(outputs, targets):
  broken = outputs.grades.at[2].set(jnp.nan)
  loss, gradient = jax.value_and_grad(grade_cross_entropy_loss)(broken, targets.grade)
  assert loss == grade_cross_entropy_loss(outputs.grades, targets.grade)
  np.testing.assert_array_equal(gradient[2], 0)


def test_no_grade_at_all_is_zero_with_zero_gradient(outputs):
  loss, gradient = jax.value_and_grad(grade_cross_entropy_loss)(outputs.grades, jnp.full(8, -1))
  assert loss == 0
  np.testing.assert_array_equal(gradient, 0)


def test_bfloat16_logits_are_summed_in_float32(outputs, targets):
  loss = grade_cross_entropy_loss(outputs.grades.astype(jnp.bfloat16), targets.grade)
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, grade_cross_entropy_loss(outputs.grades, targets.grade), rtol=1e-2)


def test_a_network_without_grades_is_told_so(targets):
  with pytest.raises(ValueError, match='needs outputs.grades'):
    grade_sums(Outputs(), targets)
