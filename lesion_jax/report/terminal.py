"""A test report as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.core import GRADE_KEYS, LESIONS, lesion_index
from lesion_jax.metrics.presence import MAXIMUM
from lesion_jax.metrics.summary import NOT_ANNOTATED, NOT_LEARNED

COLUMNS = {'pixel_f1': 'pixel F1', 'pixel_iou': 'IoU', 'image_f1': 'image F1', 'aupr': 'AUPR'}
PRESENCE = {'f1': 'F1', 'sensitivity': 'sensitivity', 'specificity': 'specificity'}
LEVELS = {'pixel': 'pixels', 'image': 'lesions in images', 'grade': 'grades'}
GROUPS = {'graded': 'graded DR0', 'annotated': 'annotated with no lesion', 'referable': 'graded DR2 to DR4'}
CALIBRATION_METRICS = {'ece': 'ECE', 'brier': 'Brier'}
CRITERIA = {'pixel_f1': 'mean pixel F1', 'image_f1': 'mean image F1', 'aupr': 'mean AUPR',
            'pixel_image_f1': 'the mean of pixel and image F1', 'kappa': 'quadratic weighted kappa', 'nearness': 'nearness of the landmarks'}
CALIBRATION_NOTE = ('ECE: expected calibration error, 0 is best; that of pixels is small wherever most are background. '
                    'Brier: mean squared error')
FEW, MARK = 10, '*'  # an interval of fewer images, or patients, says little (our choice), and is marked
LEFT_OUT = (NOT_ANNOTATED, NOT_LEARNED)  # reasons that stand in a table for the metric


def format_report(report: Mapping[str, Any], title: str) -> str:
  """Formats as aligned text: F1, IoU and AUPR of each lesion and their means, then presence in photographs, healthy
  eyes, calibration, and the metrics of grading.

  Args:
    report: of `evaluate.report` or `evaluate.full_report`. What it does not hold is omitted; where a score has no
      value, the reason is said. Where it has 'intervals', they follow the means and the metrics of grading in brackets.
      Where it has 'selection', it is said how the network was chosen. Where it has 'data_sets', the parts of a mixture,
      the report of each follows.
    title: the first line.
  """
  parts = [f'{title}\n{"=" * len(title)}']
  columns = [key for key in COLUMNS if key in report]
  if columns:
    table = _table(lesion_rows(report, columns), ['lesion', *(COLUMNS[key] for key in columns)])
    parts.append('\n'.join([table, *undefined_notes(report, columns)]))
  if rows := presence_rows(report):
    parts.append('\n'.join([_table(rows[1:], rows[0]), *presence_notes(report)]))
  if rows := region_rows(report):
    parts.append('\n'.join([_table(rows[1:], rows[0]), *region_notes(report)]))
  if notes := healthy_notes(report):
    parts.append('\n'.join(notes))
  if rows := calibration_rows(report):
    parts.append('\n'.join([_table(rows[1:], rows[0], last=2), CALIBRATION_NOTE, *tempered_notes(report)]))
  if 'kappa' in report:
    parts.append(_grading(report))
  if 'landmarks' in report:
    rows = landmark_rows(report)
    parts.append('\n'.join([_table(rows[1:], rows[0], last=0), *landmark_notes(report)]))
  if any(map(any, report.get('confusion', []))):  # a matrix of nothing says nothing
    parts.append(_confusion(report['confusion']))
  parts += interval_notes(report) + selection_notes(report)
  parts += [f'note: {note}' for note in report.get('notes', ())]
  parts += [format_report(alone, f'{title}; of these {name} alone') for name, alone in data_sets(report)]
  return '\n\n'.join(parts)


def data_sets(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
  """Returns (name, report) of the data sets of a mixture, each by itself; [] for one data set."""
  return list(report.get('data_sets', {}).items())


def lesion_rows(report: Mapping[str, Any], columns: Sequence[str]) -> list[list[str]]:
  """Returns a row of text for each lesion and one for the means; also what a model card shows."""
  rows = []
  for lesion in LESIONS:
    cells = [_cell(report[key], lesion.key) for key in columns]
    rows.append([f'{lesion.key} {lesion.name}', *cells])
  found = report.get('intervals', {})
  few = bool(few_positive(report) or _few_patients(report))
  means = [_number(report[key]['mean'], found.get(key, {}).get('mean'), few) for key in columns]
  return [*rows, ['mean of those defined', *means]]


def presence_rows(report: Mapping[str, Any]) -> list[list[str]]:
  """Formats presence of lesions in photographs as a table of text, its header first, at the rule of the bundle and,
  where that is another, by Eq. 1 at 0.5; [] where the report has none."""
  found = report.get('presence')
  if not found:
    return []
  own = 'Eq. 1' if found['rule'] == MAXIMUM else found['rule']
  parts = {own: found['figures']}
  if found['rule'] != MAXIMUM or any(value != 0.5 for value in found['thresholds'].values()):
    parts['Eq. 1 at 0.5'] = found['maximum']
  columns = [(name, metrics[key], f'{name}: {word}') for name, metrics in parts.items() for key, word in PRESENCE.items()]
  rows = [['presence', *(title for *_, title in columns)]]
  for lesion in LESIONS:
    rows.append([f'{lesion.key} {lesion.name}', *(_cell(part, lesion.key) for _, part, _ in columns)])
  return [*rows, ['mean of those defined', *(_number(part['mean']) for _, part, _ in columns)]]


def region_rows(report: Mapping[str, Any]) -> list[list[str]]:
  """Formats metrics by region as a table of text, its header first; [] where the report has none."""
  found = report.get('regions')
  if not found:
    return []
  told = lambda part, few: 'undefined' if part is None or part['value'] is None else _number(part['value'], part.get('interval'), few)
  seldom, patients = few_positive(report), _few_patients(report)
  rows = [['regions', 'F1', 'found', 'right', 'false a photograph', 'FROC', 'photographs without it']]
  for lesion in LESIONS:
    each = found['lesions'].get(lesion.key)
    if each is None:
      rows.append([f'{lesion.key} {lesion.name}', *[found['undefined'][lesion.key]] * 6])
      continue
    clean, froc, few = each['clean'], each['froc'], bool(patients or lesion.key in seldom)
    rows.append([f'{lesion.key} {lesion.name}', told(each['f1'], few), f'{each["found"]} of {each["truth"]}',
                 f'{each["right"]} of {each["predicted"]}', told(each['false_per_photograph'], few),
                 'undefined' if froc is None else _number(froc['mean']), f'{clean["count"]} of {clean["of"]} clean'])
  return [*rows, ['mean of those defined', _number(found['mean_f1']), *[''] * 5]]


def region_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns what the metrics of `region_rows` are."""
  found = report['regions']
  notes = [f'regions: {found["rule"]}', 'FROC: mean of the sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives a photograph']
  if found['smallest']:
    notes.append('smaller regions do not count: ' + ', '.join(f'{key} {text}' for key, text in found['smallest'].items()))
  return notes


