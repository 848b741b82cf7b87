"""What `python -m experiments.tableN` does."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from experiments import figures, orderings, render, runner, table2, table3, table4
from experiments.rows import Row

TABLES = {2: table2, 3: table3, 4: table4}
ROWS: dict[str, Row] = {row.key: row for row in table2.ROWS + table3.ROWS}


def main(table: int, argv: Sequence[str] | None = None) -> int:
  """Runs the rows of a table, measures memory for Table IV, renders; returns the exit status."""
  module = TABLES[table]
  keys = [row.key for row in module.ROWS]
  options = runner.parse(module.__doc__, keys, argv)
  place, status = runner.Place.of(options), 0
  if not options.render:
    try:
      status = runner.run_all(place, [ROWS[key] for key in options.rows], options.seeds, ROWS)
      if table == 4 and not status:
        status = table4.measure(place)
    except ValueError as error:
      print(f'error: {error}', file=sys.stderr)
      return 2
  if status != runner.STOPPED:
    write(table, place)
  return status
