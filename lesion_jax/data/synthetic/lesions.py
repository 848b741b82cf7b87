"""The shapes of non-proliferative lesions: microaneurysms, hemorrhages, hard exudates, cotton-wool spots.

Sizes in field units. At 896 pixels one unit is about 440 pixels, and a disc diameter (DD) about 126.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lesion_jax.annotation.shapes import rotate
from lesion_jax.data.synthetic.canvas import DISC_DIAMETER, blobs, ribbon
from lesion_jax.data.synthetic.grading import QUADRANTS, Plan
from lesion_jax.data.synthetic.sites import Sites


class Finding(NamedTuple):
  """One lesion as an annotator would mark it (of HaEx one cluster).

  Attributes:
    lesion: its key.
    outlines: polygons [n, 2] whose union is the lesion; for large lesions the first one is the body.
    values: how dense or opaque each outline is, in [0, 1].
  """

  lesion: str
  outlines: tuple[np.ndarray, ...]
  values: tuple[float, ...]


def microaneurysms(rng: np.random.Generator, sites: Sites, count: int) -> list[Finding]:
  """Draws round dark-red dots of 5 to 10 pixels at 896, beside small vessels."""
  centres = sites.near_vessels(rng, count)
  outlines = blobs(rng, centres, rng.uniform(0.0060, 0.0110, count), points=12, rough=0.06, stretch=1.3)
  values = rng.uniform(0.34, 0.68, count)
  return [Finding('MA', (outline,), (value,)) for outline, value in zip(outlines, values, strict=True)]


def _flame(rng: np.random.Generator, centre: np.ndarray, angle: float, size: float, value: float) -> Finding:
  """A hemorrhage in the nerve fibre layer: streaks along the fibres, frayed at both ends."""
  offset = np.linspace(-0.45, 0.45, 6)[:, None]
  half = (1.9 - 2.4 * np.abs(offset)) * rng.uniform(0.7, 1.2, (6, 1))
  along = half * np.linspace(-1, 1, 9) + rng.normal(0, 0.25, (6, 1))
  across = offset + 0.12 * np.cos(along + rng.uniform(0, 6, (6, 1)))
  width = np.tile(0.42 * np.cos(np.linspace(-1.45, 1.45, 9)), (6, 1))
  streaks = centre + size * rotate(ribbon(np.stack([along, across], axis=-1), width), angle)
  return Finding('iHE', tuple(streaks), tuple(value * rng.uniform(0.85, 1.1, 6)))


def hemorrhages(rng: np.random.Generator, sites: Sites, centres: np.ndarray) -> list[Finding]:
  """Dots, blots and flames about the given centres [n, 2]; flames lie near the disc, along the nerve fibres."""
  count = len(centres)
  # Where there are very many, most are small.
  sizes = np.minimum(0.0105 * np.exp(rng.gamma(1.6, 0.18 if count > 40 else 0.30, count)), 0.07)
  values = rng.uniform(0.38, 0.88, count)
  away = centres - sites.landmarks.disc
  flame = rng.random(count) < 0.55 * np.exp(-np.hypot(*away.T) / 0.7)
  angles = np.arctan2(away[:, 1], away[:, 0]) + rng.normal(0, 0.25, count)
  bodies = blobs(rng, centres, sizes, points=24, rough=0.10, stretch=1.9)
  places = centres[:, None] + rng.normal(0, 0.5, (count, 2, 2)) * sizes[:, None, None]
  lobes = blobs(rng, places.reshape(-1, 2), np.repeat(sizes, 2) * rng.uniform(0.35, 0.7, 2 * count), rough=0.1)
  return [
      _flame(rng, centres[i], angles[i], 1.15 * sizes[i], values[i]) if flame[i] else
      Finding('iHE', (lobes[2 * i], lobes[2 * i + 1], bodies[i]), (0.8 * values[i], 0.8 * values[i], values[i]))
      for i in range(count)
  ]


def hard_exudates(rng: np.random.Generator, sites: Sites, clusters: int) -> list[Finding]:
  """Clusters of sharp waxy specks: clumps, rings (circinate) and, about the fovea, rays; some run into plaques."""
  fovea = sites.landmarks.fovea
  findings = []
  for _ in range(clusters):
    centre = sites.around(rng, 1, fovea * (np.hypot(*fovea) < 0.85), 0.32)[0]
    count = int(rng.integers(5, 34))
    extent = rng.uniform(0.035, 0.075) * (1 + count / 25)
    if rng.random() < 0.4 and count > 10:
      start, sweep = rng.uniform(0, 2 * np.pi), rng.uniform(3.0, 6.3)
      angle = start + sweep * rng.random(count)
      distance = extent * rng.normal(1, 0.10, count)
    else:
      angle = rng.uniform(0, 2 * np.pi, count)
      distance = extent * np.minimum(np.abs(rng.normal(0, 0.6, count)), 1.2)
    places = centre + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * distance[:, None]
    places = places[sites.is_free(places)]
    if not len(places):
      places = centre[None]
    radii = np.minimum(0.0045 * np.exp(rng.gamma(1.3, 0.38, len(places))), 0.035)
    outlines = blobs(rng, places, radii, points=20, rough=0.18, stretch=2.4)
    values = rng.uniform(0.65, 1.0) * rng.uniform(0.75, 1.0, len(places))
    findings.append(Finding('HaEx', tuple(outlines), tuple(values)))
  return findings


def cotton_wool_spots(rng: np.random.Generator, sites: Sites, count: int) -> list[Finding]:
  """Draws feathery greyish-white patches of 0.15 to 0.5 DD in the nerve fibre layer, near the arcades."""
  findings = []
  for centre in sites.near_vessels(rng, count, wide=True, gap=(0.01, 0.09)):
    size = DISC_DIAMETER * rng.uniform(0.09, 0.22)
    parts = blobs(rng, centre + rng.normal(0, 0.35 * size, (4, 2)), size * rng.uniform(0.4, 0.7, 4), points=14)
    body = blobs(rng, centre[None], np.array([size * 0.75]), points=20, rough=0.15, stretch=2.0)
    value = rng.uniform(0.60, 0.85)
    findings.append(Finding('CWS', (*parts, body[0]), (0.85 * value,) * 4 + (value,)))
  return findings


def background_lesions(rng: np.random.Generator, sites: Sites, plan: Plan) -> list[Finding]:
  """Draws all lesions of this file that the plan asks for, fewer of the small ones where much of the field is
  hidden."""
  def visible(key: str) -> int:
    return int(np.ceil(plan.counts.get(key, 0) * min(1.0, sites.free)))

  spread = sites.near_vessels(rng, visible('iHE'), gap=(0.005, 0.12))
  severe = [sites.apart(rng, n, sign, 0.05) for n, sign in zip(plan.quadrants, QUADRANTS, strict=True) if n]
  return [
      *hard_exudates(rng, sites, visible('HaEx')),
      *microaneurysms(rng, sites, visible('MA')),
      *hemorrhages(rng, sites, np.concatenate([spread, *severe])),
      *cotton_wool_spots(rng, sites, visible('CWS')),
  ]
