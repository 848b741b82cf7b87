"""The page and the pictures of `experiments.idrid`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.page import join, number, table
from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.data.dataset import Dataset
from lesion_jax.evaluate import present_in
from lesion_jax.metrics import log_odds
from lesion_jax.metrics.presence import Rule, top_pixels
from lesion_jax.models import get_model
from lesion_jax.models.forward import forward
from lesion_jax.report.curves import training_curves
from lesion_jax.report.page import overlay_page
from lesion_jax.weights.bundle import Bundle

KEYS = ('MA', 'iHE', 'HaEx', 'CWS')
SHOWN, HEALTHY = 8, 8  # photographs in the two pictures
# Published results on the official split 54/27, percent, each with its own protocol: AUPR of MA, iHE, HaEx, CWS and
# their mean, mean Dice. '11' is AUPR by 11 thresholds, which came out 3.7 points above the exact one for M2MRF's
# weights, 0 to 1 for our networks. Where they were published is in SOURCES.
EXACT, ELEVEN = 'exact', '11'
PUBLISHED = (
    ('WFDENet 2026 (EfficientNet-B1, wavelet head)', (49.9, 69.1, 86.6, 81.3), 71.7, '11', 68.1, '960x1440, no validation set'),
    ('WFDENet, reproduced by others', (42.8, 70.6, 86.7, 74.2), 68.6, '11', 65.3, 'one seed'),
    ("M2MRF-C, authors' weights", (49.1, 68.3, 82.0, 70.8), 67.6, '11', 65.9, '1440x960'),
    ("M2MRF-C, authors' weights", (40.8, 65.3, 83.2, 66.4), 63.9, 'exact', 66.1, 'field of view, native pixels'),
    ('M2MRF-C, trained again by others', (28.2, 44.9, 74.6, 49.5), 49.3, 'exact', 47.8, 'one seed, batch 1'),
    ('U-Net se-resnext50, trained on five data sets', (39.8, 67.4, 78.6, 67.0), 63.2, 'exact', None, '1024'),
    ('best of the 2018 challenge, each lesion', (50.2, 68.0, 88.5, 70.0), None, '11', None, 'ensembles'),
)
SOURCES = (
    'Sources: M2MRF: Q. Liu et al., "M2MRF: Many-to-Many Reassembly of Features for Tiny Lesion Segmentation in Fundus Images", arXiv:2111.00193. L-Seg: S. Guo et '
    'al., "L-Seg: An End-to-End Unified Framework for Multi-lesion Segmentation of Fundus Images", Neurocomputing 349, 2019. The challenge: P. Porwal et al., '
    '"IDRiD: Diabetic Retinopathy - Segmentation and Grading Challenge", Medical Image Analysis 59, 2020. WFDENet, the reproductions "by others" and the U-Net of '
    'five data sets were collected from their authors\' publications and repositories; no full reference is at hand.')
# Pixel F1 of L-Seg's published output, scored at 1440x960.
L_SEG = (0.398, 0.572, 0.745, 0.516)


def draw(
    results: pathlib.Path, name: str, bundle: Bundle, part_a: Dataset, part_b: Dataset, directory: pathlib.Path,
    rule: Rule, called: Sequence[str],
) -> None:
  """Draws the training curves, test photographs with ground truth and prediction, and healthy eyes with what was
  marked: those of `called`, in which something was, first."""
  predict, variables = jax.jit(forward(get_model(**bundle.config['model']))), jax.device_put(bundle.variables)
  thresholds = [bundle.config['thresholds'][key] for key in LESION_KEYS]

  def look(source: Any, rows: Iterable[int]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
      example = source[int(row)]
      prediction = predict(variables, example['image'][None])
      example = {**example, 'maps': np.asarray(prediction.maps[0]), 'grade_probabilities': None,
                 'lesion_probabilities': np.asarray(prediction.lesions[0])}
      found.append(example | {'present': present_in(example, rule)})
    return found

  training_curves(directory / 'metrics.csv', results / f'{name}-curves.png')
  test = part_a.source('test')
  overlay_page(look(test, np.linspace(0, len(test) - 1, SHOWN)), results / f'{name}-test.jpg', thresholds=thresholds,
               title='IDRiD (CC BY 4.0), official test set')
  eyes = part_b.with_negatives(tuple(bundle.config['annotated'])).source('test')
  healthy = np.flatnonzero(eyes.index.grade == 0)
  wrong = np.isin(eyes.index.id[healthy], list(called))
  right = healthy[~wrong][np.linspace(0, (~wrong).sum() - 1, max(HEALTHY - wrong.sum(), 0)).astype(int)]
  overlay_page(look(eyes, [*healthy[wrong][:HEALTHY], *right]), results / f'{name}-healthy.jpg',
               thresholds=thresholds, title='IDRiD (CC BY 4.0), photographs graded DR0 of the test set')


def write(results: pathlib.Path) -> list[pathlib.Path]:
  """Writes idrid_lesions.md from the JSON files of a folder. Raises FileNotFoundError where there is none."""
  paths = sorted(results.glob('*-*.json'))
  if not paths:
    raise FileNotFoundError(f'no result in {results}; run python -m experiments.idrid --source_dir=DIR first')
  found = {path.stem: json.loads(path.read_text('utf-8')) for path in paths}
  page = results / 'idrid_lesions.md'
  page.write_text(join('# Lesions of real photographs: IDRiD', INTRODUCTION,
                       *(_run(name, result, results) for name, result in found.items()),
                       *_controls(found), _published(found)) + '\n', encoding='utf-8')
  return [page]


INTRODUCTION = (
    'Photographs: the Indian Diabetic Retinopathy Image Dataset (Porwal et al., Data 2018, 3(3):25; CC BY 4.0), part A with '
    "masks of four lesions in the official split (54/27; 7 of the 54 are this project's validation split), part B with "
    'grades, whose healthy eyes are negatives: a photograph graded DR0 has none of the lesions. Networks and thresholds of pixels are '
    'chosen on validation alone; thresholds of presence on validation and on diseased training eyes that are not learned from, more than once, after '
    'test results had been seen (see the evaluations of each run). AUPR is the exact one unless 11 thresholds are named. Brackets: 95 % intervals over '
    'patients. Part B is here at 1440 pixels a photograph, not at full resolution.')


def _run(name: str, result: Mapping[str, Any], results: pathlib.Path) -> str:
  parts = [f'## {name}', f'`{result["command"]}`', _about(result)]
  columns = [(title, result[key]) for key, title in (
      ('network', 'field of 1440 px'), ('tta', 'the same, 4 mirrored copies'), ('native', "photograph's own pixels"))
      if key in result]
  if columns:
    rows = []
    for title, report in columns:
      for metric, label in (('aupr', 'AUPR'), ('aupr_11', 'AUPR by 11 thresholds'), ('pixel_f1', 'F1'), ('pixel_iou', 'IoU')):
        rows.append([title, label, *(_value(report, metric, key) for key in KEYS), _mean(report, metric)])
    rows.append(['1440x960', "F1 of L-Seg's published output", *(f'{value:.3f}' for value in L_SEG),
                 f'{np.mean(L_SEG):.3f}'])
    parts.append(table(['at', '', *KEYS, 'mean'], rows))
    parts.append('Pixels are called a lesion at the thresholds of best F1 on validation: ' + ', '.join(
        f'{key} {result["thresholds"][key]:.3f}' for key in KEYS) + '.')
  parts += [_presence(result), _healthy(result), _sharpness(result), _evaluations(result)]
  for picture, caption in (('curves.png', 'Training and validation'),
                           ('test.jpg', 'Test photographs: photograph, annotation, what the network finds'),
                           ('healthy.jpg', 'Healthy eyes of the test set: first those in which something is marked')):
    if (results / f'{name}-{picture}').exists():
      parts.append(f'![{caption}]({name}-{picture})\n\n{caption}.')
  return join(*parts)


def _about(result: Mapping[str, Any]) -> str:
  data = result['config']['segment']['data']
  selection = result.get('selection') or {}
  curve = result['validation'].get('mean_aupr', {})
  reached = ', '.join(f'{value:.3f} after {step} steps' for step, value in curve.items())
  return (f'{result["config"]["segment"]["model"]["name"]}, {result["parameters"]:,} parameters, {result["steps"]} steps {_start(result)}of '
          f'{result["config"]["segment"]["batch_size"]} crops of {data["crop"]} px from a field of {data["size"]}, '
          f'{result["images_per_second"]:.2f} crops a second on {result["hardware"]["cpus"]} CPU cores '
          f'({result["hardware"]["device"]}). Mean AUPR on validation: {reached}; the network of step '
          f'{selection.get("step")} was taken.')


def _start(result: Mapping[str, Any]) -> str:
  """Where a run continues from the network of another."""
  init = result['config']['segment'].get('init')
  return f'from the network of {pathlib.PurePath(init).parts[0]} on ' if init else ''


def _presence(result: Mapping[str, Any]) -> str:
  found, rule = result.get('network', {}).get('presence'), result.get('presence')
  if not found or not rule:
    return ''
  rows = [[name, *(number(found['figures'][name]['lesions'][key]) for key in KEYS)] for name in ('f1', 'sensitivity')]
  size = result['config']['segment']['data']['size']
  return (f'A lesion is called present where its {top_pixels(size, size)} most probable pixels, by the mean of their log odds, are above '
          + ', '.join(f'{key} {log_odds(rule["thresholds"][key]):.1f}' for key in KEYS)
          + f', chosen so that at most {1 - rule["specificity"]:.0%} of the {rule["healthy"]} healthy eyes of validation have '
          f'any, and raised by {rule["margin"]:.2f} in log odds into the middle between these and the {rule["referable"]} that are '
          'graded DR2 to DR4. Of the test photographs of part A, which all are diseased:\n\n' + table(['of photographs', *KEYS], rows))


def _healthy(result: Mapping[str, Any]) -> str:
  found = result.get('grades') or result.get('healthy')
  if not found:
    return ''
  healthy, sick = found['graded'], found['referable']
  groups = [(f'{healthy["images"]} graded DR0', healthy)]
  groups += [(f'{sick["images"]} graded DR2 to DR4', sick)] if sick['images'] else []
  rows = [[title, _share(group['any']), *(_share(group['lesions'][key]) for key in KEYS)]
          for title, group in groups]
  rows += [[f'the same at Eq. 1 and 0.5: {title}', f'{100 * group["maximum"]["any"]:.0f} %',
            *(f'{100 * group["maximum"]["lesions"][key]:.0f} %' for key in KEYS)]
           for title, group in groups]
  area = healthy.get('area', {}).get('any', {}).get('pixels', {})
  grades = ', '.join(f'{GRADE_KEYS[int(grade)]} {each["called"]} of {each["images"]}'
                     for grade, each in found.get('by_grade', {}).items())
  left_out, separation = found.get('left_out', []), found.get('separation')
  return ("Photographs of part B's test set called to have a lesion:\n\n" + table(['', 'any', *KEYS], rows)
          + (f'\n\nBy grade: {grades}.' if grades else '')
          + (f' Area under the ROC curve, DR2 to DR4 against DR0, all thresholds raised and lowered together: '
             f'{number(separation["value"], separation["interval"])}.' if separation else '') + f'\n\nArea shown in a healthy eye: mean {area.get("mean", 0):.0f} pixels of 1440 x 1440, '
          f'95th percentile {area.get("p95", 0):.0f}. '
          + (f'{len(left_out)} photographs are excluded, which are among those of part A that the network learned from: '
             f'{", ".join(left_out)}.' if left_out else ''))


def _controls(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """What healthy eyes in training change, of the runs that have a control without."""
  rows, alike = [], True
  for name, control in found.items():
    own = found.get(name.removesuffix('-without'))
    if own is control or own is None or 'grades' not in own or 'grades' not in control:
      continue
    alike &= abs(own['presence']['referable'] - control['presence']['referable']) <= 0.1 * control['presence']['referable']
    for title, result in ((name.removesuffix('-without'), own), (name, control)):
      healthy, sick = result['grades']['graded'], result['grades']['referable']
      separation = result['grades'].get('separation') or {'value': None, 'interval': None}
      rows.append([title, str(result['presence']['referable']), _share(healthy['any']), _share(sick['any']),
                   number(separation['value'], separation['interval']), f'{100 * healthy["maximum"]["any"]:.0f} %',
                   f'{healthy["area"]["any"]["pixels"]["mean"]:.0f}', *(_value(result['network'], 'aupr', key) for key in KEYS),
                   _mean(result['network'], 'aupr')])
  said = ('' if alike else ' **Not alike:** the rules of the two rest on different numbers of diseased eyes, so the shares called are no '
          'fair comparison until both are chosen on the same; AUPR is.')
  return ['## With and without healthy eyes in training\n\nThe same network, schedule and number of crops, from part A alone '
          'in the control. Each is evaluated by a rule for presence that is chosen on healthy eyes of validation and on the '
          f'given number of eyes graded DR2 to DR4.{said} Area: pixels of 1440 x 1440 marked in a healthy eye, mean. AUC: '
          'DR2 to DR4 against DR0, all thresholds raised and lowered together.\n\n' + table(
              ['', 'diseased eyes behind the rule', 'any lesion in DR0', 'in DR2 to DR4', 'AUC', 'DR0 at Eq. 1', 'area',
               *(f'AUPR {key}' for key in KEYS), 'mean'], rows)] if rows else []


def _sharpness(result: Mapping[str, Any]) -> str:
  found = result.get('sharpness')
  if not found:
    return ''
  rows = [[title, *(f'{scores[key][1]:.3f} ({scores[key][0]:.3f} to {scores[key][2]:.3f})' for key in KEYS)]
          for title, scores in found['quartiles'].items()]
  return (f'Does it read the blur of part B as "nothing there"? Presence score of tiles of {found["side"]} px '
          f'of validation photographs (mean log odds of the {top_pixels(found["side"], found["side"])} most probable pixels, as a probability), median and quartiles:\n\n' + table(['tiles', *KEYS], rows))


def _evaluations(result: Mapping[str, Any]) -> str:
  rows = [[each['what'], each['date'], each['reason']] for each in result.get('test_evaluations', [])]
  return 'Evaluations of the test set:\n\n' + table(['what', 'date', 'reason'], rows) if rows else ''


def _published(found: Mapping[str, Mapping[str, Any]]) -> str:
  parts = ['## Beside published results', 'On the same test set, percent, each with its own protocol. AUPR by 11 thresholds counts every pixel above 0 at the '
           'lowest of them and joins few points, and may come out higher or lower; so the two stand apart.']
  for kind, metric, said in ((EXACT, 'aupr', 'Exact AUPR'), (ELEVEN, 'aupr_11', 'AUPR by 11 thresholds')):
    rows = [[title, *(f'{value:.1f}' for value in values), '-' if mean is None else f'{mean:.1f}',
             '-' if dice is None else f'{dice:.1f}', protocol] for title, values, mean, of, dice, protocol in PUBLISHED if of == kind]
    for name, result in found.items():
      if name.endswith('-without'):  # a control
        continue
      for key, title in (('network', ''), ('tta', ', 4 mirrored copies'), ('native', ', native pixels')):
        if metric in (report := result.get(key, {})):
          rows.append([f'**this project, {name}{title}**', *(f'{100 * report[metric]["lesions"][lesion]:.1f}' for lesion in KEYS),
                       f'{100 * report[metric]["mean"]:.1f}', f'{100 * report["pixel_f1"]["mean"]:.1f}',
                       f'{result["lengths"]["idrid"]["train"]} photographs to learn from, one seed'])
    parts += [f'{said}:', table(['system', *KEYS, 'mean AUPR', 'mean F1', 'protocol'], rows)]
  return '\n\n'.join([*parts, SOURCES])


def _value(report: Mapping[str, Any], metric: str, key: str) -> str:
  return number(report[metric]['lesions'][key], report.get('intervals', {}).get(metric, {}).get('lesions', {}).get(key))


def _mean(report: Mapping[str, Any], metric: str) -> str:
  return number(report[metric]['mean'], report.get('intervals', {}).get(metric, {}).get('mean'))


def _share(share: Mapping[str, Any]) -> str:
  interval = share['interval']
  return f'{100 * share["value"]:.0f} %' + (f' [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]' if interval else '')
