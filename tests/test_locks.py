"""locks/: what `make` installs, each package with its version and the hashes of its files."""

import configparser
import importlib.metadata
import pathlib
import re
import shutil
import subprocess

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[1]
LOCKS = {path.stem: path.read_text('utf-8') for path in (ROOT / 'locks').glob('*.txt')}
EXTRAS = {'base': (), 'train': ('train',), 'test': ('test',), 'docs': ('docs',), 'browser': ('browser', 'test'),
          'ray': ('train', 'ray')}
ENTRY = re.compile(r'^(\S+)==([^\s;]+)(?: ; (\S.*?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)', re.MULTILINE)


def entries(name):
  """pip's name -> version, of a lock and of those that it goes on from."""
  found = {canonicalize_name(entry[1].partition('[')[0]): entry[2] for entry in ENTRY.finditer(LOCKS[name])}
  for before in re.findall(r'^-r (\w+)\.txt$', LOCKS[name], re.MULTILINE):
    found |= entries(before)
  return found


def asked(extras):
  """What setup.cfg asks for."""
  setup = configparser.ConfigParser()
  setup.read(ROOT / 'setup.cfg', 'utf-8')
  lines = setup['options']['install_requires'].split('\n')
  for extra in extras:
    lines += setup['options.extras_require'][extra].split('\n')
  found = [Requirement(line) for line in lines if line.strip()]
  own = [requirement for requirement in found if requirement.name == 'lesion_jax']
  return [each for each in found if each not in own] + [each for one in own for each in asked(one.extras)]


def test_each_line_belongs_to_a_package_with_hashes():
  assert LOCKS.keys() == {'build', *EXTRAS}
  for name, text in LOCKS.items():
    rest = re.sub(r'^(#.*|-r \w+\.txt)\n', '', ENTRY.sub('', text), flags=re.MULTILINE)
    assert not rest, (name, rest[:200])


def test_versions_are_those_of_the_constraints():
  lines = (ROOT / 'constraints.txt').read_text('utf-8').splitlines()
  constraints = {canonicalize_name(line.split('==')[0]): line.split('==')[1] for line in lines if '==' in line}
  locked = {package: version for name in LOCKS for package, version in entries(name).items()}
  assert locked.items() <= constraints.items()


@pytest.mark.parametrize('name', EXTRAS)
def test_a_lock_has_everything_that_is_asked_for_and_what_that_needs(name):
  """As far as the packages that are installed here say what they need."""
  locked, waiting, seen = entries(name), asked(EXTRAS[name]), set()
  while waiting:
    requirement = waiting.pop()
    key = canonicalize_name(requirement.name)
    assert key in locked and requirement.specifier.contains(locked[key], prereleases=True), requirement
    if (key, extras := frozenset(requirement.extras)) in seen:
      continue
    seen.add((key, extras))
    try:
      needed = importlib.metadata.distribution(key)
    except importlib.metadata.PackageNotFoundError:
      continue
    if needed.version == locked[key]:
      waiting += [each for line in needed.requires or () if (each := Requirement(line)).marker is None
                  or any(each.marker.evaluate(default_environment() | {'extra': extra}) for extra in ('', *extras))]
  assert len(seen) > 20


def test_building_needs_nothing_else():
  assert {'setuptools', 'wheel'} <= entries('build').keys()
  assert re.findall(r'^requires = \["(.*)"\]$', (ROOT / 'pyproject.toml').read_text('utf-8'), re.MULTILINE) == ['setuptools>=77']


@pytest.mark.skipif(not shutil.which('make'), reason='needs make')
@pytest.mark.parametrize('target', ['installed', 'installed-test', 'installed-docs'])
def test_make_fetches_nothing_without_its_hash(target, tmp_path):
  shown = subprocess.run(['make', '-n', f'VENV={tmp_path}/environment', f'{tmp_path}/environment/{target}'], cwd=ROOT, text=True,
                         capture_output=True, check=True).stdout
  installs = [line for line in shown.splitlines() if 'pip install' in line]
  assert len(installs) == 3 and all('--require-hashes' in line for line in installs[:2])
  assert '--no-deps --no-build-isolation --editable .' in installs[2] and '--no-build-isolation' in installs[1]
