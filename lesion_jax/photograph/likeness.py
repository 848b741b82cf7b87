"""Whether a photograph is like those from which a network learned, by simple statistics of its fingerprint.

All of it is our choice, held to IDRiD's photographs. Of the square around the field of view at 32 x 32 (`fingerprint`),
the pixels brighter than the camera's border are looked at, without their outermost; L is luminance, r = (R + 8) / (R + G +
B + 24) and b likewise. Eighteen numbers, named by NUMBERS:

  colours     median of r and of b, the logarithm of how far their 5 and 95 % quantiles are apart, the correlations of R
              with G and of G with B (Fisher's transform), median of L
  light       5 and 95 % quantiles of L, and its means over three rings about the middle, each over the mean of L;
              largest and smallest mean of 3 x 3 pixels likewise
  texture     Laplacians of Gaussians of L at 0.7 and 2 pixels: the finer over the mean of L, and over the coarser
  outline     share of the square that is brighter than the border; mean of L in the corners

A group of photographs is described by the median of each number, its spread (1.4826 times the median of the absolute
deviations) and, of z = deviation / spread, the mean and the covariance, shrunk as by O. Ledoit and M. Wolf ("A
well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 88, 2004). Beyond KNEE,
z grows as its logarithm only: one odd number is no other camera. A photograph has two Mahalanobis distances from the
group, one of its colours and one of all eighteen numbers, its appearance; it is unlike the group where one is above its
threshold.

**Thresholds** are quantiles of split conformal prediction (see `metrics.thresholds`) of photographs that are not in the
description, RATE / 2 for each distance: those of the validation split; where they are too few for that, beside them
those of training, each by the description of the others (in up to FOLDS parts), with which the promise is approximate.

Measured at RATE, how many are called unlike, in per cent. Learned from: 341 photographs of IDRiD's part B (thresholds
by 389), 47 of its part A (by 54, too few: 3.6 % promised), 350 drawn by `data.synthetic` (by 400).

                                                                            IDRiD B   IDRiD A     drawn
  103 test photographs of IDRiD's part B                                        1.0       1.0      85.4
  27 of its part A, whose field is cropped by this library, not by hand         7.4       0.0      85.2
  100 more that were drawn                                                     52.0      21.0       0.0
  the 130 test photographs of IDRiD without colour; inverted, as an
    angiogram; red and blue, or red and green exchanged                       100.0     100.0     100.0
    green and blue exchanged                                                  100.0      93.1     100.0
    hue turned by +30, -30 degrees                                       93.8, 99.2  79.2, 90.0     100.0
    hue turned by +15, -15 degrees                                        3.8, 37.7   1.5, 32.3      98.5 or more
    half of the red; half of the green; twice the blue               100, 63.8, 7.7  37.7, 10.0, 3.8  92.3 or more
    red x 0.6, green x 1.2, blue x 3                                           93.8      41.5     100.0
    exposure x 0.6, x 1.6                                                 8.5, 49.2   9.2, 45.4  75.4, 98.5
  drawn by formulas, 20 each: B-scans of OCT, pages with text, landscapes,
    noise, circles of one colour of a retina                                  100.0     100.0     100.0
    circles of such a colour with soft blotches                               100.0      80.0     100.0

So what is no colour photograph of a retina is found, and a network of drawn photographs calls most real ones strange; a
moderate change of white balance or exposure is within what one camera does, and half of the drawn photographs pass for
IDRiD's. A few dozen photographs describe a camera badly. Both of the 27 have a rim of glare that the crop took for the
field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from lesion_jax.photograph.field import BORDER_LUMINANCE
from lesion_jax.photograph.fingerprint import SIDE

NUMBERS = ('r', 'r spread', 'b', 'b spread', 'R with G', 'G with B', 'light', 'dark end', 'bright end', 'middle',
           'ring', 'edge', 'brightest', 'darkest', 'fine texture', 'fine over coarse', 'field', 'corners')
COLOURS, APPEARANCE = 'colours', 'appearance'
VIEWS = {COLOURS: 7, APPEARANCE: len(NUMBERS)}  # how many of NUMBERS, from the first on
RATE = 0.02  # of photographs like those learned from that are called unlike
LEAST, MOST = 30, 1000  # photographs that a description is made of
FOLDS = 50
KNEE = 3.0
FLOOR = 0.02  # least spread of a number; all of them are shares and logarithms
FEW = 16  # pixels: a smaller field is no field, and the whole square is looked at
WEIGHTS = (0.299, 0.587, 0.114)  # luminance (ITU-R BT.601)
RINGS = ((0.0, 0.35), (0.35, 0.65), (0.65, 0.9))  # of half the square's side
CORNER = 1.15
FINE, COARSE = 0.7, 2.0  # pixels
DIGITS = 6  # that are kept of a number

NONE = np.zeros((0, SIDE, SIDE, 3), np.uint8)

_ROW, _COLUMN = (np.mgrid[:SIDE, :SIDE] + 0.5) / (SIDE / 2) - 1
_RADIUS = np.hypot(_ROW, _COLUMN)


class Verdict(NamedTuple):
  """On one photograph.

  Attributes:
    ratio: distance over threshold, of the worse of the two distances from the nearest group; above 1 it is unlike.
    reasons: of VIEWS, those distances that are above their thresholds; () where it is like.
    data: name of the data that it was held against.
  """

  ratio: float
  reasons: tuple[str, ...]
  data: str

  @property
  def like(self) -> bool:
    """Whether it is like some group of photographs that was learned from."""
    return not self.reasons

  def to_json(self) -> dict[str, Any]:
    """As it stands in a record."""
    return {'like': self.like, 'ratio': round(self.ratio, 3), 'reasons': list(self.reasons), 'data': self.data}


def describe(prints: np.ndarray) -> np.ndarray:
  """NUMBERS of photographs.

  Args:
    prints: uint8 [N, 32, 32, 3], of `fingerprint`.

  Returns:
    float64 [N, 18], finite whatever the picture.

  Raises:
    ValueError: for another shape or type.
  """
  prints = np.asarray(prints)
  if prints.dtype != np.uint8 or prints.shape[1:] != (SIDE, SIDE, 3):
    raise ValueError(f'expected fingerprints, uint8 [N, {SIDE}, {SIDE}, 3]; got {prints.dtype} {list(prints.shape)}')
  return np.array([_describe(each) for each in prints]).reshape(len(prints), len(NUMBERS))


def fit(
    train: np.ndarray, validation: np.ndarray, *, name: str = '', rate: float = RATE,
) -> dict[str, Any] | None:
  """The description of a group of photographs, with its thresholds, ready for JSON.

  Args:
    train: uint8 [N, 32, 32, 3], fingerprints of those learned from; of more than MOST, as many evenly over them.
    validation: uint8 [M, 32, 32, 3], of others of the same kind.
    name: of the group.
    rate: above 0 and below 1, of false alarms.

  Returns:
    {'name', 'photographs': N, 'held_out': by how many the thresholds were chosen, 'false_alarms': what is promised of
    further photographs of the same kind, at most (larger than `rate` where those held out are too few), 'centre',
    'scale', 'mean': 18 numbers each, 'covariance': its lower triangle by rows, 'thresholds': by view}; None where N is
    below LEAST.

  Raises:
    ValueError: for another rate or shape.
  """
  if not 0 < rate < 1:
    raise ValueError(f'rate={rate}: give the share of photographs that may be called unlike by mistake, above 0 and '
                     'below 1')
  own, others = describe(_some(train)), describe(_some(validation))
  if len(own) < LEAST:
    return None
  each = rate / len(VIEWS)
  held = _distances(_describe_group(own), others)
  if _rank(len(others), each) > len(others):  # too few for a quantile as high as that
    crossed = _crossed(own)
    held = {view: np.concatenate([held[view], crossed[view]]) for view in VIEWS}
  count = len(held[COLOURS])
  rank = min(_rank(count, each), count)
  thresholds = {view: _round(np.sort(found)[rank - 1]) for view, found in held.items()}
  return {'name': name, 'photographs': len(own), 'held_out': count,
          'false_alarms': _round(len(VIEWS) * (1 - rank / (count + 1))), **_describe_group(own),
          'thresholds': thresholds}


def entry(name: str, parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any] | None:
  """What a bundle says of the data of one network: a group for each data set of a mixture, as each may have its own
  cameras. Of parts too small to be described there is none.

  Args:
    name: of the data.
    parts: by name, fingerprints of training and validation.

  Returns:
    {'data': name, 'groups': of `fit`}, or None where there is no group.
  """
  groups = [group for part, (train, validation) in parts.items() if (group := fit(train, validation, name=part))]
  return {'data': name, 'groups': groups} if groups else None


def judge(entries: Sequence[Mapping[str, Any]] | None, print_: np.ndarray) -> Verdict | None:
  """Holds a photograph against what a network learned from.

  Args:
    entries: of `entry`, as a bundle's configuration has them: one for each network inside; the photograph has to be
      like some group of every one of them.
    print_: uint8 [32, 32, 3], of `fingerprint`.

  Returns:
    The verdict of that entry to which it is least like; None where it is not known what the network learned from.
  """
  if not entries:
    return None
  numbers = describe(print_[None])
  return max((_judge_one(each, numbers) for each in entries), key=lambda verdict: verdict.ratio)


def union(several: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
  """The entries of several networks, each once."""
  found: list[Mapping[str, Any]] = []
  for each in (one for entries in several for one in entries):
    if each not in found:
      found.append(each)
  return found


def check(entries: Any) -> None:
  """Holds what a bundle says to what `judge` needs.

  Raises:
    ValueError: it is something else, in words that follow 'it must be'.
  """
  whole = 'a list of {data, groups}'
  if not isinstance(entries, list):
    raise ValueError(whole)
  for each in entries:
    if not (isinstance(each, Mapping) and isinstance(each.get('data'), str) and isinstance(each.get('groups'), list)
            and each['groups']):
      raise ValueError(whole)
    for group in each['groups']:
      _check_group(group)


def _check_group(group: Any) -> None:
  count = len(NUMBERS)
  whole = f'made of groups with centre, scale, mean, covariance and thresholds of {count} numbers'
  try:
    vectors = np.array([group[key] for key in ('centre', 'scale', 'mean')], np.float64)
    rows, thresholds = group['covariance'], np.array([group['thresholds'][view] for view in VIEWS], np.float64)
    fits = vectors.shape == (3, count) and [len(row) for row in rows] == list(range(1, count + 1))
    numbers = np.concatenate([vectors.ravel(), *(np.array(row, np.float64) for row in rows), thresholds])
  except (TypeError, KeyError, ValueError, IndexError):
    raise ValueError(whole) from None
  if not fits or not np.isfinite(numbers).all():
    raise ValueError(whole)
  if (vectors[1] <= 0).any() or (thresholds <= 0).any() or np.linalg.eigvalsh(_square(rows))[0] <= 0:
    raise ValueError('made of scales and thresholds above 0 and a covariance that is positive definite')


def _judge_one(each: Mapping[str, Any], numbers: np.ndarray) -> Verdict:
  """By the group that is nearest."""
  ratios = [{view: float(found[0] / group['thresholds'][view]) for view, found in _distances(group, numbers).items()}
            for group in each['groups']]
  nearest = min(ratios, key=lambda found: max(found.values()))
  return Verdict(max(nearest.values()), tuple(view for view, ratio in nearest.items() if ratio > 1), each['data'])


def _describe(print_: np.ndarray) -> list[float]:
  pixels = print_.astype(np.float64)
  luminance = pixels @ WEIGHTS
  field = luminance > BORDER_LUMINANCE
  inside = ndimage.binary_erosion(field)
  if inside.sum() < FEW:
    inside = np.ones_like(field)
  values, light = pixels[inside], luminance[inside]
  mean = light.mean() + 8
  colours = []
  for channel in (0, 2):
    low, middle, high = np.percentile((values[:, channel] + 8) / (values.sum(axis=1) + 24), (5, 50, 95))
    colours += [middle, np.log(high - low + 0.01)]
  covariance = np.cov(values.T) + np.eye(3)
  for one, other in ((0, 1), (1, 2)):
    colours.append(np.arctanh(0.98 * covariance[one, other] / np.sqrt(covariance[one, one] * covariance[other, other])))
  dark, middle, bright = np.percentile(light, (5, 50, 95))
  rings = [luminance[inside & (_RADIUS >= low) & (_RADIUS < high)] for low, high in RINGS]
  smooth = ndimage.uniform_filter(luminance, 3)[inside]
  fine, coarse = (1 + scale**2 * ndimage.gaussian_laplace(luminance, scale)[inside].std() for scale in (FINE, COARSE))
  return [*colours, middle / 255, dark / mean, bright / mean,
          *(ring.mean() / mean if ring.size else 0.0 for ring in rings), np.log((smooth.max() + 1) / mean),
          smooth.min() / mean, np.log(fine / mean), np.log(fine / coarse), field.mean(), luminance[_RADIUS > CORNER].mean() / 255]


def _some(prints: np.ndarray) -> np.ndarray:
  return prints[np.linspace(0, len(prints) - 1, MOST).astype(int)] if len(prints) > MOST else prints


def _describe_group(numbers: np.ndarray) -> dict[str, Any]:
  """'centre', 'scale', 'mean' and 'covariance' as they are kept: what is rounded is what is used."""
  centre = np.median(numbers, axis=0)
  scale = np.maximum(1.4826 * np.median(np.abs(numbers - centre), axis=0), FLOOR)
  group = {'centre': _round(centre), 'scale': _round(scale)}
  deviations = _deviations(group, numbers)
  mean = deviations.mean(axis=0)
  covariance = _shrunk(deviations - mean)
  lower = [_round(row[:number]) for number, row in enumerate(covariance, 1)]
  return group | {'mean': _round(mean), 'covariance': lower}


def _deviations(group: Mapping[str, Any], numbers: np.ndarray) -> np.ndarray:
  z = (numbers - np.array(group['centre'])) / np.array(group['scale'])
  size = np.abs(z)
  return np.sign(z) * np.where(size > KNEE, KNEE * (1 + np.log(np.maximum(size, KNEE) / KNEE)), size)


def _shrunk(centred: np.ndarray) -> np.ndarray:
  """Covariance of centred rows [N, D], shrunk towards a multiple of the identity (Ledoit and Wolf)."""
  count, size = centred.shape
  covariance = centred.T @ centred / count
  target = np.trace(covariance) / size * np.eye(size)
  away = np.sum((covariance - target)**2)
  noise = (np.sum(np.sum(centred**2, axis=1)**2) / count - np.sum(covariance**2)) / count
  share = min(noise / away, 1.0) if away else 1.0
  return share * target + (1 - share) * covariance + 1e-6 * np.eye(size)


def _square(rows: Sequence[Sequence[float]]) -> np.ndarray:
  """A symmetric matrix from its lower triangle."""
  lower = np.zeros((len(rows), len(rows)))
  lower[np.tril_indices(len(rows))] = np.concatenate([np.array(row, np.float64) for row in rows])
  return lower + np.tril(lower, -1).T


def _distances(group: Mapping[str, Any], numbers: np.ndarray) -> dict[str, np.ndarray]:
  """By view, float64 [N]."""
  away = _deviations(group, numbers) - np.array(group['mean'])
  covariance = _square(group['covariance'])
  return {view: np.sqrt(np.sum(away[:, :size] * np.linalg.solve(covariance[:size, :size], away[:, :size].T).T, axis=1))
          for view, size in VIEWS.items()}


def _crossed(numbers: np.ndarray) -> dict[str, np.ndarray]:
  """Distances of each photograph from the description of those in other folds."""
  folds, found = np.arange(len(numbers)) % FOLDS, {view: np.zeros(len(numbers)) for view in VIEWS}
  for fold in np.unique(folds):
    rows = folds == fold
    for view, distances in _distances(_describe_group(numbers[~rows]), numbers[rows]).items():
      found[view][rows] = distances
  return found


def _rank(count: int, rate: float) -> int:
  """ceil((n + 1) (1 - rate)), not spoiled by rounding."""
  return max(1, math.ceil((count + 1) * (1 - rate) - 1e-9))


def _round(values: Any) -> Any:
  return [_round(value) for value in values] if np.ndim(values) else float(f'{float(values):.{DIGITS}g}')
