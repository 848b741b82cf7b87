"""Table III of the paper: DR grading, by the quadratic weighted kappa.

  python -m experiments.table3 --preset=smoke

Rows that contain a lesion network train it first, as the row of Table II that they name, unless that was done. The last
row is the joint training that the paper tried without printing results (section IV-A). Options as of
`experiments.table2`.
"""

from __future__ import annotations

import sys

from experiments import program

if __name__ == '__main__':
  sys.exit(program.main(3, __doc__))
