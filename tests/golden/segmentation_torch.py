"""The segmentation baselines in torch, for make_segmentation.py alone.

Written the way one writes them in torch, on a twin of the shallow encoder of tests/tiny.py. Channels are those of the
networks at a width of 1/16.
"""

import torch
import torch.nn.functional as F
from torch import nn


class ConvBN(nn.Sequential):
  def __init__(self, inputs, outputs, kernel=1, stride=1, dilation=1):
    super().__init__()
    self.add_module('conv', nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False))
    self.add_module('bn', nn.BatchNorm2d(outputs, eps=1e-3))
    self.add_module('relu', nn.ReLU())


class Encoder(nn.Module):
  CHANNELS = {2: 8, 4: 8, 8: 12, 16: 16, 32: 16}

  def __init__(self, output_stride=32):
    super().__init__()
    channels = 3
    for stride, features in self.CHANNELS.items():
      self.add_module(f'block_{stride}', ConvBN(channels, features, 3, 2 if stride <= output_stride else 1))
      channels = features

  def forward(self, x):
    taps, x = {}, (x / 255 - 0.5) / 0.5
    for stride in self.CHANNELS:
      x = taps[stride] = self.get_submodule(f'block_{stride}')(x)
    return taps


def resize(x, like):
  return F.interpolate(x, size=like.shape[2:], mode='bilinear', align_corners=False)


class FCN(nn.Module):
  def __init__(self, stride):
    super().__init__()
    self.encoder = Encoder()
    for s in (32, 16, 8):
      if s >= stride:
        self.add_module(f'score_{s}', nn.Conv2d(Encoder.CHANNELS[s], 8, 1))

  def forward(self, images):
    taps = self.encoder(images)
    x = self.score_32(taps[32])
    if hasattr(self, 'score_16'):
      score = self.score_16(taps[16])
      x = score + resize(x, score)
    if hasattr(self, 'score_8'):
      score = self.score_8(taps[8])
      x = score + resize(x, score)
    return resize(x, images)


class UpStage(nn.Module):
  def __init__(self, inputs, skipped, outputs):
    super().__init__()
    self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    self.merge_1 = ConvBN(outputs + skipped, outputs, 3)
    self.merge_2 = ConvBN(outputs, outputs, 3)

  def forward(self, x, size, skipped):
    x = self.up(x)[:, :, :size[0], :size[1]]
    return self.merge_2(self.merge_1(torch.cat([x, *skipped], 1)))


class UNet(nn.Module):
  def __init__(self):
    super().__init__()
    self.encoder = Encoder()
    self.decoder_16s = UpStage(16, 16, 48)
    self.decoder_8s = UpStage(48, 12, 18)
    self.decoder_4s = UpStage(18, 8, 12)
    self.decoder_2s = UpStage(12, 8, 8)
    self.decoder_1s = UpStage(8, 0, 8)
    self.head = nn.ModuleDict({'score': nn.Conv2d(8, 8, 1)})

  def forward(self, images):
    taps = self.encoder(images)
    x = taps[32]
    for stride in (16, 8, 4, 2):
      x = self.get_submodule(f'decoder_{stride}s')(x, taps[stride].shape[2:], [taps[stride]])
    x = self.decoder_1s(x, images.shape[2:], [])
    return self.head['score'](x)


class ASPP(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv_1x1 = ConvBN(inputs, outputs)
    self.dilated_6, self.dilated_12, self.dilated_18 = (
        ConvBN(inputs, outputs, 3, dilation=rate) for rate in (6, 12, 18))
    self.image_mean = ConvBN(inputs, outputs)
    self.project = ConvBN(5 * outputs, outputs)

  def forward(self, x):
    mean = self.image_mean(F.adaptive_avg_pool2d(x, 1))
    parts = [self.conv_1x1(x), self.dilated_6(x), self.dilated_12(x), self.dilated_18(x), resize(mean, x)]
    return self.project(torch.cat(parts, 1))


class DeepLab(nn.Module):
  def __init__(self):
    super().__init__()
    self.encoder = Encoder(output_stride=16)
    self.aspp = ASPP(16, 16)
    self.low_level = ConvBN(8, 8)
    self.merge_1 = ConvBN(24, 16, 3)
    self.merge_2 = ConvBN(16, 16, 3)
    self.head = nn.ModuleDict({'score': nn.Conv2d(16, 8, 1)})

  def forward(self, images):
    taps = self.encoder(images)
    low = self.low_level(taps[4])
    x = torch.cat([resize(self.aspp(taps[32]), low), low], 1)
    return resize(self.head['score'](self.merge_2(self.merge_1(x))), images)


class PositionAttention(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.query, self.key = (nn.Conv2d(channels, channels // 8, 1) for _ in range(2))
    self.value = nn.Conv2d(channels, channels, 1)
    self.gamma = nn.Parameter(torch.zeros(1))

  def forward(self, x):
    query, key, value = (conv(x).flatten(2).mT for conv in (self.query, self.key, self.value))
    found = torch.softmax(query @ key.mT, -1) @ value
    return self.gamma * found.mT.reshape(x.shape) + x


class ChannelAttention(nn.Module):
  def __init__(self):
    super().__init__()
    self.gamma = nn.Parameter(torch.zeros(1))

  def forward(self, x):
    flat = x.flatten(2)
    energy = flat @ flat.mT
    weights = torch.softmax(energy.amax(-1, keepdim=True) - energy, -1)
    return self.gamma * (weights @ flat).reshape(x.shape) + x


class DANet(nn.Module):
  def __init__(self, channels=32):
    super().__init__()
    self.encoder = Encoder(output_stride=8)
    branch = lambda block: nn.ModuleDict(
        {'conv_in': ConvBN(16, channels, 3), 'attention': block, 'conv_out': ConvBN(channels, channels, 3)})
    self.position, self.channel = branch(PositionAttention(channels)), branch(ChannelAttention())
    self.head = nn.ModuleDict({'score': nn.Conv2d(channels, 8, 1)})

  def forward(self, images):
    features, total = self.encoder(images)[32], 0
    for branch in (self.position, self.channel):
      total = total + branch['conv_out'](branch['attention'](branch['conv_in'](features)))
    return resize(self.head['score'](total), images)


def make_modules():
  """The modules by name, in float64 and in inference mode."""
  modules = {f'fcn_{stride}s': FCN(stride) for stride in (32, 16, 8)}
  modules |= {'unet': UNet(), 'deeplab': DeepLab(), 'danet': DANet(), 'aspp': ASPP(16, 16),
              'position_attention': PositionAttention(16), 'channel_attention': ChannelAttention()}
  return {name: module.double().eval() for name, module in modules.items()}
