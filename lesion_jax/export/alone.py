"""What goes with every export for whoever has its framework alone: preprocessing, a configuration of a page, versions."""

from __future__ import annotations

import importlib
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import lesion_jax
from lesion_jax.photograph import crop, field, orientation, tiff

PACKAGE = 'preprocessing'
# How imports read where nothing of lesion_jax nor SciPy is.
REWRITTEN = {
    'from lesion_jax.export.preprocessing.': 'from .',
    'from lesion_jax.photograph.': 'from .',
    'from lesion_jax.photograph import': 'from . import',
    'from lesion_jax.core import NUM_LESIONS\n': 'NUM_LESIONS = 8\n',
    'from scipy import ndimage\n': 'from . import morphology as ndimage\n',
}
# What a deployer asks of a bundle's configuration; the rest is about training and evaluation.
PAGE = ('model', 'preprocessing', 'lesions', 'annotated', 'grades', 'thresholds', 'presence', 'smallest', 'temperatures', 'operating_points')
NEEDED = ('numpy', 'PIL')  # by `preprocessing`
NAMES = {'PIL': 'pillow'}  # by which pip knows a module


def write_preprocessing(folder: pathlib.Path) -> None:
  """Writes `preprocessing/`, which needs NumPy and Pillow: `photograph.crop`, `field`, `orientation` and `tiff` as they stand but for their
  imports, and beside them `lesion_jax/export/preprocessing/`, which has SciPy's few functions and reads files."""
  own = pathlib.Path(__file__).with_name(PACKAGE)
  (folder / PACKAGE).mkdir()
  for source in (*sorted(own.glob('*.py')), *(pathlib.Path(module.__file__) for module in (crop, field, orientation, tiff))):
    text = source.read_text('utf-8')
    for ours, theirs in REWRITTEN.items():
      text = text.replace(ours, theirs)
    (folder / PACKAGE / source.name).write_text(text, 'utf-8')


def page(config: Mapping[str, Any], digest: str, versions: Mapping[str, str]) -> str:
  """Returns the configuration that a deployer needs, JSON with a line for each key.

  Args:
    config: the bundle's.
    digest: SHA-256 of its weights.
    versions: of `find_versions`.
  """
  shown = {key: config[key] for key in PAGE if key in config} | {'weights_sha256': digest, 'versions': versions}
  return '{\n' + ',\n'.join(f'  {json.dumps(key)}: {json.dumps(value, sort_keys=True)}' for key, value in shown.items()) + '\n}\n'


def find_versions(modules: Sequence[str]) -> dict[str, str]:
  """Returns the versions with which an export was written and checked, by pip's names: of Python, lesion_jax, these
  modules, and those that the preprocessing needs."""
  version = lambda module: str(getattr(importlib.import_module(module), '__version__', 'unknown'))
  return {'python': platform.python_version(), 'lesion_jax': lesion_jax.__version__} | {
      NAMES.get(module, module): version(module) for module in (*modules, *NEEDED)}
