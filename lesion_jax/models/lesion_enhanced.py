"""What the lesion-enhanced graders share: a lesion branch, frozen or not, beside a grading branch (section III-B)."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.models.network import Network
from lesion_jax.models.side_attention import average_to_grid

LESION_BRANCH = 'lesion'  # the top-level name of the lesion branch in params and batch_stats


class LesionEnhanced(Network):
  """Base of the graders that look at what a lesion network found.

  The lesion branch is frozen unless `joint`: inference-mode BatchNorm, no gradient. Its variables sit under 'lesion' at
  the top of each collection, so that a trainer can hold them apart (`train.state.split_frozen`); all others sit under
  'grading', the encoder under 'grading/encoder'.

  Attributes:
    lesion: a network that finds lesions; Lesion-Net-16s in the paper's best systems. Its own fields apply to it, not
      those of the network around it.
    joint: train the lesion branch too: it normalises by the batch and moves its statistics where `train` is given, and
      gradients flow into it, those of the grade included. The paper tried it (section IV-A) and saw no better grades
      and 0.01 less in segmentation, so False is the default.
    grading_size: side of the square that the grading branch sees, in pixels: the image averaged down. 0: as large as that
      of the lesion branch, as in the paper. Small lesions take a large photograph, a grade does not.
  """

  lesion: nn.Module = LesionNet()
  joint: bool = False
  grading_size: int = 0

  def network_fields(self) -> dict[str, Any]:
    """Returns the fields of `Network`, for the grading branch."""
    return {name: getattr(self, name) for name in Network.__dataclass_fields__ if name not in ('parent', 'name')}

  def reduce(self, images: Array) -> Array:
    """Returns images [B, S, S, 3] as the grading branch sees them: as they are, or float32 [B, grading_size,
    grading_size, 3].

    Raises:
      ValueError: they are smaller than that, or it is below 0.
    """
    side = self.grading_size
    if side in (0, images.shape[1]):
      return images
    if not 0 < side < images.shape[1]:
      raise ValueError(f'grading_size={side}: give a number of pixels above 0 and at most that of the images, {images.shape[1]}; or 0 '
                       'for as many')
    return average_to_grid(images.astype(jnp.float32), (side, side))

  def grid(self, side: int) -> tuple[int, int]:
    """Returns the grid of the grading encoder's last features, of images of `side` pixels.

    Raises:
      ValueError: that grid is not known without running the encoder.
    """
    if self.padding != 'SAME' or side % 32:
      raise ValueError(f'padding={self.padding!r} and images of {side} pixels: that the lesion network is asked once takes '
                       "padding 'SAME' and a multiple of 32")
    return side // 32, side // 32

  def find(self, images: Array, head: str, *, train: bool) -> Outputs:
    """Returns what the lesion branch says of images [B, H, W, 3].

    Args:
      images: uint8 or float in 0..255.
      head: 'maps' or 'lesions', what the grading branch is about to use.
      train: of the whole network; reaches the lesion branch if `joint`.

    Returns:
      Outputs with `maps`, where the branch makes them, and `lesions`; no gradient flows through them unless `joint`.
      Further outputs of the branch are left out: a loss would take them for those of the grading branch.

    Raises:
      ValueError: the branch does not make `head`.
    """
    found = self.lesion(images, train=train and self.joint)
    if getattr(found, head) is None:
      made = [name for name in ('maps', 'lesions', 'grades') if getattr(found, name) is not None]
      raise ValueError(f'{type(self).__name__} needs {head!r} of its lesion network, and {type(self.lesion).__name__} '
                       f'makes only {", ".join(made)}; give another network as `lesion`')
    found = Outputs(maps=found.maps, lesions=found.lesions)
    return found if self.joint else jax.lax.stop_gradient(found)
