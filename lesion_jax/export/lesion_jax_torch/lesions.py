"""Lesion-Net, and what all networks share."""

import torch
from torch import nn

from .encoder import ConvBN, Encoder, resize, scaled

LESIONS, GRADES, RISKS = 8, 5, 3
# From logits to probabilities; `attention` is in [0, 1] already, and averaged over its weight maps.
HEADS = {'maps': torch.sigmoid, 'lesions': torch.sigmoid, 'grades': lambda x: x.softmax(1),
         'edema': lambda x: x.softmax(1), 'attention': lambda x: x.mean(1)}


def check_images(images, size):
  """Raises ValueError for what the network would take without a word, and answer wrongly."""
  if images.ndim != 4 or images.shape[3] != 3:
    raise ValueError(f'expected RGB images [B, H, W, 3], channels last; got {list(images.shape)}')
  if size is not None and tuple(images.shape[1:3]) != (size, size):
    raise ValueError(f'expected images of {size}x{size} pixels, for which the network was made; got {images.shape[1]}x'
                     f'{images.shape[2]}. Make them with preprocessing.prepare; network.size = None takes any size')
  if images.dtype == torch.uint8 or torch.compiler.is_compiling():
    return
  if not images.is_floating_point():
    raise ValueError(f'expected uint8, or floats in 0..255; got {images.dtype}')
  low, high = (float(x) for x in torch.aminmax(images.detach())) if images.numel() else (0.0, 0.0)
  if not (low >= 0 and high <= 255) or 0 < high <= 1:
    raise ValueError(f'expected uint8, or floats in 0..255; got floats from {low:.3g} to {high:.3g}. Scaling is part of the network: '
                     'do not scale or normalise')


class Network(nn.Module):
  """Base of all networks. `find` gives logits by head, channels second; keyword `fields` are those of the encoder. `size` is the side
  of the images that it takes; None: any."""

  size = None

  def forward(self, images, logits=False):
    """[B, H, W, 3] -> probabilities by head; or logits, with all weight maps in `attention` [B, h, w, K] and,
    of an ABN, those of its attention branch in `auxiliary` [B, K]. Raises ValueError for images of another kind or size."""
    check_images(images, self.size)
    found = self.find(images)
    if not logits:
      found = {head: finish(found[head]) for head, finish in HEADS.items() if head in found}
    return {head: x.permute(0, 2, 3, 1) if x.ndim == 4 else x for head, x in found.items()}


class Segmenter(Network):
  """Maps from `decode(taps, size of the image)`, a 1x1 convolution and bilinear enlargement; lesions are their maxima
  (Eq. 1)."""

  def make_head(self, channels):
    """For features of that many channels."""
    self.head = nn.ModuleDict({'score': nn.Conv2d(channels, LESIONS, 1)})

  def find(self, images):
    """[B, H, W, 3] -> logits: maps [B, 8, H, W], lesions [B, 8]."""
    size = images.shape[1:3]
    maps = resize(self.head['score'](self.decode(self.encoder(images), size)), size)
    return {'maps': maps, 'lesions': maps.amax((2, 3))}


class LesionNet(Segmenter):
  """Lesion-Net-{stride}s: stages of a 1x1 convolution, bilinear x2, concatenation of the tap, two 3x3 ConvBN."""

  CHANNELS = {16: 512, 8: 256, 4: 128, 2: 64}

  def __init__(self, stride=16, decoder_channels=(), **fields):
    super().__init__()
    self.encoder = Encoder(**fields)
    self.strides, x = [s for s in self.CHANNELS if s >= stride], self.encoder.channels[32]
    channels = decoder_channels or [scaled(self.CHANNELS[s], self.encoder.width, 8) for s in self.strides]
    for s, outputs in zip(self.strides, channels, strict=True):
      inputs, x = x, outputs
      self.add_module(f'decoder_{s}s', nn.ModuleDict({
          'reduce': nn.Conv2d(inputs, x, 1), 'merge_1': ConvBN(x + self.encoder.channels[s], x, 3),
          'merge_2': ConvBN(x, x, 3)}))
    self.make_head(x)

  def decode(self, taps, size):
    """Taps by stride -> features at the decoder's stride."""
    x = taps[32]
    for s in self.strides:
      stage = getattr(self, f'decoder_{s}s')
      x = torch.cat([resize(stage['reduce'](x), taps[s].shape[2:]), taps[s]], 1)
      x = stage['merge_2'](stage['merge_1'](x))
    return x
