"""What is wrong with a table, a folder or an export: gathered, counted and said at once, in a message of bounded length."""

from __future__ import annotations

from typing import Any

SHOWN = 5  # places that a message names of one kind of mistake
KINDS = 5  # kinds of mistake that a message names
WIDTH = 60  # characters of a value that is quoted


def cut(value: Any, width: int = WIDTH) -> str:
  """Returns the value as text for a message, shortened in its middle; a value that cannot be shown says so."""
  try:
    text = value if isinstance(value, str) else repr(value)
  except (RecursionError, ValueError):  # too deep, or a whole number of too many digits
    return f'a {type(value).__name__} that is too large to show'
  return text if len(text) <= width else f'{text[:width - 13]}...{text[-10:]}'


class Findings:
  """Gathers mistakes, those of one kind under one sentence."""

  def __init__(self):
    self._places: dict[str, list[str]] = {}

  def add(self, where: str, problem: str) -> None:
    """Notes a mistake.

    Args:
      where: file and row, or file and task.
      problem: what is wrong and what to do; the same text for all mistakes that one remedy helps.
    """
    self._places.setdefault(problem, []).append(where)

  def __len__(self) -> int:
    return sum(map(len, self._places.values()))

  def say(self) -> str:
    """Returns one sentence of all that was found: a single mistake after its place, several counted by their kind."""
    if len(self) == 1:
      (problem, (where,)), = self._places.items()
      return f'{where}{_link(problem)}{problem}'
    files = {where.partition(', ')[0] for places in self._places.values() for where in places}
    common = f'{files.pop()}, ' if len(files) == 1 and all(
        ', ' in where for places in self._places.values() for where in places) else ''
    kinds = sorted(self._places.items(), key=lambda item: -len(item[1]))
    parts = []
    for problem, places in kinds[:KINDS]:
      different = list(dict.fromkeys(where.removeprefix(common) for where in places))
      more = f' and {len(different) - SHOWN} more places' if len(different) > SHOWN else ''
      times = f' ({len(places)} times)' if len(places) > 1 else ''
      parts.append(f'{"; ".join(different[:SHOWN])}{more}{_link(problem)}{problem}{times}')
    rest = f'; and {len(kinds) - KINDS} more kinds of mistake' if len(kinds) > KINDS else ''
    start = f'{common.removesuffix(", ")}: ' if common else ''
    return f'{start}{len(self)} mistakes: ' + '. '.join(parts) + rest

  def require_none(self) -> None:
    """Raises ValueError with what `say` says, where anything was found."""
    if self._places:
      raise ValueError(self.say())


def _link(problem: str) -> str:
  """Between a place and what is wrong there: a space where that goes on with a verb."""
  return ' ' if problem.startswith(('is ', 'does ', 'has ')) else ': '