def presence_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns why metrics in `presence_rows` are 'undefined': one line for each reason."""
  reasons: dict[str, list[str]] = {}
  for key, word in PRESENCE.items():
    for lesion, reason in report['presence']['figures'][key]['undefined'].items():
      if reason not in LEFT_OUT:
        reasons.setdefault(reason, []).append(f'{word} of {lesion}')
  return [f'undefined: {", ".join(scores)} ({reason})' for reason, scores in reasons.items()]


def landmark_rows(report: Mapping[str, Any]) -> list[list[str]]:
  """How near landmarks are found, as a table of text, its header first."""
  rows = [['landmark', 'mean error', 'median', '95 % below', 'within half', 'found', 'outside, said so']]
  for name, found in report['landmarks'].items():
    if not found['images']:
      continue
    few = min(found['images'], FEW if report.get('patients') is None else report['patients']) < FEW
    share = lambda key, found=found, few=few: _percent(found[key], few) if found.get(key, {}).get('of') else ''
    rows.append([name, _number(found['error']['value'], found['error']['interval'], few), f'{found["median"]:.3f}',
                 f'{found["p95"]:.3f}', *(share(key) for key in ('within', 'found', 'outside'))])
  return rows


def landmark_notes(report: Mapping[str, Any]) -> list[str]:
  """What stands in `landmark_rows`."""
  return [f'errors in disc diameters, of which the side of the square has {1 / report["disc_diameter"]:.2f}; within half of one; found '
          f'from a confidence of {report["threshold"]:g} on; outside: of copies that are moved so far that it is']


def tempered_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns what the temperatures of the bundle make of the calibration: one line, or none."""
  found = report.get('tempered', {})
  wholes = [(words, part.get('pooled', part)) for name, words in LEVELS.items() if (part := found.get(name))]
  metrics = [f'{words} {whole["ece"]:.3f}' for words, whole in wholes if whole['ece'] is not None]
  return [f'with the temperatures of the bundle: ECE of {", ".join(metrics)}'] if metrics else []


