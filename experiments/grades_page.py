"""The page and the pictures of `experiments.grades`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from configs.idrid import GOES_ON
from experiments.collect import read_counts
from experiments.page import bounds, join, number, table
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, UNKNOWN_GRADE
from lesion_jax.data.dataset import Dataset
from lesion_jax.evaluate import compare, full_report, present_in
from lesion_jax.metrics.presence import Rule
from lesion_jax.models import get_model
from lesion_jax.models.forward import forward
from lesion_jax.report.comparison import say_p
from lesion_jax.report.page import overlay_page
from lesion_jax.weights.bundle import Bundle
from lesion_jax.whole import whole

FOLDS = '-folds'  # after the name of a system that was cross-validated
TOGETHER = ('conv', 'cw_maxpool', 'plain')  # whose probabilities are averaged
PAGE, SEEN = 'idrid_grades.md', 'seen.json'  # the second: what a person saw in a mistake, by the photograph
INTRODUCTION = (
    'Photographs: IDRiD (Porwal et al., Data 2018, 3(3):25; CC BY 4.0), part B, official split 413/103, here at 1440 pixels a '
    'photograph. Excluded from validation and test: photographs that are in training too, or from which the lesion network '
    'learned. Networks and cut points are chosen on validation alone. Brackets: 95 % intervals over visits, which are counted as '
    'patients.')


def write(results: pathlib.Path) -> list[pathlib.Path]:
  """Writes the page from the JSON files of a folder, of which all may be of folds. Raises FileNotFoundError where there is none."""
  folds = sorted(results.glob(f'*{FOLDS}.json'))
  paths = [path for path in sorted(results.glob('*.json')) if path.name != SEEN and path not in folds]
  if not paths and not folds:
    raise FileNotFoundError(f'no result in {results}; run python -m experiments.grades --source_dir=DIR --lesion=BUNDLE first')
  found = {path.stem: json.loads(path.read_text('utf-8')) for path in paths}
  start, validated = ('# Grades of real photographs: IDRiD', INTRODUCTION), _folds([json.loads(path.read_text('utf-8')) for path in folds])
  (results / PAGE).write_text(join(*start, *(_tested(found, results, validated) if found else [validated])) + '\n', encoding='utf-8')
  return [results / PAGE]


def _tested(found: Mapping[str, Mapping[str, Any]], results: pathlib.Path, validated: str) -> list[str]:
  """The parts of the page about systems that were evaluated on the test set, and between them what cross-validation says."""
  # The one that was looked at, of several the one that went on from another.
  first = max(found, key=lambda name: ('agreement' in found[name], found[name].get('preset') in GOES_ON))
  found = {first: found[first], **found}
  parts = [_systems(found), _differences(found, results), _together(found, results), validated, _confusion(found[first]), _three(found[first])]
  if 'agreement' in found[first]:
    seen = results / SEEN
    parts += [_agreement(found[first]['agreement']),
              _worst(first, found[first], json.loads(seen.read_text('utf-8')) if seen.exists() else {})]
  return parts


def draw_worst(path: pathlib.Path, bundle: Bundle, part_b: Dataset, names: Sequence[str]) -> None:
  """Draws test photographs with what the network says of each, in the order of `names`."""
  predict, variables = jax.jit(forward(get_model(**bundle.config['model']))), jax.device_put(bundle.variables)
  rule, source, shown = Rule.of(bundle.config), part_b.source('test'), []
  place = {str(name): row for row, name in enumerate(source.index.id)}
  for name in names:
    example = source[place[name]]
    prediction = predict(variables, example['image'][None])
    example = {**example, 'annotated': np.uint8(0), 'maps': np.asarray(prediction.maps[0]),
               'grade_probabilities': np.asarray(prediction.grades[0]),
               'lesion_probabilities': np.asarray(prediction.lesions[0])}
    shown.append(example | {'present': present_in(example, rule)})
  overlay_page(shown, path, thresholds=[bundle.config['thresholds'][key] for key in LESION_KEYS],
               title='IDRiD (CC BY 4.0), test set: the grades that are furthest from the ground truth')


def save_counts(path: pathlib.Path, weights: str, counts: Mapping[str, np.ndarray], annotated: Sequence[str]) -> None:
  """Writes the counts that belong beside the result at `path`, with the digest of the network's weights, whole or not at all."""
  with whole(path.with_suffix('.npz')) as fresh, fresh.open('wb') as file:
    np.savez_compressed(file, **counts, annotated=annotated, weights=weights)


def has_counts(path: pathlib.Path, result: Mapping[str, Any]) -> bool:
  """Returns whether the counts of the result at `path` lie beside it."""
  try:
    return bool(read_own_counts(path, result))
  except (FileNotFoundError, ValueError):
    return False


