"""The vocabulary of the field: lesions, grades, Table I of the paper, and the arrays that travel between layers.

Pure definitions. Nothing here touches a file, a flag or global state.

Source: Wei et al., "Learn to Segment Retinal Lesions and Beyond", ICPR 2020 ('the paper').
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, TypedDict

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    'EDEMA', 'EVIDENCE', 'GRADES', 'GRADE_KEYS', 'LANDMARKS', 'LESIONS', 'LESION_KEYS', 'NUM_GRADES', 'NUM_LESIONS',
    'REFERABLE_GRADE', 'SEVERE_HEMORRHAGES', 'UNKNOWN_EDEMA', 'UNKNOWN_GRADE', 'Array', 'Evidence', 'Example', 'Grade', 'Lesion', 'Outputs', 'Prediction',
    'Targets', 'largest', 'lesion_bits', 'lesion_index', 'unpack_bits', 'unpack_targets']

Array = jax.Array | np.ndarray


class Lesion(NamedTuple):
  """One lesion class: the paper's abbreviation and the full name."""

  key: str
  name: str


class Grade(NamedTuple):
  """One grade of diabetic retinopathy (DR): the paper's label and the clinical name."""

  key: str
  name: str


class Evidence(NamedTuple):
  """One entry of the paper's Table I.

  Attributes:
    grade: 1..4, the grade that the finding speaks for.
    finding: the finding as the AAO guideline words it.
    sufficient: True where the finding alone is enough for the grade; False where it is indirect evidence.
    lesion: key of the lesion in LESIONS, or None where the paper leaves the finding out (venous beading, IrMA).
  """

  grade: int
  finding: str
  sufficient: bool
  lesion: str | None


# The order of the paper's Table II. Bit j of a packed byte is LESIONS[j].
LESIONS: tuple[Lesion, ...] = (
    Lesion('MA', 'microaneurysm'),
    Lesion('iHE', 'intraretinal hemorrhage'),
    Lesion('HaEx', 'hard exudate'),
    Lesion('CWS', 'cotton-wool spot'),
    Lesion('vHE', 'vitreous hemorrhage'),
    Lesion('pHE', 'preretinal hemorrhage'),
    Lesion('NV', 'neovascularization'),
    Lesion('FiP', 'fibrous proliferation'),
)
NUM_LESIONS = len(LESIONS)
LESION_KEYS: tuple[str, ...] = tuple(lesion.key for lesion in LESIONS)

GRADES: tuple[Grade, ...] = (
    Grade('DR0', 'no diabetic retinopathy'),
    Grade('DR1', 'mild non-proliferative diabetic retinopathy'),
    Grade('DR2', 'moderate non-proliferative diabetic retinopathy'),
    Grade('DR3', 'severe non-proliferative diabetic retinopathy'),
    Grade('DR4', 'proliferative diabetic retinopathy'),
)
NUM_GRADES = len(GRADES)
GRADE_KEYS: tuple[str, ...] = tuple(grade.key for grade in GRADES)
UNKNOWN_GRADE = -1
REFERABLE_GRADE = 2  # DR2 and above is referred to an ophthalmologist (the usual definition of referable DR).

# The landmarks of the fundus, in this order wherever there is one value for each.
LANDMARKS: tuple[str, ...] = ('disc', 'fovea')  # centre of the optic disc, and of the fovea

# Risk of macular edema as IDRiD's part B and Messidor have it (P. Porwal et al., Data 3(3):25, 2018): by hard exudates alone,
# which is why it is a risk; edema itself is a matter of thickness, which no single photograph shows.
EDEMA: tuple[str, ...] = (
    'no hard exudates', 'hard exudates, none within one disc diameter of the fovea',
    'hard exudates within one disc diameter of the fovea')
UNKNOWN_EDEMA = -1

