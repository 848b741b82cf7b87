"""Public functions that take a bundle, whatever room does the work: a network for one's own loop, and exports."""

from __future__ import annotations

import os
import pathlib
from typing import Any, NamedTuple

import flax.linen as nn

from lesion_jax import pretrained
from lesion_jax.export.check import TOLERANCE
from lesion_jax.export.folder import export as export_bundle
from lesion_jax.models import DTYPES
from lesion_jax.predict.loading import read_member, read_whole

Path = str | os.PathLike


class LoadedModel(NamedTuple):
  """A network and its weights.

  Attributes:
    module: the Flax module: `module.apply(variables, images, train=False)` -> `core.Outputs` of float32 logits, from
      uint8 [B, S, S, 3] in RGB.
    variables: {'params': ..., 'batch_stats': ...} of float32 NumPy arrays.
  """

  module: nn.Module
  variables: dict[str, Any]


def load_model(bundle: Path | None = None, *, dtype: str | None = None) -> LoadedModel:
  """Reads a network and its weights, for a training loop or a program of one's own.

    module, variables = lesion_jax.load_model('runs/demo/grade/bundle')
    outputs = module.apply(variables, images, train=False)

  Args:
    bundle: a directory or a zip archive, or the name of a network in this package; None: the default one.
    dtype: 'float32' or 'bfloat16', in which the network computes; None: as the bundle says. Parameters and logits are
      float32 always.

  Raises:
    FileNotFoundError: there is no such bundle.
    ValueError: it is damaged, made for another version or holds weights of another network; or there is no such dtype.
  """
  if dtype not in (None, *DTYPES):
    raise ValueError(f'unknown dtype {dtype!r}; choose one of {", ".join(DTYPES)}, or None')
  member = read_member(pretrained.default_name() if bundle is None else bundle, dtype=dtype, window=0)
  member.look()  # raises where the weights are another network's
  return LoadedModel(member.model, member.variables)


def export(bundle: Path, *, to: str, out: Path, tolerance: float = TOLERANCE) -> dict[str, float]:
  """Writes a bundle for another framework, and compares what was written with the Flax network.

  Args:
    bundle: a directory or a zip archive, or the name of a network in this package.
    to: 'torch', 'onnx', 'saved_model' or 'stablehlo'.
    out: the folder to make; it must not exist, or be empty.
    tolerance: how far a probability may be from that of Flax.

  Returns:
    The largest difference in probability from Flax, by head.

  Raises:
    FileExistsError: something is at `out` already, other than an empty folder.
    FileNotFoundError: there is no such bundle.
    ImportError: a package is missing; the message has the command that installs it.
    ValueError: the bundle is damaged or holds weights of another network, there is no such format, or the format does not have that network.
    ExportError: the difference is above the tolerance; nothing is left on the disk.
  """
  return export_bundle(read_whole(bundle), to, pathlib.Path(out), tolerance=tolerance)
