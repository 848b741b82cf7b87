"""Contours of lesions on a photograph, one colour a lesion, and their legend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from lesion_jax.core import LESION_KEYS, LESIONS, lesion_index, unpack_bits

# Chosen for the orange of a retina and for readers with any kind of red-green blindness: under simulated protanopia and
# deuteranopia every pair stays apart, and none is near red, which reports keep for false alarms.
COLORS: dict[str, tuple[int, int, int]] = {
    'MA': (16, 234, 255),
    'iHE': (46, 91, 255),
    'HaEx': (255, 240, 0),
    'CWS': (255, 255, 255),
    'vHE': (176, 136, 255),
    'pHE': (194, 48, 155),
    'NV': (18, 166, 110),
    'FiP': (255, 201, 160),
}
NOTHING = 'no lesion found'
HALO = 0.55  # opacity of the dark rim that parts a contour from bright exudates and pale discs


def lesion_masks(lesions: np.ndarray, thresholds: float | Sequence[float] = 0.5) -> np.ndarray:
  """Returns bool [S, S, 8] from packed masks (uint8 [S, S]) or from probability maps (float [S, S, 8], at the
  thresholds).

  Raises:
    ValueError: for an array that is neither.
  """
  lesions = np.asarray(lesions)
  if lesions.ndim == 2 and lesions.dtype == np.uint8:
    return unpack_bits(lesions)
  if lesions.ndim == 3 and lesions.shape[2] == len(LESION_KEYS) and np.issubdtype(lesions.dtype, np.floating):
    return lesions >= np.asarray(thresholds)
  raise ValueError('expected packed masks, uint8 [S, S], or probability maps, float [S, S, 8]; got '
                   f'{lesions.dtype} {list(lesions.shape)}')


def draw_overlay(
    image: np.ndarray,
    lesions: np.ndarray,
    *,
    thresholds: float | Sequence[float] = 0.5,
    keys: Iterable[str] = LESION_KEYS,
    colors: Mapping[str, tuple[int, int, int]] = COLORS,
    width: float | None = None,
    legend: bool = True,
) -> np.ndarray:
  """Draws the outline of each lesion around it, so that small lesions stay visible inside.

  Args:
    image: uint8 [H, H, 3].
    lesions: packed masks, uint8 [S, S], or probability maps, float [S, S, 8]; brought to the size of the image.
    thresholds: of the maps, a number or [8].
    keys: the lesions to draw.
    colors: of their lines, RGB; the legend is of COLORS.
    width: of a line, in pixels; None: in proportion to the image, at least 1.
    legend: add a strip below that names the colours that occur.

  Returns:
    uint8 [H, H, 3], or taller by the strip.

  Raises:
    ValueError: for arrays of another kind, or an unknown lesion.
  """
  lesions, size = np.asarray(lesions), image.shape[0]
  lesion_masks(lesions[:0], thresholds)  # is it of the right kind?
  thresholds = np.broadcast_to(thresholds, len(LESION_KEYS))
  masks = {key: _mask(lesions, lesion_index(key), thresholds, size) for key in keys}
  return draw_masks(image, masks, colors=colors, width=width, legend=legend)


def draw_masks(
    image: np.ndarray, masks: Mapping[str, np.ndarray], *, colors: Mapping[str, tuple[int, int, int]] = COLORS,
    width: float | None = None, legend: bool = True,
) -> np.ndarray:
  """`draw_overlay` of masks in the image's own pixels, bool [H, H] by lesion."""
  drawn, present, width = np.array(image, np.float32), [], max(1.0, len(image) / 400) if width is None else width
  for key, mask in masks.items():
    if mask.any():
      near, line, rim = _line(mask, width)
      drawn[near] = _drawn(drawn[near], line, rim, colors[key])
      present.append(key)
  picture = np.round(drawn).astype(np.uint8)
  return np.concatenate([picture, legend_strip(len(image), present)]) if legend else picture


def draw_outline(image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], width: float) -> np.ndarray:
  """Returns an antialiased line of that width around a mask (bool [H, W]) on float32 [H, W, 3], with a thin dark
  rim."""
  near, line, rim = _line(mask, width)
  drawn = image.copy()
  drawn[near] = _drawn(image[near], line, rim, color)
  return drawn


def burn(image: np.ndarray, masks: Mapping[str, np.ndarray], width: float | None = None, none: str = NOTHING) -> np.ndarray:
  """Returns a photograph with the outlines of its lesions drawn into its own pixels, and below it a strip that names
  them.

  The lines lie around the lesions, as those of `draw_overlay`: no pixel of a lesion is changed unless another lesion is near.

  Args:
    image: uint8 [H, W, 3].
    masks: bool [H, W] by lesion, of those that are present.
    width: of a line, in pixels; None: in proportion to the longer side, at least 1.
    none: what the strip says without any.

  Returns:
    uint8 [H + h, W, 3], h the strip's height.
  """
  drawn, width = image.copy(), max(1.0, max(image.shape[:2]) / 1000) if width is None else width
  keys = [key for key in LESION_KEYS if key in masks]
  for key in keys:
    near, line, rim = _line(masks[key], width)
    drawn[near] = np.round(_drawn(drawn[near].astype(np.float32), line, rim, COLORS[key])).astype(np.uint8)
  return np.concatenate([drawn, legend_strip(image.shape[1], keys, none)])


