"""Table II of the paper: lesion segmentation and classification by 17 systems.

  python -m experiments.table2 --preset=smoke
  python -m experiments.table2 --preset=paper --source_dir=DIR --pretrained=inception_v3.safetensors --rows=fcn_8s,unet
  python -m experiments.table2 --preset=smoke --render

Trains what has no result yet, writes experiments/results/PRESET/ROW-SEED.json, and renders table2.md, fig4.png and
fig5.png beside them. Stopped, the same command resumes.
"""

from __future__ import annotations

import sys

from experiments import program

if __name__ == '__main__':
  sys.exit(program.main(2, __doc__))
