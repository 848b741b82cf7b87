"""The compiler option for CPUs is used only where it is known."""

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
