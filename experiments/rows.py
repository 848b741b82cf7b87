"""A row of a table of the paper: which network is trained how, and the paper's figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lesion_jax.core import LESION_KEYS

COLUMNS = ('mean', *LESION_KEYS)  # of either half of Table II


@dataclasses.dataclass(frozen=True)
class Row:
  """One system of a table.

  Attributes:
    key: names the row on the command line and its result file.
    title: as in the paper.
    table: 2 or 3.
    stage: of the configuration, 'segment', 'classify' or 'grade'.
    model: keys of config.<stage>.model.
    loss: of the stage.
    lesion: key of the row whose trained network it contains, or None.
    shrink: the input is that of the preset divided by this (Table III has Inception-v3 at 896, 448 and 224).
    paper: the paper's figures, {'pixel_f1': {'mean': ..., 'MA': ...}, 'image_f1': {...}} or {'kappa': ...}; what the
      paper does not give is left out.
  """

  key: str
  title: str
  table: int
  stage: str
  model: Mapping[str, Any]
  loss: str
  lesion: str | None = None
  shrink: int = 1
  paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def segmenter(key: str, title: str, model: str, loss: str, pixel: str, image: str) -> Row:
  """A row of Table II with lesion maps; `pixel` and `image` are its numbers as printed, nine each: COLUMNS."""
  return Row(key, title, 2, 'segment', {'name': model}, loss,
             paper={'pixel_f1': _figures(pixel), 'image_f1': _figures(image)})


def classifier(key: str, title: str, model: str, image: str) -> Row:
  """A row of Table II without lesion maps, trained with Dice on image labels."""
  return Row(key, title, 2, 'classify', {'name': model}, 'presence_dice', paper={'image_f1': _figures(image)})


def grader(key: str, title: str, model: str, kappa: float | None, *, lesion: str | None = None, shrink: int = 1,
           loss: str = 'grade_cross_entropy', **fields: Any) -> Row:
  """A row of Table III."""
  return Row(key, title, 3, 'grade', {'name': model, **fields}, loss, lesion, shrink,
             {} if kappa is None else {'kappa': kappa})


def _figures(printed: str) -> dict[str, float]:
  return dict(zip(COLUMNS, map(float, printed.split()), strict=True))
