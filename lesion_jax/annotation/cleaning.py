"""Table I against what was marked: which lesions a photograph of a grade cannot show.

The paper "cleaned lesion annotations so they are complied to the diagnostic guidelines" and does not say how. Its
raw dataset keeps such annotation under the grey level 127: neither positive nor negative. The rule here (our choice):

  a lesion is contradicted where the lowest grade for which Table I calls it sufficient evidence is above the
  photograph's grade.

That is, MA in DR0; iHE in DR0 and DR1; NV, vHE and pHE below DR4. Indirect evidence (HaEx, CWS, FiP) supports a grade
and requires none, so it contradicts none: in the raw dataset too, 127 occurs in MA, iHE, NV, vHE and pHE alone. Numbers are
not counted: over 20 hemorrhages in each quadrant of a DR2 leave both grade and hemorrhages as they are.
"""

from __future__ import annotations

from lesion_jax.core import EVIDENCE, LESION_KEYS, lesion_bits


def contradicted(grade: int) -> int:
  """Returns the byte (0..255) of the lesions that, by Table I, are sufficient evidence for a higher grade only.

  Marked in a photograph of this grade, they do not follow the guideline: they are neither positive nor negative.
  """
  lowest = {key: min((e.grade for e in EVIDENCE if e.lesion == key and e.sufficient), default=0)
            for key in LESION_KEYS}
  return lesion_bits([key for key in LESION_KEYS if lowest[key] > grade])
