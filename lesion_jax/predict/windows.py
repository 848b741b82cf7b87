"""A network that learned from crops, asked about a whole square by overlapping windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lesion_jax import machine
from lesion_jax.core import NUM_LESIONS, Array, Prediction
from lesion_jax.photograph.windows import check_window, window_shares, window_starts

# Where nobody says how, a square goes through the network whole if that takes no more than this share of the memory,
# else by windows of AUTOMATIC pixels (our choice). BYTES is of a pixel of one photograph, see `choose_window`.
BYTES, SHARE, AUTOMATIC = 800, 0.5, 960


def windowed(predict_fn: Callable[[Any, Any], Prediction], window: int) -> Callable[[Any, Any], Prediction]:
  """Returns the same function by windows of one size, see `photograph.windows` for where they lie and how they are
  blended.

  All windows are of one shape, so the network is traced and compiled once, and they go through it one after the other:
  a pass over B images of S x S pixels takes the memory of B windows and two arrays of the maps' size, 64 bytes a pixel
  of an image (133 MB for one of 1440), however many windows there are. A lesion's probability is the maximum of its
  blended map (Eq. 1). Where one window covers the square the maps are the network's own.

  Args:
    predict_fn: pure, `(variables, images [B, w, w, 3]) -> Prediction` of a network that `fits_windows`. Heads other
      than the maps are not looked at.
    window: side of the windows, see `check_window`; 0 returns the function itself.

  Returns:
    `(variables, images uint8 [B, S, S, 3]) -> Prediction` with maps and lesions. It raises ValueError, when it is
    traced, for images over which the windows cannot be laid.
  """
  if not window:
    return predict_fn
  once = jax.jit(predict_fn)  # one trace, wherever it is asked for

  def stitched(variables: Any, images: Array) -> Prediction:
    rows, size = images.shape[:2]
    check_window(window, size)
    starts, shares = jnp.asarray(window_starts(size, window)), jnp.asarray(window_shares(size, window))
    count = len(starts)

    def add(maps: Array, number: Array) -> tuple[Array, None]:
      down, across = number // count, number % count
      place = (0, starts[down], starts[across], 0)
      found = once(variables, jax.lax.dynamic_slice(images, place, (rows, window, window, images.shape[-1]))).maps
      share = (shares[down][:, None] * shares[across])[..., None]
      there = jax.lax.dynamic_slice(maps, place, found.shape)
      return jax.lax.dynamic_update_slice(maps, there + share * found, place), None

    zeros = jnp.zeros((rows, size, size, NUM_LESIONS), jnp.float32)
    maps, _ = jax.lax.scan(add, zeros, jnp.arange(count**2))
    return Prediction(maps=maps, lesions=maps.max((1, 2)))

  return stitched


def fits_windows(prediction: Prediction) -> bool:
  """Returns whether a network, by what it says, can be asked by windows: it makes maps, and does not grade."""
  return prediction.maps is not None and prediction.grades is None


def require_windows(name: str, window: int, prediction: Prediction) -> None:
  """Raises ValueError where a network cannot be asked by windows.

  Args:
    name: of the network, for the message.
    window: the window that was asked for.
    prediction: of the network; shapes alone will do.
  """
  if not fits_windows(prediction):
    why = 'grades, and a grade is of a whole photograph, not of its windows' if prediction.grades is not None else \
        'makes no lesion maps that windows could be stitched to'
    raise ValueError(f'window={window}: {name} {why}; leave the window out, or give 0 for the whole photograph at once')


def choose_window(size: int, device: jax.Device | str | None = None) -> int:
  """Returns the window where neither the caller nor the bundle says one: 0, the whole square, where memory allows.

  The rule: a photograph takes BYTES for each of its size^2 pixels; if that is more than SHARE of the memory of the
  device (on a CPU, of what the process may use of the machine's), windows of AUTOMATIC pixels are taken, or none where
  the square is not larger than those. BYTES is what the largest of four networks takes and a third more: as XLA counts
  them for a CPU in float32 and width 1, U-Net has 614 bytes a pixel, DeepLabv3+ 492, Lesion-Net-2s 424 and
  Lesion-Net-16s 260. So 1440 goes whole from 3.3 GB on. It looks at nothing else: one machine answers alike every time.

  Args:
    size: of the square, in pixels.
    device: which computes; 'cpu' is any; None: JAX's default.
  """
  needed = BYTES * size**2
  return AUTOMATIC if size > AUTOMATIC and needed > SHARE * _memory(device) else 0


def _memory(device: jax.Device | str | None) -> float:
  """Bytes of the device; of a CPU, what the process may use of the machine's. Infinite where it does not say."""
  device = device or jax.local_devices()[0]
  if device == 'cpu' or device.platform == 'cpu':
    return machine.memory()
  return (device.memory_stats() or {}).get('bytes_limit', float('inf'))