# Table I of the paper (AAO Preferred Practice Pattern). DR1 means microaneurysms exclusively; DR3 by hemorrhages
# means more than SEVERE_HEMORRHAGES of them in each of the four quadrants.
SEVERE_HEMORRHAGES = 20
EVIDENCE: tuple[Evidence, ...] = (
    Evidence(1, 'microaneurysms, exclusively', True, 'MA'),
    Evidence(2, 'intraretinal hemorrhage', True, 'iHE'),
    Evidence(2, 'hard exudate', False, 'HaEx'),
    Evidence(3, 'over 20 intraretinal hemorrhages in each of 4 quadrants', True, 'iHE'),
    Evidence(3, 'venous beading in 2+ quadrants', True, None),
    Evidence(3, 'IrMA in 1+ quadrants', True, None),
    Evidence(3, 'cotton-wool spot', False, 'CWS'),
    Evidence(4, 'neovascularization', True, 'NV'),
    Evidence(4, 'vitreous hemorrhage', True, 'vHE'),
    Evidence(4, 'preretinal hemorrhage', True, 'pHE'),
    Evidence(4, 'fibrous proliferation', False, 'FiP'),
)


def lesion_index(key: str) -> int:
  """Returns the position of a lesion in LESIONS. Raises ValueError, listing the keys, when there is none of that
  name."""
  if key not in LESION_KEYS:
    raise ValueError(f'unknown lesion {key!r}; the lesions are {", ".join(LESION_KEYS)}')
  return LESION_KEYS.index(key)


def lesion_bits(keys: tuple[str, ...] | list[str]) -> int:
  """Returns the byte (0..255) in which the bits of the given lesions are set."""
  return sum(1 << lesion_index(key) for key in set(keys))


class Example(TypedDict, total=False):
  """The canonical example, as NumPy arrays (one) or stacked on a leading axis (a batch).

  S is the side of the square input, 896 in the paper.
  """

  image: Array  # uint8 [S, S, 3], RGB, the square that holds the field of view
  lesions: Array  # uint8 [S, S], bit j set where LESIONS[j] is present
  ignore: Array  # uint8 [S, S], bit j set where LESIONS[j] must not be scored
  annotated: Array  # uint8 [], bit j set where this dataset annotates LESIONS[j] at all
  grade: Array  # int32 [], 0..4, or UNKNOWN_GRADE
  edema: Array  # int32 [], 0..2, position in EDEMA, or UNKNOWN_EDEMA
  # float32 [2, 2], row and column of each of LANDMARKS in pixels of the image from its upper left corner (the centre of the
  # first pixel is at 0.5); NaN where nobody says, anything outside 0..S where it is not in the image
  landmarks: Array
  found: Array  # float32 [h, w, 8] or [8], what a frozen lesion network said, where it was asked before training
  weight: Array  # float32 [], 1, or 0 for a row that only pads the last batch
  row: Array  # int32 [], position in the global batch; keys the augmentation
  id: str  # stays on the host
  patient: str  # stays on the host


@flax.struct.dataclass
class Outputs:
  """What a network computes, as float32 logits; None where a network does not have that head.

  Attributes:
    maps: [B, S, S, 8] lesion logits per pixel.
    lesions: [B, 8] lesion logits per image: the maxima of `maps` (Eq. 1; sigmoid is monotone), or a classifier's.
    grades: [B, 5] grade logits.
    attention: [B, h, w, K] or None: the weight maps of the side-attention block (Eq. 6, 7), or the attention map of an
      Attention Branch Network, in [0, 1], for inspection.
    landmarks: [B, 2, g * g + 1] of a network of LANDMARKS: logits of the cells of a grid of g x g over the image, row by
      row, and last of the landmark's not being in it. `Prediction` has none: see `models.landmarks.locate`.
    auxiliary: Outputs or None: what a further head says of the same images, for the loss alone (the attention branch of
      an Attention Branch Network). Predictions and metrics do not look at it.
    edema: [B, 3] logits of the risk of macular edema, in the order of EDEMA.
  """

  maps: Any = None
  lesions: Any = None
  grades: Any = None
  attention: Any = None
  landmarks: Any = None
  auxiliary: Outputs | None = None
  edema: Any = None

  def probabilities(self) -> Prediction:
    """Returns probabilities: the sigmoid for lesions, the softmax for grades and the risk of edema, the mean over the channels for
    attention."""
    return Prediction(
        maps=None if self.maps is None else jax.nn.sigmoid(self.maps),
        lesions=None if self.lesions is None else jax.nn.sigmoid(self.lesions),
        grades=None if self.grades is None else jax.nn.softmax(self.grades),
        edema=None if self.edema is None else jax.nn.softmax(self.edema),
        attention=None if self.attention is None else self.attention.mean(axis=-1),
    )


