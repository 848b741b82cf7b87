"""Whether a photograph is good enough to be graded: how sharp, how bright and how complete it is, and whether it is as a camera
gives it.

Only a hint: nothing is ever excluded for it. All of it is our choice, held to IDRiD's photographs, which are all good,
and to blurred, darkened, overexposed, cut and enhanced copies of them. It knows nothing of media opacities, of eyelashes, or of
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

Further reasons, each of a picture that is no photograph of one retina as a camera gives it, or not enough of one:

  few pixels     the square has less than MIN_DETAIL of the network's pixels along its side: what it is enlarged to shows no small lesion.
                 Of five training photographs of IDRiD the network of the package calls the same lesions present at 0.75 and 0.5, at
                 0.35 it loses microaneurysms or hemorrhages in three, at 0.25 in four
  noisy          sharpness above MAX_SHARPNESS, which is noise: of noise alone it is 3. Noise that is fainter on a blurred photograph
                 passes for its detail
  second part    beside the field there is another part about as large, a page or another eye (`crop.locate`)
  surround       around the field there is a frame or a colour other than black (`crop.locate`)
  edge not seen  coverage above MAX_COVERAGE: F fills the square, so its edge is outside of the picture
  not round      of the outline of F less than MIN_SHARE lies on a circle
  not in colour  the channels of a pixel of E differ by less than MIN_COLOUR levels on average
  colours        fewer than MIN_ORDER of the pixels of E are red over green over blue, as of channels in another order, of each
                 channel equalised, or of a picture whose local mean was taken away
  contrast       g at SIDE / 4 pixels, where b is g smoothed by a Gaussian of FAR pixels over E: the standard deviation of b is
                 above MAX_COARSE levels, as of an equalised picture, or that of what NEAR pixels smooth away is above
                 MAX_RATIO times it and above MIN_FINE levels, as where the local mean was taken away; both leave no picture dark

Of IDRiD's 597 photographs none is refused by `crop.locate`, one has one of these reasons (IDRiD_081 of part B, `contrast`), and two
are `dark`: 3 of 597 (0.5 %) are flagged. Their colour is at least 52 levels, their order at least 0.94 and their ratio of `contrast`
at most 0.83; in copies whose channels were exchanged, equalised or freed of their local mean, order is at most 0.45. Of 30 synthetic
photographs the ratio is at most 1.57, of copies freed of their local mean at least 2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from lesion_jax.photograph.field import FIELD_SIDE, SECOND, SURROUND, Field, find_box, fit_circle, mask_of

SIDE = FIELD_SIDE
MARGIN = 0.04  # of the field's diameter: the edge is the sharpest thing in a photograph
FINE, COARSE = 1.0, 3.0  # pixels
MIN_SHARPNESS, MAX_SHARPNESS = 0.3, 1.0
MIN_DETAIL = 0.5  # pixels of the photograph on one of the network's, along a side
LIGHT = (25.0, 215.0)
MIN_COVERAGE = 0.8
MIN_SHARE = 0.3  # of the outline on a circle, for it to be the field's
MAX_COVERAGE = 1.05
MIN_COLOUR, MIN_ORDER = 12.0, 0.5
NEAR, FAR, MAX_COARSE, MAX_RATIO, MIN_FINE = 2.0, 6.0, 40.0, 1.8, 6.0
NO_EDGE, NOT_ROUND, NOT_IN_COLOUR, COLOURS, CONTRAST = 'edge not seen', 'not round', 'not in colour', 'colours', 'contrast'
FEW, NOISY = 'few pixels', 'noisy'
REASONS = ('blurred', 'dark', 'overexposed', 'cut', SECOND, SURROUND, NO_EDGE, NOT_ROUND, NOT_IN_COLOUR, COLOURS, CONTRAST,
           FEW, NOISY)
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
    """Returns it as it stands in a record."""
    return {'gradable': not self.reasons, **self._asdict(), 'reasons': list(self.reasons)}


def assess(square: np.ndarray, doubts: Sequence[str] = (), found: Field | None = None, detail: float = 1.0) -> Quality:
  """Returns the quality of a photograph.

  Args:
    square: uint8 [D, D, 3], the square around the field of view, at any size from about SIDE pixels.
    doubts: of `crop.locate`, of the photograph as a whole.
    found: the field of view in it, of `field.find_field_of_view`; it is looked for where it is None, or where it was found on a
      copy of fewer than SIDE pixels.
    detail: pixels of the photograph on one of the network's, along a side.
  """
  image = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX)
  if found is None or found.found is None or len(found.found) != SIDE:
    field, framed = mask_of(square, SIDE)
  else:
    field, framed = found.found, found.framed
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
  share = circle.share if circle else 0.0
  colour, order, contrast = _as_a_camera(image, inner)
  holds = (sharpness < MIN_SHARPNESS, light < LIGHT[0], light > LIGHT[1], coverage < MIN_COVERAGE, SECOND in doubts,
           framed or SURROUND in doubts, coverage > MAX_COVERAGE, share < MIN_SHARE and coverage <= MAX_COVERAGE,
           colour < MIN_COLOUR, order < MIN_ORDER and colour >= MIN_COLOUR, contrast and light >= LIGHT[0],
           detail < MIN_DETAIL, sharpness > MAX_SHARPNESS)
  reasons = tuple(reason for reason, there in zip(REASONS, holds, strict=True) if there)
  return Quality(sharpness, light, coverage, reasons)


def _as_a_camera(image: Image.Image, inner: np.ndarray) -> tuple[float, float, bool]:
  """How far the channels of a pixel are apart, in levels; the share of pixels that are red over green over blue; and whether the
  contrast was changed."""
  pixels = np.asarray(image)[inner].astype(np.int16)
  colour = float((pixels.max(axis=1) - pixels.min(axis=1)).mean())
  order = float(((pixels[:, 0] >= pixels[:, 1]) & (pixels[:, 1] >= pixels[:, 2])).mean())
  small = (SIDE // 4, SIDE // 4)
  green = np.asarray(image.getchannel('G').resize(small, Image.Resampling.BOX)).astype(np.float32)
  weight = np.asarray(Image.fromarray(inner).resize(small)).astype(np.float32)
  if not weight.any():
    return colour, order, False
  smooth = lambda scale: ndimage.gaussian_filter(green * weight, scale) / np.maximum(
      ndimage.gaussian_filter(weight, scale), 1e-3)
  within = weight > 0
  coarse, fine = float(smooth(FAR)[within].std()), float((green - smooth(NEAR))[within].std())
  return colour, order, coarse > MAX_COARSE or fine > max(MAX_RATIO * coarse, MIN_FINE)
