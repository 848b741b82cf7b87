"""Whether a photograph is good enough to be graded: how sharp, how bright and how complete it is.

Only a hint: nothing is ever left out for it. All of it is our choice, held to IDRiD's photographs, which are all good,
and to blurred, darkened, overexposed and cut copies of them. It knows nothing of media opacities, of eyelashes, or of
whether disc and fovea are where they should be.

The square around the field of view is brought to SIDE pixels. F is the field of view in it, E that field without its
outer MARGIN, and g the green channel, 0..255:

  sharpness  how much fine detail there is in proportion to coarse detail, s(FINE) / s(COARSE), where s(t) is t^2 times
             the standard deviation over E of the Laplacian of g smoothed by a Gaussian of t pixels. Without unit;
             neither brightness nor contrast changes it
  light      median of g over E, in grey levels
  coverage   pixels of F over those of the circle on which its outline lies, or of that as wide as F where it lies on
             none: 1 for a whole circle

Of 22 photographs of IDRiD, sharpness is 0.42 to 0.64, light 39 to 105 and coverage 0.86 to 0.93. Blurred by a Gaussian
of 16 pixels (of 4288x2848) their sharpness is at most 0.26; at a fifth of the brightness light is at most 21, at six
times at least 231; with the right third or half cut off coverage is at most 0.75. The thresholds lie between.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from lesion_jax.photograph.field import find_box, find_mask, fit_circle

SIDE = 512
MARGIN = 0.04  # of the field's diameter: the edge is the sharpest thing in a photograph
FINE, COARSE = 1.0, 3.0  # pixels
MIN_SHARPNESS = 0.3
LIGHT = (25.0, 215.0)
MIN_COVERAGE = 0.8
MIN_SHARE = 0.3  # of the outline on a circle, for it to be the field's
REASONS = ('blurred', 'dark', 'overexposed', 'cut')
DIGITS = 3


class Quality(NamedTuple):
  """Of one photograph.

  Attributes:
    sharpness: see above.
    light: see above.
    coverage: see above.
    reasons: of REASONS, why it may not be gradable; () where nothing speaks against it.
  """

  sharpness: float
  light: float
  coverage: float
  reasons: tuple[str, ...]

  @property
  def gradable(self) -> bool:
    """Whether nothing speaks against it."""
    return not self.reasons

  def to_json(self) -> dict[str, Any]:
    """As it stands in a record."""
    return {'gradable': not self.reasons, **self._asdict(), 'reasons': list(self.reasons)}


def assess(square: np.ndarray) -> Quality:
  """The quality of a photograph.

  Args:
    square: uint8 [D, D, 3], the square around the field of view, at any size from about SIDE pixels.
  """
  image = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX)
  field = find_mask(np.asarray(image.convert('L')))
  if not field.any():
    return Quality(0.0, 0.0, 0.0, ('dark',))
  circle = fit_circle(field)
  top, bottom, left, right = find_box(field, circle)
  diameter = 2 * circle.radius if circle and circle.share >= MIN_SHARE else max(bottom - top, right - left)
  inner = ndimage.distance_transform_edt(np.pad(field, 1))[1:-1, 1:-1] > MARGIN * diameter
  inner = inner if inner.any() else field
  green = np.asarray(image)[..., 1].astype(np.float32)
  fine, coarse = (scale**2 * ndimage.gaussian_laplace(green, scale)[inner].std() for scale in (FINE, COARSE))
  sharpness = round(float(fine / coarse), DIGITS) if coarse else 0.0
  light = float(np.median(green[inner]))
  coverage = round(float(field.sum() / (np.pi / 4 * diameter**2)), DIGITS)
  doubts = sharpness < MIN_SHARPNESS, light < LIGHT[0], light > LIGHT[1], coverage < MIN_COVERAGE
  reasons = tuple(reason for reason, holds in zip(REASONS, doubts, strict=True) if holds)
  return Quality(sharpness, light, coverage, reasons)
