"""The multi-task network (section III-B, Fig. 2): lesion maps, lesion presence and the DR grade in one forward pass."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array, Outputs
from lesion_jax.models.grader import GradeHead
from lesion_jax.models.lesion_net import LesionNet
from lesion_jax.models.network import Network
from lesion_jax.models.side_attention import ATTENTION, average_to_grid

LESION_BRANCH = 'lesion'  # the top-level name of the lesion branch in params and batch_stats


class GradingBranch(Network):
  """The main branch: Inception-v3 whose last feature maps are weighed by the lesion maps (Eq. 5)."""

  attention: str = 'conv'

  @nn.compact
  def __call__(self, images: Array, maps: Array, *, train: bool) -> tuple[Array, Array]:
    """images [B, H, W, 3], lesion probabilities [B, H, W, 8] -> grade logits [B, 5], weight maps [B, h, w, K or 1]."""
    if self.attention not in ATTENTION:
      raise ValueError(f'unknown attention {self.attention!r}; choose one of {", ".join(ATTENTION)}')
    features = self.make_encoder()(images, train=train)[32]
    grid = average_to_grid(maps, features.shape[1:3])
    weights = ATTENTION[self.attention](features.shape[-1], self.dtype, name='attention')(grid)
    return GradeHead(name='head')(features * weights), weights


class MultiTask(Network):
  """Lesion branch and grading branch.

  The lesion branch is frozen: inference-mode BatchNorm, no gradient. Its variables sit under 'lesion' at the top of
  each collection, so that a trainer can hold them apart (`train.state.split_frozen`).

  Attributes:
    lesion: a segmentation network with the call of `LesionNet`; Lesion-Net-16s in the paper.
    attention: 'conv' (Eq. 7) or 'cw_maxpool' (Eq. 6).
  """

  lesion: nn.Module = LesionNet()
  attention: str = 'conv'

  def setup(self) -> None:
    self.grading = GradingBranch(
        encoder=self.encoder, padding=self.padding, width=self.width, dtype=self.dtype, bn_axis=self.bn_axis,
        remat=self.remat, attention=self.attention)

  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """uint8 or float images [B, H, W, 3] in 0..255 -> all four fields of Outputs; `train` concerns the grading only."""
    found = self.lesion(images, train=False)
    found = found.replace(maps=jax.lax.stop_gradient(found.maps), lesions=jax.lax.stop_gradient(found.lesions))
    grades, weights = self.grading(images, jax.nn.sigmoid(found.maps), train=train)
    return found.replace(grades=grades, attention=weights.astype(jnp.float32))
