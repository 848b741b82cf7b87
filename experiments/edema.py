"""The risk of macular edema by rule, and by the network where it tells it, held against the labels of IDRiD's part B.

  lesion-jax predict 'DIR/B. Disease Grading/1. Original Images/b. Testing Set' --out results --landmarks landmarks
  python -m experiments.edema results --source_dir DIR --model idrid

Reads the records that `predict` left and compares the risk of each photograph with its label: accuracy, quadratic weighted kappa and
confusion with intervals by visit, and where the network grades the accuracy of grade and risk together. Photographs that the network
learned from, by their fingerprints or by IDRiD's own twins across its parts, are left out and counted. --out writes the figures as
JSON.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lesion_jax import pretrained
from lesion_jax.clinical.look import EDEMA as EDEMA_RISK
from lesion_jax.clinical.look import REFERABLE, REFERABLE_EDEMA, look
from lesion_jax.clinical.record import read_record
from lesion_jax.core import REFERABLE_GRADE
from lesion_jax.data.builders.records import GradedPhotograph
from lesion_jax.data.registry import load_dataset
from lesion_jax.evaluate.bootstrap import resampled_sums
from lesion_jax.evaluate.edema import edema_report, edema_rows
from lesion_jax.evaluate.interval import percentiles
from lesion_jax.photograph.fingerprint import reduced, twins
from lesion_jax.weights.bundle import load_bundle

DEFAULT_POINT = 'most probable'
SIZE = 256  # at which photographs are prepared to find labels and fingerprints


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m experiments.edema', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('results', type=pathlib.Path, metavar='DIR', help='of `lesion-jax predict`')
  parser.add_argument('--source_dir', required=True, help="the folder that holds 'B. Disease Grading' and 'C. Localization'")
  parser.add_argument('--data_dir', default='runs/data', help='where prepared data are kept')
  parser.add_argument('--split', default='test', choices=['train', 'validation', 'test'])
  parser.add_argument('--model', default=None, help='the network that predicted, whose photographs are left out (default: leave none out)')
  parser.add_argument('--out', type=pathlib.Path, help='a file for the figures')
  arguments = parser.parse_args(argv)
  dataset = load_dataset('idrid_landmarks', data_dir=arguments.data_dir, size=SIZE, source_dir=arguments.source_dir)
  bundle = None if arguments.model is None else load_bundle(pretrained.find(arguments.model))
  try:
    found = judge(dataset, arguments.split, records_in(arguments.results), bundle and bundle.photographs,
                  bundle.config.get('operating_points') if bundle else None)
  except ValueError as error:
    parser.error(str(error))
  print(*_lines(found), sep='\n')
  if arguments.out:
    arguments.out.write_text(json.dumps(found, indent=2) + '\n', 'utf-8')
  return 0


def records_in(folder: pathlib.Path) -> list[dict[str, Any]]:
  """All records of a folder of results."""
  found = (read_record(each) for each in sorted(folder.iterdir()) if each.is_dir())
  return [record for record in found if record is not None]


def judge(
    dataset: Any, split: str, records: Sequence[Mapping[str, Any]], learned: Mapping[str, np.ndarray] | None = None,
    points: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
  """The figures of `edema_report`, with 'left_out', how many photographs the network learned from, and 'missing', how many have no
  record; where the network tells the risk itself, 'by_network' has the same of that.

  Args:
    dataset: idrid_landmarks or idrid_grading.
    split: of it.
    records: of its photographs, known by the names of their files.
    learned: fingerprints of what the network learned from, by split; None: nothing is left out.
    points: operating points of its bundle, of which 'operating_points' then has the figures; see `referrals`.

  Raises:
    ValueError: no record is of a photograph of the split, or one was made without landmarks.
  """
  index = dataset.source(split).index
  items: dict[str, GradedPhotograph] = {item.path.stem: item for item in dataset.builder.release().splits[split]}
  of = {pathlib.PurePath(record['file']).stem: record for record in records if _is_of(record, items)}
  known = np.concatenate(list(learned.values())) if learned else None
  leaked = twins(reduced(index.fingerprint), known) if known is not None else np.zeros(len(index), bool)
  rows = [row for row, name in enumerate(index.id.tolist()) if name in of and not leaked[row]]
  if not rows:
    raise ValueError(f'no record is of a photograph of {dataset.name}, split {split}, that the network did not learn from; predict '
                     'those first')
  chosen = [of[index.id[row]] for row in rows]
  if without := [record['file'] for record in chosen if 'edema' not in record]:
    raise ValueError(f'{without[0]} was predicted without landmarks; predict it with --landmarks')
  graded = all(record['grade'] for record in chosen)
  report = edema_report(index.edema[rows], [record['edema']['value'] for record in chosen], index.patient[rows].tolist(),
                        grades=(index.grade[rows], [record['grade']['value'] for record in chosen]) if graded else None)
  if all('edema_by_network' in record for record in chosen):
    report['by_network'] = edema_report(
        index.edema[rows], [record['edema_by_network']['value'] for record in chosen], index.patient[rows].tolist(),
        grades=(index.grade[rows], [record['grade']['value'] for record in chosen]) if graded else None)
    if points and graded:
      report['operating_points'] = referrals(index.grade[rows], index.edema[rows], index.patient[rows], chosen, points)
  return report | {'split': split, 'left_out': int(leaked.sum()), 'missing': len(index) - len(rows) - int(leaked.sum())}


def referrals(
    grade: np.ndarray, edema: np.ndarray, patient: np.ndarray, records: Sequence[Mapping[str, Any]], points: Mapping[str, Any],
) -> dict[str, Any]:
  """Sensitivity and specificity of the one decision, who is to be seen: DR2 and above or risk 2 of edema, by the network's two
  probabilities; by default (None) by the most probable grade and risk.

  Args:
    grade, edema, patient: the ground truth of each photograph.
    records: of them.
    points: by name, see `evaluate.referral.named_points`.

  Returns:
    By point and figure {'value', 'count', 'of', 'interval'}; value and interval are None where there is nobody to be seen, or
    everybody is. Resamples in which that is so have no figure.
  """
  truth = (grade >= REFERABLE_GRADE) | (edema == REFERABLE_EDEMA)
  found = {}
  for name in (DEFAULT_POINT, *points):
    point = {} if name == DEFAULT_POINT else {'operating_point': {'name': name, **{
        what: points[name][what]['threshold'] for what in ('referable', 'edema')}}}
    called = np.array([bool({REFERABLE, EDEMA_RISK} & set(look(_by_network(record) | point)['reasons'])) for record in records])
    columns = np.stack([truth & called, truth & ~called, ~truth & ~called, ~truth & called], 1).astype(float)
    drawn = resampled_sums(columns, patient)
    found[name] = {}
    for what, (hit, miss) in (('sensitivity', (0, 1)), ('specificity', (2, 3))):
      sums = np.concatenate([columns.sum(0, keepdims=True), drawn])  # as it is, then the resamples
      count, of = sums[:, hit], sums[:, hit] + sums[:, miss]
      share = np.divide(count, of, out=np.full(len(sums), np.nan), where=of > 0)
      found[name][what] = {'value': float(share[0]) if of[0] else None, 'count': int(count[0]), 'of': int(of[0]),
                           'interval': percentiles(share[1:])}
  return found


def _by_network(record: Mapping[str, Any]) -> dict[str, Any]:
  """A record in which the network alone speaks, without the rules by lesions and at no operating point that it was predicted at."""
  return {key: value for key, value in record.items() if key not in ('look', 'edema', 'operating_point')}


def _is_of(record: Mapping[str, Any], items: Mapping[str, GradedPhotograph]) -> bool:
  """Whether a record is of one of these files: IDRiD counts its photographs from 1 in each part and each set."""
  path = pathlib.PurePath(record['file'])
  return path.stem in items and path.parts[-2:] == items[path.stem].path.parts[-2:]


def _lines(found: Mapping[str, Any]) -> list[str]:
  said = lambda each: (f'{each["value"]:.3f} [{each["interval"][0]:.3f}, {each["interval"][1]:.3f}]'
                       if each['value'] is not None and each['interval'] else 'undefined')
  figure = lambda name: said(found[name])
  table = edema_rows(found)
  widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
  return [f'risk of macular edema by rule, split {found["split"]}: {found["photographs"]} photographs of {found["patients"]} visits '
          f'({found["left_out"]} left out that the network learned from, {found["missing"]} without a record)',
          f'accuracy {figure("accuracy")}, quadratic weighted kappa {figure("kappa")}',
          *([f'accuracy of grade and risk together {figure("joint")}'] if 'joint' in found else []),
          *('  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table),
          *(['', 'told by the network:', *_lines(found['by_network'] | {name: found[name] for name in ('split', 'left_out', 'missing')})[1:]]
            if 'by_network' in found else []),
          *(f'{name}: ' + ', '.join(f'{what} {said(each)} ({each["count"]} of {each["of"]})'
                                    for what, each in point.items()) for name, point in found.get('operating_points', {}).items())]


if __name__ == '__main__':
  sys.exit(main())
