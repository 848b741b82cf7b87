"""The README.md of an export: what goes in, what comes out, how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lesion_jax
from lesion_jax.clinical.findings import DISC_SHARE
from lesion_jax.core import EDEMA, GRADES, LESIONS
from lesion_jax.export.check import BATCHES
from lesion_jax.export.source import Source
from lesion_jax.metrics.presence import Rule
from lesion_jax.photograph.crop import SQUARE

OUTPUTS = {
    'maps': 'float32 [B, {size}, {size}, 8], the probability of each lesion at each pixel',
    'lesions': 'float32 [B, 8], the probability of each lesion anywhere in the image',
    'grades': 'float32 [B, 5], the probability of each grade',
    'edema': 'float32 [B, 3], the probability of each risk of macular edema',
    'attention': 'float32 [B, h, w], how much the network looked at each cell of a grid over the image, in [0, 1]',
}
WINDOWS = '''\
The network works on squares of {size} pixels and is asked about them by overlapping windows of {window}, as it learned
from crops of that size. Their maps are blended with weights that fall to the borders of the windows: `windows.py` does
that and needs NumPy alone.

```python
import windows
found = windows.stitch(run, images, {window})  # images: uint8 [B, {size}, {size}, 3]
```

`run` takes uint8 [B, {window}, {window}, 3] and returns the outputs below by name as NumPy arrays. `found` has `maps`
of the whole squares, and `lesions`, their maxima (those of a single window say nothing of the photograph).'''


PREPARED = '''\
```python
import json, pathlib, sys
import numpy as np
folder = pathlib.Path({folder!r})  # where this README lies
sys.path.insert(0, str(folder))
import preprocessing
config = json.loads((folder / 'config.json').read_text('utf-8'))
square = preprocessing.prepare('photograph.jpg', **config['preprocessing'])
images = square.pixels[None]  # uint8 [1, {size}, {size}, 3]
```'''


def render(source: Source, usage: str, differences: Mapping[str, float], folder: str, versions: Mapping[str, str]) -> str:
  """Writes Markdown.

  Args:
    source: what was exported.
    usage: how to load the format; '{size}' in it is the side of the images that it takes, and `folder` and `images` are known to it.
    differences: of `compare`, by head.
    folder: the name of the folder.
    versions: of `alone.find_versions`.
  """
  config, size = source.config, str(source.size)
  absent = [lesion.key for lesion in LESIONS if lesion.key not in config['annotated']]
  square = 'a square photograph as it is, any other cropped to its field of view' if (
      config['preprocessing']['crop'] == SQUARE) else 'the square around the field of view'
  lines = [
      f'# {config["model"]["name"]}', '',
      f'Written by lesion_jax {lesion_jax.__version__} from the bundle whose weights have the SHA-256 '
      f'`{source.digest}`. For research use only. Not a medical device.', '',
      f'Input: RGB photographs, uint8 [B, {size}, {size}, 3], any B: {_windows_of(source)}{square}, resized '
      'antialiased and bilinear. `preprocessing/` makes it of a photograph, and needs NumPy and Pillow alone; it was checked against '
      "lesion_jax's own to the pixel:", '',
      PREPARED.format(folder=folder, size=config['preprocessing']['size']), '',
      "`square.crop.invert(map)` brings a map of the square, float [s, s], to the photograph's own pixels.", '',
      usage.strip().replace('{size}', size), '',
      *([_windows(source), ''] if source.window else []),
      'Outputs:', '',
      *(f'- `{head}`: {OUTPUTS[head].replace("{size}", size)}' for head in differences), '',
      f'Lesions, in this order: {", ".join(f"{key} {name}" for key, name in LESIONS)}.']
  if absent:
    lines.append(f'Never trained, to be ignored: {", ".join(absent)}.')
  if 'grades' in differences:
    lines.append(f'Grades, in this order: {", ".join(f"{key} {name}" for key, name in GRADES)}.')
  if 'edema' in differences:
    lines.append(f'Risks of macular edema, in this order: {"; ".join(f"{risk} {name}" for risk, name in enumerate(EDEMA))}.')
  figures = ', '.join(f'{head} {value:.1e}' for head, value in differences.items())
  lines += [*_thresholds(config), '',
            f'Largest difference in probability from Flax on random synthetic images, in batches of '
            f'{" and ".join(map(str, BATCHES))}: {figures}.', '',
            f'Written and checked with {", ".join(f"{name} {version}" for name, version in versions.items())}. `config.json` is what '
            "running it takes; `bundle.json` is all of the bundle's configuration, training data and metrics included."]
  return '\n'.join(lines) + '\n'


def _windows_of(source: Source) -> str:
  return f'windows of squares of {source.config["preprocessing"]["size"]} pixels, which are ' if source.window else ''


def _windows(source: Source) -> str:
  """How the windows of a square are stitched."""
  size = source.config['preprocessing']['size']
  return WINDOWS.replace('{window}', str(source.window)).replace('{size}', str(size))


def _thresholds(config: Mapping[str, Any]) -> list[str]:
  """Where the thresholds are, and what they are of; and what else a mask depends on."""
  if not config.get('presence'):
    lines = ['The probability from which a lesion counts as present is in `config.json` under `thresholds`.']
  else:
    lines = [f'{Rule.of(config).describe()} The thresholds on that score are in `config.json` under `presence`, those of '
             'the pixels in its mask under `thresholds`.']
  if config.get('smallest'):
    lines.append('Regions smaller than `config.json` says under `smallest` are no part of a mask: pixels of the square of '
                 f'{config["preprocessing"]["size"]}, or disc areas, each {DISC_SHARE} of the field of view.')
  if config.get('temperatures'):
    lines.append('All outputs are before any temperature, and so are the thresholds; to show calibrated probabilities, '
                 'divide the logits by those in `config.json` under `temperatures`.')
  if config.get('operating_points'):
    lines.append('Operating points, from which calibrated probability of DR2 and above a photograph is referable, or of risk 2 at risk of macular '
                 'edema, are in `config.json` under `operating_points`; without one the most probable grade and risk decide.')
  return lines
