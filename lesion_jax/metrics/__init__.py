"""Metrics in two halves: integer counts of a batch on the device, and values from summed counts on the host."""

from __future__ import annotations

from lesion_jax.metrics.counts import confusion, segmentation_counts

__all__ = ['confusion', 'segmentation_counts']
