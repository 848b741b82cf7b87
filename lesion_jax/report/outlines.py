"""Masks and outlines of lesions in a photograph's own pixels."""

from __future__ import annotations

import math
import pathlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import contourpy
import numpy as np
from PIL import Image
from scipy import ndimage

from lesion_jax.clinical.findings import TOUCHING
from lesion_jax.core import LESION_KEYS
from lesion_jax.photograph.crop import Crop
from lesion_jax.report.overlay import COLORS

SVG = 'http://www.w3.org/2000/svg'
PATH = re.compile(r'[Mlz0-9 .-]*')  # what `trace` writes


def mask_on_photograph(values: np.ndarray, threshold: float, crop: Crop) -> np.ndarray:
  """Computes `crop.invert(values) >= threshold`, enlarging no more than what lies around each region.

  The two agree but for pixels whose value equals the threshold to single precision. A tenth of the time, for the few
  per cent of a retina that lesions cover.

  Args:
    values: float32 [S, S], probabilities.
    threshold: above 0.
    crop: where they lie in the photograph.

  Returns:
    bool [height, width].
  """
  size, scale = values.shape[0], crop.side / values.shape[0]
  reach = math.ceil(1 / min(scale, 1)) + 1  # how far a value spreads, in pixels of the map
  labels, _ = ndimage.label(values >= threshold, TOUCHING)
  source, square = Image.fromarray(np.asarray(values, np.float32)), np.zeros((crop.side, crop.side), bool)
  for place in ndimage.find_objects(labels):
    (top, bottom), (left, right) = (
        (int(max(part.start - reach, 0) * scale), min(math.ceil(min(part.stop + reach, size) * scale), crop.side))
        for part in place)
    box = (left / scale, top / scale, min(right / scale, size), min(bottom / scale, size))
    enlarged = source.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
    square[top:bottom, left:right] |= np.asarray(enlarged) >= threshold
  return crop.paste(square)


def trace(values: np.ndarray, threshold: float, crop: Crop) -> str:
  """Returns the outline of a lesion as the `d` of an SVG path, in the photograph's pixels, closed also at the square's
  edge.

  It runs where a bilinear map has the threshold, between the map's own pixels. Points are rounded to a pixel of the
  photograph, or to a tenth where the photograph has not twice the map's pixels.

  Args:
    values: float [S, S], probabilities.
    threshold: between 0 and 1.
    crop: where they lie in the photograph.
  """
  scale = crop.side / values.shape[0]
  unit = 1 if scale >= 2 else 10
  # Beyond its edge a map continues with its value there, then ends.
  padded = np.pad(np.pad(values, 1, 'edge'), 1).astype(np.float64)
  # A pixel that equals the threshold is in the mask: the line runs outside of it.
  level = math.nextafter(threshold, 0)
  corner = np.array([crop.left, crop.top])
  parts = []
  for line in contourpy.contour_generator(z=padded).lines(level):
    # The first pixel of the map is at 2 since it was padded, and its centre half a pixel into the square.
    points = np.clip((line[:-1] - 1.5) * scale, 0, crop.side)
    points = np.rint((points + corner) * unit).astype(int)
    steps = np.diff(points, axis=0)
    steps = steps[steps.any(axis=1)]
    steps = steps if len(steps) else np.zeros((1, 2), int)  # a point, smaller than a pixel of the photograph
    parts.append(f'M{_numbers(points[:1], unit)}l{_numbers(steps, unit)}z')
  return ''.join(parts)


def write_outlines(path: pathlib.Path, paths: Mapping[str, str], crop: Crop) -> None:
  """Writes an SVG file as large as the photograph, with a path of `trace` for each lesion under its key."""
  lines = [f'<svg xmlns="{SVG}" viewBox="0 0 {crop.width} {crop.height}" fill="none" fill-rule="evenodd">']
  for key, path_data in paths.items():
    color = '#{:02x}{:02x}{:02x}'.format(*COLORS[key])
    lines.append(f'<path id="{key}" stroke="{color}" stroke-width="2" vector-effect="non-scaling-stroke" '
                 f'd="{path_data}"/>')
  path.write_text('\n'.join([*lines, '</svg>', '']), encoding='ascii')


def read_outlines(path: pathlib.Path) -> dict[str, str]:
  """Returns the paths that `write_outlines` wrote, by lesion.

  Raises:
    OSError: the file cannot be read.
    ValueError: it holds something else.
  """
  try:
    root = ET.fromstring(path.read_text('ascii'))
  except (ET.ParseError, UnicodeDecodeError) as error:
    raise ValueError(f'{path} is not an SVG file of lesion_jax ({error})') from error
  paths = {item.get('id', ''): item.get('d', '') for item in root.iter(f'{{{SVG}}}path')}
  if unknown := [key for key, d in paths.items() if key not in LESION_KEYS or not PATH.fullmatch(d)]:
    raise ValueError(f'{path} is not an SVG file of lesion_jax: it has a path {unknown[0]!r}')
  return {key: d.replace('lz', 'l0 0z') for key, d in paths.items()}  # a point as earlier versions wrote it: no browser draws past that


def _numbers(points: np.ndarray, unit: int) -> str:
  values = points.ravel().tolist()
  texts = map(str, values) if unit == 1 else (f'{value / unit:g}' for value in values)
  return ' '.join(texts).replace(' -', '-')
