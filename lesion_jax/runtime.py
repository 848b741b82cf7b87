"""What a program sets up before its first computation: compilation cache, options of the compiler, several processes."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import stat
import tempfile
import warnings

import jax

# XLA's default on CPU sends convolutions and reductions too to the library that is named here for matrix products.
# Convolutions are slower there, and its maxima and minima lose NaN: a network of NaN would answer 0, no lesion. What this
# gains in training is in experiments/results/benchmark/train.md: 'unmodified JAX' is without it.
CPU_OPTIONS = {'xla_cpu_experimental_ynn_fusion_type': 'LIBRARY_FUSION_TYPE_DOT'}


@functools.cache
def compiler_options(platform: str) -> dict[str, str] | None:
  """Returns CPU_OPTIONS on a CPU whose XLA knows them, else None: the option is experimental and may go with any
  release."""
  if platform != 'cpu':
    return None
  try:
    with jax.default_device(jax.local_devices(backend='cpu')[0]):
      jax.jit(lambda x: x + 1, compiler_options=CPU_OPTIONS).lower(1.0).compile()
  except jax.errors.JaxRuntimeError:
    return None
  return CPU_OPTIONS


def devices() -> list[jax.Device]:
  """Returns JAX's devices, those of its default platform.

  Raises:
    ValueError: JAX finds none, as where its variable JAX_PLATFORMS names what is not here.
  """
  try:
    return jax.devices()
  except (RuntimeError, AssertionError) as error:  # which of them depends on what is installed
    said = next(iter(str(error).splitlines()), '')
    raise ValueError(f'JAX finds no device: JAX_PLATFORMS is {os.environ.get("JAX_PLATFORMS", "")!r}{said and f" ({said})"}; unset it, or '
                     'install what it names') from error


def cache_dir() -> pathlib.Path:
  """Returns where compiled programs are kept: JAX_COMPILATION_CACHE_DIR, else $XDG_CACHE_HOME/lesion_jax, else
  ~/.cache/lesion_jax, or a folder of this user's among the temporary ones where there is no home. Safe to delete."""
  if chosen := os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return pathlib.Path(chosen)
  if chosen := os.environ.get('XDG_CACHE_HOME'):
    return pathlib.Path(chosen) / 'lesion_jax'
  try:
    return pathlib.Path.home() / '.cache' / 'lesion_jax'
  except RuntimeError:  # no HOME, and a user of whom the system knows nothing: a folder of its own, as in a container
    return pathlib.Path(tempfile.gettempdir()) / f'lesion_jax-{os.getuid() if hasattr(os, "getuid") else "cache"}'


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

  A program that must not keep any sets `jax_enable_compilation_cache` to False. What lies in the cache is run: a folder that
  others may write to is not used, and there is no cache then.

  Warns:
    UserWarning: such a folder was chosen.
  """
  configured = jax.config.jax_compilation_cache_dir
  if configured and (configured != os.environ.get('JAX_COMPILATION_CACHE_DIR') or '://' in configured):
    return  # the program around this library has chosen, or it is in no folder
  place = cache_dir()
  if not (make_private if jax.config.jax_enable_compilation_cache else is_private)(place):
    warnings.warn(f'{place} is not used for compiled programs: others may write there, and what lies there is run. Do `chmod '
                  'go-w` on it if it is yours, or set JAX_COMPILATION_CACHE_DIR to a folder of your own', stacklevel=2)
    jax.config.update('jax_compilation_cache_dir', None)
  elif not configured:
    jax.config.update('jax_compilation_cache_dir', str(place))


def make_private(folder: str | os.PathLike[str]) -> bool:
  """Makes a folder where there is none, for this user alone whatever the umask: by one of 002 the folder that one process makes would
  be refused by the next. Returns `is_private` of it; where it cannot be made, of the one around it."""
  path = pathlib.Path(folder)
  with contextlib.suppress(OSError):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700)
  return is_private(path)


def is_private(folder: str | os.PathLike[str]) -> bool:
  """Returns whether nobody but this user (and root) can put files into a folder, or could into the one that is made
  there: it belongs to one of them and is not writable for its group or others. Where systems know no such owners:
    True."""
  if not hasattr(os, 'geteuid'):
    return True
  try:
    found = os.stat(folder)
  except FileNotFoundError:
    parent = pathlib.Path(folder).absolute().parent
    while not parent.exists() and parent != parent.parent:
      parent = parent.parent
    found = parent.stat()
    if found.st_mode & stat.S_ISVTX:  # as /tmp: what is made there stays its maker's
      return True
  except OSError:
    return False
  return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
