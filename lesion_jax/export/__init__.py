"""Bundles for other frameworks, and back from PyTorch.

Every format computes what the Flax network computes in float32, from uint8 images to probabilities, for any batch.
"""

from lesion_jax.export.check import ExportError
from lesion_jax.export.folder import FORMATS, export
from lesion_jax.export.from_torch import from_torch
from lesion_jax.export.source import Refused

__all__ = ['FORMATS', 'ExportError', 'Refused', 'export', 'from_torch']
