"""Dockerfile, .dockerignore and compose.yaml, held to the project: nothing is built here."""

from __future__ import annotations

import configparser
import fnmatch
import json
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from lesion_jax import cli

ROOT = pathlib.Path(__file__).parents[1]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / 'setup.cfg', 'utf-8')
EXTRAS = set(SETUP['options.extras_require'])


def instructions():
  """(instruction, its words) in order; comments and continued lines are put together as Docker does."""
  lines = [line for line in (ROOT / 'Dockerfile').read_text('utf-8').splitlines() if not line.lstrip().startswith('#')]
  text = '\n'.join(lines).replace('\\\n', ' ')
  return [(line.split()[0], line.partition(' ')[2].strip()) for line in text.splitlines() if line.strip()]


def of(name, stage=None):
  """The words of an instruction, in the whole file or in one stage; that without a name is ''."""
  found, current = [], ''
  for instruction, words in instructions():
    if instruction == 'FROM':
      current = words.partition(' AS ')[2]
    if instruction == name and stage in (None, current):
      found.append(words)
  return found


def copied():
  """The sources of COPY in the checkout."""
  return [source for words in of('COPY') if not words.startswith('--from') for source in words.split()[:-1]]


def arguments():
  return dict(words.split('=', 1) for words in of('ARG'))


def extras_of(environment, stage=''):
  """What the install asks for between its brackets, as a shell makes it."""
  script, = (words for words in of('RUN', stage) if 'pip install' in words)
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


@pytest.mark.parametrize(('given', 'asked'), [({}, {'serve', 'dicom'}), ({'CUDA': 'cuda12'}, {'serve', 'dicom', 'cuda12'})])
def test_the_extras_of_the_service_are_those_of_the_installation(given, asked):
  found = extras_of({name: value for name, value in arguments().items() if name in ('SERVED', 'CUDA')} | given, 'serve')
  assert set(found) == asked <= EXTRAS


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
  for stage in ('', 'serve'):
    install, = (words for words in of('RUN', stage) if 'pip install' in words)
    assert '--constraint /constraints.txt' in install and 'constraints.txt /constraints.txt' in of('COPY', stage)


def test_it_does_not_run_as_root_and_runs_the_command():
  names = [name for name, _ in instructions()]
  assert not {user.partition(':')[0] for user in of('USER')} & {'root', '0'} and names[::-1].index('USER') < names[::-1].index('RUN')
  user = of('USER')[-1]
  assert any('useradd' in words and user in shlex.split(words) for words in of('RUN'))
  command = of('ENTRYPOINT')[-1].strip('["]')
  assert f'{command} = ' in SETUP['options.entry_points']['console_scripts']


class TestService:
  """The target `serve`, and compose.yaml: without rights, without a place to write to, ready when it has answered."""

  COMPOSE = yaml.safe_load((ROOT / 'compose.yaml').read_text('utf-8'))
  SERVICES = pytest.mark.parametrize('name', ['cpu', 'cuda'])

  def test_a_build_without_a_target_is_what_it_was(self):
    assert instructions()[-1] == ('CMD', '["--help"]') and instructions()[-3][1] == '/data'

  def test_the_image_runs_the_service_for_a_user_without_rights(self):
    assert of('USER', 'serve') == ['1000:1000'] and of('ENTRYPOINT', 'serve') == ['["lesion-jax"]'] and of('CMD', 'serve') == ['["serve"]']
    assert cli.make_parser().parse_args(json.loads(of('CMD', 'serve')[0])).run

  def test_its_health_is_whether_it_is_ready_at_the_port_that_is_the_default(self):
    check, = of('HEALTHCHECK', 'serve')
    port = cli.make_parser().parse_args(['serve']).port
    assert f'http://127.0.0.1:{port}/readyz' in check and of('EXPOSE', 'serve') == [str(port)] and '--start-period' in check
    program = json.loads(check.partition('CMD ')[2])
    assert program[:2] == ['python', '-c'] and compile(program[2], 'health', 'exec')

  @SERVICES
  def test_it_is_built_from_that_target(self, name):
    service = self.COMPOSE['services'][name]
    assert service['build']['target'] == 'serve' and service['build']['context'] == '.'
    assert service['build'].get('args', {}).keys() <= arguments().keys() and ('CUDA' in service['build'].get('args', {})) == (name == 'cuda')
    assert set(service['build'].get('args', {}).values()) <= EXTRAS

  @SERVICES
  def test_it_has_no_rights_and_writes_nowhere_but_to_memory_and_the_cache(self, name):
    service = self.COMPOSE['services'][name]
    assert service['read_only'] is True and service['user'] == '1000:1000' and service['cap_drop'] == ['ALL']
    assert service['security_opt'] == ['no-new-privileges:true'] and 'privileged' not in service
    assert [mount.partition(':')[0] for mount in service['tmpfs']] == ['/tmp']
    cache = next(words for words in of('ENV', 'serve') if 'JAX_COMPILATION_CACHE_DIR' in words)
    assert service['volumes'] == ['compiled:/cache'] and 'JAX_COMPILATION_CACHE_DIR=/cache' in cache

  @SERVICES
  def test_it_is_reached_from_this_machine_alone_and_asks_for_a_token(self, name):
    service = self.COMPOSE['services'][name]
    assert all(port.startswith('127.0.0.1:') for port in service['ports'])
    arguments_of_it = cli.make_parser().parse_args(service['command'])
    assert arguments_of_it.allow_remote and arguments_of_it.host == '0.0.0.0'
    assert str(arguments_of_it.token_file) == '/run/secrets/token' and service['secrets'] == ['token']
    assert self.COMPOSE['secrets']['token']['file'] == './token' and '/token' in (ROOT / '.gitignore').read_text('utf-8').split()
    assert not any('TOKEN' in str(value) for value in service.get('environment', []))

  def test_the_gpu_is_asked_for_by_one_of_them(self):
    assert 'deploy' not in self.COMPOSE['services']['cpu'] and self.COMPOSE['services']['cuda']['profiles'] == ['cuda']
    device, = self.COMPOSE['services']['cuda']['deploy']['resources']['reservations']['devices']
    assert device['driver'] == 'nvidia' and device['capabilities'] == ['gpu']
