"""FCN, patch FCN, U-Net, DeepLabv3+ and DANet."""

import collections

import torch
import torch.nn.functional as F
from torch import nn

from .encoder import ConvBN, Encoder, resize, scaled
from .lesions import LESIONS, Network, Segmenter


class FCN(Network):
  """FCN-{stride}s: scores of the taps, enlarged and added from deep to shallow."""

  def __init__(self, stride=8, **fields):
    super().__init__()
    self.encoder, self.strides = Encoder(**fields), [s for s in (32, 16, 8) if s >= stride]
    for s in self.strides:
      self.add_module(f'score_{s}', nn.Conv2d(self.encoder.channels[s], LESIONS, 1))

  def find(self, images):
    """As of Segmenter."""
    taps, total = self.encoder(images), None
    for s in self.strides:
      score = getattr(self, f'score_{s}')(taps[s])
      total = score if total is None else resize(total, score.shape[2:]) + score
    maps = resize(total, images.shape[1:3])
    return {'maps': maps, 'lesions': maps.amax((2, 3))}


class PatchFCN(Network):
  """FCN-32s on windows of 1/grid of the image's side: in training side by side, zeros filling up the last ones, so that
  they are one large batch; otherwise at half a window's distance, the probabilities of overlapping windows averaged."""

  def __init__(self, grid=4, **fields):
    super().__init__()
    self.grid, self.fcn = grid, FCN(32, **fields)

  def find(self, images):
    """As of Segmenter."""
    size = images.shape[1:3]
    window = [-(-side // self.grid) for side in size]
    if self.training:
      images = F.pad(images, (0, 0, 0, self.grid * window[1] - size[1], 0, self.grid * window[0] - size[0]))
    sides = images.shape[1:3]
    tops, lefts = ([*range(0, side - w, w if self.training else max(1, w // 2)), side - w]
                   for side, w in zip(sides, window, strict=True))
    cut = [images[:, t:t + window[0], l:l + window[1]] for t in tops for l in lefts]
    logits = self.fcn.find(torch.stack(cut, 1).flatten(0, 1))['maps'].unflatten(0, (-1, len(tops), len(lefts)))

    def join(parts):
      strips = (sum(F.pad(parts[:, i, j], (l, sides[1] - l - window[1])) for j, l in enumerate(lefts))
                for i in range(len(tops)))
      return sum(F.pad(strip, (0, 0, t, sides[0] - t - window[0])) for strip, t in zip(strips, tops, strict=True))

    # The number of overlaps cancels; the probability of absence is not one minus that of presence, which rounds off.
    present, absent = (join(x.sigmoid()).clamp_min(torch.finfo(torch.float32).tiny).log() for x in (logits, -logits))
    maps = (present - absent)[:, :, :size[0], :size[1]]
    return {'maps': maps, 'lesions': maps.amax((2, 3))}


class UNet(Segmenter):
  """U-Net: 2x2 transposed convolutions, cut or enlarged to the tap's grid, concatenation, two 3x3 ConvBN."""

  CHANNELS = {16: 768, 8: 288, 4: 192, 2: 64, 1: 32}

  def __init__(self, **fields):
    super().__init__()
    self.encoder = Encoder(**fields)
    x = self.encoder.channels[32]
    for s, channels in self.CHANNELS.items():
      inputs, x = x, scaled(channels, self.encoder.width, 8)
      self.add_module(f'decoder_{s}s', nn.ModuleDict({
          'up': nn.ConvTranspose2d(inputs, x, 2, 2), 'merge_1': ConvBN(x + self.encoder.channels.get(s, 0), x, 3),
          'merge_2': ConvBN(x, x, 3)}))
    self.make_head(x)

  def decode(self, taps, size):
    """Taps by stride -> features at the image's size."""
    x = taps[32]
    for s in self.CHANNELS:
      stage, goal = getattr(self, f'decoder_{s}s'), taps[s].shape[2:] if s in taps else size
      x = stage['up'](x)
      x = resize(x, goal) if x.shape[2] < goal[0] or x.shape[3] < goal[1] else x[:, :, :goal[0], :goal[1]]
      x = stage['merge_2'](stage['merge_1'](torch.cat([x, taps[s]], 1) if s in taps else x))
    return x


class ASPP(nn.Module):
  """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the image's mean, concatenated and projected."""

  def __init__(self, inputs, outputs):
    super().__init__()
    self.conv_1x1, self.image_mean = ConvBN(inputs, outputs), ConvBN(inputs, outputs)
    self.dilated_6, self.dilated_12, self.dilated_18 = (ConvBN(inputs, outputs, 3, 1, rate) for rate in (6, 12, 18))
    self.project = ConvBN(5 * outputs, outputs)

  def forward(self, x):
    """[B, C, h, w] -> [B, outputs, h, w]."""
    mean = self.image_mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
    return self.project(torch.cat(
        [self.conv_1x1(x), self.dilated_6(x), self.dilated_12(x), self.dilated_18(x), mean], 1))


class DeepLabV3Plus(Segmenter):
  """DeepLabv3+: encoder at output stride 16, ASPP, and a decoder at stride 4."""

  def __init__(self, **fields):
    super().__init__()
    self.encoder = Encoder(output_stride=16, **fields)
    x, low = (scaled(channels, self.encoder.width, 8) for channels in (256, 48))
    self.aspp, self.low_level = ASPP(self.encoder.channels[32], x), ConvBN(self.encoder.channels[4], low)
    self.merge_1, self.merge_2 = ConvBN(x + low, x, 3), ConvBN(x, x, 3)
    self.make_head(x)

  def decode(self, taps, size):
    """Taps by stride -> features at stride 4."""
    low = self.low_level(taps[4])
    return self.merge_2(self.merge_1(torch.cat([resize(self.aspp(taps[32]), low.shape[2:]), low], 1)))


class PositionAttention(nn.Module):
  """Adds to every position a mean over all positions, weighed by likeness; `chunk` positions at a time."""

  def __init__(self, channels, chunk=1024):
    super().__init__()
    self.query, self.key = (nn.Conv2d(channels, max(1, channels // 8), 1) for _ in range(2))
    self.value = nn.Conv2d(channels, channels, 1)
    self.gamma, self.chunk = nn.Parameter(torch.zeros(1)), chunk

  def forward(self, x):
    """[B, C, h, w] -> [B, C, h, w]."""
    query, key, value = (conv(x).flatten(2).mT for conv in (self.query, self.key, self.value))
    found = torch.cat([torch.softmax(part @ key.mT, -1) @ value for part in query.split(self.chunk, 1)], 1)
    return self.gamma * found.mT.reshape(x.shape) + x


class ChannelAttention(nn.Module):
  """Adds to every channel a mean over all channels, weighed by unlikeness."""

  def __init__(self):
    super().__init__()
    self.gamma = nn.Parameter(torch.zeros(1))

  def forward(self, x):
    """[B, C, h, w] -> [B, C, h, w]."""
    flat = x.flatten(2)
    energy = flat @ flat.mT
    weights = torch.softmax(energy.amax(-1, keepdim=True) - energy, -1)
    return self.gamma * (weights @ flat).reshape(x.shape) + x


class DANet(Segmenter):
  """DANet: dilated encoder, position and channel attention side by side, their sum scored."""

  def __init__(self, output_stride=8, chunk=1024, **fields):
    super().__init__()
    self.encoder = Encoder(output_stride=output_stride, **fields)
    inputs, x = self.encoder.channels[32], scaled(512, self.encoder.width, 8)
    for name, block in (('position', PositionAttention(x, chunk)), ('channel', ChannelAttention())):
      self.add_module(name, nn.Sequential(collections.OrderedDict(
          conv_in=ConvBN(inputs, x, 3), attention=block, conv_out=ConvBN(x, x, 3))))
    self.make_head(x)

  def decode(self, taps, size):
    """Taps by stride -> features at the encoder's output stride."""
    return self.position(taps[32]) + self.channel(taps[32])
