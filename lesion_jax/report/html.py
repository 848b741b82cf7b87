"""One page for a batch of photographs, report.html: it needs no other file, and asks nobody for anything.

All text that comes from outside is escaped, and the page's own policy lets nothing run or load but what is in the page:
its one script and its one style sheet are named by their digests. What it shows can be addressed: `#photo=2` opens the
second photograph, `&lesions=MA,iHE` shows the outlines of these alone, `&fill=30` fills them to 30 %, `&attention=60`
lays the attention map over the photograph, `&cross=1` draws the quadrants, `&red=1` shows it red-free, `&plain=1` and `&eye=1` show it
beside itself without outlines and beside the other eye, `&view=LEFT,TOP,SIDE` looks at a square of the photograph; `&only=referable,unsure`,
`&grade=2`, `&lesion=MA`, `&quality=blurred`, `&find=TEXT` filter the list and `&sort=grade` sorts it.

Up to STORED photographs stand in the page as elements, so that it can be read without its script too. Of a larger batch they are stored
as text, which costs a browser nothing until one is opened, and thumbnails load as they come into view.
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
from lesion_jax.clinical.look import UNLIKE, look, summary
from lesion_jax.clinical.record import RECORD, warnings_of
from lesion_jax.core import GRADES, LESION_KEYS, LESIONS
from lesion_jax.metrics.presence import NOT_EVALUATED
from lesion_jax.photograph.threads import ordered_map
from lesion_jax.report.files import write_whole
from lesion_jax.report.html_list import list_html, photograph_data
from lesion_jax.report.html_photograph import Shown, photograph_html
from lesion_jax.report.html_picture import thumbnail
from lesion_jax.report.html_text import escape, read, swatch, table, template
from lesion_jax.report.overlay import COLORS
from lesion_jax.report.table import Entry
from lesion_jax.report.whose import Whose, patients, whose

MAX_PICTURES = 2000  # A page of more is too large to open in comfort; further photographs are listed without a picture.
STORED = 50  # From more pictures than that on, photographs are stored as text until one is opened.
# Up to so many pictures: their sides, in pixels. With IDRiD's photographs and lesions, 25 pictures make a page of
# 13 MB, 50 one of 12 MB, 200 one of 23 MB and 2,000 one of 129 MB.
SIDES = ((25, 2048), (50, 1536), (200, 896), (MAX_PICTURES, 448))
FULL_SIZE = 'full_size'  # among the options of a run: its pictures are as large as the photographs, and stay so on the page
WITH_MAPS = '<meta name="lesion-jax-maps" content="8 bit">'
SCRIPTS = ('page.js', 'list.js', 'viewer.js', 'answers.js', 'print.js')
UNITS = (('GB', 1e9), ('MB', 1e6), ('kB', 1e3))
SIZE_HERE, SAID_FROM = '<!-- size -->', 50e6  # bytes


def write_report(
    path: pathlib.Path, entries: Sequence[Entry], *, now: datetime.datetime | None = None, maps: bool = False,
) -> str:
  """Writes the page. The folders of the photographs lie beside it. The same results make the same bytes.

  Pictures have at most 2048 pixels in a batch of up to 25 photographs, 1536 up to 50, 896 up to 200 and 448 up to 2,000, but for those that were
  predicted with `full_size`, which stay as large as their photographs; of a larger batch the first 2,000 have
  pictures, and all stand in the list.

  Args:
    path: of the page.
    entries: in the order of the page.
    now: what the page gives as its time; None: when the newest of its results was written.
    maps: put the probability maps into the page too, in 8 bits at the network's size, where they lie in the folders.

  Returns:
    How large the page is, a sentence where that is to be said (with maps, or above 50 MB), else ''.

  Raises:
    OSError: it cannot be written.
  """
  numbered = [(number, entry) for number, entry in enumerate(entries, 1) if entry.record]
  shown, owners, groups, out = numbered[:MAX_PICTURES], whose(entries), patients(entries), path.parent
  articles = list(ordered_map(lambda place: _article(place, shown, owners, groups, out, maps), range(len(shown))))
  thumbnails = dict(zip((number for number, _ in shown), ordered_map(lambda item: thumbnail(out / item[1].folder), shown), strict=True))
  model = next((entry.record for _, entry in numbered), None)
  lazy = len(shown) > STORED
  style, script = read('report.css') + _colors(), _script()
  text = template('report.html').substitute(
      policy=f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
             "base-uri 'none'; form-action 'none'",
      title=f'Retinal lesions: {_photographs(len(entries))}', style=style, script=script, maps=WITH_MAPS if maps else '',
      facts=_facts(model, now or _newest(out, [entry for _, entry in numbered])), banner=_banner(entries), count=_counts(entries),
      overview=list_html(entries, owners, thumbnails, lazy=lazy), data=_data(entries, owners, groups, shown), filters=_filters(entries),
      left_out=_left_out(len(numbered) - len(shown)), effects=_effects(), photographs=_photograph_section(shown, articles, lazy=lazy),
      about=_about(model, _others(entries)))
  size = len(text.encode('utf-8', 'backslashreplace'))
  text = text.replace(SIZE_HERE, f'{_bytes(size)} page', 1)
  write_whole(path, text)
  return f'{path} has {_bytes(size)}' + (', with the maps' if maps else '') if maps or size > SAID_FROM else ''


def has_maps(path: pathlib.Path) -> bool:
  """Whether a page that lies there was written with maps, and is to be written so again."""
  try:
    with path.open('rb') as file:
      return WITH_MAPS.encode() in file.read(1 << 12)
  except OSError:
    return False


def _article(
    place: int, shown: Sequence[tuple[int, Entry]], owners: Sequence[Whose], groups: Sequence[int | None], out: pathlib.Path, maps: bool,
) -> str:
  """The article of one of the photographs that are shown."""
  number, entry = shown[place]
  record = entry.record or {}
  side = None if record['run']['options'].get(FULL_SIZE) else next(side for most, side in SIDES if len(shown) <= most)
  return photograph_html(
      Shown(number, entry.file, [shown[other][0] for other in (place - 1, place + 1) if 0 <= other < len(shown)], owners[number - 1],
            _fellows(number, shown, owners, groups), side, maps), record, out / entry.folder)


def _fellows(
    number: int, shown: Sequence[tuple[int, Entry]], owners: Sequence[Whose], groups: Sequence[int | None],
) -> list[tuple[int, str]]:
  """The other photographs of the same patient: number, and eye and grade in words."""
  group = groups[number - 1]
  if group is None:
    return []
  found = []
  for other, entry in shown:
    if other != number and groups[other - 1] == group:
      grade = (entry.record or {}).get('grade')
      eye = f'{owners[other - 1].eye} eye' if owners[other - 1].eye else f'photograph {other}'
      found.append((other, f'{eye}, {grade["key"]}' if grade else eye))
  return found


def _photograph_section(shown: Sequence[tuple[int, Entry]], articles: Sequence[str], *, lazy: bool) -> str:
  """The articles, as elements or as text that no browser looks into."""
  if not lazy:
    return '\n'.join(articles)
  # What comes from outside is escaped: there is no '</script' in an article.
  return '\n'.join(f'<script type="text/html" data-stored="{number}">{article}</script>' for (number, _), article in zip(shown, articles, strict=True))


def _script() -> str:
  """The page's one script, of several files."""
  return "'use strict';\n(() => {\n" + '\n'.join(map(read, SCRIPTS)) + '\nstart();\n})();\n'


