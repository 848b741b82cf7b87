"""What a program sets up before its first computation: the compilation cache, and several processes."""

from __future__ import annotations

import os
import pathlib

import jax


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
