"""The vocabulary: lesions, grades, Table I, packed masks and targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from lesion_jax import core

# Table I of the paper as printed: grade -> lesions that are sufficient, lesions that are indirect evidence.
TABLE_I = {
    1: ({'MA'}, set()),
    2: ({'iHE'}, {'HaEx'}),
    3: ({'iHE'}, {'CWS'}),
    4: ({'NV', 'vHE', 'pHE'}, {'FiP'}),
}


class TestVocabulary:

  def test_lesions_stand_in_the_order_of_table_ii(self):
    assert core.LESION_KEYS == ('MA', 'iHE', 'HaEx', 'CWS', 'vHE', 'pHE', 'NV', 'FiP')

  def test_eight_lesions_fill_one_byte(self):
    assert core.NUM_LESIONS == 8
    assert core.lesion_bits(core.LESION_KEYS) == 255

  def test_every_lesion_and_grade_has_a_name_of_its_own(self):
    for entries in (core.LESIONS, core.GRADES):
      assert len({entry.key for entry in entries}) == len({entry.name for entry in entries}) == len(entries)

  def test_grades_are_numbered_by_their_key(self):
    assert core.GRADE_KEYS == tuple(f'DR{number}' for number in range(5))

  @pytest.mark.parametrize('index, key', list(enumerate(core.LESION_KEYS)))
  def test_index_and_bit_of_a_lesion_agree(self, index, key):
    assert core.lesion_index(key) == index
    assert core.lesion_bits([key]) == 1 << index

  def test_a_lesion_named_twice_counts_once(self):
    assert core.lesion_bits(['CWS', 'MA', 'CWS']) == 0b1001
    assert core.lesion_bits([]) == 0

  @pytest.mark.parametrize('lookup', [core.lesion_index, lambda key: core.lesion_bits(['MA', key])])
  def test_unknown_lesion_lists_the_known_ones(self, lookup):
    with pytest.raises(ValueError, match="unknown lesion 'ma'; the lesions are MA, iHE, HaEx, CWS, vHE, pHE, NV, FiP"):
      lookup('ma')


class TestTableI:

  @pytest.mark.parametrize('grade', TABLE_I)
  def test_evidence_for_each_grade_is_the_papers(self, grade):
    found = [entry for entry in core.EVIDENCE if entry.grade == grade and entry.lesion]
    sufficient, indirect = TABLE_I[grade]
    assert {entry.lesion for entry in found if entry.sufficient} == sufficient
    assert {entry.lesion for entry in found if not entry.sufficient} == indirect

  def test_every_lesion_is_evidence_for_some_grade(self):
    assert {entry.lesion for entry in core.EVIDENCE} - {None} == set(core.LESION_KEYS)

  def test_only_the_two_findings_that_the_paper_leaves_out_have_no_lesion(self):
    left_out = [entry.finding for entry in core.EVIDENCE if entry.lesion is None]
    assert len(left_out) == 2
    assert 'venous beading' in left_out[0]
    assert 'IrMA' in left_out[1]

  def test_severe_needs_more_than_twenty_hemorrhages_a_quadrant(self):
    assert core.SEVERE_HEMORRHAGES == 20


class TestBits:

  @pytest.mark.parametrize('shape', [(), (3,), (2, 5, 4)])
  def test_bit_j_goes_to_index_j(self, shape):
    packed = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    unpacked = core.unpack_bits(packed)
    assert unpacked.shape == (*shape, 8)
    assert unpacked.dtype == bool
    for j in range(8):
      np.testing.assert_array_equal(unpacked[..., j], packed // 2**j % 2 == 1)

  def test_every_byte_is_read_as_numpy_writes_it(self):
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(np.packbits(core.unpack_bits(every), axis=-1, bitorder='little')[..., 0], every)

  def test_numpy_stays_numpy_and_jax_stays_jax(self):
    packed = np.array([1, 128], np.uint8)
    assert isinstance(core.unpack_bits(packed), np.ndarray)
    assert isinstance(core.unpack_bits(packed[0]), np.ndarray)
    assert isinstance(core.unpack_bits(jnp.asarray(packed)), jax.Array)

  def test_jax_unpacks_as_numpy_does_also_under_jit(self):
    packed = np.random.default_rng(1).integers(0, 256, (2, 3, 3)).astype(np.uint8)
    np.testing.assert_array_equal(jax.jit(core.unpack_bits)(packed), core.unpack_bits(packed))


class TestTargets:

  def batch(self):
    """Three rows of 2x2 pixels: an ordinary one, one that annotates four lesions, one that only pads."""
    rng = np.random.default_rng(2)
    return {
        'lesions': rng.integers(0, 256, (3, 2, 2)).astype(np.uint8),
        'ignore': rng.integers(0, 256, (3, 2, 2)).astype(np.uint8),
        'annotated': np.array([255, core.lesion_bits(['MA', 'iHE', 'HaEx', 'CWS']), 255], np.uint8),
        'grade': np.array([4, core.UNKNOWN_GRADE, 3], np.int32),
        'weight': np.array([1, 1, 0], np.float32),
    }

  def test_scored_is_annotated_and_not_ignored_and_not_padding(self):
    batch = self.batch()
    scored = np.asarray(jax.jit(core.unpack_targets)(batch).scored)
    for row, i, k, j in np.ndindex(3, 2, 2, 8):
      expected = (batch['annotated'][row] >> j & 1) and not batch['ignore'][row, i, k] >> j & 1 and row != 2
      assert scored[row, i, k, j] == expected

  def test_lesions_are_the_bits_whether_scored_or_not(self):
    batch = self.batch()
    np.testing.assert_array_equal(core.unpack_targets(batch).lesions, core.unpack_bits(batch['lesions']))

  def test_padding_has_no_grade(self):
    np.testing.assert_array_equal(core.unpack_targets(self.batch()).grade, [4, -1, -1])


class TestOutputs:

  def test_probabilities_are_sigmoids_and_a_softmax(self):
    rng = np.random.default_rng(3)
    maps, lesions, grades = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 4, 4, 8), (2, 8), (2, 5)))
    prediction = core.Outputs(maps, lesions, grades).probabilities()
    np.testing.assert_allclose(prediction.maps, 1 / (1 + np.exp(-maps)), rtol=1e-5)
    np.testing.assert_allclose(prediction.lesions, 1 / (1 + np.exp(-lesions)), rtol=1e-5)
    np.testing.assert_allclose(prediction.grades, np.exp(grades) / np.exp(grades).sum(-1, keepdims=True), rtol=1e-5)

  def test_a_head_that_is_absent_stays_absent(self):
    assert core.Outputs(grades=np.zeros((1, 5), np.float32)).probabilities().maps is None
    assert core.Outputs(lesions=np.zeros((1, 8), np.float32)).probabilities().grades is None

  def test_attention_is_averaged_over_its_channels(self):
    attention = np.random.default_rng(0).random((2, 3, 3, 7), np.float32)
    np.testing.assert_allclose(
        core.Outputs(attention=attention).probabilities().attention, attention.mean(-1), rtol=1e-6)


class TestLargest:

  @pytest.mark.parametrize('axis', [0, 1, -1])
  def test_it_is_the_maximum_and_all_of_the_gradient_goes_to_the_first_place_where_it_is(self, axis):
    x = np.random.default_rng(4).integers(0, 4, (5, 6, 7)).astype(np.float32)  # with many ties
    found, back = jax.vjp(lambda x: core.largest(x, axis), x)
    np.testing.assert_array_equal(found, x.max(axis))
    given = np.random.default_rng(5).normal(size=found.shape).astype(np.float32)
    expected = np.zeros_like(x)
    np.put_along_axis(expected, np.expand_dims(x.argmax(axis), axis), np.expand_dims(given, axis), axis)
    np.testing.assert_array_equal(back(given)[0], expected)

  def test_its_gradient_does_not_look_for_values_that_are_equal(self):
    """Values that are computed a second time may be rounded otherwise, and none be equal to the maximum."""
    program = jax.make_jaxpr(jax.grad(lambda x: core.largest(x, 1).sum()))(np.ones((2, 3), np.float32))
    floats = [each for each in _equations(program.jaxpr) if each.primitive.name == 'eq'
              and any(jnp.issubdtype(operand.aval.dtype, jnp.floating) for operand in each.invars)]
    assert not floats

  def test_what_is_not_a_number_stays_so(self):
    assert np.isnan(core.largest(jnp.array([1.0, np.nan, 3.0]), 0))


def _equations(jaxpr):
  for equation in jaxpr.eqns:
    yield equation
    for inner in jaxprs_in_params(equation.params):
      yield from _equations(inner)
