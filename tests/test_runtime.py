"""The compiler option for CPUs is used only where it is known."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lesion_jax import runtime


@pytest.fixture
def no_cache():
  runtime.compiler_options.cache_clear()
  yield
  runtime.compiler_options.cache_clear()


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch, no_cache):
  monkeypatch.setattr(runtime, 'CPU_OPTIONS', {'xla_cpu_of_another_time': 'YES'})
  assert runtime.compiler_options('cpu') is None


def test_the_option_is_for_cpus_alone(no_cache):
  assert runtime.compiler_options('cpu') in (None, runtime.CPU_OPTIONS)
  assert runtime.compiler_options('gpu') is None


@pytest.mark.parametrize('reduce', [jnp.max, jnp.min, jnp.sum])
@pytest.mark.parametrize('axis', [(1, 2), -1, None])
def test_with_the_options_nan_stays_nan(reduce, axis):
  """XLA's own default loses it: a network of NaN would say 'no lesion'."""
  values = np.random.default_rng(0).normal(size=(2, 40, 40, 8)).astype(np.float32)
  values[0, 3, 4, 2] = values[1, :, :, 5] = np.nan
  found = jax.jit(lambda x: reduce(x, axis), compiler_options=runtime.compiler_options('cpu'))(values)
  expected = {jnp.max: np.max, jnp.min: np.min, jnp.sum: np.sum}[reduce](values, axis)
  np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
  assert np.isnan(expected).any()


class TestCache:

  @pytest.fixture
  def choose(self, monkeypatch):
    """`choose(folder)`: as in a process that was started with the folder in its environment."""
    before = jax.config.jax_compilation_cache_dir

    def chosen(folder):
      monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(folder))
      jax.config.update('jax_compilation_cache_dir', str(folder))

    yield chosen
    jax.config.update('jax_compilation_cache_dir', before)

  @pytest.mark.parametrize('mode', [0o777, 0o770, 0o703, 0o1777])
  def test_a_folder_that_others_may_write_is_not_used(self, choose, tmp_path, mode):
    (tmp_path / 'cache').mkdir()
    (tmp_path / 'cache').chmod(mode)
    choose(tmp_path / 'cache')
    with pytest.warns(UserWarning, match='others may write there, and what lies there is run. Do `chmod go-w`'):
      runtime.use_cache()
    assert not jax.config.jax_compilation_cache_dir

  @pytest.mark.parametrize('mode', [0o700, 0o755])
  def test_ones_own_is(self, choose, tmp_path, mode):
    (tmp_path / 'cache').mkdir()
    (tmp_path / 'cache').chmod(mode)
    choose(tmp_path / 'cache')
    runtime.use_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'cache')

  def test_what_one_process_makes_the_next_one_uses_whatever_the_umask(self, choose, tmp_path):
    before = os.umask(0o002)
    try:
      for _ in range(2):
        choose(tmp_path / 'home' / 'cache')
        runtime.use_cache()
        (tmp_path / 'home' / 'cache').mkdir(exist_ok=True)  # as JAX does
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'home' / 'cache')
    finally:
      os.umask(before)

  def test_one_that_is_still_to_be_made_is_judged_by_the_folder_around_it(self, tmp_path):
    assert runtime.is_private(tmp_path / 'a' / 'b')
    (tmp_path / 'open').mkdir()
    (tmp_path / 'open').chmod(0o777)
    assert not runtime.is_private(tmp_path / 'open' / 'b')
    (tmp_path / 'open').chmod(0o1777)  # as /tmp: what is made there stays its maker's
    assert runtime.is_private(tmp_path / 'open' / 'b')

  def test_what_the_program_around_it_chose_stays(self, choose, tmp_path, monkeypatch):
    (tmp_path / 'cache').mkdir()
    (tmp_path / 'cache').chmod(0o777)
    choose(tmp_path / 'cache')
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
    runtime.use_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'cache')
