"""Tables in Markdown: of model cards, and of the pages of experiments. Imports nothing, so that a program may write a page
where only what it measures is installed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Returns a Markdown table; the first column to the left, the others to the right."""
  rule = ['---', *['---:'] * (len(header) - 1)]
  return '\n'.join('| ' + ' | '.join(row) + ' |' for row in (header, rule, *rows))
