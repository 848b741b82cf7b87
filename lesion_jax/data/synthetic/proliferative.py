"""The shapes of proliferative lesions: new vessels, vitreous and preretinal hemorrhage, fibrous membranes."""

from __future__ import annotations

import numpy as np

from lesion_jax.annotation.shapes import rotate
from lesion_jax.data.synthetic.canvas import DISC_DIAMETER, blobs, ribbon, walk
from lesion_jax.data.synthetic.grading import Plan
from lesion_jax.data.synthetic.lesions import Finding
from lesion_jax.data.synthetic.sites import Sites


def vitreous_hemorrhage(rng: np.random.Generator) -> Finding:
  """Returns a veil over a large part of the field, mostly its lower half, where blood settles."""
  centre = np.array([[rng.normal(0, 0.3), rng.uniform(0.05, 0.6)]])
  veil = blobs(rng, centre, np.array([rng.uniform(0.38, 0.78)]), points=64, rough=0.13, stretch=1.6)[0]
  veil *= np.minimum(1, 0.985 / np.hypot(*veil.T))[:, None]
  return Finding('vHE', (veil,), (rng.uniform(0.35, 0.85),))


def preretinal_hemorrhage(rng: np.random.Generator, sites: Sites) -> Finding:
  """Returns a pool between retina and vitreous: a level upper edge, a hull like a boat's below, 0.7 to 2 DD wide."""
  half = DISC_DIAMETER * rng.uniform(0.35, 1.0)
  depth = half * rng.uniform(0.45, 1.1)
  side = np.linspace(0, 1, 24)
  dents = 1 + rng.normal(0, 0.06) * np.sin(7 * side) + rng.normal(0, 0.04) * np.sin(13 * side + rng.uniform(0, 6))
  sag = np.pi * side**rng.uniform(0.75, 1.3)  # the deepest point lies off the middle
  hull = np.stack([half * np.cos(np.pi * side), depth * np.abs(np.sin(sag))**rng.uniform(0.5, 1.1) * dents], axis=-1)
  level = np.stack([np.linspace(-half, half, 10), rng.normal(0, 0.003, 10)], axis=-1)[1:-1]
  boat = rotate(np.concatenate([hull, level]), rng.normal(0, 0.10))
  centre = sites.near_vessels(rng, 1, wide=True, gap=(0.0, 0.2))[0] * 0.8
  return Finding('pHE', (boat + centre - (0, 0.4 * depth),), (rng.uniform(0.80, 0.95),))


def fibrous_membrane(rng: np.random.Generator, sites: Sites) -> Finding:
  """Returns a whitish-grey band with strands that pull at the retina, along an arcade or across the disc."""
  size = DISC_DIAMETER * rng.uniform(0.6, 2.0)
  on_disc = rng.random() < 0.3
  centre = sites.landmarks.disc if on_disc else sites.near_vessels(rng, 1, wide=True, gap=(0.0, 0.06))[0] * 0.85
  heading = rng.uniform(0, 2 * np.pi)
  start = centre - 0.5 * size * np.array([np.cos(heading), np.sin(heading)])
  band = walk(rng, start[None], [heading], [size], steps=24, bend=[rng.normal(0, 0.8)], tortuosity=0.06)[0]
  profile = np.sin(np.linspace(0.04, np.pi - 0.04, 24))**0.8
  width = size * rng.uniform(0.14, 0.32) * profile * (1 + 0.25 * np.sin(np.linspace(0, rng.uniform(5, 14), 24)))
  value = rng.uniform(0.55, 0.85)
  count = int(rng.integers(6, 14))
  aside = heading + rng.choice((-1, 1), count) * rng.uniform(0.5, 1.6, count)
  strands = walk(rng, band[rng.integers(3, 21, count)], aside, rng.uniform(0.15, 0.45, count) * size, steps=10,
                 bend=rng.normal(0, 0.6, count), tortuosity=0.05)
  outlines = [ribbon(band, width), *ribbon(strands, np.tile(np.linspace(0.07, 0.008, 10) * size, (count, 1)))]
  return Finding('FiP', tuple(_inside(outline) for outline in outlines), (value,) + (0.75 * value,) * count)


def new_vessels(rng: np.random.Generator, sites: Sites) -> Finding:
  """Returns a frond of fine tortuous looping vessels on the disc or along an arcade, 0.5 to 1.4 DD across."""
  radius = DISC_DIAMETER * rng.uniform(0.28, 0.65)
  on_disc = rng.random() < 0.35
  centre = sites.landmarks.disc + rng.normal(0, 0.05, 2) if on_disc else sites.near_vessels(rng, 1, wide=True)[0] * 0.93
  count, steps = int(rng.integers(9, 17)), 28
  heading = rng.uniform(0, 2 * np.pi) + rng.normal(0, 1.1, count)
  stems = walk(rng, centre + rng.normal(0, 0.12 * radius, (count, 2)), heading, radius * rng.uniform(0.9, 1.7, count),
               steps=steps, bend=rng.normal(0, 1.2, count), tortuosity=0.32)
  twigs = walk(rng, stems[np.arange(count), rng.integers(8, 24, count)], heading + rng.normal(0, 1.4, count),
               radius * rng.uniform(0.5, 1.1, count), steps=steps, bend=rng.normal(0, 2.0, count), tortuosity=0.36)
  width = np.repeat((0.0070, 0.0052), count)[:, None] * np.linspace(1, 0.6, steps)
  outlines = ribbon(np.concatenate([stems, twigs]), width)
  return Finding('NV', tuple(_inside(outline) for outline in outlines), tuple(rng.uniform(0.4, 0.75, 2 * count)))


def proliferative_lesions(rng: np.random.Generator, sites: Sites, plan: Plan) -> list[Finding]:
  """Draws all lesions of this file that the plan asks for; what lies behind the larger ones is taken out of use."""
  findings = []
  makers = (
      ('vHE', lambda: vitreous_hemorrhage(rng)),
      ('pHE', lambda: preretinal_hemorrhage(rng, sites)),
      ('FiP', lambda: fibrous_membrane(rng, sites)),
      ('NV', lambda: new_vessels(rng, sites)),
  )
  for key, make in makers:
    for _ in range(plan.counts.get(key, 0)):
      findings.append(make())
      if key != 'NV':
        sites.block(findings[-1].outlines[0])
  return findings


def _inside(outline: np.ndarray) -> np.ndarray:
  """Pulls the vertices that lie beyond the field back to its edge."""
  return outline * np.minimum(1, 0.985 / np.maximum(np.hypot(*outline.T), 1e-9))[:, None]