def healthy_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns what is called present in healthy eyes and in those to be referred: a line for each group; [] where there
  is none."""
  found = report.get('healthy')
  if not found:
    return []
  lines = []
  for name, words in GROUPS.items():
    group = found[name]
    if not group['images']:
      continue
    few = min(group['images'], group['patients']) < FEW
    lesions = ', '.join(f'{key} {_percent(share, few)}' for key, share in sorted(
        group['lesions'].items(), key=lambda item: lesion_index(item[0])))
    lines.append(f'{group["images"]:,} photographs of {group["patients"]:,} patients {words}: any lesion called present in '
                 f'{_percent(group["any"], few)} ({lesions}); by Eq. 1 at 0.5 in {100 * group["maximum"]["any"]:.1f} %')
    if 'area' in group:
      area = group['area']['any']
      lines.append(f'  area shown per photograph: mean {area["pixels"]["mean"]:.1f} pixels ({100 * area["share"]["mean"]:.2g} '
                   f'%), median {area["pixels"]["median"]:.1f}, 95 % below {area["pixels"]["p95"]:.1f}')
  if separation := found.get('separation'):
    ends, few = separation['interval'], min(found[name][count] for name in ('graded', 'referable') for count in ('images', 'patients')) < FEW
    lines.append(f'area under ROC, DR2 to DR4 against DR0 by what is called present: {separation["value"]:.3f}'
                 + (f' [{ends[0]:.3f}, {ends[1]:.3f}]{MARK if few else ""}' if ends else ''))
  return lines


def _percent(share: Mapping[str, Any], few: bool) -> str:
  ends = share['interval']
  mark = MARK if few else ''
  return f'{100 * share["value"]:.1f} %' + (f' [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]{mark}' if ends else '')


def calibration_rows(report: Mapping[str, Any]) -> list[list[str]]:
  """Returns the calibration of lesions as a table of text, its header first; [] where the report has none."""
  found = report.get('calibration', {})
  columns = [(level, metric) for level, metric in (('pixel', 'ece'), ('image', 'ece'), ('image', 'brier'))
             if level in found]
  if not columns:
    return []
  rows = [['calibration', *(f'{level} {CALIBRATION_METRICS[metric]}' for level, metric in columns)]]
  for lesion in LESIONS:
    cells = [_calibrated(found[level], lesion.key, metric) for level, metric in columns]
    rows.append([f'{lesion.key} {lesion.name}', *cells])
  return rows + [[name, *(_number(found[level][part][metric]) for level, metric in columns)]
                 for name, part in (('mean of those defined', 'mean'), ('all lesions together', 'pooled'))]


def _calibrated(part: Mapping[str, Any], lesion: str, metric: str) -> str:
  found, reason = part['lesions'][lesion], part['undefined'].get(lesion)
  return reason if reason in LEFT_OUT else _number(found and found[metric])


def undefined_notes(report: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
  """Returns why scores in `lesion_rows` are 'undefined': one line for each reason, naming lesions and scores; and how
  many images of which lesions are undecided."""
  reasons: dict[str, list[str]] = {}
  for key in columns:
    for lesion, reason in report[key].get('undefined', {}).items():
      if reason not in LEFT_OUT:
        reasons.setdefault(reason, []).append(f'{COLUMNS[key]} of {lesion}')
  notes = [f'undefined: {", ".join(scores)} ({reason})' for reason, scores in reasons.items()]
  undecided = {key: count for key, count in report.get('undecided_images', {}).items() if count}
  if undecided and 'image_f1' in columns:
    counted = ', '.join(f'{key} {count:,}' for key, count in undecided.items())
    notes.append(f'excluded from image F1, as all that may show the lesion there is ignored: {counted} images')
  return notes


def interval_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns what the numbers in brackets are, a line each; none where the report has no intervals."""
  if 'intervals' not in report:
    return []
  level, resamples = (report['intervals'][key] for key in ('level', 'resamples'))
  patients = report['intervals'].get('patients')
  drawn = 'images' if patients is None else f'{patients:,} patients'
  notes = [f'in brackets: {100 * level:g} % intervals, from {resamples:,} draws of the {drawn} with replacement']
  marked = [f'{key} {count}' for key, count in few_positive(report).items()]
  marked += [f'graded {graded}'] if 0 < (graded := _graded(report)) < FEW else []
  groups = {words: report['healthy'][name] for name, words in GROUPS.items() if report.get('healthy', {}).get(name, {}).get('images')}
  marked += [f'{words} {group["images"]}' for words, group in groups.items() if group['images'] < FEW]
  alone = [f'{words} {group["patients"]} patients' for words, group in groups.items() if group['patients'] < FEW <= group['images']]
  return notes + few_notes(marked, [f'{patients} patients'] if _few_patients(report) else alone)


