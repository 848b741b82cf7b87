"""How far places are from where the landmarks are, in disc diameters."""

from __future__ import annotations

import numpy as np

from lesion_jax.core import Array

# Diameter of the optic disc over the side of the square around the field of view, which is the diameter of a whole round
# field: measured on the 81 disc masks of IDRiD's part A, by a circle of the same area, mean 0.1526, standard deviation 0.0134,
# from 0.116 to 0.187 (524 of 3,435 pixels). In a wider field than theirs (50 degrees) a disc is a smaller share.
DISC_DIAMETER = 0.1526
NEARNESS = 'nearness'  # the figure by which the best network is chosen: the mean of max(0, 1 - error in disc diameters)
WITHIN = 0.5  # disc diameters, as the field counts a place right


def landmark_errors(places: Array, truth: Array, size: int) -> np.ndarray:
  """Distances in disc diameters.

  Args:
    places: float [..., 2], rows and columns in pixels of the square.
    truth: the same; NaN, or outside 0..size, where there is nothing to be near to.
    size: side of the square, in pixels.

  Returns:
    float64 [...]; NaN where the truth is none.
  """
  places, truth = np.asarray(places, np.float64), np.asarray(truth, np.float64)
  inside = np.all((truth >= 0) & (truth <= size), axis=-1)
  distance = np.sqrt(((places - np.where(inside[..., None], truth, 0)) ** 2).sum(axis=-1))
  return np.where(inside, distance / (DISC_DIAMETER * size), np.nan)
