"""The part of the page that belongs to one photograph."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lesion_jax.clinical.evidence import ABSENT, CONTRADICTED, FOUND, INDIRECT, NOT_JUDGED, SUPPORTED, UNSUPPORTED
from lesion_jax.clinical.findings import QUADRANTS, Smallest
from lesion_jax.clinical.look import look
from lesion_jax.clinical.record import not_evaluated, present_lesions
from lesion_jax.clinical.zones import QUADRANTS as ZONES
from lesion_jax.core import GRADE_KEYS, GRADES, LANDMARKS, LESIONS, SEVERE_HEMORRHAGES, lesion_index
from lesion_jax.metrics.presence import MAXIMUM, NOT_EVALUATED
from lesion_jax.report.html_picture import picture
from lesion_jax.report.html_text import badge, bar, count, escape, items, share, swatch, table, template

VERDICT_WORDS = {
    SUPPORTED: 'lesions support the grade',
    INDIRECT: 'indirect evidence for the grade',
    UNSUPPORTED: 'no lesion supports the grade',
    CONTRADICTED: 'lesions contradict the grade',
    NOT_JUDGED: 'lesions of this grade are not evaluated',
}
VALUE = '<span class="hidden">Value</span>'
BY_PICTURE = 'Quadrants of the picture about the centre of the field of view; optic disc and fovea are not known.'
BY_LANDMARKS = ('Quadrants by the line from disc to fovea and the line across it through the fovea. Distances are in disc diameters, from '
                'the fovea to the nearest pixel.')


def photograph_html(
    number: int, file: str, record: Mapping[str, Any], folder: pathlib.Path, side: int, neighbours: Sequence[int],
) -> str:
  """Returns an article: the picture with its layers, grade, lesions, evidence and quadrants.

  Args:
    number: of the photograph in the batch, from 1.
    file: its path.
    record: its result.json.
    folder: with its other files.
    side: of the picture, at most.
    neighbours: numbers of the articles before and behind, where there are such.
  """
  try:
    shown, caption = picture(number, file, record, folder, side), _caption(record)
  except (OSError, ValueError) as error:
    shown, caption = f'<p class="note">The picture cannot be shown: {escape(error)}</p>', ''
  steps = ''.join(f'<a class="step" data-number="{other}" href="#photo={other}">'
                  f'{"&larr; Previous" if other < number else "Next &rarr;"}</a>' for other in neighbours)
  return template('photograph.html').substitute(
      number=number, file=escape(file), picture=shown, caption=caption, steps=steps, look=_look(record),
      grade=_grade(record), lesions=_lesions(record), evidence=_evidence(record), quadrants=_macula(record) + _quadrants(record))


def verdict_badge(record: Mapping[str, Any]) -> str:
  """Returns what the lesions say about the grade, in a few words; '' without a grade or lesions."""
  verdict = record['evidence'] and record['evidence']['verdict']
  if not verdict:
    return ''
  nothing = verdict == SUPPORTED and not present_lesions(record)
  none = 'no lesion found, as in DR0' if not not_evaluated(record) else 'none of the evaluated lesions found, as in DR0'
  return badge(none if nothing else VERDICT_WORDS[verdict], verdict.replace(' ', '-'))


def _look(record: Mapping[str, Any]) -> str:
  """Whether a person should look, and why: one line at the head."""
  found = look(record)
  words = escape(' '.join(found['sentences']))
  if not found['needed']:
    return f'<p class="look soft">{words}</p>'
  return f'<p class="look"><strong>A person should look:</strong> {words}</p>'


def _caption(record: Mapping[str, Any]) -> str:
  size, attention = record['photograph'], record['attention']
  text = f'{size["width"]} &times; {size["height"]} pixels; the square that the network looked at.'
  quality = record['quality']
  verdict = f'may not be gradable: {escape(", ".join(quality["reasons"]))}' if quality['reasons'] else 'gradable'
  text += (f' Quality: {verdict} (sharpness {quality["sharpness"]:.2f}, light {quality["light"]:.0f}, coverage '
           f'{quality["coverage"]:.2f}).')
  if attention:
    text += (f' Attention: <span class="ramp" aria-hidden="true"></span> from {attention["minimum"]:.3f} (dark) to '
             f'{attention["maximum"]:.3f} (bright), averaged over its channels.')
  return text


def _grade(record: Mapping[str, Any]) -> str:
  grade = record['grade']
  if not grade:
    return '<p class="note">This network does not grade.</p>'
  rows = [(f'{escape(key)} <span class="soft">{escape(GRADES[value].name)}</span>', bar(p), f'{p:.2f}')
          for value, (key, p) in enumerate(grade['probabilities'].items())]
  referable = badge('referable', 'strong') if grade['referable'] else badge('not referable', 'plain')
  return ('<section class="grade"><h3>Grade</h3>'
          f'<p class="result"><strong>{escape(grade["key"])}</strong> {escape(grade["name"])} {referable}</p>'
          + table(('Grade', 'Probability', VALUE), rows, kind='bars') + '</section>')


def _lesions(record: Mapping[str, Any]) -> str:
  lesions = record['lesions']
  if lesions is None:
    return '<p class="note">This network does not look for lesions: none of them is evaluated.</p>'
  outlined = [key for key in present_lesions(record) if lesions[key]['found']]
  rows = [_lesion(key, lesion, record['states'][key], key in outlined) for key, lesion in lesions.items()]
  rows += [(f'{swatch(key)}{key} <span class="soft">{escape(LESIONS[lesion_index(key)].name)}</span>', '', '',
            f'<span class="soft">{NOT_EVALUATED}</span>', '') for key in not_evaluated(record)]
  scored = 'Probability' if record['model']['rule'] == MAXIMUM else 'Score'
  switches = ('<p class="switches"><button type="button" data-all="1">Show all</button>'
              '<button type="button" data-all="0">Hide all</button></p>') if outlined else ''
  notes = ''.join(f'<p class="soft small">{escape(text)}</p>' for text in record['evidence']['not_judged'])
  return ('<section class="lesions"><h3>Lesions</h3>'
          + table(('Lesion', scored, VALUE, 'Found', 'Area'), rows, kind='bars')
          + switches + notes + '</section>')


def _lesion(key: str, lesion: Mapping[str, Any], state: str, outlined: bool) -> tuple[str, ...]:
  """The cells of one lesion, with the score that decides; its name switches its outlines, where it has some."""
  name = f'{swatch(key)}{escape(key)} <span class="soft">{escape(lesion["name"])}</span>'
  score, threshold = lesion['presence']['score'], lesion['presence']['threshold']
  state, area = state if lesion['present'] else f'<span class="soft">{state}</span>', ''
  if outlined:
    found = lesion['found']
    name = f'<label><input type="checkbox" checked data-lesion="{escape(key)}">{name}</label>'
    state = f'{count(found["regions"])} region{"" if found["regions"] == 1 else "s"}'
    area = share(found['share'])
  return name, bar(score, threshold), f'{score:.2f}', state, area


def _evidence(record: Mapping[str, Any]) -> str:
  evidence = record['evidence']
  if evidence is None:
    return ''
  states = {FOUND: '<strong>found</strong>', ABSENT: 'not found', NOT_JUDGED: '<span class="soft">not evaluated</span>'}
  # Exclusively among those that are evaluated: of the others nobody knows.
  among = ' <span class="soft">among the lesions evaluated</span>' if not_evaluated(record) else ''
  rows = [(GRADE_KEYS[entry['grade']], escape(entry['finding']) + (f' ({escape(entry["lesion"])})' if entry['lesion'] else ''),
           'sufficient' if entry['sufficient'] else 'indirect',
           states[entry['state']] + (among if entry['grade'] == 1 and entry['state'] == FOUND else ''))
          for entry in evidence['findings']]
  return ('<section class="evidence"><h3>Do the lesions support the grade?</h3>'
          f'<p>{verdict_badge(record)}</p>' + items(evidence['supports'], 'supports')
          + items(evidence['contradicts'], 'contradicts') + '<details><summary>All of Table I</summary>'
          + table(('Grade', 'Finding', 'Evidence', 'Here'), rows, kind='findings-table') + '</details></section>')


def _quadrants(record: Mapping[str, Any]) -> str:
  lesions = record['lesions'] or {}
  found = {key: lesions[key]['found'] for key in present_lesions(record) if lesions[key]['found']}
  if not found:
    return ''
  in_mm = all('mm2' in part for part in found.values())
  by_landmarks = all((part.get('by_landmarks') or {}).get('quadrants') for part in found.values())
  quadrants = {key: part['by_landmarks']['quadrants'] if by_landmarks else part['quadrants'] for key, part in found.items()}
  names = ZONES if by_landmarks else QUADRANTS
  header = ['Lesion', *(name.replace('_', ' ').capitalize() for name in names), 'All', 'Pixels', *(['mm&sup2;'] if in_mm else []),
            *(['To the fovea', 'Within 1 disc diameter'] if any('by_landmarks' in part for part in found.values()) else [])]
  cell = lambda part: f'{count(part["regions"])} <span class="soft">{share(part["share"])}</span>'
  rows = [(f'{swatch(key)}{escape(key)} <span class="soft">{escape(lesions[key]["name"])}</span>',
           *(cell(quadrants[key][name]) for name in names), cell(part), count(part['pixels']),
           *([f'{part["mm2"]:.3g}'] if in_mm else []), *_near(part))
          for key, part in found.items()]
  return ('<section class="quadrants"><h3>Regions and area by quadrant</h3>'
          '<div class="scroll" tabindex="0" role="region" aria-label="Regions and area by quadrant">'
          + table(header, rows) + f'</div><p class="soft small">{BY_LANDMARKS if by_landmarks else BY_PICTURE} Areas are shares of the '
          'field of view.'
          + _left_out(found, lesions) + '</p></section>')


def _near(part: Mapping[str, Any]) -> tuple[str, ...]:
  """How near to the fovea a lesion is, in disc diameters, and what of it is within one of them; () where nobody looked."""
  if 'by_landmarks' not in part:
    return ()
  nearest, near = part['by_landmarks']['nearest'], part['by_landmarks']['near_fovea']
  return ('' if nearest is None else f'{nearest:.2f}',
          '' if near is None else f'{count(near["regions"])} <span class="soft">{share(near["share"])}</span>')


def _macula(record: Mapping[str, Any]) -> str:
  """Which eye, the risk of edema and its evidence, and the arm of hemorrhages of the 4-2-1 rule; '' where nobody looked for
  landmarks."""
  marks, edema, severe = record.get('landmarks'), record.get('edema'), record.get('severe_hemorrhages')
  told, rows = record.get('edema_by_network'), []
  if marks is None and not told:
    return ''
  if marks:
    missing = [name for name in LANDMARKS if not marks[name]['found']]
    rows += [('Eye', f'{marks["eye"]}, by the order of disc and fovea' if marks['eye'] else 'not known'),
             ('Landmarks', f'{" and ".join(missing)} not found' if missing else 'disc and fovea found')]
  if edema:
    value = 'cannot be told' if edema['value'] is None else f'<strong>{edema["value"]}</strong> {escape(edema["name"])}'
    rows.append(('Risk of macular edema', f'{value}<br><span class="soft">{escape(edema["sentence"])}</span>'))
  if told:
    rows.append(('Risk of macular edema, by the network', f'<strong>{told["value"]}</strong> {escape(told["name"])}<br><span class="soft">'
                 + ', '.join(f'{risk}: {100 * value:.1f} %' for risk, value in told['probabilities'].items()) + '</span>'))
  if severe:
    counts = ', '.join(f'{name.replace("_", " ")} {count(number)}' for name, number in severe['regions'].items())
    rows.append((f'Over {SEVERE_HEMORRHAGES} hemorrhages in each quadrant', f'{"yes" if severe["met"] else "no"} ({counts})<br><span class="soft">'
                 f'{"" if severe["by"] == "landmarks" else "Quadrants of the picture. "}{escape(severe["note"])}</span>'))
  return ('<section class="macula"><h3>Macula</h3>' + table(('What', 'Found'), rows, kind='findings-table') + '</section>')


def _left_out(found: Mapping[str, Any], lesions: Mapping[str, Any]) -> str:
  """Below which size regions do not count, where that was chosen."""
  named = ', '.join(f'{key} {Smallest.of(lesions[key]["smallest"])}' for key in found if 'smallest' in lesions[key])
  return f' Regions smaller than these do not count: {escape(named)}.' if named else ''
