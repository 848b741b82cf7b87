"""Whether a photograph shows a lesion, by its map: a score on the device or in NumPy, and the rule that decides.

Eq. 1 takes the most probable pixel. It serves the paper's losses and metrics, and it fails as a rule for people: a
single pixel of a healthy eye is enough. So a second score is offered (our choice), the mean of some hundred most
probable pixels, and the threshold on it is chosen on photographs without the lesion (`evaluate.thresholds`). The mean
is of log
odds: of probabilities it is 1 to six digits in healthy and sick eyes alike once a hundred pixels are sure of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lesion_jax.core import LESION_KEYS, NUM_LESIONS, Array, Prediction

# Of a field of 1440 pixels, and as large a share of others. There, 500 are the area of ten median microaneurysms of IDRiD (8
# pixels across), and a hemorrhage or an exudate has as many alone. Of 20, 100, 500 and 2,000 (measured on the validation
# photographs of IDRiD), all from 100 on part healthy from sick eyes; fewer are too near to certainty to leave room for a margin.
TOP_PIXELS, SIDE = 500, 1440
LEAST = 10  # pixels, of small maps
SURE = 2.0**-24  # probabilities are at least so far from 0 and 1: what is between 1 and the float32 before it
TILE = 128  # pixels, see `_top`

TOP, MAXIMUM = f'top{TOP_PIXELS}', 'maximum'
RULES = (TOP, MAXIMUM)
# What a person is told of a lesion in a photograph.
PRESENT, ABSENT, NOT_EVALUATED, UNGRADABLE = 'present', 'absent', 'not evaluated', 'ungradable'


def top_pixels(height: int, width: int) -> int:
  """Returns how many pixels of a map the rule looks at: TOP_PIXELS of a square of SIDE, in proportion of others, at
  least LEAST."""
  return max(LEAST, round(TOP_PIXELS * height * width / SIDE**2))


def presence_scores(prediction: Prediction, known: Array | None = None, *, count: int | None = None) -> Array:
  """Returns the mean log odds of the `count` most probable pixels of each lesion's map, as a probability; of a network
  without maps, its probability.

  Ties do not matter. On the device one pass over the maps finds the largest pixel of every tile; the most
  probable pixels all lie in as many tiles as there are pixels to find, those with the largest maxima.

  Args:
    prediction: probabilities, `maps` [B, S, S, 8] or else `lesions` [B, 8]. NumPy in, NumPy out; JAX in, JAX out.
    known: bool [B, S, S, 8], the pixels that are looked at; None: all.
    count: at least 1; None: `top_pixels`. Where fewer pixels are known, the mean is of all of those; where none is, the score is 0.

  Returns:
    float32 [B, 8], in [0, 1]: the sigmoid of the mean.

  Raises:
    ValueError: the prediction has neither maps nor lesions, shapes do not fit, or `count` is below 1.
  """
  if count is not None and count < 1:
    raise ValueError(f'count={count}: the mean is of at least one pixel')
  maps = prediction.maps
  if maps is None:
    if prediction.lesions is None:
      raise ValueError('presence needs prediction.maps or prediction.lesions, and both are None: this network grades')
    return prediction.lesions
  if maps.ndim != 4 or maps.shape[-1] != NUM_LESIONS or (known is not None and known.shape != maps.shape):
    raise ValueError(f'expected maps [B, S, S, {NUM_LESIONS}] and the known pixels in the same shape; got {maps.shape} '
                     f'and {None if known is None else known.shape}')
  count = top_pixels(*maps.shape[1:3]) if count is None else count
  if isinstance(maps, np.ndarray):
    return _scores_on_host(maps, known, count)
  top = _top(maps if known is None else jnp.where(known, maps, -1), count)
  return _mean(top)


def _mean(top: Array) -> Array:
  """The sigmoid of the mean log odds along the last axis, of what is not negative, added up in one order on every device."""
  xp = np if isinstance(top, np.ndarray) else jnp
  found = xp.sum(top >= 0, axis=-1)
  width = 1 << (top.shape[-1] - 1).bit_length()
  odds = xp.clip(top.astype(xp.float32), SURE, 1 - SURE)  # in half precision 1 - SURE would be 1
  odds = xp.where(top >= 0, xp.log(odds) - xp.log1p(-odds), 0)
  total = xp.pad(odds, [(0, 0)] * (top.ndim - 1) + [(0, width - top.shape[-1])])
  while (width := total.shape[-1]) > 1:
    total = total[..., :width // 2] + total[..., width // 2:]
  mean = total[..., 0] / xp.maximum(found, 1).astype(xp.float32)
  return xp.where(found > 0, 1 / (1 + xp.exp(-mean)), 0).astype(xp.float32)


def _top(maps: jax.Array, count: int) -> jax.Array:
  """The `count` largest of each lesion, float32 [B, 8, count], -1 where there are not so many."""
  images, pixels = maps.shape[0], maps.shape[1] * maps.shape[2]
  tiles = -(-pixels // TILE)
  flat = jnp.pad(maps.reshape(images, pixels, NUM_LESIONS), ((0, 0), (0, tiles * TILE - pixels), (0, 0)),
                 constant_values=-1).reshape(images, tiles, TILE, NUM_LESIONS)
  if tiles > count:
    _, best = jax.lax.top_k(jnp.moveaxis(flat.max(axis=2), -1, 1), count)
    flat = jnp.take_along_axis(flat, jnp.moveaxis(best, 1, -1)[:, :, None], axis=1)
  values = jnp.moveaxis(flat, -1, 1).reshape(images, NUM_LESIONS, -1)
  return jax.lax.top_k(values, min(count, values.shape[-1]))[0]


def _scores_on_host(maps: np.ndarray, known: np.ndarray | None, count: int) -> np.ndarray:
  """`presence_scores` of maps in NumPy, a lesion after the other."""
  scores = np.zeros((len(maps), NUM_LESIONS), np.float32)
  for image, pixels in enumerate(maps):
    likely: Iterable[np.ndarray] = _likely(pixels, count) if known is None else (
        pixels[known[image, ..., lesion], lesion] for lesion in range(NUM_LESIONS))
    for lesion, values in enumerate(likely):
      if values.size > count:
        values = np.partition(values, -count)[-count:]
      top = np.full(min(count, pixels[..., lesion].size), -1, np.float32)
      top[:values.size] = np.sort(values)[::-1]
      scores[image, lesion] = _mean(top)
  return scores


def _likely(maps: np.ndarray, count: int) -> Iterator[np.ndarray]:
  """Of each lesion the pixels among which the `count` most probable ones of a map [S, S, 8] are: as `_top` does it, those of the
  tiles with the largest maxima."""
  for lesion in range(NUM_LESIONS):
    values = maps[..., lesion].ravel()
    tiles = values.size // TILE
    if tiles > count:
      tiled = values[:tiles * TILE].reshape(tiles, TILE)
      best = np.argpartition(tiled.max(axis=1), -count)[-count:]
      values = np.concatenate([tiled[best].ravel(), values[tiles * TILE:]])
    yield values


class Rule(NamedTuple):
  """When a lesion is called present.

  Attributes:
    name: TOP, by `presence_scores`, present above the threshold; or MAXIMUM, by the most probable pixel (Eq. 1) or what
      a classifier says, present from the threshold on, as the paper has it.
    thresholds: float64 [8].
    evaluated: bool [8], the lesions that the network may speak of; no other is present, whatever its map says. None:
      all.
  """

  name: str
  thresholds: np.ndarray
  evaluated: np.ndarray | None = None

  @classmethod
  def of(cls, config: Mapping[str, Any], thresholds: np.ndarray | None = None) -> Rule:
    """Returns the rule of a bundle.

    Args:
      config: its configuration, checked. Without 'presence' the rule is MAXIMUM at the thresholds of the pixels.
      thresholds: [8], of the pixels, in the place of the bundle's.
    """
    presence, evaluated = config.get('presence'), None
    if 'annotated' in config:
      evaluated = np.isin(LESION_KEYS, list(config['annotated']))
    if presence is None and thresholds is not None:
      return cls(MAXIMUM, np.asarray(thresholds, np.float64), evaluated)
    chosen = config['thresholds'] if presence is None else presence['thresholds']
    return cls(MAXIMUM if presence is None else presence['rule'], np.array([chosen[key] for key in LESION_KEYS], float), evaluated)

  def score(self, maps: np.ndarray | None, lesions: np.ndarray) -> np.ndarray:
    """Returns the scores that `decide` takes, float32 [B, 8], of maps [B, S, S, 8] or None and probabilities [B, 8]."""
    return np.asarray(lesions) if self.name == MAXIMUM else presence_scores(Prediction(maps=maps, lesions=lesions))

  def decide(self, scores: np.ndarray) -> np.ndarray:
    """Returns which lesions are present, bool of the same shape: scores [..., 8] of `score`. By MAXIMUM both sides are float32, as in
    `metrics.segmentation_counts`: a probability that is equal to its threshold is counted and called alike."""
    scores = np.asarray(scores)
    present = (scores.astype(np.float32) >= self.thresholds.astype(np.float32) if self.name == MAXIMUM
               else scores > self.thresholds)
    return present if self.evaluated is None else present & self.evaluated

  def describe(self) -> str:
    """Returns one sentence for people."""
    if self.name == MAXIMUM:
      return 'A lesion is called present where its most probable pixel reaches its threshold (Eq. 1 of the paper).'
    return (f'A lesion is called present where the most probable pixels of its map ({TOP_PIXELS} of a field of {SIDE} x {SIDE}, '
            'by the mean of their log odds), or what a classifier says, are above its threshold.')

  def to_json(self) -> dict[str, Any]:
    """Returns {'rule', 'thresholds': {key: float}}."""
    return {'rule': self.name, 'thresholds': {key: float(t) for key, t in zip(LESION_KEYS, self.thresholds, strict=True)}}


# The paper's way: Eq. 1, and 0.5.
PAPER_RULE = Rule(MAXIMUM, np.full(NUM_LESIONS, 0.5))