def few_notes(images: Sequence[str], patients: Sequence[str]) -> list[str]:
  """Returns what MARK is behind intervals, one line, of where too few images and too few patients count; [] where there is neither."""
  if not images and not patients:
    return []
  what = 'images or patients' if patients else 'images'
  return [f'{MARK} an interval in which fewer than {FEW} {what} count ({", ".join([*patients, *images])}): it is too narrow, and says little']


def _few_patients(report: Mapping[str, Any]) -> int | None:
  """How many patients the intervals are of, where that is fewer than FEW; None where they are enough, or nobody says."""
  patients = report.get('intervals', {}).get('patients')
  return patients if patients is not None and patients < FEW else None


def few_positive(report: Mapping[str, Any]) -> dict[str, int]:
  """Returns the lesions that occur in fewer than FEW of the images, and in how many; what is said of them rests on
  these."""
  return {key: count for key, count in report.get('positive_images', {}).items() if 0 < count < FEW}


def _graded(report: Mapping[str, Any]) -> int:
  """How many images are graded."""
  return sum(map(sum, report.get('confusion', ())))


def selection_notes(report: Mapping[str, Any]) -> list[str]:
  """Returns how the network was chosen: one sentence, or none where the report does not say."""
  if 'selection' not in report:
    return []
  found = report['selection']
  name = CRITERIA.get(found['criterion'], found['criterion'])
  if found['value'] is None:
    chosen = f'the last network, of step {found["step"]}: none could be chosen on validation by {name}'
  else:
    chosen = f'chosen on validation by {name} ({found["value"]:.3f}): step {found["step"]}'
  phases = {'dual': ', in the dual phase of its loss',
            'segmentation': '; the dual phase of its loss was never reached, it learned by loss_seg of Eq. 2 alone'}
  return [chosen + phases.get(found.get('phase'), '')]


