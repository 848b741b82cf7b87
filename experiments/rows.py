"""The rows of the paper's tables: which network is trained how, and the paper's results. Data alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lesion_jax.core import LESION_KEYS

COLUMNS = ('mean', *LESION_KEYS)  # of either half of Table II


@dataclasses.dataclass(frozen=True)
class Row:
  """One system of a table.

  Attributes:
    key: names the row on the command line and its result file.
    title: as in the paper.
    table: 2 or 3.
    stage: of the configuration, 'segment', 'classify' or 'grade'.
    model: keys of config.<stage>.model.
    loss: of the stage.
    lesion: key of the row whose trained network it contains, or None.
    shrink: the input is that of the preset divided by this (Table III has Inception-v3 at 896, 448 and 224).
    paper: the paper's results, {'pixel_f1': {'mean': ..., 'MA': ...}, 'image_f1': {...}} or {'kappa': ...}; what the
      paper does not give is omitted.
  """

  key: str
  title: str
  table: int
  stage: str
  model: Mapping[str, Any]
  loss: str
  lesion: str | None = None
  shrink: int = 1
  paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def segmenter(key: str, title: str, model: str, loss: str, pixel: str, image: str) -> Row:
  """Returns a row of Table II with lesion maps; `pixel` and `image` are its numbers as printed, nine each: COLUMNS."""
  return Row(key, title, 2, 'segment', {'name': model}, loss,
             paper={'pixel_f1': _metrics(pixel), 'image_f1': _metrics(image)})


def classifier(key: str, title: str, model: str, image: str) -> Row:
  """Returns a row of Table II without lesion maps, trained with Dice on image labels."""
  return Row(key, title, 2, 'classify', {'name': model}, 'presence_dice', paper={'image_f1': _metrics(image)})


def grader(key: str, title: str, model: str, kappa: float | None, *, lesion: str | None = None, shrink: int = 1,
           loss: str = 'grade_cross_entropy', **fields: Any) -> Row:
  """Returns a row of Table III."""
  return Row(key, title, 3, 'grade', {'name': model, **fields}, loss, lesion, shrink,
             {} if kappa is None else {'kappa': kappa})


def _metrics(printed: str) -> dict[str, float]:
  return dict(zip(COLUMNS, map(float, printed.split()), strict=True))


# Table II. Mean MA iHE HaEx CWS vHE pHE NV FiP: pixel F1, then image F1, as the paper prints them.
TABLE2 = (
    segmenter('patch_fcn_32s',       'patch FCN-32s',           'patch_fcn_32s',   'dice',                   '.553 .209 .583 .714 .535 .622 .549 .554 .659', '.704 .886 .849 .828 .720 .634 .544 .637 .535'),
    segmenter('fcn_32s',             'FCN-32s',                 'fcn_32s',         'dice',                   '.571 .327 .592 .728 .528 .642 .562 .530 .662', '.769 .900 .858 .856 .771 .722 .683 .694 .669'),
    segmenter('fcn_16s',             'FCN-16s',                 'fcn_16s',         'dice',                   '.587 .369 .608 .737 .575 .639 .515 .581 .671', '.787 .890 .849 .847 .743 .758 .726 .696 .783'),
    segmenter('fcn_8s',              'FCN-8s',                  'fcn_8s',          'dice',                   '.586 .369 .609 .740 .573 .640 .534 .583 .639', '.778 .891 .858 .854 .749 .766 .711 .671 .725'),
    segmenter('unet',                'U-Net',                   'unet',            'dice',                   '.570 .384 .598 .730 .565 .547 .604 .538 .592', '.757 .888 .855 .843 .755 .639 .689 .653 .737'),
    segmenter('deeplab_v3_plus',     'DeepLabv3+',              'deeplab_v3_plus', 'dice',                   '.553 .367 .612 .732 .558 .550 .477 .498 .631', '.794 .899 .863 .866 .764 .800 .693 .677 .792'),
    segmenter('danet',               'DANet',                   'danet',           'dice',                   '.585 .351 .608 .733 .560 .623 .589 .543 .671', '.775 .900 .853 .852 .772 .713 .682 .715 .712'),
    classifier('inception_v3_classifier', 'Inception-v3',  'inception_v3_classifier', '.716 .895 .893 .865 .766 .500 .540 .594 .678'),
    classifier('abn_classifier',          'ABN-lesion',    'abn_classifier',          '.726 .900 .900 .871 .761 .519 .552 .627 .678'),
    segmenter('lesion_net_32s',      'Lesion-Net-32s',          'lesion_net_32s',  'dual_dice',              '.573 .289 .590 .730 .539 .632 .536 .582 .687', '.792 .899 .881 .857 .778 .720 .773 .669 .762'),
    segmenter('lesion_net_16s',      'Lesion-Net-16s',          'lesion_net_16s',  'dual_dice',              '.591 .377 .612 .740 .565 .645 .590 .571 .623', '.801 .902 .882 .866 .792 .733 .726 .701 .807'),
    segmenter('lesion_net_8s',       'Lesion-Net-8s',           'lesion_net_8s',   'dual_dice',              '.603 .377 .617 .740 .575 .648 .616 .580 .667', '.780 .900 .881 .861 .771 .687 .693 .711 .733'),
    segmenter('lesion_net_4s',       'Lesion-Net-4s',           'lesion_net_4s',   'dual_dice',              '.592 .394 .614 .743 .577 .633 .588 .570 .616', '.781 .904 .883 .862 .791 .678 .660 .719 .748'),
    segmenter('lesion_net_2s',       'Lesion-Net-2s',           'lesion_net_2s',   'dual_dice',              '.581 .381 .614 .744 .567 .634 .569 .565 .572', '.787 .900 .893 .868 .793 .706 .706 .667 .764'),
    segmenter('lesion_net_16s_wce',  'Lesion-Net-16s (WCE)',    'lesion_net_16s',  'weighted_cross_entropy', '.364 .180 .389 .543 .346 .424 .245 .363 .423', '.534 .864 .822 .780 .574 .324 .274 .354 .282'),
    segmenter('lesion_net_16s_focal','Lesion-Net-16s (Focal)',  'lesion_net_16s',  'focal',                  '.458 .165 .479 .682 .409 .471 .488 .423 .548', '.745 .880 .869 .837 .723 .650 .693 .627 .683'),
    segmenter('lesion_net_16s_dice', 'Lesion-Net-16s (Dice)',   'lesion_net_16s',  'dice',                   '.594 .362 .609 .734 .570 .637 .587 .573 .683', '.769 .899 .860 .851 .754 .709 .661 .694 .724'),
)

# Table III, and the joint training that the paper tried without printing results (section IV-A).
TABLE3 = (
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

# Table IV: three tasks by three networks, or by one.
SYSTEMS = ('fcn_8s', 'deeplab_v3_plus', 'abn_grader', 'multitask')
TABLE4 = tuple(row for row in TABLE2 + TABLE3 if row.key in SYSTEMS)

TABLES = {2: TABLE2, 3: TABLE3, 4: TABLE4}
ROWS: dict[str, Row] = {row.key: row for row in TABLE2 + TABLE3}
