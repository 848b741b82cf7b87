"""The multi-task network (section III-B, Fig. 2): lesion maps, lesion presence and the DR grade in one forward pass."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import EDEMA, NUM_GRADES, Array, Outputs
from lesion_jax.models.classifier import ClassificationHead
from lesion_jax.models.lesion_enhanced import LesionEnhanced
from lesion_jax.models.network import Network
from lesion_jax.models.side_attention import ATTENTION, average_to_grid


class GradingBranch(Network):
  """The main branch: Inception-v3 whose last feature maps are weighed by the lesion maps (Eq. 5)."""

  attention: str = 'conv'
  edema: bool = False

  @nn.compact
  def __call__(self, images: Array, maps: Array, *, train: bool) -> tuple[Array, Array, Array | None]:
    """images [B, H, W, 3], lesion probabilities [B, H, W, 8] -> grade logits [B, 5], weight maps [B, h, w, K or 1], and logits of
    the risk of edema [B, 3] or None."""
    if self.attention not in ATTENTION:
      raise ValueError(f'unknown attention {self.attention!r}; choose one of {", ".join(ATTENTION)}')
    features = self.make_encoder()(images, train=train)[32]
    grid = average_to_grid(maps, features.shape[1:3])
    weights = ATTENTION[self.attention](features.shape[-1], self.dtype, name='attention')(grid)
    features = features * weights
    risk = ClassificationHead(len(EDEMA), name='edema')(features) if self.edema else None
    return ClassificationHead(NUM_GRADES, name='head')(features), weights, risk


class MultiTask(LesionEnhanced):
  """Lesion branch and grading branch. `lesion`, a segmentation network, and `joint` are those of `LesionEnhanced`.

  Attributes:
    attention: 'conv' (Eq. 7) or 'cw_maxpool' (Eq. 6).
    edema: has a further head that tells the risk of macular edema from what the grade is told from (our choice; the paper grades
      alone). It is fitted to a network that has learned to grade, see `train.edema`.
  """

  attention: str = 'conv'
  edema: bool = False

  def setup(self) -> None:
    self.grading = GradingBranch(**self.network_fields(), attention=self.attention, edema=self.edema)

  def __call__(self, images: Array, *, train: bool) -> Outputs:
    """Segments, classifies and grades.

    Args:
      images: uint8 or float [B, H, W, 3] in 0..255, RGB.
      train: of the grading branch, and of the lesion branch if `joint`.

    Returns:
      Outputs with `maps` [B, H, W, 8], `lesions` [B, 8], `grades` [B, 5], float32 logits, with that head `edema`
      [B, 3], and the weight maps of the side attention in `attention` [B, h, w, K or 1], float32 in [0, 1].

    Raises:
      ValueError: the lesion network makes no maps, or `attention` is neither of the two.
    """
    found = self.find(images, 'maps', train=train)
    graded = self.grade(images, jax.nn.sigmoid(found.maps), train=train)
    return found.replace(grades=graded.grades, edema=graded.edema, attention=graded.attention)

  def look(self, images: Array) -> Array:
    """Returns what the grading branch makes of the lesion maps of images [B, S, S, 3]: their means over the cells of
    its last features, float32 [B, h, w, 8]. `grade` takes them in the place of the maps, with the same result."""
    maps = jax.nn.sigmoid(self.find(images, 'maps', train=False).maps)
    return average_to_grid(maps, self.grid(self.grading_size or images.shape[1]))

  def grade(self, images: Array, maps: Array, *, train: bool) -> Outputs:
    """Returns the grading branch alone.

    Args:
      images: [B, S, S, 3], as of `__call__` or already of `grading_size`.
      maps: float32 [B, H, W, 8], lesion probabilities, or what `look` makes of them.
      train: of the grading branch.
    """
    grades, weights, risk = self.grading(self.reduce(images), maps, train=train)
    return Outputs(grades=grades, edema=risk, attention=weights.astype(jnp.float32))
