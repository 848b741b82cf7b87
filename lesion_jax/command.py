"""What the command line says when its user made a mistake: one line, and no traceback."""

from __future__ import annotations

import contextlib
import os
import re
import runpy
import sys
from collections.abc import Iterator, Mapping

from absl import app, flags, logging
from ml_collections import ConfigDict

BAD_INPUT = 2  # exit status, as of absl and argparse for a flag that cannot be parsed
_OVERRIDE = re.compile(r'--?(?:no)?config\.([\w.]+)')


@contextlib.contextmanager
def one_line_errors(*kinds: type[Exception], status: int = BAD_INPUT) -> Iterator[None]:
  """Ends the program with `error: ...` and `status` where the body raises one of `kinds`.

  Put it around what checks input, not around all of a program: elsewhere a ValueError is a bug, whose traceback is
  wanted. With --verbosity=1 the traceback is shown here too.
  """
  try:
    yield
  except kinds as error:
    logging.debug('the error below was raised here', exc_info=True)
    print(f'error: {error}', file=sys.stderr, flush=True)
    sys.exit(status)


def parse_flags(argv: list[str]) -> list[str]:
  """absl's flag parsing for `app.run(main, flags_parser=parse_flags)`; an unknown key of --config lists the valid ones.

  Returns:
    What is left of `argv`.
  """
  if message := _broken_config(argv):
    print(f'error: {message}', file=sys.stderr, flush=True)
    sys.exit(BAD_INPUT)
  try:
    return app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError, TypeError):  # what config_flags raises for a key that is not there
    if not (message := _unknown_key(argv)):
      raise
    print(f'error: {message}', file=sys.stderr, flush=True)
    sys.exit(BAD_INPUT)


def _files(argv: list[str]) -> list[str]:
  """The values of --config."""
  words = [word for arg in argv for word in arg.split('=', 1)]
  return [value for flag, value in zip(words, words[1:], strict=False) if flag in ('--config', '-config')]


def _broken_config(argv: list[str]) -> str | None:
  """What is wrong with the file of --config, or its argument after the colon; None where it can be loaded."""
  if not (files := _files(argv)):
    return None
  shown, _, argument = files[-1].partition(':')
  if not os.path.isfile(shown):
    return f'--config={shown}: there is no such file; name a file of configs/, such as configs/multitask.py'
  try:
    found = runpy.run_path(shown)['get_config'](*([argument] if ':' in files[-1] else []))
  except Exception as error:  # noqa: BLE001. It is a program.
    said = next(iter(str(error).strip().splitlines()), type(error).__name__).partition(' Other fields present')[0]
    if isinstance(error, ModuleNotFoundError) and (error.name or '').partition('.')[0] in ('configs', 'experiments'):
      said += (f'; {error.name} lies in the clone of lesion_jax and is not installed: start the command there, or set '
               'PYTHONPATH to it')
    elif isinstance(error, KeyError) and error.args == ('get_config',):
      said = 'it has no function get_config()'
    elif renamed := [key for key in _renamed() if f'"{key}"' in said and isinstance(error, AttributeError | KeyError)]:
      said = f'the key {renamed[0]} is called {_renamed()[renamed[0]]} now'
    elif not isinstance(error, ValueError | OSError):
      said = f'{type(error).__name__}: {said}'
    return f'--config={files[-1]}: {said}'
  if not isinstance(found, ConfigDict):
    return f'--config={files[-1]}: get_config() returns {type(found).__name__}, not a ConfigDict'
  return None


def _renamed() -> Mapping[str, str]:
  from lesion_jax.stages.added import RENAMED  # only where something is wrong: it takes JAX along
  return RENAMED


def _unknown_key(argv: list[str]) -> str | None:
  """What is wrong with the first override --config.KEY that the configuration does not have."""
  files = _files(argv)
  config = flags.FLAGS['config'].parser.parse(files[-1]) if files else ConfigDict()
  for arg in argv:
    if override := _OVERRIDE.match(arg):
      node, above = config, 'config'
      for key in override[1].split('.'):
        if not isinstance(node, ConfigDict):
          return f'--config.{override[1]}: {above} is the value {node!r} and has no keys'
        if key not in node:
          if key in _renamed():
            return f'--config.{override[1]}: {above}.{key} is called {_renamed()[key]} now'
          return f'--config.{override[1]}: {above} has no key {key!r}; its keys are {", ".join(node)}'
        node, above = node[key], f'{above}.{key}'
  return None
