"""A few photographs of the real IDRiD in the release's own layout, through links, so that tests of it stay quick."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

IDRID = pathlib.Path(__file__).parents[2] / 'shared' / 'data' / 'idrid'
GRADES = '2. Groundtruths'


def link_idrid(root: pathlib.Path, *, segmentation: Iterable[int] = (), training: Iterable[int] = (),
               test: Iterable[int] = ()) -> pathlib.Path:
  """Makes `root` a release with the given photographs of part A (1..81) and of part B's two sets (1..413, 1..103)."""
  names = {f'IDRiD_{number:02d}' for number in segmentation}
  if names:
    for path in (IDRID / 'A. Segmentation').rglob('*'):
      here = root / path.relative_to(IDRID)
      if path.is_dir():
        here.mkdir(parents=True, exist_ok=True)
      elif path.stem[:8] in names:
        here.symlink_to(path)
  part = IDRID / 'B. Disease Grading'
  for letter, kind, numbers in (('a', 'Training', set(training)), ('b', 'Testing', set(test))):
    if not numbers:
      continue
    names = {f'IDRiD_{number:03d}' for number in numbers}
    photographs = root / part.name / '1. Original Images' / f'{letter}. {kind} Set'
    photographs.mkdir(parents=True)
    for name in names:
      (photographs / f'{name}.jpg').symlink_to(part / '1. Original Images' / photographs.name / f'{name}.jpg')
    table = pathlib.Path(part.name, GRADES, f'{letter}. IDRiD_Disease Grading_{kind} Labels.csv')
    (root / table).parent.mkdir(parents=True, exist_ok=True)
    header, *rows = (IDRID / table).read_text('utf-8').splitlines()
    (root / table).write_text('\n'.join([header, *(row for row in rows if row.partition(',')[0] in names)]), 'utf-8')
  return root
