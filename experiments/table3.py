"""Table III of the paper: DR grading, by the quadratic weighted kappa.

  python -m experiments.table3 --preset=smoke

Rows that contain a lesion network train it first, as the row of Table II that they name, unless that was done. The last
row is the joint training that the paper tried without printing figures (section IV-A). Options as of `experiments.table2`.
"""

from __future__ import annotations

import sys

from experiments.rows import grader

ROWS = (
    grader('inception_v3_224', 'Inception-v3 (224 x 224)', 'inception_v3_grader', 0.660, shrink=4),
    grader('inception_v3_448', 'Inception-v3 (448 x 448)', 'inception_v3_grader', 0.729, shrink=2),
    grader('inception_v3', 'Inception-v3', 'inception_v3_grader', 0.774),
    grader('lesion_concat_inception_v3', 'Lesion-Concat, Inception-v3', 'lesion_concat', 0.780, lesion='inception_v3_classifier'),
    grader('multitask_unet', 'Multi-task, Conv, U-Net', 'multitask', 0.780, lesion='unet', attention='conv'),
    grader('multitask_cw_maxpool', 'Multi-task, CW-MaxPool, Lesion-Net-16s', 'multitask', 0.781, lesion='lesion_net_16s', attention='cw_maxpool'),
    grader('multitask_fcn_8s', 'Multi-task, Conv, FCN-8s', 'multitask', 0.787, lesion='fcn_8s', attention='conv'),
    grader('multitask_deeplab_v3_plus', 'Multi-task, Conv, DeepLabv3+', 'multitask', 0.787, lesion='deeplab_v3_plus', attention='conv'),
    grader('lesion_concat_lesion_net_16s', 'Lesion-Concat, Lesion-Net-16s', 'lesion_concat', 0.788, lesion='lesion_net_16s'),
    grader('abn_grader', 'ABN-grading', 'abn_grader', 0.797),
    grader('multitask', 'Multi-task, Conv, Lesion-Net-16s', 'multitask', 0.803, lesion='lesion_net_16s', attention='conv'),
    grader('multitask_joint', 'Multi-task, Conv, Lesion-Net-16s, joint', 'multitask', None, lesion='lesion_net_16s', attention='conv', joint=True, loss='joint'),
)

if __name__ == '__main__':
  from experiments import program  # imported here: it imports this file

  sys.exit(program.main(3))
