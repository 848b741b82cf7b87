"""What is evaluated of a data set, and how: the choices."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping
from typing import Any

from lesion_jax.metrics.presence import MAXIMUM

NETWORK, NATIVE = 'network', 'native'  # where maps and masks are compared
REFUSE, LEAVE_OUT, KEEP = 'refuse', 'leave-out', 'keep'  # what is done with photographs that the network learned from
BUNDLE = 'bundle'  # the rule for presence that the bundle brings
CHOICES = {'leaks': (REFUSE, LEAVE_OUT, KEEP), 'at': (NETWORK, NATIVE), 'rule': (BUNDLE, MAXIMUM)}
Path = str | os.PathLike


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What is evaluated of a data set, and how.

  Attributes:
    source_dir: root of the raw dataset as its authors lay it out; None where it has none.
    data_dir: where preprocessed datasets are kept; the photographs are prepared there once, at the network's size.
    options: further ones of `data.registry.load_dataset`: those of the data set, and how it is dealt.
    split: 'train', 'validation', 'test' or 'all'.
    only: evaluate only these photographs of the split: their ids, or a file of them, one a line.
    without: leave these out; likewise.
    leaks: where photographs are among those from which the network learned, known by a fingerprint: 'refuse', 'leave-out'
      or 'keep'.
    at: where maps and masks are compared, 'network', at its size, or 'native', in the photographs' own pixels.
    tta: None, 'flips' or 'dihedral': average over mirrored, or mirrored and turned, copies of each photograph.
    window: side of the overlapping windows by which it is asked, in pixels; 0: all at once; None: as its bundle says.
    batch_size: photographs in one pass, over all devices; None: as training evaluates, and 1 in their own pixels.
    thresholds: of the pixels, by lesion; those that are not given are the bundle's.
    rule: by which lesions are called present: 'bundle', its own, or 'maximum', Eq. 1.
    other_crop: evaluate on squares although the network learned from fields of view.
    regions: metrics by region too, see `evaluate.regions`: a second pass over the photographs, and some seconds each.

  Raises:
    ValueError: a word that is none of those, or a threshold that is not between 0 and 1.
  """

  source_dir: Path | None = None
  data_dir: Path = 'runs/data'
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  split: str = 'test'
  only: Path | Collection[str] | None = None
  without: Path | Collection[str] | None = None
  leaks: str = REFUSE
  at: str = NETWORK
  tta: str | None = None
  window: int | None = None
  batch_size: int | None = None
  thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
  rule: str = BUNDLE
  other_crop: bool = False
  regions: bool = False

  def __post_init__(self):
    for name, allowed in CHOICES.items():
      if (given := getattr(self, name)) not in allowed:
        raise ValueError(f'{name}={given!r}; choose one of {", ".join(allowed)}')
    if wrong := {key: value for key, value in self.thresholds.items() if not 0 < value < 1}:
      raise ValueError(f'thresholds={wrong} are not between 0 and 1')
