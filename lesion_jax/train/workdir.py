"""A working directory belongs to one configuration."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import traverse_util

from lesion_jax import locking
from lesion_jax.whole import whole

NAME = 'config.json'
ABSENT = '(absent)'
PUT_BACK = (f'put back the {NAME} of that run (its command, begun in another --workdir, writes the same), or choose another '
            '--workdir')
Compare = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, tuple[Any, Any]]]
MayDiffer = Callable[[str, Any, Any], bool | str]


def differing(
    then: Mapping[str, Any], now: Mapping[str, Any], added: Mapping[str, Any] | None = None,
) -> dict[str, tuple[Any, Any]]:
  """Returns what differs between a stored configuration and another.

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
    may_differ: MayDiffer = lambda key, there, now: False,
) -> dict[str, tuple[Any, Any]]:
  """Writes the configuration into the directory, or checks that it is the one already there.

  A directory with nothing but a configuration in it holds no run yet, so a mistake put right there is no conflict.

  Args:
    workdir: created when missing.
    config: nested, of JSON values.
    compare: `(stored configuration, config) -> what differs`, as `differing` returns it.
    may_differ: `(key with dots, value there, value now)` -> whether the run is resumed all the same; in the place of
      False it may say why not. Where nothing else differs the run is resumed, and the new configuration is written
      down.

  Returns:
    What differs and may.

  Raises:
    ValueError: the directory holds a run of another configuration; the message names the keys that differ and what may
      be done. Or it holds checkpoints, and the configuration is gone or cannot be read.
  """
  workdir = pathlib.Path(workdir)
  path = workdir / NAME
  if path.exists() and any(other.name not in (NAME, locking.NAME) for other in workdir.iterdir()):
    try:
      if not isinstance(theirs := json.loads(path.read_text()), dict):
        raise ValueError('no object')
    except ValueError as error:
      raise ValueError(f'{path} is not readable JSON ({error}); {PUT_BACK}') from error
    found = compare(theirs, config)
    verdicts = {key: may_differ(key, *both) for key, both in found.items()}
    if serious := {key: both for key, both in found.items() if verdicts[key] is not True}:
      shown = '\n'.join(f'  {key}: {there!r} there, {ours!r} now' + (f' ({verdicts[key]})' if verdicts[key] else '')
                        for key, (there, ours) in serious.items())
      raise ValueError(f'{workdir} holds a run of another configuration:\n{shown}\n'
                       f'Use the same configuration to resume it, or another --workdir.{_from_here(workdir, config, serious)}')
    if found:
      _write(path, config)
    return found
  if not path.exists() and (begun := next(workdir.glob('*/checkpoints/[0-9]*'), None)):
    raise ValueError(f'{workdir} has checkpoints ({begun.relative_to(workdir)}) and no {NAME} that says of which configuration they '
                     f'are; {PUT_BACK}')
  _write(path, config)
  return {}


def _from_here(workdir: pathlib.Path, config: Mapping[str, Any], serious: Mapping[str, Any]) -> str:
  """How a run with other settings begins with what this one has learned, in sentences after a blank."""
  stages = [stage for stage in dict.fromkeys(key.partition('.')[0] for key in serious) if isinstance(config.get(stage), Mapping)]
  said = []
  for stage in stages:
    bundle = workdir / stage / 'bundle'
    if bundle.is_dir():
      said.append(f'--config.{stage}.init={bundle}')
    elif (workdir / stage).is_dir():
      said.append(f'--config.{stage}.init={bundle}, which is there once this run has finished')
  return f' Another run begins with what this one has learned by {" and ".join(said)}.' if said else ''


def _write(path: pathlib.Path, config: Mapping[str, Any]) -> None:
  if jax.process_index() == 0:
    with whole(path) as fresh:
      fresh.write_text(json.dumps(config, indent=2, sort_keys=True))


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
  return traverse_util.flatten_dict(json.loads(json.dumps(config)), sep='.', keep_empty_nodes=True)
