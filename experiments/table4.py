"""Table IV of the paper: three tasks by one network, and the memory it needs against three networks beside each other.

  python -m experiments.table4 --preset=smoke

Takes the rows of Tables II and III, running those that have no result, and measures memory at run time at 896 pixels
and full width, one photograph, each network in its own process (`experiments.memory`). Options as of `experiments.table2`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from experiments import memory, table2, table3

if TYPE_CHECKING:
  from experiments.runner import Place

SYSTEMS = ('fcn_8s', 'deeplab_v3_plus', 'abn_grader', 'multitask')
ROWS = tuple(row for row in table2.ROWS + table3.ROWS if row.key in SYSTEMS)


def measure(place: Place) -> int:
  """Measures the memory of every system that has no result yet; returns the exit status."""
  for system in memory.SYSTEMS:
    path = place.folder / f'memory-{system}.json'
    if path.exists():
      continue
    print(f'memory of {system} ...', flush=True)
    if status := subprocess.call([sys.executable, '-m', 'experiments.memory', 'predict', f'--model={system}',
                                  f'--json={path}']):
      return status
  return 0


if __name__ == '__main__':
  from experiments import program  # imported here: it imports this file

  sys.exit(program.main(4))