def _effects() -> str:
  """The filters of the page: red-free, the green channel with its contrast raised; and for each lesion, where a map reaches a threshold."""
  red = ('<filter id="red-free" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1"><feColorMatrix values="0 1.6 0 0 -.08 '
         '0 1.6 0 0 -.08 0 1.6 0 0 -.08 0 0 0 1 0"/></filter>')
  cut = ('<filter id="cut-{0}" color-interpolation-filters="sRGB" x="0" y="0" width="1" height="1"><feColorMatrix values="0 0 0 0 {1:.4g} '
         '0 0 0 0 {2:.4g} 0 0 0 0 {3:.4g} 1 0 0 0 0"/><feComponentTransfer><feFuncA type="discrete" tableValues="0"/></feComponentTransfer></filter>')
  return red + ''.join(cut.format(key, *(channel / 255 for channel in color)) for key, color in COLORS.items())


def _data(
    entries: Sequence[Entry], owners: Sequence[Whose], groups: Sequence[int | None], shown: Sequence[tuple[int, Entry]],
) -> str:
  """What the script knows of the photographs, as JSON that can stand in a page."""
  pictured = {number for number, _ in shown}
  data = {'lesions': LESION_KEYS, 'grades': [grade.key for grade in GRADES], 'photographs': [
      photograph_data(number, entry, owner, group, number in pictured)
      for number, (entry, owner, group) in enumerate(zip(entries, owners, groups, strict=True), 1)]}
  text = json.dumps(data, ensure_ascii=True, separators=(',', ':'), allow_nan=False)
  return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def _newest(out: pathlib.Path, entries: Sequence[Entry]) -> datetime.datetime | None:
  """When the newest result was written; None where none is there."""
  times = []
  for entry in entries:
    try:
      times.append((out / entry.folder / RECORD).stat().st_mtime)
    except OSError:
      continue
  return datetime.datetime.fromtimestamp(max(times), datetime.UTC) if times else None


def _bytes(size: int) -> str:
  return next((f'{size / unit:.3g} {name}' for name, unit in UNITS if size >= unit), f'{size} bytes')


