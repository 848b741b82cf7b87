"""What is written about a preprocessed dataset: its statistics, a picture of it, and which photographs are in which split."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.data.dataset import Dataset
from lesion_jax.data.splits import split_digest
from lesion_jax.data.statistics import Counted, choose
from lesion_jax.report.contact_sheet import write_contact_sheet

STATISTICS, SHEET, SPLITS = 'statistics.json', 'contact_sheet.png', 'splits.json'


def write_statistics(
    dataset: Dataset, counted: Mapping[str, Sequence[Counted]], found: Mapping[str, Any], out: str | os.PathLike[str], *,
    shown: int = 10,
) -> None:
  """Writes what is counted of a data set as statistics.json, and contact_sheet.png, photographs with the annotation outlined.

  Args:
    dataset: prepared.
    counted: of `data.statistics.count_all`.
    found: the statistics, of `data.statistics.sum_up`.
    out: the folder, made where it does not exist.
    shown: photographs of each split on the contact sheet, at most.
  """
  folder = _made(out)
  (folder / STATISTICS).write_text(json.dumps(found, indent=2) + '\n')
  sections = {}
  for split, ones in counted.items():
    source, drawn = dataset.source(split), choose(ones, shown)
    of_all = '' if len(drawn) == len(ones) else f', {len(drawn)} of them here'
    sections[f'{split}: {len(ones):,} photographs{of_all}'] = [source[index] for index in drawn]
  unscored = any(example['ignore'].any() for examples in sections.values() for example in examples)
  write_contact_sheet(
      folder / SHEET, sections, title=dataset.name, annotated=dataset.annotated,
      subtitle=f'{found["splits"]["all"]["images"]:,} photographs at {dataset.size}x{dataset.size} pixels ({dataset.crop})'
               f'; licence: {dataset.licence}' + ('; grey outlines are not scored' if unscored else ''))


def write_splits(dataset: Dataset, out: str | os.PathLike[str]) -> str:
  """Writes splits.json, the ids of the photographs in each split, into the folder `out`; returns the digest of
  `data.splits.split_digest`, which names the split and is written too."""
  ids = dataset.ids
  digest = split_digest(ids)
  (_made(out) / SPLITS).write_text(json.dumps({'name': dataset.name, 'digest': digest, 'splits': ids}, indent=2) + '\n')
  return digest


def _made(out: str | os.PathLike[str]) -> pathlib.Path:
  folder = pathlib.Path(out)
  folder.mkdir(parents=True, exist_ok=True)
  return folder
