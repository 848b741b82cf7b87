"""Classifiers, graders, and the graders that look at what a lesion network found."""

import torch
import torch.nn.functional as F
from torch import nn

from .encoder import ConvBN, Encoder
from .lesions import GRADES, LESIONS, RISKS, LesionNet, Network

CLASSES = {'lesions': LESIONS, 'grades': GRADES}


class MeanHead(nn.Module):
  """Global average pooling and a fully connected layer, which may see `extra` inputs as well."""

  def __init__(self, channels, classes, extra=0):
    super().__init__()
    self.fc = nn.Linear(channels + extra, classes)

  def forward(self, features, *extra):
    """[B, C, h, w], [B, extra] -> [B, classes]."""
    return self.fc(torch.cat([features.mean((2, 3)), *extra], 1))


class Classifier(Network):
  """Inception-v3 for one `task`, 'lesions' or 'grades'."""

  def __init__(self, task, **fields):
    super().__init__()
    self.task, self.encoder = task, Encoder(**fields)
    self.head = MeanHead(self.encoder.channels[32], CLASSES[task])

  def find(self, images):
    """[B, H, W, 3] -> the logits of the task."""
    return {self.task: self.head(self.encoder(images)[32])}


class ABN(Network):
  """Attention Branch Network: Mixed_7 once more at stride 1 gives one attention map, which raises what Mixed_7 sees."""

  def __init__(self, task='lesions', width=1.0, **fields):
    super().__init__()
    self.task, classes = task, CLASSES[task]
    self.encoder = Encoder(width=width, **fields)
    self.attention_encoder = Encoder(output_stride=16, width=width).without_lower()
    channels, norm = self.encoder.channels[32], lambda channels: nn.BatchNorm2d(channels, eps=1e-3)
    self.attention = nn.ModuleDict({
        'bn': norm(channels), 'responses': ConvBN(channels, classes),
        'map': nn.Conv2d(classes, 1, 3, padding=1, bias=False), 'map_bn': norm(1),
        'score': nn.Conv2d(classes, classes, 1, bias=False)})
    self.head = MeanHead(channels, classes)

  def find(self, images):
    """[B, H, W, 3] -> logits of the task and, in `auxiliary`, of the attention branch; `attention` [B, 1, h, w]."""
    features, branch = self.encoder.lower(images)[16], self.attention
    responses = branch['responses'](branch['bn'](self.attention_encoder.upper(features)))
    attention = branch['map_bn'](branch['map'](responses)).sigmoid()
    return {self.task: self.head(self.encoder.upper(features * attention + features)),
            'auxiliary': branch['score'](responses).mean((2, 3)), 'attention': attention}


class LesionEnhanced(Network):
  """Base of the graders that look at what `lesion`, a network, found; it is frozen unless `joint`."""

  def __init__(self, lesion=None, joint=False, grading_size=0):
    super().__init__()
    self.joint, self.lesion = joint, LesionNet() if lesion is None else lesion
    self.grading_size = grading_size  # of the square that the grading branch sees; 0: the lesion network's
    self.lesion.requires_grad_(joint)

  def train(self, mode=True):
    """The lesion network normalises by its running statistics unless `joint`."""
    super().train(mode)
    self.lesion.train(mode and self.joint)
    return self

  def find(self, images):
    """[B, H, W, 3] -> the lesion network's logits, and what the grading branch makes of its probabilities."""
    found = {head: x for head, x in self.lesion.find(images).items() if head in ('maps', 'lesions')}
    return found | self.grading(self.reduce(images), found[self.grading.looks_at].sigmoid())

  def reduce(self, images):
    """[B, H, W, 3] averaged down to `grading_size`."""
    if self.grading_size in (0, images.shape[1]):
      return images
    small = F.adaptive_avg_pool2d(images.permute(0, 3, 1, 2).float(), self.grading_size)
    return small.permute(0, 2, 3, 1)


class ConcatBranch(nn.Module):
  """Lesion probabilities beside the pooled features (Experiment 3 of the paper)."""

  looks_at = 'lesions'

  def __init__(self, **fields):
    super().__init__()
    self.encoder = Encoder(**fields)
    self.head = MeanHead(self.encoder.channels[32], GRADES, extra=LESIONS)

  def forward(self, images, lesions):
    """[B, H, W, 3], [B, 8] -> grades [B, 5]."""
    return {'grades': self.head(self.encoder(images)[32], lesions)}


class AttentionBranch(nn.Module):
  """Lesion maps weigh the last features (Eq. 5): by two convolutions (Eq. 7), or by their maximum (Eq. 6)."""

  looks_at = 'maps'

  def __init__(self, attention='conv', edema=False, **fields):
    super().__init__()
    self.encoder = Encoder(**fields)
    channels = self.encoder.channels[32]
    if attention == 'conv':
      self.attention = nn.ModuleDict({
          'conv_1': nn.Conv2d(LESIONS, 64, 3, padding=1), 'conv_2': nn.Conv2d(64, channels, 3, padding=1)})
    self.head = MeanHead(channels, GRADES)
    if edema:
      self.edema = MeanHead(channels, RISKS)

  def forward(self, images, maps):
    """[B, H, W, 3], [B, 8, H, W] -> grades [B, 5], with its head the risk of edema [B, 3], and the weight maps in `attention` [B, K or 1, h, w]."""
    features = self.encoder(images)[32]
    weights = F.adaptive_avg_pool2d(maps, features.shape[2:])
    if hasattr(self, 'attention'):
      weights = self.attention['conv_2'](F.relu(self.attention['conv_1'](weights))).sigmoid()
    else:
      weights = weights.amax(1, keepdim=True)
    features = features * weights
    risk = {'edema': self.edema(features)} if hasattr(self, 'edema') else {}
    return {'grades': self.head(features), **risk, 'attention': weights}


class LesionConcat(LesionEnhanced):
  """Lesion-Concat."""

  def __init__(self, lesion=None, joint=False, grading_size=0, **fields):
    super().__init__(lesion, joint, grading_size)
    self.grading = ConcatBranch(**fields)


class MultiTask(LesionEnhanced):
  """The multi-task network: maps, lesions and grades in one pass. `attention` is 'conv' or 'cw_maxpool'."""

  def __init__(self, lesion=None, joint=False, attention='conv', edema=False, grading_size=0, **fields):
    super().__init__(lesion, joint, grading_size)
    self.grading = AttentionBranch(attention, edema, **fields)