def _filters(entries: Sequence[Entry]) -> str:
  """What sorts and filters the list: of what its photographs have alone."""
  records = [entry.record for entry in entries if entry.record]
  graded, evaluated = any(record['grade'] for record in records), {key for record in records for key in record['lesions'] or {}}
  reasons = sorted({reason for record in records for reason in record['quality']['reasons']})
  select = lambda name, label, options: (
      f'<label>{label} <select data-filter="{name}">'
      + ''.join(f'<option value="{escape(value)}">{escape(said)}</option>' for value, said in options) + '</select></label>')
  box = lambda name, label: f'<label><input type="checkbox" data-only="{name}"> {label}</label>'
  parts = ['<label class="wide">Find <input type="search" data-filter="find" placeholder="file or patient" autocomplete="off"></label>']
  if graded:
    parts.append(select('grade', 'Grade', [('', 'any'), *((str(value), grade.key) for value, grade in enumerate(GRADES)), ('2+', 'DR2 and above')]))
  if evaluated:
    parts.append(select('lesion', 'Lesion', [('', 'any'), *((lesion.key, f'{lesion.key} {lesion.name}') for lesion in LESIONS
                                                            if lesion.key in evaluated), ('none', 'none found')]))
  parts.append(select('quality', 'Quality', [('', 'any'), ('good', 'gradable'), ('bad', 'may not be gradable'), *((reason, reason) for reason in reasons)]))
  orders = [('', 'as listed'), ('file', 'file'), ('patient', 'patient'), *([('grade', 'grade, highest'), ('sure', 'least sure grade')] if graded else []),
            *([('area', 'area of lesions, largest')] if evaluated else [])]
  parts.append(select('sort', 'Sort by', orders))
  boxes = [*([box('referable', 'referable'), box('unsure', 'unsure')] if graded else []),
           *([box('disagrees', 'grade and lesions disagree')] if graded and evaluated else []), box('look', 'a person looks'),
           box('open', 'not read yet')]
  return '\n'.join(parts) + f'<div class="boxes">{"".join(boxes)}</div>'


def _digest(text: str) -> str:
  return 'sha256-' + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')


def _colors() -> str:
  """A class for the colour of each lesion, and one that hides it."""
  return ''.join('.{0}{{--color:#{1:02x}{2:02x}{3:02x}}}.hide-{0} .lesion.{0}{{display:none}}\n'.format(key, *color)
                 for key, color in COLORS.items())


def _photographs(number: int) -> str:
  return '1 photograph' if number == 1 else f'{number} photographs'


def _facts(model: Mapping[str, Any] | None, now: datetime.datetime | None) -> str:
  facts = [*([f'{now:%Y-%m-%d %H:%M} UTC'] if now else []), f'lesion_jax {lesion_jax.__version__}', SIZE_HERE]
  if model:
    facts.insert(0, f'Network <strong>{escape(model["model"]["name"])}</strong>')
    if model['model']['data']:
      facts.insert(1, f'trained on {escape(model["model"]["data"])}')
  return ' &middot; '.join(facts)


def _banner(entries: Sequence[Entry]) -> str:
  """What is to be read before anything else: that a network of the page learned from synthetic data alone, and that photographs are
  unlike those that it learned from."""
  records = [entry.record for entry in entries if entry.record]
  said = dict.fromkeys(warning for record in records for warning in warnings_of(record))
  unlike = sum(UNLIKE in look(record)['reasons'] for record in records)
  banners = [f'<p class="banner" role="alert"><strong>Synthetic.</strong> {escape(warning)}</p>' for warning in said]
  if unlike:
    banners.append(f'<p class="banner" role="alert"><strong>Unlike the training data.</strong> {unlike} of {_photographs(len(records))} '
                   f'{"is" if unlike == 1 else "are"} unlike those that the network learned from: what it says of {"it" if unlike == 1 else "them"} '
                   'may mean nothing.</p>')
  return ''.join(banners)


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


def _others(entries: Sequence[Entry]) -> int:
  """How many photographs were predicted by another network, or with other options, than the first."""
  runs = [(entry.record['run']['model'], entry.record['run']['options']) for entry in entries if entry.record]
  return sum(run != runs[0] for run in runs)


def _about(record: Mapping[str, Any] | None, others: int) -> str:
  lesions = [(f'{swatch(lesion.key)}{lesion.key}', lesion.name, *_threshold(record, lesion.key)) for lesion in LESIONS]
  parts = ['<h2 id="about-title">About this page</h2>', '<div class="columns">', '<div><h3>Lesions</h3>',
           table(('Key', 'Lesion', 'Present from', 'Pixels from'), lesions),
           *([f'<p class="note">So it is of the first photograph; {_photographs(others)} {"was" if others == 1 else "were"} predicted by another '
              'network or with other options, which result.json of each has.</p>'] if others else []), '</div>']
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
