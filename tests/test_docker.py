"""Dockerfile and .dockerignore, held to the project: nothing is built here."""

from __future__ import annotations

import configparser
import fnmatch
import pathlib
import re
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / 'setup.cfg', 'utf-8')
EXTRAS = set(SETUP['options.extras_require'])


def instructions():
  """(instruction, its words) in order; comments and continued lines are put together as Docker does."""
  lines = [line for line in (ROOT / 'Dockerfile').read_text('utf-8').splitlines() if not line.lstrip().startswith('#')]
  text = '\n'.join(lines).replace('\\\n', ' ')
  return [(line.split()[0], line.partition(' ')[2].strip()) for line in text.splitlines() if line.strip()]


def of(name):
  return [words for instruction, words in instructions() if instruction == name]


def copied():
  """The sources of COPY in the checkout."""
  return [source for words in of('COPY') if not words.startswith('--from') for source in words.split()[:-1]]


def arguments():
  return dict(words.split('=', 1) for words in of('ARG'))


def extras_of(environment):
  """What the install asks for between its brackets, as a shell makes it."""
  script, = (words for words in of('RUN') if 'pip install' in words)
  first = script.partition('&&')[0].strip()
  done = subprocess.run(['sh', '-c', f'{first}; printf %s "${{extras#,}}"'], env=environment | {'PATH': '/usr/bin:/bin'},
                        capture_output=True, text=True, check=True)
  return done.stdout.split(',')


def test_what_is_copied_is_there_and_reaches_the_builder():
  lines = [line for line in (ROOT / '.dockerignore').read_text('utf-8').splitlines() if line and not line.startswith('#')]
  assert lines[0] == '*', 'everything else stays outside'
  let_in = {line[1:] for line in lines if line.startswith('!')}
  assert set(copied()) == let_in
  assert all((ROOT / name).exists() for name in let_in)
  assert any(fnmatch.fnmatch('lesion_jax/__pycache__', line) for line in lines if line.startswith('**'))


def test_all_that_the_wheel_is_made_of_is_copied():
  needed = {'setup.py', 'setup.cfg', 'pyproject.toml', SETUP['metadata']['license_files'],
            SETUP['metadata']['long_description'].removeprefix('file: ')}
  needed |= set(re.findall(r"package_dir=\{'[\w.]+': '(\w+)'\}", (ROOT / 'setup.py').read_text('utf-8')))
  assert needed | {'lesion_jax', 'constraints.txt'} == set(copied())


@pytest.mark.parametrize(('given', 'asked'), [
    ({}, {'train', 'dicom'}), ({'CUDA': 'cuda12'}, {'train', 'dicom', 'cuda12'}), ({'CUDA': 'cuda13', 'EXTRAS': ''}, {'cuda13'}),
    ({'EXTRAS': 'dicom'}, {'dicom'})])
def test_the_extras_are_those_of_the_installation(given, asked):
  found = extras_of({name: value for name, value in arguments().items() if name in ('EXTRAS', 'CUDA')} | given)
  assert set(found) == asked <= EXTRAS


def test_every_build_argument_that_comments_name_there_is():
  named = re.findall(r'--build-arg (\w+)=([\w,]+)', (ROOT / 'Dockerfile').read_text('utf-8') + (ROOT / 'docs' / 'deploy.md').read_text('utf-8'))
  assert named and {name for name, _ in named} <= arguments().keys()
  assert {extra for name, value in named if name in ('CUDA', 'EXTRAS') for extra in value.split(',')} <= EXTRAS


def test_the_python_is_one_that_is_supported_and_the_versions_are_the_tested_ones():
  python = arguments()['PYTHON']
  assert f'Programming Language :: Python :: {python}' in SETUP['metadata']['classifiers']
  assert f'tested together on Python {python}' in (ROOT / 'constraints.txt').read_text('utf-8')
  install, = (words for words in of('RUN') if 'pip install' in words)
  assert '--constraint /constraints.txt' in install and 'constraints.txt /constraints.txt' in of('COPY')


def test_it_does_not_run_as_root_and_runs_the_command():
  names = [name for name, _ in instructions()]
  assert of('USER')[-1] not in ('root', '0') and names.index('USER') > max(n for n, name in enumerate(names) if name == 'RUN')
  user = of('USER')[-1]
  assert any('useradd' in words and user in shlex.split(words) for words in of('RUN'))
  command = of('ENTRYPOINT')[-1].strip('["]')
  assert f'{command} = ' in SETUP['options.entry_points']['console_scripts']
