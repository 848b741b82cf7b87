"""A working directory belongs to one configuration."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from flax import traverse_util

NAME = 'config.json'


def claim_workdir(workdir: str | pathlib.Path, config: Mapping[str, Any]) -> None:
  """Writes the configuration into the directory, or checks that it is the one already there.

  A directory with nothing but a configuration in it holds no run yet, so a mistake put right there is no conflict.

  Args:
    workdir: created when missing.
    config: nested, of JSON values.

  Raises:
    ValueError: the directory holds a run of another configuration; the message names the keys that differ.
  """
  workdir = pathlib.Path(workdir)
  ours = _flat(json.loads(json.dumps(config)))
  path = workdir / NAME
  if path.exists() and any(other != path for other in workdir.iterdir()):
    try:
      theirs = _flat(json.loads(path.read_text()))
    except ValueError as error:
      raise ValueError(f'{path} is not readable JSON ({error}); remove it, or choose another --workdir') from error
    if differing := sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)):
      shown = '\n'.join(f'  {key}: {theirs.get(key, "(absent)")!r} there, {ours.get(key, "(absent)")!r} now'
                        for key in differing)
      raise ValueError(f'{workdir} holds a run of another configuration:\n{shown}\n'
                       'Use the same configuration to go on with it, or another --workdir.')
  elif jax.process_index() == 0:
    workdir.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix('.tmp')
    temporary.write_text(json.dumps(config, indent=2, sort_keys=True))
    temporary.replace(path)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
  return traverse_util.flatten_dict(config, sep='.', keep_empty_nodes=True)