def _line(mask: np.ndarray, width: float) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
  """The pixels of an outline around a mask, and the opacities of line and rim in each, [n, 1]."""
  near, distance = _around(mask, width + 2)
  line, rim = (np.clip(reach + 1 - distance, 0, 1)[:, None] for reach in (width, width + 1))
  return near, line, rim


def _drawn(pixels: np.ndarray, line: np.ndarray, rim: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
  """Pixels, float32 [n, 3], under a line and its rim."""
  darkened = pixels * (1 - HALO * rim)
  return darkened + line * (np.array(color, np.float32) - darkened)


def _around(mask: np.ndarray, reach: float) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
  """The pixels (rows, columns) outside a mask that are less than `reach` from it, and their distances.

  Looks at the surroundings of each region alone: that is little of a picture, and in each of them the regions beside
  are at hand as well.
  """
  distance, pad = np.full(mask.shape, np.inf, np.float32), int(reach) + 1
  labels, _ = ndimage.label(mask, np.ones((3, 3)))
  for place in ndimage.find_objects(labels):
    around = tuple(slice(max(0, part.start - pad), part.stop + pad) for part in place)
    if not mask[around].all():
      near = ndimage.distance_transform_edt(~mask[around]).astype(np.float32)
      distance[around] = np.minimum(distance[around], near)
  near = np.nonzero((distance < reach) & (distance > 0))
  return near, distance[near]


def legend_strip(width: int, keys: Sequence[str], none: str = NOTHING) -> np.ndarray:
  """Returns a dark strip, uint8 [height, width, 3], that names the lesions `keys` beside their colours, in several rows
  where one is too short; `none` without any."""
  text = max(11, width // 56)
  font, gap = ImageFont.load_default(size=text), text // 2
  entries = [(COLORS[key], f'{key} {LESIONS[lesion_index(key)].name}') for key in keys] or [(None, none)]
  x, y, places = gap, gap, []
  for color, label in entries:
    room = int(font.getlength(label)) + (0 if color is None else text + gap)
    if x > gap and x + room > width - gap:
      x, y = gap, y + text + gap
    places.append((x, y, color, label))
    x += room + 2 * gap
  strip = Image.new('RGB', (width, y + text + gap + 2), (24, 24, 24))
  draw = ImageDraw.Draw(strip)
  for x, y, color, label in places:
    if color is not None:
      draw.rounded_rectangle((x, y, x + text, y + text), radius=text // 5, fill=color)
      x += text + gap
    draw.text((x, y + text / 2), label, font=font, fill=(235, 235, 235), anchor='lm')
  return np.asarray(strip)


def warning_strip(width: int, text: str) -> np.ndarray:
  """Returns a strip of a warning's colour, uint8 [height, width, 3], with a sentence in as many rows as it takes."""
  size = max(11, width // 56)
  font, gap, rows = ImageFont.load_default(size=size), size // 2, ['']
  for word in text.split():
    longer = f'{rows[-1]} {word}'.strip()
    if rows[-1] and font.getlength(longer) > width - 2 * gap:
      rows.append(word)
    else:
      rows[-1] = longer
  strip = Image.new('RGB', (width, len(rows) * (size + gap) + gap), (122, 12, 12))
  draw = ImageDraw.Draw(strip)
  for number, row in enumerate(rows):
    draw.text((gap, gap + number * (size + gap) + size / 2), row, font=font, fill=(255, 255, 255), anchor='lm')
  return np.asarray(strip)


def _mask(lesions: np.ndarray, j: int, thresholds: np.ndarray, size: int) -> np.ndarray:
  """Bool [size, size] of LESIONS[j]: a map enlarged, then cut; packed masks by their nearest pixels."""
  if lesions.ndim == 3:
    values = np.asarray(lesions[..., j], np.float32)
    if len(values) != size:
      values = np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR))
    return values >= thresholds[j]
  nearest = (np.arange(size) * lesions.shape[0]) // size
  return ((lesions >> np.uint8(j)) & 1).astype(bool)[nearest][:, nearest]


def none_of(keys: Sequence[str]) -> str:
  """Returns what is said where none of these lesions is found: 'no lesion' where they are all eight, else 'no MA, HaEx', or what is
  not among them where that is shorter."""
  others = [key for key in LESION_KEYS if key not in keys]
  if len(others) < len(keys):
    return 'no lesion' + (f' ({", ".join(others)} not annotated)' if others else '')
  return f'no {", ".join(keys)}'
