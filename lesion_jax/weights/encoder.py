"""Weights of an Inception-v3 encoder from whatever published them, recognised by what a file holds, not by its name.

    torchvision, timm   state dict, .safetensors or torch's .pth; timm took over torchvision's names, so one reader does
    Keras               .h5, .weights.h5, .keras

**What the weights expect.** Here an encoder sees pixels in -1..1. So do torchvision's published weights (there
`transform_input=True` only undoes another normalisation), timm's tv_in1k, tf_in1k and tf_adv_in1k, and those of Keras.
timm's gluon_in1k, and whatever was trained from scratch on torchvision's usual input, expect the ImageNet mean at 0 and
its standard deviation at 1. Nothing in a file says so; `from_imagenet_input` turns them into the others.

**What remains different.** Keras' average pools leave the padding out of the mean; torchvision's, timm's and ours
count it as zeros. So with weights of Keras the features differ from Keras' own, from the border inwards and the more
the deeper the layer. Training starts there and adapts.
"""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from lesion_jax.places import home
from lesion_jax.weights.keras import MEMBER, read_keras
from lesion_jax.weights.names import IGNORED as COUNTERS
from lesion_jax.weights.names import to_flax
from lesion_jax.weights.torchvision import is_safetensors, read_torchvision

CLASSIFIERS = {'AuxLogits.': 'the auxiliary classifier, for training from scratch', 'fc.': 'the classifier'}
FORMATS = "torchvision's and timm's state dicts (.safetensors, .pth), Keras' InceptionV3 (.h5, .weights.h5, .keras)"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels in 0..1, as torchvision has them
FIRST = 'Conv2d_1a_3x3'


@dataclasses.dataclass(frozen=True)
class EncoderWeights:
  """What was read, and what was not.

  Attributes:
    arrays: by Flax's flat name within the encoder, 'params/Mixed_5b/branch1x1/conv/kernel', for `merge`. Floats are
      float32.
    source: what the file is.
    ignored: names in the file, by the reason why they are left out.
    notes: sentences about what differs from the network that the weights come from.
  """

  arrays: dict[str, np.ndarray]
  source: str
  ignored: dict[str, list[str]]
  notes: tuple[str, ...] = ()


def read_encoder(path: str | pathlib.Path) -> EncoderWeights:
  """Reads encoder weights of any of FORMATS. No file can run code.

  What belongs to a classifier is left out. Whether the rest is exactly an encoder, `merge` says; of Keras, whose names
  are numbers, it is checked here.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is of another kind or damaged, its names cannot be placed, or a weight is not finite.
    ImportError: the file needs a library that is not installed: torch for its own format, h5py for Keras.
  """
  path = home(path)
  if not path.is_file():
    raise FileNotFoundError(f'no weights at {path}')
  kind = _recognise(path)
  found = _keras(path, kind) if kind in ('hdf5', 'keras') else _torch(path, kind)
  for name, array in found.arrays.items():
    if not np.isfinite(array).all():
      raise ValueError(f'{path}: {name} has {np.count_nonzero(~np.isfinite(array)):,} of {array.size:,} weights that are not '
                       'finite (NaN or infinite); fetch it again, or take an earlier one')
  return found


def from_imagenet_input(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns weights that expect (x - mean) / std of ImageNet, x in 0..1, as weights that expect pixels in -1..1.

  The difference goes into the first convolution and the mean of its batch normalisation. It is exact where that
  convolution is not padded, as in stock Inception-v3. With the padding 'SAME' the outermost ring of its output sees
  grey beyond the image, where a padded network of the other kind would see the mean colour.

  Args:
    arrays: of an encoder, by Flax's flat name. They are not changed.

  Raises:
    KeyError: there is no first convolution among them.
  """
  kernel, mean = f'params/{FIRST}/conv/kernel', f'batch_stats/{FIRST}/bn/mean'
  center, deviation = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
  # Theirs is scale * ours + offset, for each colour.
  scale, offset = 0.5 / deviation, (0.5 - center) / deviation
  weights = arrays[kernel].astype(np.float64)  # [3, 3, colour, channel]
  shift = np.einsum('hwio,i->o', weights, offset)
  return {**arrays, kernel: (weights * scale[:, None]).astype(np.float32),
          mean: (arrays[mean] - shift).astype(np.float32)}


def _recognise(path: pathlib.Path) -> str:
  """'safetensors', 'torch', 'keras' or 'hdf5', by the first bytes and, of an archive, by its members."""
  if is_safetensors(path):
    return 'safetensors'
  with path.open('rb') as file:
    head = file.read(8)
  if head == b'\x89HDF\r\n\x1a\n':
    return 'hdf5'
  if head[:2] in (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05'):  # before torch 1.6
    return 'torch'
  if head[:4] == b'PK\x03\x04':
    try:
      with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
    except zipfile.BadZipFile as error:
      raise ValueError(f'{path} is damaged ({error}); fetch it again') from error
    if any(name == 'data.pkl' or name.endswith('/data.pkl') for name in members):
      return 'torch'
    return 'keras'
  raise ValueError(f'{path} is damaged or holds no weights that are known; known are {FORMATS}')


def _torch(path: pathlib.Path, kind: str) -> EncoderWeights:
  state, prefix, beside = _without_prefix(read_torchvision(path), path)
  ignored: dict[str, list[str]] = {}
  for classifier, why in CLASSIFIERS.items():
    ignored[why] = sorted(name for name in state if name.startswith(classifier))
  ignored['counters that nothing reads'] = sorted(
      name for name in state if name.rpartition('.')[2] in COUNTERS and not name.startswith(tuple(CLASSIFIERS)))
  left_out = {name for names in ignored.values() for name in names}
  if beside:
    ignored[f'beside {prefix}'] = beside
  arrays = to_flax({name: array for name, array in state.items() if name not in left_out})
  source = f"state dict under torchvision's names ({kind})"
  notes = (f'the names had {prefix!r} before them, as of a network inside another one; it is left out',) if prefix else ()
  return EncoderWeights(arrays, source, {why: names for why, names in ignored.items() if names}, notes)


def _without_prefix(
    state: Mapping[str, np.ndarray], path: pathlib.Path,
) -> tuple[dict[str, np.ndarray], str, list[str]]:
  """A state dict without what stands before all names of the encoder: 'module.' of DataParallel, 'backbone.', 'encoder.' and
  whatever else a network is called inside another one; with that, and the names that do not have it.

  Raises:
    ValueError: there are several encoders, and nobody says which.
  """
  first = f'{FIRST}.conv.weight'
  found = sorted(name.removesuffix(first) for name in state if name == first or name.endswith(f'.{first}'))
  if len(found) > 1:
    raise ValueError(f'{path} holds {len(found)} encoders, whose names begin with {", ".join(map(repr, found[:4]))}; save one '
                     'of them alone')
  prefix = found[0] if found else ''
  inside = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
  return inside, prefix, sorted(name for name in state if not name.startswith(prefix))


def _keras(path: pathlib.Path, kind: str) -> EncoderWeights:
  found = read_keras(path, archived=kind == 'keras')
  layout = f'{MEMBER} in an archive' if kind == 'keras' else '.weights.h5 of Keras 3' if found.counted else '.h5'
  return EncoderWeights(found.arrays, f'InceptionV3 of Keras ({layout})', found.ignored, (
      "Keras' batch normalisation has no scale: it is 1",
      "Keras' average pools leave the padding out of the mean, those of this encoder count it: its features differ "
      "from Keras', most of all towards the border"))
