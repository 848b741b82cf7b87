"""The model card of a bundle: what the network is, what it learned from, how well it does, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lesion_jax.clinical.record import smallest_note, smallest_of
from lesion_jax.core import GRADE_KEYS, GRADES, LESIONS
from lesion_jax.data.splits import SPLITS
from lesion_jax.metrics.presence import Rule
from lesion_jax.photograph.crop import SQUARE
from lesion_jax.report.markdown import table
from lesion_jax.report.terminal import (
    COLUMNS, data_sets, grading_rows, healthy_notes, interval_notes, lesion_rows, presence_notes, presence_rows,
    landmark_notes, landmark_rows, selection_notes, undefined_notes)
from lesion_jax.weights import origin

PAPER = (
    'Q. Wei, X. Li, W. Yu, X. Zhang, Y. Zhang, B. Hu, B. Mo, D. Gong, N. Chen, D. Ding, Y. Chen: "Learn to Segment '
    'Retinal Lesions and Beyond", ICPR 2020')
LIMITS = '''\
For research on retinal lesions and diabetic retinopathy (DR). It is **not a medical device**: no metric here comes from
a clinical study, and nothing it says may decide about a patient.

- It expects colour fundus photographs of one eye, centred near macula or disc. On other pictures it answers as well,
  and means nothing.
- It was measured on the data above. Other cameras, populations and habits of annotation change the metrics.'''
NOT_CALIBRATED = '- Its probabilities are not calibrated.'
CALIBRATED = '''\
- The probabilities that `lesion-jax predict` writes are calibrated by one temperature a head, on the validation
  photographs alone. Thresholds, maps, and what `predictor` returns are the network's own, before it.'''
PARTLY_SYNTHETIC = '''\
- **A part of its training data is synthetic**: drawn by a program, without any patient. The metrics on that part, and
  on all parts as one, say nothing about photographs of patients.'''
SYNTHETIC = '''\
- **Its training data are synthetic**: drawn by a program, without any patient. The metrics say that learning works, and
  nothing about photographs of patients.'''


def model_card(config: Mapping[str, Any]) -> str:
  """Markdown for the bundle's README.md.

  Args:
    config: the bundle's config.json. `model`, `preprocessing` and `annotated` must be there; `data`, `metrics`,
      `thresholds`, `presence`, `temperatures`, `likeness` and `provenance` are described as far as they are.
  """
  sections = [
      _introduction(config), _data(config), _figures(config.get('metrics', {})), _thresholds(config), _likeness(config),
      _usage(config),
      _intended_use(config), _provenance(config),
  ]
  return '\n\n'.join(section for section in sections if section) + '\n'


def landmark_card(config: Mapping[str, Any]) -> str:
  """Markdown for the README.md of a bundle of landmarks.

  Args:
    config: its config.json.
  """
  size, metrics = config['preprocessing']['size'], config.get('metrics', {})
  sections = [
      f'# {config["model"]["name"]}\n\nA network of lesion_jax that finds the centres of optic disc and fovea, or says that they are '
      f'not in the picture. It takes the field of view of a colour fundus photograph, resized to {size}x{size} pixels.',
      _data(config)]
  if 'landmarks' in metrics:
    rows = landmark_rows(metrics)
    sections.append('\n'.join(['## Metrics on the held-out test split', '', table(rows[0], rows[1:]), '', *landmark_notes(metrics),
                               *(f'\n{note}' for note in selection_notes(metrics)),
                               *(f'\n**Note:** {note}.' for note in metrics.get('notes', ()))]))
  sections += [
      '## Use\n\n```python\nimport lesion_jax\n\npredictor = lesion_jax.load(landmarks=\'path/to/this/directory\')\n'
      "found = predictor('photograph.jpg')\nfound.landmarks[0]\n```",
      f'## Intended use and limits\n\n{LIMITS}', _provenance(config)]
  return '\n\n'.join(section for section in sections if section) + '\n'


def _introduction(config: Mapping[str, Any]) -> str:
  name, preprocessing = config['model']['name'], config['preprocessing']
  size = preprocessing['size']
  found = [f'{lesion.name} ({lesion.key})' for lesion in LESIONS if lesion.key in config['annotated']]
  grades = ', '.join(f'{grade.key} {grade.name}' for grade in GRADES)
  lines = [f'# {name}', '',
           f'A network of lesion_jax, a JAX/Flax implementation of {PAPER}. It takes the field of view of a colour '
           f'fundus photograph, resized to {size}x{size} pixels.']
  if preprocessing.get('crop') == SQUARE:
    lines += ['It learned from photographs that are squares around the field already: a square one is only resized, '
              'any other is cropped to its field of view.']
  if window := preprocessing.get('window'):
    lines += [f'It learned from crops of {window}x{window} pixels, and is asked about the field by overlapping windows '
              'of that size.']
  if found:
    lines += ['', f'Lesions in its training data: {", ".join(found)}.']
  absent = [lesion.key for lesion in LESIONS if lesion.key not in config['annotated']]
  if found and absent:
    lines += [f'Its outputs for {", ".join(absent)} were never trained: ignore them. These lesions are not evaluated, and may '
              'be there.']
  if 'kappa' in config.get('metrics', {}):
    lines += ['', f'Grades: {grades}.']
  return '\n'.join(lines)


def _data(config: Mapping[str, Any]) -> str:
  data = config.get('data')
  if not data:
    return ''
  lines = ['## Data', '', f'`{data["name"]}`' + (f': {data["description"].strip()}' if data.get('description') else '')]
  if data.get('lengths'):
    parts = data.get('parts', ())  # of a mixture
    columns = [data['lengths'], *(part['lengths'] for part in parts)]
    lines += ['', table(['split', 'photographs', *(f'`{part["name"]}`' for part in parts)],
                        [[split, *(f'{column[split]:,}' for column in columns)]
                         for split in sorted(data['lengths'], key=_place)])]
    lines += _mixing(data) if parts else []
  if data.get('licence'):
    lines += ['', f'Licence of the data: {data["licence"]}.']
  if data.get('citation', '').strip():
    lines += ['', 'Please cite:', '', '```bibtex', data['citation'].strip(), '```']
  return '\n'.join(lines)


def _place(split: str) -> int:
  """Splits in their usual order, which config.json does not keep; others behind them."""
  return SPLITS.index(split) if split in SPLITS else len(SPLITS)


def _mixing(data: Mapping[str, Any]) -> list[str]:
  """How training drew from the parts of a mixture, and what each says."""
  weights = ' : '.join(f'{weight:g}' for weight in data['weights'])
  lines = ['', f'In training the data sets were drawn from as {weights}.' if weights else
           'In training every photograph was drawn equally often.', '']
  for part in data['parts']:
    known = [*part['annotated'], *(['grades'] if part['graded'] else [])]
    lines.append(f'- `{part["name"]}` annotates {", ".join(known)}; what it does not annotate was neither learned nor '
                 'evaluated on it')
  return lines


def _figures(metrics: Mapping[str, Any]) -> str:
  lines = ['## Metrics on the held-out test split', *_figure_lines(metrics)]
  for note in metrics.get('notes', ()):
    lines += ['', f'**Note:** {note}.']
  for name, alone in data_sets(metrics):
    lines += ['', f'### On `{name}` alone', *_figure_lines(alone)]
  return '\n'.join(lines).rstrip() if len(lines) > 1 else ''


def _figure_lines(metrics: Mapping[str, Any]) -> list[str]:
  columns, lines = [key for key in COLUMNS if key in metrics], []
  if columns:
    lines += ['', table(['lesion', *(COLUMNS[key] for key in columns)], lesion_rows(metrics, columns))]
    lines += ['', *undefined_notes(metrics, columns)]
  if presence := presence_rows(metrics):
    lines += ['', table(presence[0], presence[1:]), '', *presence_notes(metrics)]
  if healthy := healthy_notes(metrics):
    lines += ['', *(f'- {note.strip()}' for note in healthy)]
  if 'confusion' in metrics:
    counts = [[key, *map(str, row)] for key, row in zip(GRADE_KEYS, metrics['confusion'], strict=True)]
    lines += ['', table(['grading', 'value'], grading_rows(metrics))]
    lines += ['', 'Confusion matrix, rows the annotated grade:', '', table(['', *GRADE_KEYS], counts)]
  for note in interval_notes(metrics) + selection_notes(metrics):
    lines += ['', note]
  return lines


def _thresholds(config: Mapping[str, Any]) -> str:
  """How lesions are called present, where the bundle says so itself; its plain thresholds stand in the provenance."""
  presence, temperatures = config.get('presence'), config.get('temperatures', {})
  smallest = smallest_of(config)
  if not presence and not temperatures and not smallest:
    return ''
  lines = ['## Thresholds', '']
  lesions = temperatures.get('lesions', {})
  shown = [lesion for lesion in LESIONS if lesion.key in config['annotated']]
  if presence:
    lines += [_chosen(presence), '']
  rows = [[f'{lesion.key} {lesion.name}', f'{config["thresholds"][lesion.key]:.4g}',
           *([f'{presence["thresholds"][lesion.key]:.7g}', *_validated(presence, lesion.key)] if presence else []),
           f'{lesions.get(lesion.key, 1):.3g}'] for lesion in shown]
  more = ['presence above', 'photographs without it', 'specificity', 'sensitivity'] if presence else []
  lines += [table(['lesion', 'pixel from', *more, 'temperature'], rows)] if rows else []
  if 'grades' in temperatures:
    lines += ['', f'Temperature of the grades: {temperatures["grades"]:.3g}.']
  if smallest:
    lines += ['', smallest_note(smallest)]
  if 'referral' in config:
    point = config['referral']
    lines += ['', f'Referable DR is called at the operating point from a probability of DR2 and above of {point["threshold"]:.3g} on, '
              f'where sensitivity and specificity on {point["validation"]["photographs"]:,} validation photographs are '
              f'{point["validation"]["sensitivity"]:.3f} and {point["validation"]["specificity"]:.3f}.']
  return '\n'.join(lines)


def _chosen(presence: Mapping[str, Any]) -> str:
  """The rule, and what it was chosen on."""
  rule = Rule.of({'presence': presence}).describe()
  if not any(presence.get('negatives', {}).values()):
    return f'{rule} Not chosen from data: no validation photograph is without a lesion, and 0.5 stands.'
  healthy = presence.get('validation', {}).get('healthy_clean')
  clean = '' if healthy is None else (f' Of {presence["healthy"]:,} healthy eyes of the validation split, '
                                      f'{100 * healthy:.1f} % are called free of all lesions.')
  sick = presence.get('validation', {}).get('referable_called')
  if sick is not None:
    clean += (f' All thresholds stand {presence["margin"]:.2g} higher in log odds, in the middle between healthy eyes and those '
              f'graded DR2 to DR4, of which {100 * sick:.1f} % of {presence["referable"]:,} are called to have a lesion.')
  return (f'{rule} Pixels count from the threshold of the best F1 on the validation split; the presence of a lesion was held '
          f'to a specificity of {presence["specificity"]:g} on its photographs without it, and that of any lesion to the '
          f'same in healthy eyes.{clean}')


def _validated(presence: Mapping[str, Any], key: str) -> list[str]:
  """How many photographs a threshold was chosen on, and what it reaches on the validation split."""
  figures = [presence.get('validation', {}).get(name, {}).get(key) for name in ('specificity', 'sensitivity')]
  return [str(presence.get('negatives', {}).get(key, '')), *('' if value is None else f'{value:.3f}' for value in figures)]


def _likeness(config: Mapping[str, Any]) -> str:
  known = config.get('likeness')
  if not known:
    return ''
  lines = ['## Photographs unlike those it learned from', '',
           'Prediction flags them by simple statistics of their colours, light, texture and outline.', '']
  lines += [f'- `{group["name"]}`: described by {group["photographs"]:,} photographs; of further ones of the same kind '
            f'at most {100 * group["false_alarms"]:.1f} % are to be flagged, by {group["held_out"]:,} held out'
            for entry in known for group in entry['groups']]
  return '\n'.join(lines)


def _usage(config: Mapping[str, Any]) -> str:
  metrics, lesion = config.get('metrics', {}), next(iter(config['annotated']), LESIONS[0].key)
  outputs = [
      ('image_f1', 'found.lesions', '[1, 8], probabilities'),
      ('image_f1', 'found.present', '[1, 8], which are called present'),
      ('pixel_f1', f'found.on_photograph({lesion!r})', "[H, W], in the photograph's own pixels"),
      ('kappa', 'found.grades', '[1, 5], probabilities'),
  ]
  lines = ['## Use', '', '```python', 'import lesion_jax', '',
           "predictor = lesion_jax.load('path/to/this/directory')", "found = predictor('photograph.jpg')",
           *(f'{code:<30}  # {comment}' for figure, code, comment in outputs if figure in metrics), '```', '',
           '```sh', 'lesion-jax predict photographs/ --model path/to/this/directory --out results/', '```']
  return '\n'.join(lines)


def _intended_use(config: Mapping[str, Any]) -> str:
  synthetic = origin.SYNTHETIC in origin.data_sets(config)
  note = f'\n{SYNTHETIC if origin.is_synthetic(config) else PARTLY_SYNTHETIC}' if synthetic else ''
  return '\n'.join(['## Intended use and limits', '', LIMITS,
                    CALIBRATED if config.get('temperatures') else NOT_CALIBRATED]) + note


def _provenance(config: Mapping[str, Any]) -> str:
  rows = [[f'`{key}`', str(value) or 'none'] for key, value in config.get('provenance', {}).items()]
  thresholds = config.get('thresholds', {})
  ordered = [lesion.key for lesion in LESIONS if lesion.key in thresholds]
  rows += [['thresholds', ', '.join(f'{key} {thresholds[key]:g}' for key in ordered)]] if ordered else []
  return '## Provenance\n\n' + table(['key', 'value'], rows) if rows else ''
