"""What the paper says about which of two systems is better (section IV), one line a claim.

Where the paper speaks of a growing or shrinking metric along the lengths of the expansive path, or of several rows at once, the pairs are our
reading of it: 'additional layers can have a negative effect' is about the lengths behind its peak at 8s, and DeepLabv3+ is 'runner-up' where it is ahead
of whatever comes next in Table II, and of the best of the other baselines. That training both branches together costs segmentation 0.01 is printed
without a metric; pixel F1 is our reading. Not here, as no margin is given by which it could fail: that DeepLabv3+ and Lesion-Net are similar on MA, iHE,
HaEx and CWS, and that on these all but 32s and FCN-32s are close."""

from __future__ import annotations

import dataclasses

from lesion_jax.core import LESION_KEYS


@dataclasses.dataclass(frozen=True)
class Claim:
  """One sentence of the paper about two systems.

  Attributes:
    better, worse: keys of rows; the claim is that the metric of the first is the larger.
    metric: 'pixel_f1', 'image_f1' or 'kappa'; of the F1 the mean over the lesions.
    words: the paper's, in brief.
    closer_than: key of a third row, for a claim of likeness: `better` lies nearer to `worse` than this row does.
    paper: the paper's difference where its tables do not give it.
    denied: the paper says that `better` is *not* better.
    lesions: those on which the paper rests the claim; none: all eight. Where not all of these are evaluated, it is not held against the others.
  """

  better: str
  worse: str
  metric: str
  words: str
  closer_than: str | None = None
  paper: float | None = None
  denied: bool = False
  lesions: tuple[str, ...] = ()

  @property
  def rows(self) -> tuple[str, ...]:
    """Keys of the rows that it is about."""
    return (self.better, self.worse) + ((self.closer_than,) if self.closer_than else ())


PIXEL, IMAGE, KAPPA = 'pixel_f1', 'image_f1', 'kappa'
WITHOUT_BOUNDARIES = LESION_KEYS[4:]  # vHE, pHE, NV and FiP

