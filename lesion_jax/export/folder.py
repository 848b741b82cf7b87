"""From a bundle to a folder for another framework: written beside its place, checked, then put there."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import uuid

from lesion_jax import locking
from lesion_jax.export import alone, readme, to_onnx, to_saved_model, to_stablehlo, to_torch
from lesion_jax.export.check import TOLERANCE, compare
from lesion_jax.export.source import Refused, Source
from lesion_jax.photograph import windows
from lesion_jax.places import home, real
from lesion_jax.weights.bundle import Bundle

# Each has `write(source, folder) -> run`, which raises ImportError where a package is missing, USAGE, and MODULES, with which it is
# written and run.
FORMATS = {'torch': to_torch, 'onnx': to_onnx, 'saved_model': to_saved_model, 'stablehlo': to_stablehlo}
CONFIG, BUNDLE, README, WINDOWS = 'config.json', 'bundle.json', 'README.md', 'windows.py'


def export(
    bundle: Bundle, to: str, path: str | pathlib.Path, *, tolerance: float = TOLERANCE,
) -> dict[str, float]:
  """Writes a bundle for another framework, and holds what was written to the Flax network on random synthetic images.

  Beside the format's own files the folder has config.json, what a deployer needs of the bundle's configuration (lesions, grades,
  thresholds, the rule for presence, preprocessing) and the versions with which it was written; bundle.json, all of that
  configuration; `preprocessing/`, which makes the network's input of a photograph with NumPy and Pillow alone; and a README.md that
  says how to load it. Of a bundle that is asked by windows (preprocessing.window) the export takes
  images of that size, and windows.py, which needs NumPy alone, stitches them: it is `photograph.windows` as it stands.

  Args:
    bundle: of `load_bundle`; `predict.config.check_config` has passed its configuration.
    to: a key of FORMATS.
    path: the folder to make; parents are made too.
    tolerance: how far a probability may be from that of Flax.

  Returns:
    The largest difference in probability from Flax, by head: those of `source.HEADS` that there are.

  Raises:
    FileExistsError: something is at `path` already, other than an empty folder.
    ImportError: a package is missing; the message has the command that installs it.
    ValueError: no such format or no such network.
    Refused: a network that the format does not have, or one with grades or without maps, of a bundle that says windows;
      it is a ValueError too.
    ExportError: the difference is above the tolerance. Then, as with every other error, nothing is left on the disk.
  """
  if to not in FORMATS:
    raise ValueError(f'unknown format {to!r}; choose one of {", ".join(FORMATS)}')
  path = real(home(path))
  _require_room(path)
  source = Source.of(bundle)
  path.parent.mkdir(parents=True, exist_ok=True)
  fresh = path.with_name(f'.{path.name}.{uuid.uuid4().hex[:8]}.new')
  fresh.mkdir()
  held = locking.hold(fresh)  # by which another one sees that this one is alive
  try:
    # The configuration first: a format may read it back.
    (fresh / BUNDLE).write_text(json.dumps(source.config, indent=2, sort_keys=True) + '\n', 'utf-8')
    (fresh / CONFIG).write_text(alone.page(source.config, source.digest, {}), 'utf-8')
    differences = compare(FORMATS[to].write(source, fresh), source, tolerance)
    versions = alone.find_versions(FORMATS[to].MODULES)
    (fresh / CONFIG).write_text(alone.page(source.config, source.digest, versions), 'utf-8')
    alone.write_preprocessing(fresh)
    if source.window:
      if 'maps' not in differences or 'grades' in differences:
        raise Refused(f'the bundle says windows (preprocessing.window={source.window}), and its network has '
                      f'{", ".join(differences)}: windows are for a network with maps and without grades')
      shutil.copyfile(windows.__file__, fresh / WINDOWS)
    (fresh / README).write_text(readme.render(source, FORMATS[to].USAGE, differences, path.name, versions), 'utf-8')
    fresh.rename(path)
  finally:
    shutil.rmtree(fresh, ignore_errors=True)
    if held is not None:
      os.close(held)
  locking.sweep(path)
  return differences


def _require_room(path: pathlib.Path) -> None:
  """Raises FileExistsError where something is at the path, of which all links were followed, other than an empty folder."""
  if path.is_symlink():  # seen now, and not when the work is done
    raise FileExistsError(f'{path} is a link that leads to itself; remove it, or give another name')
  if path.exists() and (not path.is_dir() or any(path.iterdir())):
    raise FileExistsError(f'{path} is there already; remove it, or give another name')
