"""Traced programs kept between processes.

JAX keeps what it compiled, but each process traces the network anew before it can look for that, up to 2 s for the
multi-task network on two cores. Kept are the programs that predict one photograph on a CPU: a clinic starts such a
command often, a server with a GPU seldom.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.export

import lesion_jax
from lesion_jax import runtime
from lesion_jax.core import Prediction
from lesion_jax.whole import seal, unseal, whole

OURS = ('lesion_jax', 'jax')  # whose code is known by a digest, or by a version
FOLDER = 'programs'  # in the cache of compiled programs
PACKAGE = pathlib.Path(lesion_jax.__file__).parent

Program = Callable[[Any, Any], Prediction]


def find_place(models: Sequence[nn.Module], variables: Any, about: Any) -> pathlib.Path | None:
  """Returns where the program of networks is kept, by all that it depends on: them, the shapes of their arrays,
  `about`, and the versions of JAX and of every file of this library.

  Args:
    models: of the bundles.
    variables: of all of them.
    about: plain JSON: what is computed besides, and for what shape.

  Returns:
    None where it is not kept: JAX's cache is off, on no disk or where others may write, or a part of a network is not of
    this library, whose changes nobody would see.
  """
  cache = jax.config.jax_compilation_cache_dir
  if not cache or '://' in cache or not jax.config.jax_enable_compilation_cache:
    return None
  folder = pathlib.Path(cache, FOLDER)
  if not all(map(_is_ours, models)):
    return None
  if not (folder.exists() or runtime.is_private(cache)) or not runtime.make_private(folder):
    return None  # what lies there is run
  shapes = [(jax.tree_util.keystr(path), leaf.shape, str(leaf.dtype))
            for path, leaf in jax.tree_util.tree_leaves_with_path(variables)]
  versions = [jax.__version__, jax.lib.__version__, _digest_code(), jax.config.jax_enable_x64,
              jax.config.jax_default_matmul_precision]
  key = json.dumps([*versions, [repr(model) for model in models], shapes, about])
  return folder / hashlib.sha256(key.encode()).hexdigest()


def read(place: pathlib.Path | None) -> Program | None:
  """Returns the program, or None where there is none or it is damaged: what it says can be traced again."""
  if place is None:
    return None
  try:
    program = unseal(place.read_bytes())
  except OSError:
    return None
  if program is None:
    return None
  exported = jax.export.deserialize(bytearray(program))
  return lambda variables, images: Prediction(**exported.call(variables, images))


def keep(place: pathlib.Path | None, predict_fn: Program, variables: Any, images: Any) -> Program | None:
  """Keeps the program of `predict_fn`, pure, for these shapes; returns it, or None where it cannot be kept."""
  if place is None:
    return None

  def heads(variables: Any, images: Any) -> dict[str, Any]:
    found = traced(variables, images)
    return {name: head for name, head in vars(found).items() if head is not None}

  traced = jax.jit(predict_fn)  # at once, if it was traced for these shapes before
  data = jax.export.export(jax.jit(heads), platforms=['cpu'])(variables, images).serialize()
  try:
    with whole(place) as fresh:
      fresh.write_bytes(seal(data))
  except OSError:  # No place to keep it: every process traces for itself.
    return None
  return read(place)


def _is_ours(part: Any) -> bool:
  """Whether the code of a network and of all its fields is in this library, or in JAX."""
  if isinstance(part, nn.Module):
    fields = (getattr(part, name) for name in part.__dataclass_fields__ if name not in ('parent', 'name'))
    return _is_ours(type(part)) and all(map(_is_ours, fields))
  return not callable(part) or part.__module__.split('.')[0] in OURS


@functools.cache
def _digest_code() -> str:
  digest = hashlib.sha256()
  for path in sorted(PACKAGE.rglob('*.py')):
    digest.update(path.read_bytes())
  return digest.hexdigest()