CLAIMS: dict[str, tuple[Claim, ...]] = {
    'Loss functions': (
        Claim('lesion_net_16s', 'lesion_net_16s_dice', PIXEL, 'relatively small difference between Dice and dual loss',
              closer_than='lesion_net_16s_focal'),
        Claim('lesion_net_16s', 'lesion_net_16s_wce', PIXEL, 'Dice and dual outperform WCE with a large margin'),
        Claim('lesion_net_16s', 'lesion_net_16s_focal', PIXEL, 'Dice and dual outperform Focal with a large margin'),
        Claim('lesion_net_16s_dice', 'lesion_net_16s_wce', PIXEL, 'Dice and dual outperform WCE with a large margin'),
        Claim('lesion_net_16s_dice', 'lesion_net_16s_focal', PIXEL, 'Dice and dual outperform Focal'),
        Claim('lesion_net_16s', 'lesion_net_16s_dice', IMAGE, 'trained with the dual loss is the best'),
        Claim('lesion_net_16s', 'lesion_net_16s_wce', IMAGE, 'trained with the dual loss is the best'),
        Claim('lesion_net_16s', 'lesion_net_16s_focal', IMAGE, 'trained with the dual loss is the best'),
    ),
    'Length of the expansive path': (
        Claim('lesion_net_16s', 'lesion_net_32s', PIXEL, 'increases first, from 32s to 16s'),
        Claim('lesion_net_8s', 'lesion_net_16s', PIXEL, 'the peak is obtained by 8s'),
        Claim('lesion_net_8s', 'lesion_net_4s', PIXEL, 'the peak is obtained by 8s'),
        Claim('lesion_net_4s', 'lesion_net_2s', PIXEL, 'decreases later, from 4s to 2s'),
        Claim('lesion_net_16s', 'lesion_net_2s', PIXEL, 'additional layers can have a negative effect'),
        Claim('lesion_net_16s', 'lesion_net_32s', IMAGE, 'overall 16s is the best'),
        Claim('lesion_net_16s', 'lesion_net_8s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
        Claim('lesion_net_16s', 'lesion_net_4s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
        Claim('lesion_net_16s', 'lesion_net_2s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
        Claim('lesion_net_32s', 'lesion_net_8s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
        Claim('lesion_net_32s', 'lesion_net_4s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
        Claim('lesion_net_32s', 'lesion_net_2s', IMAGE, 'a shorter path, such as 16s and 32s, is preferred'),
    ),
    'Baselines, segmentation': (
        Claim('lesion_net_8s', 'fcn_16s', PIXEL, 'Lesion-Net outperforms the baselines (FCN-16s is their best)'),
        Claim('lesion_net_16s', 'fcn_8s', PIXEL, 'ours is better in all three tasks (Table IV)'),
        Claim('lesion_net_16s', 'fcn_16s', PIXEL, 'Lesion-Net outperforms the baselines'),
        Claim('lesion_net_16s', 'fcn_32s', PIXEL, 'Lesion-Net outperforms the baselines'),
        Claim('lesion_net_16s', 'unet', PIXEL, 'Lesion-Net outperforms the baselines'),
        Claim('lesion_net_16s', 'danet', PIXEL, 'Lesion-Net outperforms the baselines'),
        Claim('lesion_net_16s', 'deeplab_v3_plus', PIXEL, 'DeepLabv3+ is over-designed for this task', lesions=WITHOUT_BOUNDARIES),
        Claim('fcn_16s', 'fcn_32s', PIXEL, 'small lesions are hard to locate by 32x upsampling (Fig. 5)'),
        Claim('fcn_32s', 'patch_fcn_32s', PIXEL, 'patch-based is less effective than full resolution'),
    ),
    'Baselines, classification': (
        Claim('lesion_net_16s', 'deeplab_v3_plus', IMAGE, 'ours is better in all three tasks (Table IV)'),
        Claim('deeplab_v3_plus', 'lesion_net_32s', IMAGE, 'DeepLabv3+ becomes runner-up'),
        Claim('deeplab_v3_plus', 'fcn_16s', IMAGE, 'DeepLabv3+ becomes runner-up'),
        Claim('deeplab_v3_plus', 'inception_v3_classifier', IMAGE, 'segmentation-free is less effective'),
        Claim('lesion_net_16s', 'inception_v3_classifier', IMAGE, 'segmentation-free is less effective'),
        Claim('lesion_net_16s', 'abn_classifier', IMAGE, 'segmentation-free is less effective'),
    ),
    'DR grading': (
        Claim('inception_v3', 'inception_v3_448', KAPPA, 'small lesions are not seen well in lower resolution'),
        Claim('inception_v3_448', 'inception_v3_224', KAPPA, 'small lesions are not seen well in lower resolution'),
        Claim('multitask', 'inception_v3', KAPPA, 'the multi-task network is the top performer'),
        Claim('multitask', 'abn_grader', KAPPA, 'ours is better in all three tasks (Table IV)'),
        Claim('multitask', 'lesion_concat_inception_v3', KAPPA, 'the multi-task network is the top performer'),
        Claim('multitask', 'lesion_concat_lesion_net_16s', KAPPA, 'the multi-task network is the top performer'),
        Claim('lesion_concat_lesion_net_16s', 'lesion_concat_inception_v3', KAPPA, 'better segmentation results in more accurate grading'),
        Claim('multitask', 'multitask_cw_maxpool', KAPPA, 'better performance of learned weights (Eq. 7)'),
        Claim('multitask', 'multitask_unet', KAPPA, 'better segmentation results in more accurate grading'),
        Claim('multitask', 'multitask_fcn_8s', KAPPA, 'better segmentation results in more accurate grading'),
        Claim('multitask', 'multitask_deeplab_v3_plus', KAPPA, 'better segmentation results in more accurate grading'),
        Claim('multitask_joint', 'multitask', KAPPA, 'training both branches: no improvement in DR grading', denied=True),
        Claim('multitask', 'multitask_joint', PIXEL, 'training both branches: a decrease of 0.01', paper=0.01),
    ),
}
