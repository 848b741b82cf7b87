"""The part of the page that belongs to one photograph."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.clinical.evidence import ABSENT, CONTRADICTED, FOUND, INDIRECT, NOT_JUDGED, SUPPORTED, UNSUPPORTED, is_unseen
from lesion_jax.clinical.findings import QUADRANTS, Smallest
from lesion_jax.clinical.look import UNLIKE, is_referable, look
from lesion_jax.clinical.record import not_evaluated, present_lesions, warnings_of
from lesion_jax.clinical.unsure import is_doubtful, is_unsure, margin, top_two
from lesion_jax.clinical.zones import QUADRANTS as ZONES
from lesion_jax.clinical.zones import say_distance
from lesion_jax.core import GRADE_KEYS, GRADES, LANDMARKS, LESIONS, SEVERE_HEMORRHAGES, lesion_index
from lesion_jax.metrics.presence import MAXIMUM, NOT_EVALUATED
from lesion_jax.report.html_answer import answer_html, verdict_buttons
from lesion_jax.report.html_picture import Layers, picture
from lesion_jax.report.html_text import badge, bar, count, escape, items, probability, share, swatch, table, template
from lesion_jax.report.whose import EYES, Whose

VERDICT_WORDS = {
    SUPPORTED: 'lesions support the grade',
    INDIRECT: 'indirect evidence for the grade',
    UNSUPPORTED: 'no lesion supports the grade',
    CONTRADICTED: 'lesions contradict the grade',
    NOT_JUDGED: 'lesions of this grade are not judged',
}
EVEN = 0.1  # attention that differs by less over a photograph hardly differs
VALUE = '<span class="hidden">Value</span>'
BY_PICTURE = 'Quadrants of the picture about the centre of the field of view; optic disc and fovea are not known.'
BY_LANDMARKS = ('Quadrants by the line from disc to fovea and the line across it through the fovea. Distances are in disc diameters, from '
                'the fovea to the nearest pixel.')


class Shown(NamedTuple):
  """How one photograph stands on the page.

  Attributes:
    number: of the photograph in the batch, from 1.
    file: its path.
    neighbours: numbers of the articles before and behind, where there are such.
    whose: eye it shows.
    fellows: numbers of the other photographs of the same patient that have an article, and what is said of them.
    side: of the picture, at most; None: as large as it lies in its folder.
    maps: whether the probability maps are in the page.
  """

  number: int
  file: str
  neighbours: Sequence[int] = ()
  whose: Whose = Whose()
  fellows: Sequence[tuple[int, str]] = ()
  side: int | None = None
  maps: bool = False


def photograph_html(shown: Shown, record: Mapping[str, Any], folder: pathlib.Path) -> str:
  """Returns an article: the picture with its layers, grade, lesions, evidence and quadrants, and what a reader answers.

  Args:
    shown: how it stands on the page.
    record: its result.json.
    folder: with its other files.
  """
  number, file = shown.number, shown.file
  try:
    layers, caption = picture(number, file, record, folder, shown.side, maps=shown.maps), _caption(record)
  except (OSError, ValueError) as error:
    layers, caption = Layers(f'<p class="note">The picture cannot be shown: {escape(error)}</p>', ''), ''
  steps = ''.join(f'<a class="step" data-step="{-1 if other < number else 1}" data-number="{other}" href="#photo={other}">'
                  f'{"&larr; Previous" if other < number else "Next &rarr;"}</a>' for other in shown.neighbours)
  return template('photograph.html').substitute(
      number=number, file=escape(file), picture=layers.view, caption=caption, steps=steps, look=_look(record),
      fellows=_fellows(shown, record), warning=_warning(record), grade=_grade(record), lesions=_lesions(record) + _thresholds(layers.thresholds),
      answer=answer_html(number, record), evidence=_evidence(record), quadrants=_macula(record) + _quadrants(record))


def verdict_badge(record: Mapping[str, Any]) -> str:
  """Returns what the lesions say about the grade, in a few words; '' without a grade or lesions. Of a network or a photograph that is
  not to be relied on it never looks like a confirmation."""
  verdict = record['evidence'] and record['evidence']['verdict']
  if not verdict:
    return ''
  nothing = verdict == SUPPORTED and not present_lesions(record)
  none = 'no lesion found, as in DR0' if not not_evaluated(record) else 'none of the evaluated lesions found, as in DR0'
  words = none if nothing else VERDICT_WORDS[verdict]
  if verdict == SUPPORTED and is_doubtful(record):
    return badge(f'{words}; not to be relied on here', 'plain')
  return badge(words, verdict.replace(' ', '-'))


def _warning(record: Mapping[str, Any]) -> str:
  """What speaks against relying on anything below, before anything else."""
  said = list(warnings_of(record))
  if UNLIKE in look(record)['reasons']:
    said.append('This photograph is unlike those that the network learned from: what it says below may mean nothing.')
  return ''.join(f'<p class="banner small">{escape(text)}</p>' for text in said)


def _fellows(shown: Shown, record: Mapping[str, Any]) -> str:
  """Whose eye it is, what speaks against it, and the other photographs of the same patient."""
  seen = (record.get('landmarks') or {}).get('eye')
  other = (f' <span class="unsure">By the order of disc and fovea it is the {escape(seen)} eye: the photograph is mirrored, or named wrongly.</span>'
           if seen and shown.whose.eye and seen != shown.whose.eye else '')
  if not shown.whose.patient:
    which = shown.whose.eye
    return f'<p class="fellows">{escape(which.capitalize())} eye ({EYES[which]}).{other}</p>' if which else ''
  eye = f', {shown.whose.eye} eye ({EYES[shown.whose.eye]})' if shown.whose.eye else ''
  others = ' '.join(f'<a class="fellow" data-number="{number}" href="#photo={number}">{escape(said)}</a>' for number, said in shown.fellows)
  beside = ('<label class="js" title="Key b"><input type="checkbox" data-switch="eye"> Beside this one</label>' if shown.fellows else '')
  return (f'<p class="fellows">Patient <strong>{escape(shown.whose.patient)}</strong>{escape(eye)}'
          + (f'<span class="others">. Also: {others} {beside}</span>' if others else '') + f'{other}</p>')


def _thresholds(sliders: str) -> str:
  """Sliders that try other thresholds on the maps in the page."""
  if not sliders:
    return ''
  return ('<section class="cuts js"><h3>Try other thresholds</h3><p class="soft small">Fills what would be in the mask. Nothing that is saved '
          'changes: <code>lesion-jax rethreshold</code> does that. The maps have 256 steps here.</p>' + sliders
          + '<button type="button" data-uncut>Take the fill away</button></section>')


def _apart(score: float, threshold: float) -> str:
  """A score with as many digits as tell it from the threshold by which it is judged; with that, where two digits would not do."""
  if f'{score:.2f}' != f'{threshold:.2f}':
    return f'{score:.2f}'
  digits = next((digits for digits in range(3, 10) if f'{score:.{digits}f}' != f'{threshold:.{digits}f}'), 6)
  return f'{score:.{digits}f} <span class="soft">from {threshold:.{digits}f}</span>'


def _look(record: Mapping[str, Any]) -> str:
  """Whether a person should look, and why: one line at the head."""
  found = look(record)
  words = escape(' '.join(found['sentences']))
  if is_unsure(record):
    (first, p), (second, q) = top_two(record)
    words += f' <span class="unsure">The grade is unsure: {escape(first)} {p:.2f}, {escape(second)} {q:.2f}.</span>'
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
    low, high = attention['minimum'], attention['maximum']
    text += (f' Attention: <span class="ramp" aria-hidden="true"></span> from 0 (dark) to 1 (bright) in every photograph, averaged over '
             f'its channels; here {low:.3f} to {high:.3f}'
             + (', so it hardly differs from place to place.' if high - low < EVEN else '.'))
  return text


def _grade(record: Mapping[str, Any]) -> str:
  grade = record['grade']
  if not grade:
    return '<p class="note">This network does not grade.</p>'
  rows = [(f'{escape(key)} <span class="soft">{escape(GRADES[value].name)}</span>', bar(p), probability(p))
          for value, (key, p) in enumerate(grade['probabilities'].items())]
  at = f' at {point["name"]}' if 'referable' in (point := record.get('operating_point') or {}) else ''  # else the grade itself decides
  referable = badge(f'referable{at}', 'strong') if is_referable(record) else badge(f'not referable{at}', 'plain')
  unsure = badge('unsure', 'warned') if is_unsure(record) else ''
  return ('<section class="grade"><h3>Grade</h3>'
          f'<p class="result"><strong>{escape(grade["key"])}</strong> {escape(grade["name"])} {referable} {unsure}</p>'
          + _unsure(record) + table(('Grade', 'Probability', VALUE), rows, kind='bars') + _calibrated(record) + '</section>')


def _unsure(record: Mapping[str, Any]) -> str:
  """Why a grade is marked as unsure."""
  if not is_unsure(record):
    return ''
  (first, p), (second, q) = top_two(record)
  return (f'<p class="unsure">{escape(first)} ({p:.2f}) and {escape(second)} ({q:.2f}) are nearer to each other than {margin(record):.2f}, '
          f'{_off(record)}.</p>')


def _off(record: Mapping[str, Any]) -> str:
  """What the margin of an unsure grade rests on."""
  known = record['grade'].get('margin')
  if not known:
    return 'below which we call a grade unsure; its bundle does not say how well its probabilities are calibrated'
  images = f' on {count(known["images"])} test images' if known['images'] else ''
  return f'by which the probability of the likeliest grade was off on average{images}'


def _calibrated(record: Mapping[str, Any]) -> str:
  """What the probabilities of the grades are calibrated on, or that they are not."""
  temperature, data = record['model']['temperatures'].get('grades'), record['model']['data']
  said = ('Probabilities are not calibrated: they are what the network answers.' if temperature is None else
          f'Probabilities are calibrated by one temperature ({temperature:.2f}) on the validation photographs of '
          f'{data or "its training data"}.')
  known = record['grade'].get('margin')
  said += f' They were off by {known["value"]:.2f} on average on {known["images"]} test images.' if known and known['images'] else ''
  return f'<p class="soft small calibrated">{escape(said)}</p>'


def _lesions(record: Mapping[str, Any]) -> str:
  lesions = record['lesions']
  if lesions is None:
    return '<p class="note">This network does not look for lesions: none of them is evaluated.</p>'
  outlined = [key for key in present_lesions(record) if lesions[key]['found']]
  rows = [_lesion(key, lesion, record['states'][key], key in outlined) for key, lesion in lesions.items()]
  rows += [(f'{swatch(key)}{key} <span class="soft">{escape(LESIONS[lesion_index(key)].name)}</span>', '', '',
            f'<span class="soft unlearned">{NOT_EVALUATED}</span>', '') for key in not_evaluated(record)]
  switches = ('<p class="switches js"><button type="button" data-all="1">Show all</button>'
              '<button type="button" data-all="0">Hide all</button></p>') if outlined else ''
  notes = ''.join(f'<p class="soft small">{escape(text)}</p>' for text in record['evidence']['not_judged'])
  notes += f'<p class="soft small scored">{escape(_scored(record))}</p>'
  return ('<section class="lesions"><h3>Lesions</h3>'
          + table(('Lesion', 'Score', VALUE, 'Found', '<span class="js">Right?</span>'), rows, kind='bars')
          + switches + notes + '</section>')


def _scored(record: Mapping[str, Any]) -> str:
  """What the scores of the lesions are, and whether they are calibrated."""
  rule = 'most probable pixel' if record['model']['rule'] == MAXIMUM else 'most probable pixels'
  more = ('; result.json has probabilities that are, by a temperature on the validation photographs'
          if record['model']['temperatures'].get('lesions') else '')
  return (f'A score is of the {rule}, in the network\'s own probabilities, and not calibrated{more}. The mark in a bar is the threshold from '
          'which a lesion is called present.')


def _lesion(key: str, lesion: Mapping[str, Any], state: str, outlined: bool) -> tuple[str, ...]:
  """The cells of one lesion, with the score that decides; its name switches its outlines, where it has some."""
  name = f'{swatch(key)}{escape(key)} <span class="soft">{escape(lesion["name"])}</span>'
  score, threshold = lesion['presence']['score'], lesion['presence']['threshold']
  state = state if lesion['present'] else f'<span class="soft">{state}</span>'
  if outlined:
    found = lesion['found']
    name = f'<label><input type="checkbox" checked data-lesion="{escape(key)}">{name}</label>'
    state = f'{count(found["regions"])} region{"" if found["regions"] == 1 else "s"}'
    state += f'<br><span class="soft">{share(found["share"])}</span>'
  return name, bar(score, threshold), _apart(score, threshold), state, verdict_buttons(key)


def _evidence(record: Mapping[str, Any]) -> str:
  evidence = record['evidence']
  if evidence is None:
    return ''
  here = lambda entry: {FOUND: '<strong>found</strong>', ABSENT: 'not found'}.get(entry['state']) or (
      f'<span class="soft">{NOT_EVALUATED if is_unseen(entry["lesion"], record["states"]) else NOT_JUDGED}</span>')
  # Exclusively among those that are evaluated: of the others nobody knows.
  among = ' <span class="soft">among the lesions evaluated</span>' if not_evaluated(record) else ''
  rows = [(GRADE_KEYS[entry['grade']], escape(entry['finding']) + (f' ({escape(entry["lesion"])})' if entry['lesion'] else ''),
           'sufficient' if entry['sufficient'] else 'indirect',
           here(entry) + (among if entry['grade'] == 1 and entry['state'] == FOUND else ''))
          for entry in evidence['findings']]
  title = 'Do the lesions support the grade?' if record['grade'] else 'What the lesions found mean'
  return (f'<section class="evidence"><h3>{title}</h3>'
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
  rows = [(f'{swatch(key)}{escape(key)} <span class="soft">{escape(lesions[key]["name"])}</span>',
           *(_part(quadrants[key][name]) for name in names), _part(part), count(part['pixels']),
           *([f'{part["mm2"]:.3g}'] if in_mm else []), *_near(part))
          for key, part in found.items()]
  return ('<section class="quadrants"><h3>Regions and area by quadrant</h3>'
          '<div class="scroll" tabindex="0" role="region" aria-label="Regions and area by quadrant">'
          + table(header, rows) + f'</div><p class="soft small">{BY_LANDMARKS if by_landmarks else BY_PICTURE} A region counts where its '
          'centroid is; areas are shares of the field of view, and of a region that reaches further its part.'
          + _left_out(found, lesions) + '</p></section>')


def _near(part: Mapping[str, Any]) -> tuple[str, ...]:
  """How near to the fovea a lesion is, in disc diameters, and what of it is within one of them; () where nobody looked."""
  if 'by_landmarks' not in part:
    return ()
  nearest, near = part['by_landmarks']['nearest'], part['by_landmarks']['near_fovea']
  return ('' if nearest is None else say_distance(nearest),
          '' if near is None else _part(near))


def _part(part: Mapping[str, Any]) -> str:
  """Regions and area of one lesion in one part of the field of view, in words."""
  if not part['regions'] and not part['pixels']:
    return '<span class="soft">none</span>'
  regions = (f'{count(part["regions"])} region{"" if part["regions"] == 1 else "s"}' if part['regions']
             else 'part of a region')  # whose centroid is in another
  return f'{regions}<br><span class="soft">{share(part["share"])}</span>'


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
    value = 'cannot be told' if edema['value'] is None else f'<strong>level {edema["value"]}</strong> of 0 to 2: {escape(edema["name"])}'
    rows.append(('Risk of macular edema', f'{value}<br><span class="soft">{escape(edema["sentence"])}</span>'))
  if told:
    rows.append(('Risk of macular edema, by the network', f'<strong>level {told["value"]}</strong> of 0 to 2: {escape(told["name"])}<br><span class="soft">'
                 + ', '.join(f'level {risk}: {probability(value)}' for risk, value in told['probabilities'].items()) + '</span>'))
  if severe:
    counts = ', '.join(f'{name.replace("_", " ")} {count(number)}' for name, number in severe['regions'].items())
    rows.append((f'Over {SEVERE_HEMORRHAGES} hemorrhages in each quadrant', f'{"yes" if severe["met"] else "no"} ({counts})<br><span class="soft">'
                 f'{"" if severe["by"] == "landmarks" else "Quadrants of the picture. "}{escape(severe["note"])}</span>'))
  return ('<section class="macula"><h3>Macula</h3>' + table(('What', 'Found'), rows, kind='findings-table') + '</section>')


def _left_out(found: Mapping[str, Any], lesions: Mapping[str, Any]) -> str:
  """Below which size regions do not count, where that was chosen."""
  named = ', '.join(f'{key} {Smallest.of(lesions[key]["smallest"])}' for key in found if 'smallest' in lesions[key])
  return f' Regions smaller than these do not count: {escape(named)}.' if named else ''
