"""Writes the files of this folder anew from setup.cfg and constraints.txt, with uv (pip install uv):

  python locks/make.py

Each names all packages of one installation for every system and every Python from 3.11 on, with the hashes of all their files on the
public index: `pip install --require-hashes -r locks/train.txt`. What one has in common with another stands there once.
"""

from __future__ import annotations

import configparser
import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
PYTHON = '3.11'
DOCS_PYTHON = '3.11.5'  # pymdown-extensions asks for it
# Name of the file -> (the extras, the file that it goes on from).
LOCKS: dict[str, tuple[tuple[str, ...], str | None]] = {
    'base': ((), None), 'train': (('train',), 'base'), 'test': (('test',), 'train'), 'docs': (('docs',), 'base'),
    'browser': (('browser', 'test'), 'test'), 'ray': (('ray', 'train'), 'train')}
HEAD = '# Written by locks/make.py: versions of constraints.txt, with the hashes of their files.\n'


def requirements(extras: tuple[str, ...]) -> list[str]:
  """What setup.cfg asks for, an extra's own extras followed."""
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg', 'utf-8')
  found = setup['options']['install_requires'].split('\n')
  for extra in extras:
    for line in setup['options.extras_require'][extra].split('\n'):
      inner = re.fullmatch(r'lesion_jax\[(.*)]', line.strip())
      found += requirements((inner[1],)) if inner else [line]
  return sorted({line.strip() for line in found} - {''})


def compiled(wanted: list[str], python: str = PYTHON) -> list[str]:
  """All packages that these need, each with its version, its systems and its hashes, as text."""
  command = ['uv', 'pip', 'compile', '-', '--constraint', ROOT / 'constraints.txt', '--universal', '--python-version', python,
             '--generate-hashes', '--no-annotate', '--no-header', '--quiet']
  done = subprocess.run(command, input='\n'.join(wanted), stdout=subprocess.PIPE, text=True, check=True)
  return re.findall(r'^\S.*\n(?:[ ].*\n)*', done.stdout, re.MULTILINE)


def main() -> None:
  (HERE / 'build.txt').write_text(HEAD + ''.join(compiled(['setuptools', 'wheel'])), 'utf-8')
  there: dict[str | None, set[str]] = {None: set()}
  for name, (extras, before) in LOCKS.items():
    blocks = compiled(requirements(extras), DOCS_PYTHON if name == 'docs' else PYTHON)
    there[name] = there[before] | set(blocks)
    text = f'-r {before}.txt\n' if before else ''
    (HERE / f'{name}.txt').write_text(HEAD + text + ''.join(each for each in blocks if each not in there[before]), 'utf-8')


if __name__ == '__main__':
  main()
