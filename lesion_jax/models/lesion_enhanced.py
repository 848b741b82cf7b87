"""What the lesion-enhanced graders share: a lesion branch, frozen or not, beside a grading branch (section III-B)."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from lesion_jax.core import Array, Outputs
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.models.network import Network

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
  """

  lesion: nn.Module = LesionNet()
  joint: bool = False

  def network_fields(self) -> dict[str, Any]:
    """The fields of `Network`, for the grading branch."""
    return {name: getattr(self, name) for name in Network.__dataclass_fields__ if name not in ('parent', 'name')}

  def find(self, images: Array, head: str, *, train: bool) -> Outputs:
    """What the lesion branch says of images [B, H, W, 3].

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
