"""Where the field of view is in a small grey copy of a photograph: its mask, and the box around it.

Before anything else, what people put around photographs is made black (`clear`), and only where it is there: a frame along the
picture's edge, and a surround of one bright colour in which a round field lies. Then three steps, each for what fools the one
before (our choice, held to IDRiD's photographs and synthetic ones by the tests):

  1. the largest connected part brighter than the camera's black border, holes filled
  2. glare or noise that lifts the border above that: where the edge of a brighter part is sharp, and beyond it comes a
     dim rim instead of black, the brighter part is the field. A retina that fades towards its own edge has no sharp one
  3. reflections that stick out: where most of the outline lies on one circle, nothing reaches far beyond that circle
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

BORDER_LUMINANCE = 10  # of 255: just above a camera's black border; Otsu's threshold cuts dark retinas in half.
# The brighter part is looked for at this share of the field's bright end. In IDRiD glare reaches 16 of 255 where the
# retina beside it has 90.
RIM_SHARE, BRIGHT_END = 0.15, 95  # of the percentile
SHARP = 2.5  # how many times brighter a retina is than its rim, three pixels on either side of its edge
ON_CIRCLE, OFF_CIRCLE = 0.01, 0.02  # of the diameter: the outline lies on it; something sticks out
CIRCULAR = 0.6  # share of the outline that lies on the circle, the photograph's own edges left out
FEW_POINTS, TRIPLES = 64, 300
RADII = (0.4, 0.8)  # of the longer side of the box: more than half where the field is cut
# A frame: so much of the picture's edge is brighter than EDGE_LEVEL, and black this share of the shorter side further in.
FRAME_SHARE, FRAME_WIDTH, EDGE_LEVEL = 0.15, 0.03, 20
# A surround: so much of the picture's edge has one colour, up to this many levels in each channel.
SURROUND_SHARE, ONE_COLOUR = 0.5, 24
RED = 30  # levels of red above blue, of a retina
LEAST_SHARE = 0.05  # of the picture that the field within a surround must cover
SECOND_SHARE = 0.5  # of the largest part: a second one of that size is not dust
OTHER_SHARE = 0.15  # of the largest part: a retina of that size beside something larger that is none
SECOND, SURROUND = 'second part', 'surround'  # what is said of a photograph
FIELD_SIDE = 512  # Within a square, the field is looked for on a copy of at most this side.


class Circle(NamedTuple):
  """In pixels of the mask; `share` of its outline lies on it."""

  row: float
  column: float
  radius: float
  share: float


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
  """The field of view within the square that a network sees, at the network's size S.

  Attributes:
    inside: bool [S, S].
    row: the first row of the lower quadrants.
    column: the first column of the right ones.
    found: bool [s, s], the field as it was found, on a copy of s = min(S, FIELD_SIDE) pixels; nothing is True where there is none;
      None: it was not looked for here.
    framed: whether a frame or a surround that is not black was passed over.
  """

  inside: np.ndarray
  row: int
  column: int
  found: np.ndarray | None = None
  framed: bool = False


def find_field_of_view(square: np.ndarray, size: int) -> Field:
  """Returns the field of view in a square of the photograph, by the same rules by which it is cropped.

  Its centre is that of the box around it. A square without any bright part is all field.

  Args:
    square: uint8 [D, D, 3], the square of the photograph at any size.
    size: the network's.
  """
  side = min(FIELD_SIDE, size)
  found, framed = mask_of(square, side)
  inside = found if found.any() else np.ones((side, side), bool)
  top, bottom, left, right = find_box(inside)
  row, column = ((low + high) * size // (2 * side) for low, high in ((top, bottom), (left, right)))
  nearest = (np.arange(size) * side) // size
  return Field(inside[nearest][:, nearest], row, column, found, framed)


def mask_of(square: np.ndarray, side: int) -> tuple[np.ndarray, bool]:
  """Returns where the field of view is in its square, uint8 [D, D, 3], on a copy of `side` pixels: bool [side, side],
  nothing True where there is none; and whether a frame or a surround that is not black was passed over."""
  whole = Image.fromarray(square)
  luminance, framed = clear(np.asarray(whole.convert('L').resize((side, side), Image.Resampling.BOX)),
                            lambda: np.asarray(whole.resize((side, side), Image.Resampling.BOX)))
  return find_mask(luminance), framed


def clear(luminance: np.ndarray, colours: Callable[[], np.ndarray]) -> tuple[np.ndarray, bool]:
  """Returns a grey photograph without what people put around photographs.

  Args:
    luminance: uint8 [h, w].
    colours: gives the same in colour, uint8 [h, w, 3]; called where it is needed.

  Returns:
    The same where there is nothing of the kind, else a copy in which it is black; and whether there was something.
  """
  seen = luminance > BORDER_LUMINANCE
  rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
  if not len(rows):
    return luminance, False
  box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)  # without black that was added around it
  inside = luminance[box]
  kept = _without_frame(inside)
  if kept is None:
    kept = _without_surround(inside, lambda: colours()[box])
  if kept is None:
    return luminance, False
  cleared = np.zeros_like(luminance)
  cleared[box] = np.where(kept, inside, 0)
  return cleared, True


def _without_frame(luminance: np.ndarray) -> np.ndarray | None:
  """bool [h, w], what lies within a frame; None where there is none."""
  height, width = luminance.shape
  deep = max(2, round(FRAME_WIDTH * min(height, width)))
  if min(height, width) < 4 * deep:
    return None
  sides = [luminance, luminance[::-1], luminance.T, luminance.T[::-1]]
  dark = [side[:deep + 1] <= BORDER_LUMINANCE for side in sides]
  on = [(side[0] > EDGE_LEVEL) & each.any(axis=0) for side, each in zip(sides, dark, strict=True)]
  if sum(map(np.count_nonzero, on)) <= FRAME_SHARE * 2 * (height + width):
    return None
  wide = max(int(np.percentile(each.argmax(axis=0)[there], 90)) for each, there in zip(dark, on, strict=True) if there.any())
  kept = np.zeros(luminance.shape, bool)
  kept[wide:height - wide, wide:width - wide] = True
  return kept


def _without_surround(luminance: np.ndarray, colours: Callable[[], np.ndarray]) -> np.ndarray | None:
  """bool [h, w], the round field within a surround of one colour; None where there is none."""
  edge = np.concatenate([luminance[0], luminance[-1], luminance[:, 0], luminance[:, -1]])
  if np.median(edge) <= BORDER_LUMINANCE:
    return None
  pixels = colours().astype(np.int16)
  red, green, blue = colour = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
  if red > green > blue and red - blue > RED:  # a retina that fills the picture
    return None
  near = (np.abs(pixels - colour) <= ONE_COLOUR).all(axis=-1)
  around = np.zeros_like(near)
  around[[0, -1]], around[:, [0, -1]] = near[[0, -1]], near[:, [0, -1]]
  if np.count_nonzero(around) < SURROUND_SHARE * 2 * sum(luminance.shape):
    return None
  rest = _largest(_grown(ndimage.binary_erosion(~ndimage.binary_propagation(around, mask=near), iterations=2), 2))
  circle = fit_circle(rest) if rest.mean() >= LEAST_SHARE else None
  return rest if circle is not None and circle.share >= CIRCULAR else None


def choose_part(luminance: np.ndarray, colours: Callable[[], np.ndarray]) -> tuple[np.ndarray, bool]:
  """Returns a grey photograph with that part alone which is a retina, where there are several large ones.

  The largest, unless it is no retina and another is: round, and red over green over blue.

  Args:
    luminance: uint8 [h, w].
    colours: as `clear` takes it.

  Returns:
    The same where the largest part is kept, else a copy in which the others are black; and whether there is a second part of at
    least SECOND_SHARE of the largest, or that was taken.

  Raises:
    ValueError: two of them are retinas.
  """
  labels, number = ndimage.label(luminance > BORDER_LUMINANCE)
  if number < 2:
    return luminance, False
  areas = np.bincount(labels.ravel())
  areas[0] = 0
  order = [part for part in np.argsort(areas)[::-1][:3] if areas[part] >= OTHER_SHARE * areas.max()]
  if len(order) < 2:
    return luminance, False
  pixels = colours()
  retinas = [part for part in order if _is_retina(_filled(labels == part), pixels)]
  if len(retinas) > 1 and areas[retinas[1]] >= SECOND_SHARE * areas[retinas[0]]:
    raise ValueError('it shows two fields of view, of two eyes perhaps: save each as a photograph of its own')
  if retinas and retinas[0] != order[0]:
    return np.where(_filled(labels == retinas[0]), luminance, 0).astype(np.uint8), True
  return luminance, bool(areas[order[1]] >= SECOND_SHARE * areas[order[0]])


def _is_retina(mask: np.ndarray, pixels: np.ndarray) -> bool:
  circle = fit_circle(mask)
  red, green, blue = np.median(pixels[mask], axis=0)
  return circle is not None and circle.share >= CIRCULAR and red > green >= blue


def _grown(mask: np.ndarray, times: int = 1) -> np.ndarray:
  """A mask [h, w] and its neighbours above, below, left and right, so many times: `ndimage.binary_dilation` in a sixth of its
  time."""
  mask = mask.copy()
  for _ in range(times):
    before = mask.copy()
    mask[1:] |= before[:-1]
    mask[:-1] |= before[1:]
    mask[:, 1:] |= before[:, :-1]
    mask[:, :-1] |= before[:, 1:]
  return mask


def find_mask(luminance: np.ndarray) -> np.ndarray:
  """Returns the field of view in a grey photograph, uint8 [h, w] -> bool [h, w]; all False where nothing is bright."""
  loose = _largest(luminance > BORDER_LUMINANCE)
  level = RIM_SHARE * np.percentile(luminance[loose], BRIGHT_END) if loose.any() else 0
  if level <= BORDER_LUMINANCE:
    return loose
  bright = _largest(luminance > level)
  rim = loose & ~bright
  beyond = rim & _grown(bright, 3) & ~_grown(bright)
  if not beyond.any():  # nothing but the blur of the edge itself
    return loose
  inside = bright & _grown(beyond, 5)
  if np.median(luminance[inside]) < SHARP * np.median(luminance[beyond]):
    return loose
  return _grown(bright) & loose


def find_box(mask: np.ndarray, circle: Circle | None = None) -> tuple[int, int, int, int]:
  """Returns (top, bottom, left, right) of a field's mask, the ends excluded, without what sticks out of its circle, of
  `fit_circle`; None: it is fitted here."""
  rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
  top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
  circle = circle or fit_circle(mask)
  if circle is None or circle.share < CIRCULAR:
    return top, bottom, left, right
  row, column, radius, _ = circle
  slack = OFF_CIRCLE * 2 * radius
  low = lambda edge, limit: int(limit) if edge < limit - slack else edge
  high = lambda edge, limit: int(np.ceil(limit)) if edge > limit + slack else edge
  return (low(top, row - radius), high(bottom, row + radius + 1), low(left, column - radius),
          high(right, column + radius + 1))


def _largest(bright: np.ndarray) -> np.ndarray:
  """The largest connected part, holes filled."""
  parts, _ = ndimage.label(bright)
  areas = np.bincount(parts.ravel())
  areas[0] = 0  # the border
  return _filled(parts == areas.argmax()) if areas.any() else np.zeros_like(bright)


def _filled(mask: np.ndarray) -> np.ndarray:
  """A mask without holes: `ndimage.binary_fill_holes` in a third of its time."""
  around, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
  return (around != around[0, 0])[1:-1, 1:-1]


def fit_circle(mask: np.ndarray) -> Circle | None:
  """Returns the circle on which most of a field's outline lies, the edges of the array left out; None of a field too
  small.

  Circles through TRIPLES of points of the outline, of which the one is taken that most points lie on; then least
  squares (Kasa) through those. The same mask gives the same circle.
  """
  outline = mask & ~ndimage.binary_erosion(mask, border_value=1)
  points = np.argwhere(outline).astype(float)
  if len(points) < FEW_POINTS:
    return None
  length = max(np.ptp(np.argwhere(mask), axis=0)) + 1
  drawn = points[np.random.default_rng(0).integers(0, len(points), (TRIPLES, 3))]
  a, b = drawn[:, 1] - drawn[:, 0], drawn[:, 2] - drawn[:, 0]
  area = 2 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
  with np.errstate(divide='ignore', invalid='ignore'):  # three on a line, which the radius leaves out
    squares = np.stack([(a**2).sum(axis=1), (b**2).sum(axis=1)])
    away = np.stack([b[:, 1] * squares[0] - a[:, 1] * squares[1], a[:, 0] * squares[1] - b[:, 0] * squares[0]], 1)
    away /= area[:, None]
  radii = np.hypot(*away.T)
  fit = (radii > RADII[0] * length) & (radii < RADII[1] * length)
  if not fit.any():
    return None
  centres, radii = drawn[fit, 0] + away[fit], radii[fit]
  down, across = (points[None, :, axis] - centres[:, None, axis] for axis in (0, 1))
  distances = np.sqrt(down * down + across * across)  # a tenth of the time of np.hypot
  on = np.abs(distances - radii[:, None]) <= ON_CIRCLE * 2 * radii[:, None]
  kept = points[on[on.sum(axis=1).argmax()]]
  system = np.column_stack([2 * kept, np.ones(len(kept))])
  (row, column, rest), *_ = np.linalg.lstsq(system, (kept**2).sum(axis=1), rcond=None)
  return Circle(float(row), float(column), float(np.sqrt(max(rest + row**2 + column**2, 0))), len(kept) / len(points))
