"""Makes abn.npz: what an Attention Branch Network written in torch computes, for tests/golden/test_abn_golden.py.

Needs torch, which the project itself does not: python tests/golden/make_abn.py

The attention branch is wired as Fukui et al. (CVPR 2019) describe it for ResNet; the encoder is the tests' shallow one.
Weights come from their names (`make_inception_v3.make_weights`). In float64, at rest and normalised by the batch.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from make_inception_v3 import make_weights

PATH = pathlib.Path(__file__).with_name('abn.npz')
IMAGE_SHAPE = (3, 77, 61, 3)
CHANNELS = {2: 8, 4: 8, 8: 12, 16: 16, 32: 16}  # of the shallow encoder, by stride
CLASSES = {'lesions': 8, 'grades': 5}
EPSILON = 1e-3


def _build(classes: int):
  import torch
  from torch import nn

  def norm(channels):
    return nn.BatchNorm2d(channels, eps=EPSILON)

  def unit(inputs, outputs, kernel, stride=1):
    layers = {'conv': nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), 'bn': norm(outputs)}
    return nn.Sequential(*layers.values(), nn.ReLU()), nn.ModuleDict(layers)

  class Reference(nn.Module):
    """Modules are called as in Flax, so that the names of the weights agree."""

    def __init__(self):
      super().__init__()
      self.encoder, self.attention_encoder = nn.ModuleDict(), nn.ModuleDict()
      self.run, inputs = {}, 3  # a plain dict: names come from the ModuleDicts alone
      for stride, channels in CHANNELS.items():
        self.run[stride], self.encoder[f'block_{stride}'] = unit(inputs, channels, 3, 2)
        inputs = channels
      self.run['attention'], self.attention_encoder['block_32'] = unit(CHANNELS[16], CHANNELS[32], 3)
      self.run['responses'], responses = unit(CHANNELS[32], classes, 1)
      self.attention = nn.ModuleDict({
          'bn': norm(CHANNELS[32]), 'responses': responses, 'map': nn.Conv2d(classes, 1, 3, padding=1, bias=False),
          'map_bn': norm(1), 'score': nn.Conv2d(classes, classes, 1, bias=False)})
      self.head = nn.ModuleDict({'fc': nn.Linear(CHANNELS[32], classes)})

    def forward(self, x):
      for stride in (2, 4, 8, 16):
        x = self.run[stride](x)
      responses = self.run['responses'](self.attention['bn'](self.run['attention'](x)))
      attention = torch.sigmoid(self.attention['map_bn'](self.attention['map'](responses)))
      auxiliary = self.attention['score'](responses).mean((2, 3))
      pooled = self.run[32](x * attention + x).mean((2, 3))
      return {'logits': self.head['fc'](pooled), 'auxiliary': auxiliary, 'attention': attention.permute(0, 2, 3, 1)}

  return Reference()


def main() -> None:
  import torch

  images = np.random.Generator(np.random.Philox(key=0)).integers(0, 256, IMAGE_SHAPE, np.uint8)
  x = torch.from_numpy((images.transpose(0, 3, 1, 2).astype(np.float64) / 255 - 0.5) / 0.5)
  arrays = {'images': images}
  for task, classes in CLASSES.items():
    model = _build(classes).double()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in make_weights(shapes).items()})
    arrays[f'{task}/shapes'] = np.array(json.dumps(shapes))
    for mode in ('rest', 'train'):  # in this order: the second moves the running statistics
      model.train(mode == 'train')
      with torch.no_grad():
        found = model(x)
      for name, value in found.items():
        arrays[f'{task}/{mode}/{name}'] = value.numpy().astype(np.float32)
        print(task, mode, name, tuple(value.shape), f'standard deviation {value.std():.3f}')
  np.savez_compressed(PATH, **arrays)
  print(f'{PATH.name}: {PATH.stat().st_size} bytes')


if __name__ == '__main__':
  main()
