"""What a reader answers on the page: a grade of their own, a comment, and whether the lesions are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lesion_jax.core import GRADES
from lesion_jax.report.html_text import escape, template


def answer_html(number: int, record: Mapping[str, Any]) -> str:
  """Returns the form of one photograph, which the page's script fills and reads.

  Args:
    number: of the photograph on the page.
    record: its result.json.
  """
  choices = [(str(value), grade.key, grade.name) for value, grade in enumerate(GRADES)] + [('ungradable', 'Not gradable', '')]
  radios = ''.join(
      f'<label title="{escape(name)}"><input type="radio" name="grade-{number}" value="{value}" data-answer="grade"> {escape(label)}</label>'
      for value, label, name in choices)
  hint = '' if record['grade'] else '<p class="soft small">This network does not grade; your grade is kept all the same.</p>'
  return template('answer.html').substitute(number=number, radios=radios, hint=hint)


def verdict_buttons(key: str) -> str:
  """Returns the two buttons by which a reader says whether what the network says of a lesion is right."""
  words = (('accepted', '&#10003;', 'right'), ('rejected', '&#10007;', 'wrong'))
  return '<span class="verdict js">' + ''.join(
      f'<button type="button" data-verdict="{value}" data-key="{escape(key)}" aria-pressed="false" '
      f'aria-label="{escape(key)} is {said}">{sign}</button>' for value, sign, said in words) + '</span>'