def _cell(scores: Mapping[str, Any], lesion: str) -> str:
  """One lesion's score with three digits; the reasons why there is none are too long for a cell, but for one."""
  value, reason = scores['lesions'][lesion], scores.get('undefined', {}).get(lesion)
  return reason if reason in LEFT_OUT else _number(value)


def _number(value: float | None, interval: Sequence[float] | None = None, few: bool = False) -> str:
  """Three digits, and where there is an interval '0.419 [0.392, 0.447]', with MARK where it is of few images."""
  ends = f' [{interval[0]:.3f}, {interval[1]:.3f}]{MARK if few else ""}' if interval else ''
  return 'undefined' if value is None else f'{value:.3f}{ends}'


def _score(score: Mapping[str, Any], interval: Sequence[float] | None = None, few: bool = False) -> str:
  """A {'value', 'reason'} score as `_number`, or why there is none."""
  return f'undefined: {score["reason"]}' if score['value'] is None else _number(score['value'], interval, few)


def grading_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
  """Returns (name, value) of the metrics of grading."""
  found, calibration = report.get('intervals', {}), report.get('calibration', {}).get('grade')
  cut, referral = report.get('at_cut_points'), report.get('referral', {})
  few, point = _graded(report) < FEW or bool(_few_patients(report)), referral.get('at_operating_point')
  told = lambda part, name: _score(part[name], part[name].get('interval'), part[name].get('of', FEW) < FEW or few)
  rows = [
      ('quadratic weighted kappa', _score(report['kappa'], found.get('kappa'), few)),
      ('accuracy', _score(report['accuracy'], found.get('accuracy'), few)),
      *([('kappa, at cut points', told(cut, 'kappa')), ('accuracy, at cut points', told(cut, 'accuracy'))] if cut else []),
      *([('area under ROC, referable DR', told(referral or report['referable'], 'auc'))]
        if referral or 'auc' in report['referable'] else []),
      *((f'{name}, referable DR', told(referral or report['referable'], name) + _counted(referral.get(name)))
        for name in ('sensitivity', 'specificity')),
      *((f'{name}, referable DR, at {point["threshold"]:.3g}', told(point, name) + _counted(point[name]))
        for name in ('sensitivity', 'specificity') if point),
  ]
  return rows if calibration is None else [*rows, *(
      (name, _score({'value': calibration[metric], 'reason': calibration.get('reason')}))
      for name, metric in (('ECE of the likeliest grade', 'ece'), ('Brier score of grades', 'brier')))]


def _counted(share: Mapping[str, Any] | None) -> str:
  return f' ({share["count"]} of {share["of"]})' if share and share['of'] else ''


def _grading(report: Mapping[str, Any]) -> str:
  rows = grading_rows(report)
  width = max(len(name) for name, _ in rows)
  return '\n'.join(f'{name:<{width}}  {value}' for name, value in rows)


def _confusion(confusion: Sequence[Sequence[int]]) -> str:
  rows = [[f'annotated {key}', *map(str, row)] for key, row in zip(GRADE_KEYS, confusion, strict=True)]
  return _table(rows, ['predicted', *GRADE_KEYS], last=0)


def _table(rows: Sequence[Sequence[str]], header: Sequence[str], *, last: int = 1) -> str:
  """Aligned columns; a rule parts the `last` rows from the others."""
  header, *rows = _aligned([header, *rows])
  widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

  def line(row: Sequence[str]) -> str:
    first, *others = zip(row, widths, strict=True)
    return '  '.join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])

  rule = '  '.join('-' * width for width in widths)
  body = [line(row) for row in rows]
  if last:
    body.insert(-last, rule)
  return '\n'.join([line(header), rule, *body])


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str]]:
  """The rows, with blanks behind what has no interval in a column that has some: numbers stay below one another."""
  tails = [max(len(cell) - len(cell.partition(' [')[0]) for cell in column) for column in zip(*rows, strict=True)]
  return [[cell if ' [' in cell else cell + ' ' * tail for cell, tail in zip(row, tails, strict=True)] for row in rows]
