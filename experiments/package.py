"""Puts a network into the package: its bundle in fewer bytes, and its digests into the registry.

  python -m experiments.package runs/real/grade/bundle --name idrid --storage int8 \\
      --about 'lesions and grade, learned from IDRiD' --licence 'weights Apache-2.0; data CC BY 4.0 (IDRiD)'

Writes lesion_jax/pretrained/NAME as `lesion-jax ship` does, and lesion_jax/pretrained/networks.py anew. The network becomes
the default one unless --not-default is given. One of the same name is replaced; --remove takes one out. All networks together
have at most 60 MB, as every version stays in the history. docs/networks.md says what is to be measured before.
A bundle of landmarks (configs/landmarks.py) becomes one that is used beside all others, and is never the default.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import pathlib
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax import pretrained
from lesion_jax.cli import ship
from lesion_jax.pretrained import networks
from lesion_jax.weights.bundle import load_bundle
from lesion_jax.whole import whole

MOST = 60_000_000  # bytes of all packaged networks
NAME = re.compile('[a-z][a-z0-9_-]*')


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m experiments.package', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('bundle', nargs='?', type=pathlib.Path, metavar='BUNDLE', help='as training left it')
  parser.add_argument('--name', required=True, help='by which users ask for it')
  parser.add_argument('--storage', choices=ship.STORAGES, default='float16')
  parser.add_argument('--about', help='one line')
  parser.add_argument('--licence', help="of weights and training data (default: the data's, as the bundle says)")
  parser.add_argument('--not-default', action='store_true', help='keep the default network that there is')
  parser.add_argument('--remove', action='store_true', help='take the network out instead')
  arguments = parser.parse_args(argv)
  if arguments.remove == bool(arguments.bundle and arguments.about):
    parser.error('give BUNDLE and --about, or --remove')
  try:
    lines = remove(arguments.name) if arguments.remove else add(
        arguments.bundle, arguments.name, storage=arguments.storage, about=arguments.about, licence=arguments.licence,
        default=not arguments.not_default)
  except (OSError, TypeError, ValueError) as error:
    parser.error(str(error))
  print(*lines, sep='\n')
  return 0


def add(bundle: pathlib.Path, name: str, *, storage: str, about: str, licence: str | None = None,
        default: bool = True) -> list[str]:
  """Puts a bundle into the package; returns what to print.

  Raises:
    OSError, ValueError: of `ship`; the name is taken for a path or a module, something is said in more than a line, no licence
      is known, or the networks become too large: then nothing has changed.
  """
  if not NAME.fullmatch(name):
    raise ValueError(f'--name {name!r}: small letters, digits, - and _, a letter first')
  licence = licence or load_bundle(bundle).config.get('data', {}).get('licence')
  if not licence:
    raise ValueError('the bundle does not say the licence of its data; give --licence')
  if '\n' in about + licence:
    raise ValueError('--about and --licence are one line each')
  of_landmarks = 'landmarks' in load_bundle(bundle).config
  if name in (networks.NETWORKS if of_landmarks else networks.LANDMARKS):
    raise ValueError(f'--name {name!r} is that of a packaged network of another kind')
  folder, fresh = pretrained.ROOT / name, pretrained.ROOT / f'.{name}.new'
  shutil.rmtree(fresh, ignore_errors=True)
  try:
    lines = ship.ship(bundle, fresh, storage)
    others = sum(size for each, size in sizes().items() if each != name)
    if (total := others + folder_size(fresh)) > MOST:
      raise ValueError(f'all packaged networks would have {total:,} bytes, more than {MOST:,}; choose another --storage, or '
                       f'--remove one of {", ".join(networks.NETWORKS) or "none"}')
    digests = {key: hashlib.sha256((fresh / file).read_bytes()).hexdigest() for file, key in pretrained.PINNED.items()}
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
  finally:
    shutil.rmtree(fresh, ignore_errors=True)
  entry = {'folder': name, **dict(reversed(digests.items())), 'about': about, 'size': taken(folder), 'storage': storage,
           'licence': licence}
  if of_landmarks:
    beside = {**networks.LANDMARKS, name: entry}
    write({each: {**known, 'landmarks': name} for each, known in networks.NETWORKS.items()}, networks.DEFAULT, beside)
  else:
    kept = {each: known for each, known in networks.NETWORKS.items() if each != name}
    beside = networks.NETWORKS.get(name, {}).get('landmarks') or next(iter(networks.LANDMARKS), None)
    write(kept | {name: entry | ({'landmarks': beside} if beside else {})}, name if default or not kept else networks.DEFAULT)
  return [*(f'{key}: {text}' for key, text in lines[:1] + lines[2:]), f'packaged as {name}, {total:,} bytes with all others']


def remove(name: str) -> list[str]:
  """Takes a network out of the package; returns what to print. Raises ValueError where there is none of that name."""
  if name in networks.LANDMARKS:
    shutil.rmtree(pretrained.ROOT / networks.LANDMARKS[name]['folder'])
    without = lambda entry: {key: value for key, value in entry.items() if (key, value) != ('landmarks', name)}
    write({each: without(entry) for each, entry in networks.NETWORKS.items()}, networks.DEFAULT,
          {each: entry for each, entry in networks.LANDMARKS.items() if each != name})
    return [f'{name} is no longer packaged']
  if name not in networks.NETWORKS:
    raise ValueError(f'no network {name!r} is packaged; there are {", ".join([*networks.NETWORKS, *networks.LANDMARKS]) or "none"}')
  shutil.rmtree(pretrained.ROOT / networks.NETWORKS[name]['folder'])
  kept = {each: known for each, known in networks.NETWORKS.items() if each != name}
  write(kept, networks.DEFAULT if networks.DEFAULT in kept else next(iter(kept), None))
  return [f'{name} is no longer packaged; the default is {networks.DEFAULT}']


def write(
    entries: Mapping[str, Mapping[str, Any]], default: str | None, landmarks: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
  """Writes the registry, for this process too; its docstring stays, and so do the networks of landmarks where None come."""
  landmarks = networks.LANDMARKS if landmarks is None else landmarks
  path = pretrained.ROOT / 'networks.py'
  description = ast.get_docstring(ast.parse(path.read_text('utf-8')), clean=False)
  lines = [f'"""{description}"""', '', f'DEFAULT = {default!r}  # the name of the one that is used where none is named', '']
  lines += [*_written('NETWORKS', entries), '', *_written('LANDMARKS', landmarks)]
  with whole(path) as fresh:  # a torn one could not be imported
    fresh.write_text('\n'.join(lines) + '\n', 'utf-8')
  networks.DEFAULT, networks.NETWORKS = default, {name: dict(entry) for name, entry in entries.items()}
  networks.LANDMARKS = {name: dict(entry) for name, entry in landmarks.items()}


def _written(variable: str, entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """The lines of a dictionary of entries."""
  if not entries:
    return [f'{variable} = {{}}']
  inner = [line for name, entry in entries.items()
           for line in (f'    {name!r}: {{', *(f'        {key!r}: {value!r},' for key, value in entry.items()), '    },')]
  return [f'{variable} = {{', *inner, '}']


def sizes() -> dict[str, int]:
  """Returns bytes of the packaged networks, by the names of their folders."""
  return {folder.name: folder_size(folder) for folder in pretrained.ROOT.iterdir()
          if folder.is_dir() and folder.name[0] not in '._'}


def folder_size(folder: pathlib.Path) -> int:
  """Returns bytes of all files in a folder."""
  return sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())


def taken(folder: pathlib.Path) -> int:
  """Returns the side of the squares that the network of a bundle takes, in pixels."""
  return load_bundle(folder).config['preprocessing']['size']


if __name__ == '__main__':
  sys.exit(main())
