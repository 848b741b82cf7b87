"""The shallow encoder of tiny.py in torch, and the PyTorch networks on it. Needs torch."""

import contextlib
from unittest import mock

from tiny import CHANNELS
from torch import nn

from lesion_jax.export import lesion_jax_torch
from lesion_jax.export.lesion_jax_torch import baselines, grades, lesions
from lesion_jax.export.lesion_jax_torch.encoder import ConvBN


class TinyEncoder(nn.Module):
  def __init__(self, padding='SAME', output_stride=32, width=1.0):
    super().__init__()
    self.width, self.channels, inputs = width, dict(CHANNELS), 3
    for stride, channels in CHANNELS.items():
      self.add_module(f'block_{stride}', ConvBN(inputs, channels, 3, 2 if stride <= output_stride else 1))
      inputs = channels

  def forward(self, images):
    taps = self.lower(images)
    return taps | {32: self.upper(taps[16])}

  def lower(self, images):
    x, taps = (images.permute(0, 3, 1, 2).to(self.block_2.conv.weight.dtype) / 255 - 0.5) / 0.5, {}
    for stride in (2, 4, 8, 16):
      x = taps[stride] = self.get_submodule(f'block_{stride}')(x)
    return taps

  def upper(self, x):
    return self.block_32(x)

  def without_lower(self):
    for stride in (2, 4, 8, 16):
      delattr(self, f'block_{stride}')
    return self


_BUILD = lesion_jax_torch.build  # a test may put ours in its place


def build(**model):
  """`lesion_jax_torch.build` on the shallow encoder."""
  with contextlib.ExitStack() as stack:
    for module in (lesions, baselines, grades):
      stack.enter_context(mock.patch.object(module, 'Encoder', TinyEncoder))
    return _BUILD(**model)
