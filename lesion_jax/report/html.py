"""One page for a batch of photographs, report.html: it needs no other file, and asks nobody for anything.

All text that comes from outside is escaped, and the page's own policy lets nothing run or load but what is in the page:
its one script and its one style sheet are named by their digests. What it shows can be addressed: `#photo=2` opens the
second photograph, `&lesions=MA,iHE` shows the outlines of these alone, `&fill=30` fills them to 30 %, `&attention=60`
lays the attention map over the photograph, `&cross=1` draws the quadrants, `&view=LEFT,TOP,SIDE` looks at a square of
the photograph.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import lesion_jax
from lesion_jax.clinical.look import look, summary
from lesion_jax.clinical.record import not_evaluated, present_lesions, warnings_of
from lesion_jax.core import LESIONS
from lesion_jax.metrics.presence import NOT_EVALUATED
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.report.files import write_whole
from lesion_jax.report.html_photograph import photograph_html, verdict_badge
from lesion_jax.report.html_picture import thumbnail
from lesion_jax.report.html_text import badge, chip, escape, read, swatch, table, template
from lesion_jax.report.overlay import COLORS
from lesion_jax.report.table import SKIPPED, Entry

MAX_PICTURES = 200  # A page of more is too large to open in comfort; further photographs are listed without a picture.
# Up to so many pictures: their sides, in pixels. With IDRiD's photographs and lesions, 25 pictures make a page of
# 13 MB, 50 one of 12 MB and 200 one of 25 MB.
SIDES = ((25, 2048), (50, 1536), (MAX_PICTURES, 896))


def write_report(path: pathlib.Path, entries: Sequence[Entry], *, now: datetime.datetime | None = None) -> None:
  """Writes the page. The folders of the photographs lie beside it.

  Pictures have at most 2048 pixels in a batch of up to 25 photographs, 1536 up to 50 and 896 up to 200; of a larger
  batch the first 200 have pictures, and all stand in the list at the top.

  Args:
    path: of the page.
    entries: in the order of the page.
    now: what the page gives as its time; None: the present.

  Raises:
    OSError: it cannot be written.
  """
  numbered = [(number, entry) for number, entry in enumerate(entries, 1) if entry.record]
  shown = numbered[:MAX_PICTURES]
  side = next(side for most, side in SIDES if len(shown) <= most)

  def make(place: int) -> str:
    number, entry = shown[place]
    neighbours = [shown[other][0] for other in (place - 1, place + 1) if 0 <= other < len(shown)]
    return photograph_html(number, entry.file, entry.record, path.parent / entry.folder, side, neighbours)

  articles = list(ordered_map(make, range(len(shown))))
  model = next((entry.record for _, entry in numbered), None)
  now = now or datetime.datetime.now(datetime.UTC)
  style, script = read('report.css') + _colors(), read('report.js')
  write_whole(path, template('report.html').substitute(
      policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
             "base-uri 'none'; form-action 'none'",
      title=f'Retinal lesions: {_photographs(len(entries))}', style=style, script=script,
      facts=_facts(model, now), banner=_banner(entries), count=_counts(entries),
      overview=_overview(entries, path.parent, len(shown)),
      left_out=_left_out(len(numbered) - len(shown)), photographs='\n'.join(articles), about=_about(model)))


def _digest(text: str) -> str:
  return 'sha256-' + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')


def _colors() -> str:
  """A class for the colour of each lesion, and one that hides it."""
  return ''.join('.{0}{{--color:#{1:02x}{2:02x}{3:02x}}}.hide-{0} .lesion.{0}{{display:none}}\n'.format(key, *color)
                 for key, color in COLORS.items())


def _photographs(number: int) -> str:
  return '1 photograph' if number == 1 else f'{number} photographs'


def _facts(model: Mapping[str, Any] | None, now: datetime.datetime) -> str:
  facts = [f'{now:%Y-%m-%d %H:%M} UTC', f'lesion_jax {lesion_jax.__version__}']
  if model:
    facts.insert(0, f'Network <strong>{escape(model["model"]["name"])}</strong>')
    if model['model']['data']:
      facts.insert(1, f'trained on {escape(model["model"]["data"])}')
  return ' &middot; '.join(facts)


def _banner(entries: Sequence[Entry]) -> str:
  """What is to be read before anything else: that a network of the page learned from synthetic data alone."""
  said = dict.fromkeys(warning for entry in entries if entry.record for warning in warnings_of(entry.record))
  return ''.join(f'<p class="banner" role="alert"><strong>Synthetic.</strong> {escape(warning)}</p>' for warning in said)


def _counts(entries: Sequence[Entry]) -> str:
  records = [entry.record for entry in entries if entry.record]
  failed = len(entries) - len(records)
  return (_photographs(len(entries)) + (f', {failed} of them could not be done' if failed else '')
          + (f'; {escape(summary(records))}' if records else ''))


def _left_out(number: int) -> str:
  if not number:
    return ''
  return (f'<p class="note">Pictures of the first {MAX_PICTURES} photographs are in this page; those of the other '
          f'{number} are in their folders.</p>')


def _overview(entries: Sequence[Entry], out: pathlib.Path, pictures: int) -> str:
  records = [entry.record for entry in entries if entry.record]
  graded, evaluated = (any(record[key] for record in records) for key in ('grade', 'lesions'))
  header = ['No.', 'Photograph', *(['Grade'] if graded else []),
            *(['Lesions found', 'Table I of the paper'] if evaluated else []), 'Folder']
  rows, first = [], next((record['run']['model'] for record in records), None)
  for number, entry in enumerate(entries, 1):
    file = escape(entry.file)
    if entry.record is None:
      rows.append((str(number), f'<span class="file">{file}</span> {badge("failed", "contradicted")}<br>'
                   f'<span class="small">{escape(entry.error)}</span>', *[''] * (len(header) - 2)))
      continue
    name = f'<span class="file">{file}</span>'
    if pictures > 0:
      name = f'<a data-number="{number}" href="#photo={number}">{thumbnail(out / entry.folder)}{name}</a>'
    pictures -= 1
    kept = ' <span class="soft small">of an earlier run</span>' if entry.status == SKIPPED else ''
    if entry.record['run']['model'] != first:
      kept += f' <span class="soft small">by another network, {escape(entry.record["model"]["name"])}</span>'
    looks = f' {badge("a person looks", "plain")}' if look(entry.record)['needed'] else ''
    rows.append((str(number), name + kept + looks, *([_grade(entry.record)] if graded else []),
                 *(_findings(entry.record) if evaluated else []), f'<span class="small">{escape(entry.folder)}</span>'))
  return table(header, rows, kind='overview')


def _grade(record: Mapping[str, Any]) -> str:
  grade = record['grade']
  if not grade:
    return ''
  return (f'<strong>{escape(grade["key"])}</strong> <span class="soft">{max(grade["probabilities"].values()):.2f}</span>'
          + (f' {badge("referable", "strong")}' if grade['referable'] else ''))


def _findings(record: Mapping[str, Any]) -> tuple[str, str]:
  if record['lesions'] is None:
    return f'<span class="soft">{NOT_EVALUATED}</span>', ''
  found, left = ' '.join(map(chip, present_lesions(record))), not_evaluated(record)
  others = f'<br><span class="soft small">{NOT_EVALUATED}: {", ".join(left)}</span>' if left else ''
  none = 'none' + (f' of {escape(", ".join(record["lesions"]))}' if left else '')
  return (found or f'<span class="soft">{none}</span>') + others, verdict_badge(record)


def _about(record: Mapping[str, Any] | None) -> str:
  lesions = [(f'{swatch(lesion.key)}{lesion.key}', lesion.name, *_threshold(record, lesion.key)) for lesion in LESIONS]
  parts = ['<h2 id="about-title">About this page</h2>', '<div class="columns">', '<div><h3>Lesions</h3>',
           table(('Key', 'Lesion', 'Present from', 'Pixels from'), lesions), '</div>']
  if record:
    model = record['model']
    rows = [('network', escape(model['name'])), ('size', f'{model["size"]} pixels'),
            ('trained on', escape(model['data'] or 'not said')),
            ('SHA-256 of the bundle', f'<code>{escape(record["run"]["model"])}</code>')]
    rows += [(f'--{escape(key)}', escape(json.dumps(value))) for key, value in record['run']['options'].items()
             if value not in (None, {})]
    rows += [(escape(key), escape(value)) for key, value in model['provenance'].items()]
    parts += ['<div><h3>Network</h3>', table(('Key', 'Value'), rows, kind='keys'), '</div>']
  parts += ['</div>', '<h3>How to read it</h3><ul>']
  parts += [f'<li>{escape(note)}</li>' for note in (record['notes'] if record else ())]
  return '\n'.join([*parts, '<li>Evidence is that of Table I in Wei et al., <cite>Learn to Segment Retinal Lesions and '
                    'Beyond</cite>, ICPR 2020. Lesions that the training data do not annotate are never evaluated; venous '
                    'beading and IrMA are not among the eight lesions.</li>', '</ul>'])


def _threshold(record: Mapping[str, Any] | None, key: str) -> tuple[str, str]:
  """From which score a lesion is called present, and from which probability a pixel is in its mask."""
  lesion = ((record and record['lesions']) or {}).get(key)
  if not lesion:
    return f'<span class="soft">{NOT_EVALUATED}</span>', ''
  return f'{lesion["presence"]["threshold"]:.6g}', f'{lesion["threshold"]:.6g}'
