"""Table IV of the paper: three tasks by one network, and the memory it needs against three networks beside each other.

  python -m experiments.table4 --preset=smoke

Takes the rows of Tables II and III, running those that have no result, and measures memory at run time at 896 pixels
and full width, one photograph, each network in its own process (`experiments.memory`). Options as of `experiments.table2`.
"""

from __future__ import annotations

import sys

from experiments import program

if __name__ == '__main__':
  sys.exit(program.main(4, __doc__))
