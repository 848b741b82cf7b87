"""Inception-v3 without its classifiers (Szegedy et al., CVPR 2016), under torchvision's names."""

import functools

import torch
import torch.nn.functional as F
from torch import nn


def scaled(channels, width, minimum):
  """Channels of a layer at a width; never under `minimum`."""
  return max(minimum, round(channels * width))


def resize(x, size):
  """Bilinear with half-pixel centres: [B, C, h, w] -> [B, C, *size]."""
  return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)


class ConvBN(nn.Module):
  """Convolution without bias, batch normalisation, ReLU; 'SAME' pads dilation * (k // 2) on each side."""

  def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1, padding='SAME'):
    super().__init__()
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    pads = tuple(dilation * (k // 2) if padding == 'SAME' else 0 for k in kernel)
    self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pads, dilation, bias=False)
    self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

  def forward(self, x):
    """[B, C, H, W] -> [B, outputs, H', W']."""
    return F.relu(self.bn(self.conv(x)))


# The blocks of Inception-v3: branches side by side, each a chain of layers (name, channels, kernel). 'R' is a reducing
# 3x3 kernel, at the block's stride and padding; a list inside a chain is a fork into layers side by side.
AVERAGE, MAXIMUM = 'average', 'maximum'  # 3x3 pools; the maximum has the block's stride and padding


def mixed_a(pooled):
  """Mixed_5b to Mixed_5d."""
  return [[('branch1x1', 64, 1)],
          [('branch5x5_1', 48, 1), ('branch5x5_2', 64, 5)],
          [('branch3x3dbl_1', 64, 1), ('branch3x3dbl_2', 96, 3), ('branch3x3dbl_3', 96, 3)],
          [AVERAGE, ('branch_pool', pooled, 1)]]


def mixed_c(inner):
  """Mixed_6b to Mixed_6e."""
  return [[('branch1x1', 192, 1)],
          [('branch7x7_1', inner, 1), ('branch7x7_2', inner, (1, 7)), ('branch7x7_3', 192, (7, 1))],
          [('branch7x7dbl_1', inner, 1), ('branch7x7dbl_2', inner, (7, 1)), ('branch7x7dbl_3', inner, (1, 7)),
           ('branch7x7dbl_4', inner, (7, 1)), ('branch7x7dbl_5', 192, (1, 7))],
          [AVERAGE, ('branch_pool', 192, 1)]]


MIXED_B = [[('branch3x3', 384, 'R')],
           [('branch3x3dbl_1', 64, 1), ('branch3x3dbl_2', 96, 3), ('branch3x3dbl_3', 96, 'R')],
           [MAXIMUM]]
MIXED_D = [[('branch3x3_1', 192, 1), ('branch3x3_2', 320, 'R')],
           [('branch7x7x3_1', 192, 1), ('branch7x7x3_2', 192, (1, 7)), ('branch7x7x3_3', 192, (7, 1)),
            ('branch7x7x3_4', 192, 'R')],
           [MAXIMUM]]
MIXED_E = [[('branch1x1', 320, 1)],
           [('branch3x3_1', 384, 1), [('branch3x3_2a', 384, (1, 3)), ('branch3x3_2b', 384, (3, 1))]],
           [('branch3x3dbl_1', 448, 1), ('branch3x3dbl_2', 384, 3),
            [('branch3x3dbl_3a', 384, (1, 3)), ('branch3x3dbl_3b', 384, (3, 1))]],
           [AVERAGE, ('branch_pool', 192, 1)]]
BLOCKS = {
    'Mixed_5b': mixed_a(32), 'Mixed_5c': mixed_a(64), 'Mixed_5d': mixed_a(64),
    'Mixed_6a': MIXED_B, 'Mixed_6b': mixed_c(128), 'Mixed_6c': mixed_c(160), 'Mixed_6d': mixed_c(160),
    'Mixed_6e': mixed_c(192),
    'Mixed_7a': MIXED_D, 'Mixed_7b': MIXED_E, 'Mixed_7c': MIXED_E,
}


class Mixed(nn.Module):
  """A block of BLOCKS; `dilation` is of every kernel and pool, `outputs` the number of its channels."""

  def __init__(self, inputs, branches, stride, dilation, padding, width):
    super().__init__()
    self.branches, self.outputs = branches, 0
    self.stride, self.dilation, self.padding = stride, dilation, padding
    for branch in branches:
      channels = inputs
      for step in branch:
        if isinstance(step, str):
          continue
        fork = step if isinstance(step, list) else [step]
        for name, features, kernel in fork:
          reducing = {'kernel': 3, 'stride': stride, 'padding': padding} if kernel == 'R' else {'kernel': kernel}
          self.add_module(name, ConvBN(channels, scaled(features, width, 4), dilation=dilation, **reducing))
        channels = sum(getattr(self, name).conv.out_channels for name, *_ in fork)
      self.outputs += channels

  def forward(self, x):
    """[B, C, H, W] -> [B, outputs, H', W']."""
    return torch.cat([functools.reduce(self._step, branch, x) for branch in self.branches], 1)

  def _step(self, x, step):
    if step == MAXIMUM:
      if self.padding == 'SAME':  # not by the pool itself, which pads by 1 at most
        x = F.pad(x, (self.dilation,) * 4, value=-torch.inf)
      return F.max_pool2d(x, 3, self.stride, 0, self.dilation)
    if step == AVERAGE and self.dilation == 1:
      return F.avg_pool2d(x, 3, 1, 1)
    if step == AVERAGE:  # torch has no dilated mean
      mean = x.new_full((x.shape[1], 1, 3, 3), 1 / 9)
      return F.conv2d(x, mean, padding=self.dilation, dilation=self.dilation, groups=x.shape[1])
    if isinstance(step, list):
      return torch.cat([getattr(self, name)(x) for name, *_ in step], 1)
    return getattr(self, step[0])(x)


class Encoder(nn.Module):
  """Inception-v3 without its classifiers. `channels` is by the stride of the taps.

  `padding` 'VALID' is the stock network, 'SAME' pads its seven unpadded 3x3 layers and four max pools by 1. With an
  `output_stride` of 16 or 8 the last blocks keep the resolution and are dilated. `width` multiplies all channels.
  """

  def __init__(self, padding='SAME', output_stride=32, width=1.0):
    super().__init__()
    self.width, self.pad = width, 1 if padding == 'SAME' else 0
    scale = functools.partial(scaled, width=width, minimum=4)
    self.Conv2d_1a_3x3 = ConvBN(3, scale(32), 3, stride=2, padding=padding)
    self.Conv2d_2a_3x3 = ConvBN(scale(32), scale(32), 3, padding=padding)
    self.Conv2d_2b_3x3 = ConvBN(scale(32), scale(64), 3)
    self.Conv2d_3b_1x1 = ConvBN(scale(64), scale(80))
    self.Conv2d_4a_3x3 = ConvBN(scale(80), scale(192), 3, padding=padding)
    self.channels, x = {2: scale(64), 4: scale(192)}, scale(192)
    # A block that keeps its stride of 2 leaves the dilation as it is; one that gives it up doubles what comes after.
    d6, d7 = 2 if output_stride == 8 else 1, 32 // output_stride
    for name, branches in BLOCKS.items():
      tap = {'Mixed_5': 8, 'Mixed_6': 16, 'Mixed_7': 32}[name[:7]]
      stride = {'Mixed_6a': 2 // d6, 'Mixed_7a': 2 * d6 // d7}.get(name, 1)
      dilation = {'Mixed_6a': 1, 'Mixed_7a': d6}.get(name, {8: 1, 16: d6, 32: d7}[tap])
      block = Mixed(x, branches, stride, dilation, padding, width)
      self.add_module(name, block)
      x = self.channels[tap] = block.outputs

  def forward(self, images):
    """Images [B, H, W, 3] in 0..255 -> taps [B, C, h, w] by the stride that Inception has there: 2, 4, 8, 16, 32."""
    taps = self.lower(images)
    return taps | {32: self.upper(taps[16])}

  def lower(self, images):
    """The taps up to 16."""
    x = (images.permute(0, 3, 1, 2).to(self.Conv2d_1a_3x3.conv.weight.dtype) / 255 - 0.5) / 0.5
    taps = {2: self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))}
    taps[4] = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(taps[2], 3, 2, self.pad)))
    taps[8] = self._blocks(F.max_pool2d(taps[4], 3, 2, self.pad), 'Mixed_5')
    return taps | {16: self._blocks(taps[8], 'Mixed_6')}

  def upper(self, x):
    """Tap 16 -> tap 32."""
    return self._blocks(x, 'Mixed_7')

  def without_lower(self):
    """This encoder with Mixed_7 alone."""
    for name in [name for name, _ in self.named_children() if not name.startswith('Mixed_7')]:
      delattr(self, name)
    return self

  def _blocks(self, x, prefix):
    for name in BLOCKS:
      if name.startswith(prefix):
        x = getattr(self, name)(x)
    return x
