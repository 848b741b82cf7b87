"""Comparisons as tables: Markdown to read, CSV for other programs, LaTeX for a paper, JSON with all there is."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lesion_jax.core import GRADE_KEYS, LESION_KEYS
from lesion_jax.report import markdown
from lesion_jax.report.table import FORMULA
from lesion_jax.report.terminal import FEW, MARK, few_notes

FORMATS = ('markdown', 'csv', 'latex', 'json')
METRICS = {'mean_pixel_f1': 'mean pixel F1', 'mean_image_f1': 'mean image F1', 'kappa': 'kappa', 'accuracy': 'accuracy'}
BY_LESION = {'pixel_f1': 'pixel F1', 'image_f1': 'image F1'}
GRADING = {'kappa': 'quadratic weighted kappa', 'accuracy': 'accuracy', 'sensitivity': 'sensitivity of referable DR',
           'specificity': 'specificity of referable DR'}
_LATEX = {'\\': r'\textbackslash{}', **{each: f'\\{each}' for each in '&%$#_{}'}, '<': '$<$', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'}


def format_comparison(found: Mapping[str, Any], form: str) -> str:
  """Returns a comparison of systems as text.

  Args:
    found: of `lesion_jax.compare`.
    form: one of FORMATS. CSV has a row for each system, metric and lesion ('' for a mean over lesions and for grades).

  Raises:
    ValueError: there is no such form.
  """
  _require(form)
  if form == 'json':
    return json.dumps(found, indent=2) + '\n'
  if form == 'csv':
    return _comparison_csv(found)
  baseline, names = found['baseline'], [name for name in METRICS if name in found['systems'][found['baseline']]]
  few = _few(found)
  header = ['', *(METRICS[name] for name in names)]
  rows = [[system, *(_value(metrics[name], name in few) for name in names)] for system, metrics in found['systems'].items()]
  rows += [[f'{system} less {baseline}', *(_difference(each[name], name in few) for name in names)]
           for system, each in found['differences'].items()]
  tables = [(header, rows)]
  for name, title in BY_LESION.items():
    if name in found['systems'][baseline] and found['lesions']:
      tables.append(([title, *found['systems'], *(f'{system} less {baseline}' for system in found['differences'])], [
          [key, *(_value(metrics[name][key], key in few) for metrics in found['systems'].values()),
           *(_difference(each[name][key], key in few) for each in found['differences'].values())]
          for key in found['lesions']]))
  return _document(tables, _comparison_notes(found, form), form)


def format_agreement(found: Mapping[str, Any], form: str, *, results: str = '') -> str:
  """Predictions against a person's grades as text.

  Args:
    found: of `lesion_jax.compare_predictions`.
    form: one of FORMATS. CSV is the list of the photographs on which they differ.
    results: the folder of results as links to it begin, seen from where the text will lie.

  Raises:
    ValueError: there is no such form.
  """
  _require(form)
  if form == 'json':
    return json.dumps(found, indent=2) + '\n'
  prefix = urllib.parse.quote(results.rstrip('/') + '/' if results else '')
  link = lambda page: None if page is None else prefix + urllib.parse.quote(page, safe='/#=')
  if form == 'csv':
    return _csv(('file', 'graded', 'predicted', 'probability', 'look', 'quality', 'page'), (
        {**row, 'page': link(row['page'])} for row in found['different']))
  few, of_patients = found['images'] < FEW, _few_patients(found)
  tables = [
      (['', f'{found["images"]} photographs'], [[title, _value(found[name], few or bool(of_patients))] for name, title in GRADING.items()]),
      (['person', *(f'predicted {key}' for key in GRADE_KEYS)],
       [[key, *map(str, row)] for key, row in zip(GRADE_KEYS, found['confusion'], strict=True)])]
  notes = [f'{GRADING[name]}: {found[name]["reason"]}' for name in GRADING if found[name]['value'] is None]
  notes += [_drawn(found), *few_notes([f'{found["images"]} photographs'] if few else [], of_patients), *found['notes']]
  if not found['different']:
    return _document(tables, ['they differ on no photograph', *notes], form)
  rows = [[_Linked(row['file'], link(row['page'])), row['graded'], f'{row["predicted"]} ({row["probability"]:.2f})', row['look']]
          for row in found['different']]
  title = f'they differ on {len(rows)} of {found["images"]}'
  return _document([*tables, ([title, 'person', 'predicted', 'a person looks'], rows)], notes, form)


class _Linked(str):
  """The text of a cell, and where it leads."""

  def __new__(cls, text: str, target: str | None) -> _Linked:
    found = super().__new__(cls, text)
    found.target = target
    return found

  target: str | None


class _Bold(str):
  """A cell that stands out."""


def _require(form: str) -> None:
  if form not in FORMATS:
    raise ValueError(f'unknown format {form!r}; choose one of {", ".join(FORMATS)}')


def _value(found: Mapping[str, Any], few: bool = False) -> str:
  return '-' if found['value'] is None else f'{found["value"]:.3f}{_bounds(found["interval"], ".3f", few)}'


def _difference(found: Mapping[str, Any], few: bool) -> str:
  if found['difference'] is None:
    return '-'
  said = f'{found["difference"]:+.3f}{_bounds(found["interval"], "+.3f", few)}, p {say_p(found["p"])}'
  return _Bold(said) if found['different'] else said


def say_p(p: float) -> str:
  """Returns a p value as it is said behind 'p': '= 0.012', or '< 0.001'."""
  return f'= {p:.3f}' if p >= 0.001 else '< 0.001'


def _bounds(interval: Sequence[float] | None, digits: str, few: bool) -> str:
  return '' if interval is None else f' [{interval[0]:{digits}}, {interval[1]:{digits}}]{MARK if few else ""}'


def _few(found: Mapping[str, Any]) -> set[str]:
  """Metrics and lesions whose intervals rest on too few images."""
  if _few_patients(found):
    return {*METRICS, *found['lesions']}
  lesions = {key for key, count in found['positive_images'].items() if 0 < count < FEW}
  return lesions | ({'mean_pixel_f1', 'mean_image_f1'} if lesions else set()) | ({'kappa', 'accuracy'} if found['graded'] < FEW else set())


def _comparison_notes(found: Mapping[str, Any], form: str) -> list[str]:
  positive = found['positive_images']
  marked = [f'{key} {positive[key]}' for key in LESION_KEYS if 0 < positive.get(key, 0) < FEW]
  marked += [f'graded {found["graded"]}'] if 0 < found['graded'] < FEW else []
  # A metric of every system against the first, each lesion by itself included.
  tests = sum(len(found['lesions']) if name in BY_LESION else 1 for each in found['differences'].values() for name in each)
  notes = [f'{found["images"]} photographs, the same for all', _drawn(found)]
  notes.append(f'{"bold" if form != "latex" else "in bold"}: a difference, by its interval and by swapping (p below {1 - found["level"]:.2g}); of '
               f'{tests} differences between equal systems about {tests * (1 - found["level"]):.1f} would be called one, no correction is made')
  return notes + few_notes(marked, _few_patients(found)) + list(found['notes'])


def _drawn(found: Mapping[str, Any]) -> str:
  of = 'photographs' if found['patients'] is None else f'{found["patients"]:,} patients'
  return f'in brackets: {100 * found["level"]:g} % intervals, from {found["resamples"]:,} draws of the {of} with replacement'


def _few_patients(found: Mapping[str, Any]) -> list[str]:
  """Of how few patients all intervals are; [] where they are enough, or nobody says."""
  patients = found['patients']
  return [f'{patients} patients'] if patients is not None and patients < FEW else []


def _document(tables: Iterable[tuple[Sequence[str], Sequence[Sequence[str]]]], notes: Iterable[str], form: str) -> str:
  if form == 'latex':
    parts = [_latex_table(*each) for each in tables]
    return '\n\n'.join([*parts, '\n'.join(f'% {note}' for note in notes)]) + '\n'
  parts = [markdown.table([_markdown(cell) for cell in header], [[_markdown(cell) for cell in row] for row in rows])
           for header, rows in tables]
  return '\n\n'.join([*parts, '\n'.join(f'- {_markdown(note)}' for note in notes)]) + '\n'


def _markdown(cell: str) -> str:
  said = re.sub(r'([\\`*_\[\]|])', r'\\\1', html.escape(_one_line(cell), quote=False))
  if isinstance(cell, _Bold):
    return f'**{said}**'
  return f'[{said}]({cell.target})' if isinstance(cell, _Linked) and cell.target else said


def _latex_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  line = lambda cells: ' & '.join(map(_latex, cells)) + r' \\'
  return '\n'.join([rf'\begin{{tabular}}{{l{"r" * (len(header) - 1)}}}', r'\toprule', line(header), r'\midrule', *map(line, rows),
                    r'\bottomrule', r'\end{tabular}'])


def _latex(cell: str) -> str:
  said = ''.join(_LATEX.get(letter, letter) for letter in _one_line(cell))
  # A bracket at the beginning of a row would be taken for an argument of the line before it.
  said = f'{{}}{said}' if said.startswith('[') else said
  return rf'\textbf{{{said}}}' if isinstance(cell, _Bold) else said


def _one_line(text: str) -> str:
  return ' '.join(text.split())


def _comparison_csv(found: Mapping[str, Any]) -> str:
  columns = ('system', 'metric', 'lesion', 'value', 'low', 'high', 'baseline', 'difference', 'difference_low', 'difference_high', 'p',
             'different', 'images', 'patients')

  def rows() -> Iterable[dict[str, Any]]:
    for system, metrics in found['systems'].items():
      for name in (*METRICS, *BY_LESION):
        for lesion, value in (metrics[name].items() if name in BY_LESION else [('', metrics[name])]) if name in metrics else ():
          low, high = value['interval'] or (None, None)
          row = {'system': system, 'metric': name, 'lesion': lesion, 'value': value['value'], 'low': low, 'high': high,
                 'images': found['images'], 'patients': found['patients']}
          if system in found['differences']:
            each = found['differences'][system][name]
            each = each[lesion] if lesion else each
            low, high = each['interval'] or (None, None)
            row |= {'baseline': found['baseline'], 'difference': each['difference'], 'difference_low': low, 'difference_high': high,
                    'p': each['p'], 'different': str(each['different']).lower()}
          yield row

  return _csv(columns, rows())


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
  text = io.StringIO(newline='')
  writer = csv.DictWriter(text, columns, lineterminator='\n')
  writer.writeheader()
  inert = lambda value: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value  # as in results.csv
  writer.writerows({key: inert(value) for key, value in row.items()} for row in rows)
  return text.getvalue()
