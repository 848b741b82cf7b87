"""The list of all photographs on the page, and what its script knows of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax.clinical.look import REFERABLE, UNLIKE, is_referable, look
from lesion_jax.clinical.record import not_evaluated, present_lesions
from lesion_jax.clinical.unsure import disagrees, is_unsure, lesions_evaluated
from lesion_jax.metrics.presence import NOT_EVALUATED
from lesion_jax.report.html_photograph import verdict_badge
from lesion_jax.report.html_text import badge, chip, escape, probability
from lesion_jax.report.table import SKIPPED, Entry
from lesion_jax.report.whose import EYES, Whose


def photograph_data(number: int, entry: Entry, whose: Whose, group: int | None, pictured: bool) -> dict[str, Any]:
  """Returns what the page's script sorts, filters, groups and saves by, plain JSON.

  Args:
    number: of the photograph on the page, from 1.
    entry: the photograph.
    whose: eye it shows.
    group: number of its patient, see `whose.patients`.
    pictured: whether the page has an article of it.
  """
  data: dict[str, Any] = {'n': number, 'file': entry.file, 'patient': whose.patient, 'group': group, 'eye': whose.eye, 'pictured': pictured}
  record = entry.record
  if record is None:
    return data | {'failed': True, 'look': True}  # the network has not seen it
  grade, lesions = record['grade'], record['lesions'] or {}
  return data | {
      'sha': record['run']['photograph'], 'height': record['photograph']['height'], 'width': record['photograph']['width'],
      'grade': grade and grade['value'], 'probability': grade and max(grade['probabilities'].values()),
      'referable': is_referable(record), 'unsure': is_unsure(record), 'disagrees': disagrees(record),
      'look': look(record)['needed'], 'quality': record['quality']['reasons'], 'unlike': 'unlike' in look(record)['reasons'],
      'evaluated': lesions_evaluated(record), 'present': present_lesions(record),
      'drawn': [key for key in present_lesions(record) if lesions[key]['found']],
      'area': sum((lesions[key]['found'] or {}).get('share', 0) for key in present_lesions(record))}


def list_html(
    entries: Sequence[Entry], whose: Sequence[Whose], thumbnails: Mapping[int, str], *, lazy: bool,
) -> str:
  """Returns the list, an item a photograph.

  Args:
    entries: in the order of the page.
    whose: eye each shows.
    thumbnails: by number, addresses of small pictures of those that have an article, '' where there is none to show.
    lazy: leave loading the pictures to the script, as they come into view.
  """
  records = [entry.record for entry in entries if entry.record]
  common = Common(_folder([entry.file for entry in entries]), records[0]['run']['model'] if records else '',
                  _same([tuple(not_evaluated(record)) for record in records]) if records else None)
  rows = [_item(number, entry, each, thumbnails.get(number), common, lazy=lazy)
          for number, (entry, each) in enumerate(zip(entries, whose, strict=True), 1)]
  said = (f'<p class="soft small">{NOT_EVALUATED.capitalize()} in any photograph: {", ".join(common.left)}.</p>' if common.left else '')
  return f'{said}<ol class="worklist" id="list" aria-label="Photographs">{"".join(rows)}</ol>'


class Common(NamedTuple):
  """What is said once, and not with each photograph: the folder of all with its separator, the network of most, and which lesions
  are not evaluated in any; None where that differs."""

  folder: str
  model: str
  left: tuple[str, ...] | None


def _same(values: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
  return values[0] if len(set(values)) == 1 else None


def _folder(files: Sequence[str]) -> str:
  """The folder in which all files lie, with its separator; '' where there is none."""
  if len(files) < 2:
    return ''
  prefix = os.path.commonprefix(files)
  return prefix[:max(prefix.rfind('/'), prefix.rfind('\\')) + 1]


def _item(number: int, entry: Entry, whose: Whose, thumb: str | None, common: Common, *, lazy: bool) -> str:
  name = f'<span class="file">{escape(entry.file[len(common.folder):])}</span>'
  picture = ''
  if thumb is not None:
    name = f'<a data-number="{number}" href="#photo={number}">{name}</a>'
    picture = f'<img class="thumb" alt="" {"data-src" if lazy else "src"}="{thumb}">' if thumb else ''
  eye = f', {EYES[whose.eye]}' if whose.eye else ''
  owner = f' <span class="soft small">patient {escape(whose.patient)}{eye}</span>' if whose.patient else ''
  said = _failed(entry) if entry.record is None else _found(entry, common)
  return (f'<li class="item" data-item="{number}">{picture}<span class="name">{name}{owner}</span>{said}'
          f'<span class="answered" data-answered="{number}"></span><span class="number">{number}</span></li>')


def _failed(entry: Entry) -> str:
  return f'<span>{badge("failed", "contradicted")} {badge("a person looks", "plain")} <span class="small">{escape(entry.error)}</span></span>'


def _found(entry: Entry, common: Common) -> str:
  """Grade, what is to be looked at, lesions, and what Table I says of both."""
  record = entry.record or {}
  reasons = look(record)['reasons']
  parts = []
  if grade := record['grade']:
    parts.append(f'<span class="graded"><strong>{escape(grade["key"])}</strong> '
                 f'<span class="soft">{probability(max(grade["probabilities"].values()))}</span></span>')
    parts += [badge('unsure', 'warned')] if is_unsure(record) else []
  parts += [badge(REFERABLE, 'strong')] if REFERABLE in reasons else []
  parts += [badge(reason, 'contradicted' if reason == UNLIKE else 'warned') for reason in reasons if reason != REFERABLE]
  parts += [badge('a person looks', 'plain')] if reasons else []
  parts.append(_lesions(record, common))
  parts.append(verdict_badge(record))
  if entry.status == SKIPPED:
    parts.append('<span class="soft small">of an earlier run</span>')
  if record['run']['model'] != common.model:
    parts.append(f'<span class="soft small">by another network, {escape(record["model"]["name"])}</span>')
  return f'<span class="tags">{" ".join(part for part in parts if part)}</span>'


def _lesions(record: Mapping[str, Any], common: Common) -> str:
  if record['lesions'] is None:
    return f'<span class="soft">lesions {NOT_EVALUATED}</span>'
  found, left = ' '.join(map(chip, present_lesions(record))), not_evaluated(record)
  none = 'none' + (f' of {escape(", ".join(record["lesions"]))}' if left else '')
  others = f' <span class="soft small">{NOT_EVALUATED}: {", ".join(left)}</span>' if left and common.left is None else ''
  return (found or f'<span class="soft">{none}</span>') + others
