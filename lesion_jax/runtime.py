"""What a program sets up before its first computation: the compilation cache, options of the compiler, and several
processes."""

from __future__ import annotations

import functools
import os
import pathlib

import jax

# XLA's default on CPU sends convolutions too to the library that is named here for matrix products and reductions, where
# they are slower. What this gains in training is in experiments/results/benchmark/train.md: 'JAX as it is' is without it.
CPU_OPTIONS = {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE'}


@functools.cache
def compiler_options(platform: str) -> dict[str, str] | None:
  """CPU_OPTIONS on a CPU whose XLA knows them, else None: the option is experimental and may go with any release."""
  if platform != 'cpu':
    return None
  try:
    with jax.default_device(jax.local_devices(backend='cpu')[0]):
      jax.jit(lambda x: x + 1, compiler_options=CPU_OPTIONS).lower(1.0).compile()
  except jax.errors.JaxRuntimeError:
    return None
  return CPU_OPTIONS


def cache_dir() -> pathlib.Path:
  """Where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, else $XDG_CACHE_HOME/lesion_jax, else
  ~/.cache/lesion_jax. Safe to delete."""
  if chosen := os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return pathlib.Path(chosen)
  return pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache') / 'lesion_jax'


def set_up(coordinator: str | None = None, processes: int | None = None, process: int | None = None) -> None:
  """Turns on the compilation cache and, where a coordinator is named, joins the other processes.

  Args:
    coordinator: host:port of the first process; None for a single process.
    processes: how many there are.
    process: which one this is, from 0.

  Raises:
    ValueError: only some of the three are given.
  """
  given = [value is not None for value in (coordinator, processes, process)]
  if any(given) and not all(given):
    raise ValueError('several processes need all of --coordinator, --processes and --process')
  if all(given):
    jax.distributed.initialize(coordinator, processes, process)
  use_cache()


def use_cache() -> None:
  """Turns on JAX's cache of compiled programs in `cache_dir`, for the whole process, unless it has a place already.

  A program that must not keep any sets `jax_enable_compilation_cache` to False. What lies in the cache is trusted: a
  folder that others may write to is no place for it.
  """
  if not jax.config.jax_compilation_cache_dir:
    jax.config.update('jax_compilation_cache_dir', str(cache_dir()))
