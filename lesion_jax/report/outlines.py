"""Masks and outlines of lesions in a photograph's own pixels."""

from __future__ import annotations

import math
import pathlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping

import contourpy
import numpy as np
from PIL import Image
from scipy import ndimage

from lesion_jax.clinical.findings import patches
from lesion_jax.core import LESION_KEYS
from lesion_jax.photograph.crop import Crop
from lesion_jax.report.overlay import COLORS

SVG = 'http://www.w3.org/2000/svg'
PATH = re.compile(r'[Mlz0-9 .-]*')  # what `Drawing.outline` writes
Part = tuple[tuple[slice, slice], np.ndarray]  # a rectangle of the photograph (rows, columns), and what of a mask lies in it


class Drawing:
  """A lesion's map on its way into the photograph: mask and outline, each region for itself, as they cover a few per cent of a
  retina.

  Args:
    values: float32 [S, S], probabilities.
    threshold: above 0 and below 1; a pixel from it on is in the mask.
    crop: where they lie in the photograph.
  """

  def __init__(self, values: np.ndarray, threshold: float, crop: Crop) -> None:
    self.values, self.threshold, self.crop = np.asarray(values, np.float32), threshold, crop
    self.scale = crop.side / len(values)
    self._patches = list(patches(self.values >= threshold))

  def parts(self, crop: Crop | None = None) -> Iterator[Part]:
    """Yields the mask in the photograph's own pixels by its parts, bool. They may overlap; outside of all of them nothing is set.

    It is `crop.invert(values) >= threshold`, but for pixels whose value equals the threshold to single precision.

    Args:
      crop: another place for the square, of another size; None: the photograph.
    """
    crop = crop or self.crop
    size, scale = len(self.values), crop.side / len(self.values)
    reach = math.ceil(1 / min(scale, 1)) + 1  # how far a value spreads, in pixels of the map
    source = Image.fromarray(self.values)
    within = ((-crop.top, crop.height - crop.top), (-crop.left, crop.width - crop.left))  # the photograph, in the square's pixels
    for place in self._places():
      (top, bottom), (left, right) = (
          (max(int(max(part.start - reach, 0) * scale), low), min(math.ceil(min(part.stop + reach, size) * scale), crop.side, high))
          for part, (low, high) in zip(place, within, strict=True))
      if top >= bottom or left >= right:
        continue
      box = (left / scale, top / scale, min(right / scale, size), min(bottom / scale, size))
      enlarged = source.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
      yield ((slice(crop.top + top, crop.top + bottom), slice(crop.left + left, crop.left + right)),
             np.asarray(enlarged) >= self.threshold)

  def _places(self) -> Iterator[tuple[slice, slice]]:
    """The rectangle around each region, in the map."""
    for patch in self._patches:
      for rows, columns in ndimage.find_objects(patch.labels):
        yield (slice(patch.rows.start + rows.start, patch.rows.start + rows.stop),
               slice(patch.columns.start + columns.start, patch.columns.start + columns.stop))

  def mask(self) -> np.ndarray:
    """The whole mask, bool [height, width]."""
    return paint(self.parts(), self.crop)

  def outline(self) -> str:
    """The outline as the `d` of an SVG path, in the photograph's pixels, closed also at the square's edge.

    It runs where a bilinear map has the threshold, between the map's own pixels. Points are rounded to a pixel of the
    photograph, or to a tenth where the photograph has not twice the map's pixels.
    """
    lines = list(self._lines())
    if not lines:
      return ''
    unit, parts = 1 if self.scale >= 2 else 10, []
    # The centre of the first pixel is half a pixel into the square.
    points = np.clip((np.concatenate(lines) + 0.5) * self.scale, 0, self.crop.side) + np.array([self.crop.left, self.crop.top])
    points = np.rint(points * unit).astype(int)
    steps = np.diff(points, axis=0, append=0)
    moved, end = steps.any(axis=1), 0
    for line in lines:
      start, end = end, end + len(line)
      own = steps[start:end - 1][moved[start:end - 1]]
      own = own if len(own) else np.zeros((1, 2), int)  # a point, smaller than a pixel of the photograph
      parts.append(f'M{_numbers(points[start:start + 1], unit)}l{_numbers(own, unit)}z')
    return ''.join(parts)

  def _lines(self) -> Iterator[np.ndarray]:
    """The lines around the regions, open, [n, 2] columns and rows of the map.

    No four pixels in a square touch two regions, so that those of a patch are drawn without the others. Beyond its edge a map
    continues with its value there, then ends.
    """
    # A pixel that equals the threshold is in the mask: the line runs outside of it.
    level, size = math.nextafter(self.threshold, 0), len(self.values)
    for patch in self._patches:
      rows, columns = (np.arange(part.start - 1, part.stop + 1) for part in (patch.rows, patch.columns))
      values = self.values[np.ix_(rows.clip(0, size - 1), columns.clip(0, size - 1))].astype(np.float64)
      own = np.pad(patch.labels, 1, 'edge') > 0
      values[(values >= self.threshold) & ~own] = 0  # of other patches
      for line in contourpy.contour_generator(z=np.pad(values, 1)).lines(level):
        yield line[:-1] + np.array([columns[0] - 1, rows[0] - 1])


def paint(parts: Iterable[Part], crop: Crop) -> np.ndarray:
  """Returns the mask that `Drawing.parts` gives by parts, bool [height, width]."""
  mask = np.zeros((crop.height, crop.width), bool)
  for place, part in parts:
    mask[place] |= part
  return mask


def write_outlines(path: pathlib.Path, paths: Mapping[str, str], crop: Crop) -> None:
  """Writes an SVG file as large as the photograph, with a path of `Drawing.outline` for each lesion under its key."""
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