def read_own_counts(path: pathlib.Path, result: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Reads the counts beside the result at `path`. Raises ValueError where they are of another network: by its weights or, as of
  results from before these were kept there, by the confusion matrix."""
  place = path.with_suffix('.npz')
  counts, _ = read_counts(place)
  weights = counts.pop('weights', None)
  if (weights != result['weights'] if weights is not None else counts['confusion'].sum(0).tolist() != result['report']['confusion']):
    raise ValueError(f'the counts in {place.name} are of another network than {path.name}; measure that system again')
  return counts


def _systems(found: Mapping[str, Mapping[str, Any]]) -> str:
  rows = []
  for name, result in found.items():
    report = result['report']
    cut, referral = report.get('at_cut_points'), report['referral']
    rows.append([f'{result["title"]} (`{name}`)', _with(report['kappa'], report['intervals'].get('kappa')),
                 _with(report['accuracy'], report['intervals'].get('accuracy')),
                 *([_with(cut[key], cut[key]['interval']) for key in ('kappa', 'accuracy')] if cut else ['-', '-']),
                 *(_with(referral[key], referral[key]['interval']) for key in ('auc', 'sensitivity', 'specificity')),
                 str(referral['photographs'])])
  return table(['', 'kappa', 'accuracy', 'kappa, cut points', 'accuracy, cut points', 'AUC, referable', 'sensitivity',
                'specificity', 'photographs'], rows)


def _differences(found: Mapping[str, Mapping[str, Any]], results: pathlib.Path) -> str:
  """How the other systems differ from the first, on the photographs of both."""
  first, *others = found
  rows = []
  for name in others:
    pair = _shared(*(read_own_counts(results / f'{each}.json', found[each]) for each in (name, first)))
    if pair is None:
      continue
    differences = compare(*pair, ())
    rows.append([f'`{name}` less `{first}`', *(
        '-' if differences[key]['difference'] is None else
        f'{differences[key]["difference"]:+.3f}{bounds(differences[key]["interval"])}, p {say_p(differences[key]["p"])}'
        for key in ('kappa', 'accuracy')), str(len(pair[0]['id']))])
  return 'Differences, photograph by photograph:\n\n' + table(['', 'kappa', 'accuracy', 'photographs'], rows) if rows else ''


def _together(found: Mapping[str, Mapping[str, Any]], results: pathlib.Path) -> str:
  """What the mean of the probabilities of all systems with a fine-tuned encoder says, on the photographs of all."""
  names = [name for name, result in found.items() if result.get('system') in TOGETHER]
  if len(names) < 2:
    return ''
  each = [read_own_counts(results / f'{name}.json', found[name]) for name in names]
  shared = sorted(set.intersection(*(set(counts['id'].tolist()) for counts in each)))
  rows = [[counts['id'].tolist().index(name) for name in shared] for counts in each]
  mean = np.mean([counts['grade_probabilities'][row] for counts, row in zip(each, rows, strict=True)], axis=0, dtype=np.float64)
  truth = each[0]['grade'][rows[0]]
  confusion = np.zeros((len(shared), len(GRADE_KEYS), len(GRADE_KEYS)), np.int64)
  known = truth != UNKNOWN_GRADE
  confusion[np.flatnonzero(known), truth[known], mean.argmax(1)[known]] = 1
  counts = {'grade': truth, 'grade_probabilities': mean.astype(np.float32), 'confusion': confusion,
            'patient': each[0]['patient'][rows[0]], 'id': np.array(shared)}
  report = full_report(counts, ())
  referred = report['referral']
  return ('### Together\n\nThe mean of the probabilities of '
          f'{", ".join(f"`{name}`" for name in names)}: of all systems with a fine-tuned encoder, none of them chosen by what it says.\n\n'
          + table(['kappa', 'accuracy', 'AUC, referable', 'sensitivity', 'specificity', 'photographs'], [[
              *(_with(report[key], report['intervals'].get(key)) for key in ('kappa', 'accuracy')),
              *(_with(referred[key], referred[key]['interval']) for key in ('auc', 'sensitivity', 'specificity')), str(len(shared))]]))


def _folds(found: Sequence[Mapping[str, Any]]) -> str:
  """What cross-validation on the training part says, a row a system."""
  if not found:
    return ''
  rows = []
  for result in found:
    together, referred = result['together'], result['referral']
    rows.append([result['title'], str(result['folds']), _with(together['kappa'], together['intervals'].get('kappa')),
                 f'{number(result["kappa"]["mean"])} ± {number(result["kappa"]["sd"])}',
                 _with(together['accuracy'], together['intervals'].get('accuracy')),
                 _with(referred['auc'], referred['auc']['interval']), str(sum(result['images']))])
  return ('### Cross-validation on the training part\n\nOf systems without a lesion network, trained anew in each fold; the '
          'official test part is not looked at. Each photograph is graded by the network that did not learn from it.\n\n'
          + table(['', 'folds', 'kappa', 'mean ± sd of the folds', 'accuracy', 'AUC, referable', 'photographs'], rows))


def _shared(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]] | None:
  """The counts of the photographs that both were evaluated on, in one order."""
  both = sorted(set(one['id'].tolist()) & set(other['id'].tolist()))
  if not both:
    return None
  pair = []
  for counts in (one, other):
    place = {name: row for row, name in enumerate(counts['id'].tolist())}
    rows = [place[name] for name in both]
    pair.append({name: counts[name][rows] for name in ('confusion', 'patient', 'id') if name in counts})
  return pair[0], pair[1]


def _confusion(result: Mapping[str, Any]) -> str:
  rows = [[f'graded {key}', *map(str, row)] for key, row in zip(GRADE_KEYS, result['report']['confusion'], strict=True)]
  selection = result.get('selection') or {}
  value = selection.get('value')
  said = '' if value is None else f'Chosen on validation, where its {selection["criterion"]} was {value:.3f} after {selection["step"]} steps.\n\n'
  return f'## {result["title"]}\n\n{said}' + table(['', *(f'predicted {key}' for key in GRADE_KEYS)], rows)


def _three(result: Mapping[str, Any]) -> str:
  """What the same network finds in part A, whose photographs have masks and, where part B has them too, a grade."""
  lesions = result.get('lesions')
  if not lesions:
    return ''
  keys = [key for key, value in lesions['aupr']['lesions'].items() if value is not None]
  rows = [[label, *(number(lesions[name]['lesions'][key], lesions['intervals'][name]['lesions'][key]) for key in keys),
           number(lesions[name]['mean'], lesions['intervals'][name]['mean'])]
          for name, label in (('aupr', 'AUPR (exact)'), ('pixel_f1', 'pixel F1'))]
  graded = int(np.sum(lesions['confusion']))
  text = ('### Three tasks, one forward pass\n\nThe same network on the official test set of part A, in the same evaluation:\n\n'
          + table(['', *keys, 'mean'], rows)
          + f'\n\nOf these photographs {graded} have a grade, that of the same photograph in part B (it learned from none of them; of some it had another photograph of the same visit): '
          f'kappa {_with(lesions["kappa"], lesions["intervals"].get("kappa"))}, accuracy '
          f'{_with(lesions["accuracy"], lesions["intervals"].get("accuracy"))}.')
  if predict := result.get('predict'):
    text += (f' `lesion-jax predict` took {predict["seconds"]:.1f} s a photograph on {result["hardware"]["cpus"]} CPU cores, masks, '
             'overlay and report included.')
  return text


def _agreement(found: Mapping[str, Any]) -> str:
  rows = [[pair, str(found[pair]['photographs']), *(_with(found[pair][key]) for key in ('kappa', 'accuracy')),
           *(_with(found[pair]['referable'][key]) for key in ('sensitivity', 'specificity'))]
          for pair in found if pair != 'referral']
  text = ('The grade by rule is that of Table I from the lesions that are called present.\n\n'
          + table(['', 'photographs', 'kappa', 'accuracy', 'sensitivity', 'specificity'], rows))
  referral = found.get('referral')
  if referral:
    by = list(referral['found'])
    text += ('\n\nReferral: who calls what referable. Where network and rule disagree, prediction says "second look": '
             f'{referral["second_look"]} of {referral["photographs"]} photographs. Referred if either says so: sensitivity '
             f'{_with(referral["either"]["sensitivity"])}, specificity {_with(referral["either"]["specificity"])}.\n\n'
             + table(['', *by], [['referable photographs, found by', *(str(referral['found'][key]) for key in by)],
                                 ['others, called referable by', *(str(referral['false_alarms'][key]) for key in by)]]))
  return '## The grade by rule\n\n' + text


def _worst(name: str, result: Mapping[str, Any], seen: Mapping[str, str]) -> str:
  rows = [[each['id'], each['truth'], f'{each["predicted"]} ({max(each["probabilities"].values()):.2f})', f'{each["expected"]:.2f}',
           ', '.join(each['present']) or 'none', ', '.join(each['look']['reasons']) or 'none', seen.get(each['id'], '')]
          for each in result['worst']]
  return ('## The ten worst mistakes\n\nTest photographs whose expected grade is furthest from the ground truth, the worst first. What was '
          'seen is what a person without medical training saw in the picture below.\n\n'
          + table(['photograph', 'graded', 'predicted', 'expected grade', 'lesions found', 'a person looks', 'what was seen'], rows)
          + f'\n\n![The ten worst mistakes]({name}-worst.jpg)')


def _with(score: Mapping[str, Any], interval: Sequence[float] | None = None) -> str:
  return number(score['value'], interval)
