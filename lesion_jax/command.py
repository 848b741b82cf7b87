"""The command line of training: presets by name, help, and what is said when its user made a mistake: one line, no traceback."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
import pathlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from absl import app, flags, logging

from lesion_jax import plugins
from lesion_jax.extras import needs
from lesion_jax.keys import STAGES, describe_keys
from lesion_jax.models import BUILT_IN, get_settings

with needs('train'):
  from ml_collections import ConfigDict

BAD_INPUT = 2  # exit status, as of argparse for a flag that cannot be parsed
CONFIG, IMPORT = 'config', 'import'  # flags
NO_PRESETS = ('__init__', 'data')  # files of configs/ that are no configurations
_OVERRIDE = re.compile(r'--?(?:no)?config\.([\w.]+)')
_HELP = ('--help', '-help', '-h', '--helpshort', '-helpshort')


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
    _stop(str(error), status)


def parse_flags(argv: list[str]) -> list[str]:
  """Wraps absl's flag parsing for `app.run(main, flags_parser=parse_flags)`.

  Imports the modules of --import first, takes a preset by its name (--config=multitask, --config=idrid:cpu), lists the keys
  of the configuration for --help, and the valid ones where a key is unknown. A word that belongs to no flag is refused: an
  override without its dashes would change nothing.

  Returns:
    The name of the program alone.
  """
  with one_line_errors(ImportError):
    plugins.import_modules(_values(argv, IMPORT) if IMPORT in flags.FLAGS else [])
  argv = _with_presets(argv)
  if message := _broken_config(argv):
    _stop(message)
  if CONFIG in flags.FLAGS:
    flag = flags.FLAGS[CONFIG]
    flag.parser = cast(Any, _WithFields(flag.parser, argv))
  if any(arg in _HELP for arg in argv[1:]):
    print(help_text(argv))
    sys.exit(0)
  elsewhere = any(arg.lstrip('-').startswith(('help', 'flagfile')) for arg in argv[1:])  # absl's own
  if CONFIG in flags.FLAGS and not _values(argv, CONFIG) and not elsewhere:
    _stop(f'--config is missing: name a configuration, one of {", ".join(presets())} (as in --config=idrid:cpu), or a file; --help '
          'says more')
  try:
    left = app.parse_flags_with_usage(argv)
  except (AttributeError, KeyError, TypeError):  # what config_flags raises for a key that is not there
    if not (message := _unknown_key(argv)):
      raise
    _stop(message)
  if left[1:]:
    _stop(f'{shlex.join(left[1:])}: a flag begins with --, as in --config.segment.max_steps=800; these words belong to none')
  return left


def presets_folder() -> pathlib.Path:
  """Returns the folder of the configurations: configs/ of the clone, or what a wheel has of it."""
  clone = pathlib.Path(__file__).parents[1] / 'configs'
  return clone if (clone / 'common.py').is_file() else pathlib.Path(__file__).parent / 'presets' / 'configs'


def presets() -> dict[str, pathlib.Path]:
  """Returns the configurations that --config takes by name, and their files."""
  return {file.stem: file for file in sorted(presets_folder().glob('*.py')) if file.stem not in NO_PRESETS}


def help_text(argv: list[str]) -> str:
  """Returns what --help says: the flags of the program, and each key of the configuration with its value and its
  comment.

  Args:
    argv: with --config the values are those of that configuration.
  """
  files = _values(argv, CONFIG)
  config = flags.FLAGS[CONFIG].parser.parse(files[-1]) if files else None
  lines = [inspect.getdoc(sys.modules['__main__']) or '', '', flags.FLAGS.main_module_help().strip(), '',
           f'--config takes a file, or one of {", ".join(presets())} by name; an argument may follow a colon, as in idrid:cpu.',
           f'Keys of {files[-1] if files else "the configuration"}, set by --config.KEY=VALUE; STAGE is one of '
           f'{", ".join(STAGES)}:', '']
  for key in describe_keys((presets_folder() / 'common.py').read_text('utf-8')):
    value = (config and _value(config, key.name)) or key.value
    default = [] if value == key.value else [f'(default: {key.value})']  # of which the comment speaks
    lines += [f'  --config.{key.name}={value}', *(f'      {line}' for line in (*key.comment, *default))]
  return '\n'.join(lines)


def _value(config: ConfigDict, name: str) -> str | None:
  """The value of a key in a configuration, by stage where those that run differ; None where it has none."""
  stages = config.stages if name.startswith('STAGE.') else ('',)
  found = {}
  for stage in stages:
    node: Any = config
    for part in name.replace('STAGE', stage, 1).split('.'):
      node = node.get(part) if isinstance(node, ConfigDict) else None
    if node is not None:
      found[stage] = repr(node)
  if len(set(found.values())) > 1:
    return ', '.join(f'{value} ({stage})' for stage, value in found.items())
  return next(iter(found.values()), None)


class _WithFields:
  """The parser of --config, whose configurations have keys for the fields of networks of other packages."""

  def __init__(self, parser: Any, argv: list[str]) -> None:
    self._parser, self._argv = parser, argv

  def __getattr__(self, name: str) -> Any:
    return getattr(self._parser, name)

  def parse(self, argument: Any) -> Any:
    """Parses as `flags.ArgumentParser` does."""
    config = self._parser.parse(argument)
    if isinstance(config, ConfigDict):
      self._add_fields(config)
    return config

  def _add_fields(self, config: ConfigDict) -> None:
    """Keys for the fields of the networks that stages name, which lesion_jax itself does not have."""
    for name in STAGES:
      stage = config.get(name)
      if not isinstance(stage, ConfigDict) or not isinstance(model := stage.get('model'), ConfigDict):
        continue
      network = (_values(self._argv, f'{CONFIG}.{name}.model.name') or [model.get('name')])[-1]
      if network in BUILT_IN:
        continue
      try:
        fields = get_settings(network)
      except ValueError:  # an unknown name, which is said where it is used
        continue
      with model.unlocked():
        model.update({field: value for field, value in fields.items() if field not in model})


def _stop(message: str, status: int = BAD_INPUT) -> NoReturn:
  print(f'error: {message}', file=sys.stderr, flush=True)
  sys.exit(status)


def _values(argv: list[str], flag: str) -> list[str]:
  """The values that a flag is given, --flag=VALUE or --flag VALUE."""
  words = [word for arg in argv for word in arg.split('=', 1)]
  return [value for word, value in itertools.pairwise(words) if word in (f'--{flag}', f'-{flag}')]


def _with_presets(argv: list[str]) -> list[str]:
  """The arguments with the file of a preset in the place of its name. Configurations can then import `configs`."""
  folder = str(presets_folder().parent)
  if folder not in sys.path:
    sys.path.append(folder)  # a configuration of one's own begins with `from configs import common`
  known, result = presets(), []
  for position, arg in enumerate(argv):
    flag, equals, value = arg.partition('=')
    if not equals and position and argv[position - 1] in ('--config', '-config'):
      flag, value = '', arg
    elif flag not in ('--config', '-config') or not equals:
      result.append(arg)
      continue
    name, colon, argument = value.partition(':')
    if name in known and not os.path.isfile(name):
      sys.path.insert(0, folder)  # before a package of the current folder that is called `configs` too
      value = f'{known[name]}{colon}{argument}'
    result.append(f'{flag}{equals}{value}')
  return result


def _broken_config(argv: list[str]) -> str | None:
  """What is wrong with the file of --config, or its argument after the colon; None where it can be loaded."""
  if not (files := _values(argv, CONFIG)):
    return None
  shown, _, argument = files[-1].partition(':')
  if not os.path.isfile(shown):
    return (f'--config={shown}: there is no such file, and no such preset; name a file, such as configs/multitask.py in the '
            f'clone, or one of {", ".join(presets())}')
  try:
    found = runpy.run_path(shown)['get_config'](*([argument] if ':' in files[-1] else []))
  except Exception as error:  # noqa: BLE001 (it is a program)
    said = next(iter(str(error).strip().splitlines()), type(error).__name__).partition(' Other fields present')[0]
    if isinstance(error, ModuleNotFoundError) and (error.name or '').partition('.')[0] in ('configs', 'experiments'):
      said += (f'; {error.name} lies in the clone of lesion_jax and is not installed: start the command there, or set '
               'PYTHONPATH to it')
    elif isinstance(error, KeyError) and error.args == ('get_config',):
      said = 'it has no function get_config()'
    elif isinstance(error, TypeError) and 'get_config() takes 0 positional arguments' in said:
      said = f'this configuration takes no argument; write --config={shown}'
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
  files = _values(argv, CONFIG)
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
