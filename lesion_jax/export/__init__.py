"""Bundles for other frameworks, and back from PyTorch.

Every format computes what the Flax network computes in float32, from uint8 images to probabilities, for any batch.
Called, this room exports the bundle at a path: `api.export`.
"""

from lesion_jax.calling import make_callable
from lesion_jax.export.check import ExportError
from lesion_jax.export.folder import FORMATS, export
from lesion_jax.export.from_torch import from_torch
from lesion_jax.export.source import Refused

__all__ = ['FORMATS', 'ExportError', 'Refused', 'export', 'from_torch']

make_callable(__name__, 'lesion_jax.api', 'export')