@flax.struct.dataclass
class Prediction:
  """What a network says of B images, float32 in [0, 1]; None where it has no such head.

  Attributes:
    maps: [B, S, S, 8], probabilities.
    lesions: [B, 8], probabilities.
    grades: [B, 5], probabilities.
    attention: [B, h, w], how much the network looked there: its weight maps, averaged over their channels.
    edema: [B, 3], probabilities of the risk of macular edema, in the order of EDEMA.
  """

  maps: Any = None
  lesions: Any = None
  grades: Any = None
  attention: Any = None
  edema: Any = None


@flax.struct.dataclass
class Targets:
  """Ground truth unpacked on the device.

  Attributes:
    lesions: bool [B, S, S, 8].
    scored: bool [B, S, S, 8]: annotated & ~ignore & (weight > 0). Nothing outside it reaches a loss or a metric.
    grade: int32 [B], UNKNOWN_GRADE where it is unknown or the row is padding.
    undecided: bool [B, 8], or None where nothing is: no scored pixel of the image shows the lesion, and some pixel of it
      must not be scored. Whether the image has the lesion is then unknown: what is ignored may be it.
    landmarks: float32 [B, 2, 2] as in `Example`, NaN where unknown or the row is padding; None where nobody asked.
  """

  lesions: Array
  scored: Array
  grade: Array
  undecided: Array | None = None
  landmarks: Array | None = None

  @property
  def evaluated(self) -> Array:
    """bool [B, 8]: the pairs of image and lesion of which it is known whether the image has the lesion. The others are
    excluded from Eq. 4 and of every metric of images, whatever the network: those without a scored pixel, and those
    undecided. A network of maps would be excused there (its scored pixels may all be right), and a classifier, which
    cannot say where, would not."""
    scored = jnp.any(self.scored, axis=(1, 2))
    return scored if self.undecided is None else scored & ~self.undecided


def unpack_bits(packed: Array) -> Array:
  """Unpacks uint8 [...] -> bool [..., 8]; bit j goes to index j. NumPy in, NumPy out; JAX in, JAX out."""
  xp = np if isinstance(packed, np.ndarray | np.generic) else jnp
  shifts = xp.arange(NUM_LESIONS, dtype=xp.uint8)
  return ((packed[..., None] >> shifts) & 1).astype(bool)


def unpack_targets(batch: Example) -> Targets:
  """Unpacks a batch (leading axis B) into `Targets`. JAX, jittable."""
  real = batch['weight'] > 0
  annotated = unpack_bits(batch['annotated']) & real[:, None]
  lesions, ignore = unpack_bits(batch['lesions']), unpack_bits(batch['ignore'])
  scored = annotated[:, None, None, :] & ~ignore
  return Targets(
      lesions=lesions,
      scored=scored,
      grade=jnp.where(real, batch['grade'], UNKNOWN_GRADE),
      undecided=annotated & jnp.any(ignore, axis=(1, 2)) & ~jnp.any(lesions & scored, axis=(1, 2)),
      landmarks=jnp.where(real[:, None, None], batch['landmarks'], jnp.nan) if 'landmarks' in batch else None,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def largest(x: jax.Array, axis: int) -> jax.Array:
  """Computes the maximum along an axis, with a gradient that is finite however the program is compiled.

  JAX looks for what equals the maximum and divides by how many there are. A compiler may compute the values a second time for that, and
  round otherwise: then none is equal, and the gradient not a number. Here the place is found once; the first of equal values takes all
  of the gradient, as PyTorch's `max(dim)` has it.

  Args:
    x: float [...].
    axis: of x.

  Returns:
    Of the type of x, without that axis.
  """
  return jnp.max(x, axis)


def _largest_forth(x: jax.Array, axis: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return jnp.max(x, axis), (x, jnp.argmax(x, axis))


def _largest_back(axis: int, seen: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
  x, place = seen  # of x the shape alone
  places = jax.lax.broadcasted_iota(place.dtype, x.shape, axis % x.ndim)
  return jnp.where(places == jnp.expand_dims(place, axis), jnp.expand_dims(gradient, axis), 0),


largest.defvjp(_largest_forth, _largest_back)
