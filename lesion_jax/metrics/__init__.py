"""Metrics in two halves: integer counts of a batch on the device, and values from summed counts on the host.

On the device (JAX, jittable): `segmentation_counts`, `confusion`, `score_histogram`. They add up over batches; sum them
as int64. Beside them `lesion_probabilities` and `presence_scores` (of NumPy arrays too), which do not. On the host
(NumPy): everything else.
"""

from __future__ import annotations

from lesion_jax.metrics.calibration import (
    Calibration,
    binary_calibration,
    histogram_calibration,
    top_label_calibration,
)
from lesion_jax.metrics.counts import confusion, lesion_probabilities, segmentation_counts
from lesion_jax.metrics.curves import (
    AveragePrecision,
    PrecisionRecall,
    average_precision,
    average_precision_11,
    average_precisions,
    precision_at,
    precision_recall_curve,
)
from lesion_jax.metrics.histogram import SCORE_BINS, score_histogram
from lesion_jax.metrics.kappa import (
    Referable, Score, accuracies, accuracy, quadratic_weighted_kappa, quadratic_weighted_kappas, referable)
from lesion_jax.metrics.ordinal import area_under_roc, cut, cut_points, expected_grade
from lesion_jax.metrics.presence import PAPER_RULE, Rule, presence_scores
from lesion_jax.metrics.summary import f1, in_truth, iou, mean_defined, summarize
from lesion_jax.metrics.temperature import (
    binary_temperature,
    class_temperature,
    histogram_temperature,
    temper,
    temper_classes,
    temper_histogram,
)
from lesion_jax.metrics.thresholds import (
    Quantile, best_f1_threshold, clean_threshold, joint_ranks, log_odds, raised, widest_margin)

__all__ = [
    'PAPER_RULE',
    'SCORE_BINS',
    'AveragePrecision',
    'Calibration',
    'PrecisionRecall',
    'Quantile',
    'Referable',
    'Rule',
    'Score',
    'accuracies',
    'accuracy',
    'area_under_roc',
    'average_precision',
    'average_precision_11',
    'average_precisions',
    'best_f1_threshold',
    'binary_calibration',
    'binary_temperature',
    'class_temperature',
    'clean_threshold',
    'confusion',
    'cut',
    'cut_points',
    'expected_grade',
    'f1',
    'histogram_calibration',
    'histogram_temperature',
    'in_truth',
    'iou',
    'joint_ranks',
    'lesion_probabilities',
    'log_odds',
    'mean_defined',
    'precision_at',
    'precision_recall_curve',
    'presence_scores',
    'quadratic_weighted_kappa',
    'quadratic_weighted_kappas',
    'raised',
    'referable',
    'score_histogram',
    'segmentation_counts',
    'summarize',
    'temper',
    'temper_classes',
    'temper_histogram',
    'top_label_calibration',
    'widest_margin',
]
