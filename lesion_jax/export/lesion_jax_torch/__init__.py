"""The networks of lesion_jax in PyTorch. Needs torch, and safetensors to read weights; nothing of lesion_jax.

`load(folder)` gives a network in eval mode from the `config.json` and `model.safetensors` of that folder. A network
takes RGB images [B, S, S, 3], uint8 or float in 0..255, of the size S that it was made for (`network.size`; None: any), and returns
a dict of those that it has of

    maps    [B, H, W, 8]  the probability of each lesion at each pixel
    lesions [B, 8]        the probability of each lesion anywhere in the image
    grades  [B, 5]        the probability of each grade of diabetic retinopathy
    edema   [B, 3]        the probability of each risk of macular edema
    attention [B, h, w]   how much it looked at each cell of a grid: its weight maps, averaged

or their logits with `network(images, logits=True)`. Channels come last in what goes in and out, second inside. Networks
are plain modules, to be trained as any other. Parameters are called as in lesion_jax; those of an encoder as in
torchvision, so that the state dicts of an encoder and of torchvision's `inception_v3` fit each other.

Everything is computed in the type of the weights, float32 unless you cast them.
Source: Wei et al., 'Learn to Segment Retinal Lesions and Beyond', ICPR 2020; the encoder: Szegedy et al., CVPR 2016.
"""

import functools
import json
import pathlib

from .baselines import FCN, DANet, DeepLabV3Plus, PatchFCN, UNet
from .grades import ABN, Classifier, LesionConcat, MultiTask
from .lesions import LesionNet

NETWORKS = {
    **{f'lesion_net_{stride}s': functools.partial(LesionNet, stride=stride) for stride in (32, 16, 8, 4, 2)},
    'patch_fcn_32s': PatchFCN,
    **{f'fcn_{stride}s': functools.partial(FCN, stride=stride) for stride in (32, 16, 8)},
    'unet': UNet,
    'deeplab_v3_plus': DeepLabV3Plus,
    'danet': DANet,
    'inception_v3_classifier': functools.partial(Classifier, task='lesions'),
    'abn_classifier': functools.partial(ABN, task='lesions'),
    'inception_v3_grader': functools.partial(Classifier, task='grades'),
    'abn_grader': functools.partial(ABN, task='grades'),
    'lesion_concat': LesionConcat,
    'multitask': MultiTask,
}
IGNORED = ('dtype', 'bn_axis', 'remat', 'encoder_norm')  # fields of the Flax networks that mean nothing here


def build(name, **fields):
  """A network with fresh weights, from `model` of a config.json; a network inside it is a dict of the same kind."""
  if name not in NETWORKS:
    raise ValueError(f'there is no network {name!r} in PyTorch; those that there are: {", ".join(NETWORKS)}')
  return NETWORKS[name](**{key: build(**value) if isinstance(value, dict) else value
                           for key, value in fields.items() if key not in IGNORED})


def load(folder):
  """The network of an exported folder with its weights, in eval mode on the CPU."""
  import safetensors.torch  # needed for this alone

  folder = pathlib.Path(folder)
  config = json.loads((folder / 'config.json').read_text('utf-8'))
  network = build(**config['model'])
  network.size = config['preprocessing'].get('window') or config['preprocessing']['size']
  network.load_state_dict(safetensors.torch.load_file(folder / 'model.safetensors'))
  return network.eval()
