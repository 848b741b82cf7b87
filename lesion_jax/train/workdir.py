"""A working directory belongs to one configuration."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import traverse_util

from lesion_jax import locking

NAME = 'config.json'
ABSENT = '(absent)'
Compare = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, tuple[Any, Any]]]


def differing(
    then: Mapping[str, Any], now: Mapping[str, Any], added: Mapping[str, Any] | None = None,
) -> dict[str, tuple[Any, Any]]:
  """What differs between a stored configuration and another.

  Args:
    then: nested, as read from JSON.
    now: nested, of JSON values; a tuple counts as a list.
    added: of keys with dots that `then` may lack, having been stored before there were such keys, the value that it is
      then taken to have.

  Returns:
    key with dots -> (there, now), in alphabetical order; ABSENT for a key that is not there.
  """
  then, now, added = _flat(then), _flat(now), _flat(added or {})
  before = {key: then.get(key, added.get(key, ABSENT)) for key in then.keys() | now.keys()}
  return {key: (value, now.get(key, ABSENT)) for key, value in sorted(before.items()) if value != now.get(key, ABSENT)}


def claim_workdir(
    workdir: str | pathlib.Path, config: Mapping[str, Any], compare: Compare = differing,
) -> None:
  """Writes the configuration into the directory, or checks that it is the one already there.

  A directory with nothing but a configuration in it holds no run yet, so a mistake put right there is no conflict.

  Args:
    workdir: created when missing.
    config: nested, of JSON values.
    compare: `(stored configuration, config) -> what differs`, as `differing` returns it.

  Raises:
    ValueError: the directory holds a run of another configuration; the message names the keys that differ.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / NAME
  if path.exists() and any(other.name not in (NAME, locking.NAME) for other in workdir.iterdir()):
    try:
      theirs = json.loads(path.read_text())
    except ValueError as error:
      raise ValueError(f'{path} is not readable JSON ({error}); remove it, or choose another --workdir') from error
    if found := compare(theirs, config):
      shown = '\n'.join(f'  {key}: {there!r} there, {ours!r} now' for key, (there, ours) in found.items())
      raise ValueError(f'{workdir} holds a run of another configuration:\n{shown}\n'
                       'Use the same configuration to go on with it, or another --workdir.')
  elif jax.process_index() == 0:
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(config, indent=2, sort_keys=True))
    temporary.replace(path)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
  return traverse_util.flatten_dict(json.loads(json.dumps(config)), sep='.', keep_empty_nodes=True)
