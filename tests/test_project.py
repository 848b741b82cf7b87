"""Rules that hold for the whole project: documentation, sizes, and who may import what.

Which layer may import which is in setup.cfg and checked by `lint-imports`.
"""

import ast
import configparser
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
LIBRARY = sorted((ROOT / 'lesion_jax').rglob('*.py'))
FOLDERS = ('configs', 'experiments', 'lesion_jax', 'tests')
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob('*.py'))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONGEST_FUNCTION = 60
LONGER_FUNCTIONS = {'fit': 130, 'load': 64, '_stage': 140}  # the second is a table of keys
# A flax module's `setup` is described by its class, a program's `main` by its module.
DESCRIBED_ABOVE = {'setup', 'main'}
# What models, losses, metrics, augment and the training step may import, by pip's names.
PURE = {'jax', 'flax', 'optax', 'numpy'}
# pip's name -> the module, where they differ.
MODULES = {'absl-py': 'absl', 'array-record': 'array_record', 'orbax-checkpoint': 'orbax', 'pillow': 'PIL',
           'prometheus-client': 'prometheus_client', 'python-multipart': 'python_multipart', 'tensorflow-cpu': 'tensorflow', 'tensorflow-datasets': 'tensorflow_datasets'}


def relative(path):
  return path.relative_to(ROOT).as_posix()


def parse(path):
  return ast.parse(path.read_text('utf-8'), str(path))


def lines(path):
  return path.read_text('utf-8').splitlines()


def public(node):
  """The public classes, methods and functions of a module; not what is defined inside functions."""
  for child in ast.iter_child_nodes(node):
    if isinstance(child, (*FUNCTIONS, ast.ClassDef)) and not child.name.startswith('_'):
      yield child
      if isinstance(child, ast.ClassDef):
        yield from public(child)


def imported(path):
  """First names of the modules that a file imports, wherever in it."""
  names = set()
  for node in ast.walk(parse(path)):
    if isinstance(node, ast.Import):
      names.update(alias.name.partition('.')[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      names.add(node.module.partition('.')[0])
  return names


def requirements(text):
  """pip's names in a list of requirements, one a line."""
  return set(re.findall(r'^\s*([\w-]+)', text, re.MULTILINE))


class TestDocumentation:

  def test_every_file_with_code_says_what_it_is(self):
    silent = [relative(path) for path in FILES if lines(path) and not ast.get_docstring(parse(path))]
    assert not silent

  def test_every_room_says_in_one_line_what_it_is(self):
    # `make rooms` prints that line.
    said = {relative(path): ast.get_docstring(parse(path)) or '' for path in LIBRARY if path.name == '__init__.py'}
    assert not [path for path, text in said.items() if not text.partition('\n')[0].endswith(('.', ':'))]

  def test_every_public_class_and_function_has_a_docstring(self):
    silent = [f'{relative(path)}:{node.lineno} {node.name}' for path in LIBRARY for node in public(parse(path))
              if not ast.get_docstring(node) and node.name not in DESCRIBED_ABOVE]
    assert not silent


class TestSizes:

  def test_no_function_is_long(self):
    long = {f'{relative(path)} {node.name}': length for path in FILES for node in ast.walk(parse(path))
            if isinstance(node, FUNCTIONS)
            and (length := node.end_lineno - node.lineno + 1) > LONGER_FUNCTIONS.get(node.name, LONGEST_FUNCTION)}
    assert not long


class TestImports:

  def test_importing_the_package_is_light(self):
    program = ('import sys, lesion_jax\n'
               'heavy = {"jax", "flax", "numpy", "tensorflow_datasets", "matplotlib"} & set(sys.modules)\n'
               'sys.exit(f"import lesion_jax imports {heavy}" if heavy else 0)')
    result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr

  def test_the_word_pmap_stands_in_one_file_only(self):
    assert [relative(path) for path in LIBRARY if 'pmap' in path.read_text('utf-8')] == ['lesion_jax/train/parallel.py']

  def test_only_the_programs_front_reads_configurations(self):
    readers = {relative(path) for path in LIBRARY if 'ml_collections' in imported(path)}
    assert {path.replace('lesion_jax/stages/', 'stages/') for path in readers} == {
        'stages/building.py', 'stages/check.py', 'stages/datasets.py', 'stages/leaks.py', 'stages/parts.py', 'stages/stage.py',
        'stages/values.py',
        'lesion_jax/main.py', 'lesion_jax/command.py'}

  def test_the_library_imports_neither_configurations_nor_experiments_nor_tests(self):
    above = {'configs', 'experiments', 'tests'}
    assert not [relative(path) for path in LIBRARY if imported(path) & above]

  def test_the_contract_of_pure_code_forbids_every_other_requirement(self):
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg', 'utf-8')
    extras = setup['options.extras_require']
    required = requirements('\n'.join(
        [setup['options']['install_requires'],
         *(extras[name] for name in ('train', 'torch', 'keras', 'onnx', 'tf', 'dicom', 'serve'))]))
    forbidden = set(setup['importlinter:contract:pure']['forbidden_modules'].split())
    assert {MODULES.get(name, name) for name in required - PURE} <= forbidden
    assert not {MODULES.get(name, name.replace('-', '_')) for name in PURE} & forbidden


class TestPaths:

  def test_no_file_names_a_place_of_one_machine(self):
    # Two of them are addresses that Label Studio gives to its files, on every machine.
    place = re.compile(r'(?<![\w.])/(?!data/(?:upload|local-files)/)'
                       r'(?:home|root|work|Users|mnt|data|scratch|content)/[\w.]')
    found = [f'{relative(path)}:{number}' for path in FILES for number, line in enumerate(lines(path), 1)
             if place.search(line)]
    assert not found
