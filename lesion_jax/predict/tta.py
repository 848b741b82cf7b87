"""Test-time augmentation: what a network says of a photograph, averaged over mirrored and turned copies of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Prediction


class Turn(NamedTuple):
  """One of the eight ways to lay a square on itself: the diagonal mirror first, then the other two."""

  transpose: bool
  flip_rows: bool
  flip_columns: bool

  def apply(self, x: Array) -> Array:
    """Turns [B, S, S, ...] -> the same, turned."""
    x = jnp.swapaxes(x, 1, 2) if self.transpose else x
    return self._flip(x)

  def undo(self, x: Array) -> Array:
    """Returns the inverse of `apply`."""
    x = self._flip(x)
    return jnp.swapaxes(x, 1, 2) if self.transpose else x

  def _flip(self, x: Array) -> Array:
    return jnp.flip(x, [axis for axis, flip in ((1, self.flip_rows), (2, self.flip_columns)) if flip])


_FLIPS = tuple(Turn(False, rows, columns) for rows in (False, True) for columns in (False, True))
# An eye has no upper side that matters to a lesion, and its mirror image is the other eye.
TURNS = {
    'flips': _FLIPS,  # as it is, left to right, upside down, and both
    'dihedral': _FLIPS + tuple(turn._replace(transpose=True) for turn in _FLIPS),  # and each turned by 90 degrees
}


def augmented(predict_fn: Callable[[Any, Any], Prediction], tta: str | None) -> Callable[[Any, Any], Prediction]:
  """Returns the same function with test-time augmentation.

  Probabilities are averaged; maps and attention are turned back before. A lesion's probability is then the maximum of
  its averaged map (Eq. 1), or, without maps, the average. The copies are taken one after the other, so memory grows by
  one prediction and the time by the number of copies.

  Args:
    predict_fn: pure, `(variables, images [B, S, S, 3]) -> Prediction`.
    tta: a key of TURNS; None returns the function itself.

  Raises:
    ValueError: there is no such augmentation.
  """
  if tta is None:
    return predict_fn
  if tta not in TURNS:
    raise ValueError(f'unknown test-time augmentation {tta!r}; choose one of {", ".join(TURNS)}, or None')
  turns = TURNS[tta]
  once = jax.jit(predict_fn)  # one trace serves the shapes and the loop

  def averaged(variables: Any, images: Array) -> Prediction:

    def add(total: Prediction, number: Array) -> tuple[Prediction, None]:
      pick = lambda functions, x: None if x is None else jax.lax.switch(number, functions, x)
      found = once(variables, pick([turn.apply for turn in turns], images))
      undo = functools.partial(pick, [turn.undo for turn in turns])
      found = found.replace(maps=undo(found.maps), attention=undo(found.attention))
      return jax.tree.map(jnp.add, total, found), None

    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(once, variables, images))
    total, _ = jax.lax.scan(add, zeros, jnp.arange(len(turns)))
    mean = jax.tree.map(lambda x: x / len(turns), total)
    return mean if mean.maps is None else mean.replace(lesions=mean.maps.max((1, 2)))

  return averaged
