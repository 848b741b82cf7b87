"""Encoder weights of Keras' `InceptionV3`, read with h5py alone: neither Keras nor TensorFlow is needed.

Three kinds of file are known, also with a model around `InceptionV3`:

    .h5           of Keras 2 and keras.applications: `conv2d_17/kernel:0`, in a whole model below `model_weights`
    .weights.h5   of Keras 3 and late Keras 2: `layers/conv2d_17/vars/0`
    .keras        a zip archive with such a file in it

Nothing but arrays is read. The configuration of a model, from which Keras would build layers and run what they hold, is
not looked at.
"""

from __future__ import annotations

import io
import pathlib
import re
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from lesion_jax.weights.merge import listing

# Which layer of Keras' `InceptionV3` is which of ours.
#
# Keras names its 94 convolutions by a counter, conv2d, conv2d_1, ..., and each has its batch normalisation, counted
# likewise. Legacy files have these names, counted in the order in which the code makes the layers; the counter starts
# where the process had left it. Files of Keras 3 count anew, in the order of `model.layers`: the farthest from the output
# first, and of those that are equally far the one made first. One table gives both orders.
#
# Source: keras/applications/inception_v3.py, the same order since Keras 2 of 2017; its model's `layers`. Held by
# tests/golden/test_keras_golden.py against what Keras computes.
STEM = ('Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3')

# The layers of a block in the order in which Keras makes them, each with its distance from the end of the block, in
# convolutions (in the last kind the branches that fan out are joined before the block is: one more).
_A = {'branch1x1': 1, 'branch5x5_1': 2, 'branch5x5_2': 1,
      'branch3x3dbl_1': 3, 'branch3x3dbl_2': 2, 'branch3x3dbl_3': 1, 'branch_pool': 1}
_B = {'branch3x3': 1, 'branch3x3dbl_1': 3, 'branch3x3dbl_2': 2, 'branch3x3dbl_3': 1}
_C = {'branch1x1': 1, 'branch7x7_1': 3, 'branch7x7_2': 2, 'branch7x7_3': 1, 'branch7x7dbl_1': 5, 'branch7x7dbl_2': 4,
      'branch7x7dbl_3': 3, 'branch7x7dbl_4': 2, 'branch7x7dbl_5': 1, 'branch_pool': 1}
_D = {'branch3x3_1': 2, 'branch3x3_2': 1,
      'branch7x7x3_1': 4, 'branch7x7x3_2': 3, 'branch7x7x3_3': 2, 'branch7x7x3_4': 1}
_E = {'branch1x1': 1, 'branch3x3_1': 3, 'branch3x3_2a': 2, 'branch3x3_2b': 2, 'branch3x3dbl_1': 4,
      'branch3x3dbl_2': 3, 'branch3x3dbl_3a': 2, 'branch3x3dbl_3b': 2, 'branch_pool': 1}
BLOCKS = {  # mixed0 to mixed10
    'Mixed_5b': _A, 'Mixed_5c': _A, 'Mixed_5d': _A, 'Mixed_6a': _B, 'Mixed_6b': _C, 'Mixed_6c': _C, 'Mixed_6d': _C,
    'Mixed_6e': _C, 'Mixed_7a': _D, 'Mixed_7b': _E, 'Mixed_7c': _E,
}

# Our names of the 94 layers, in the order of making and in that of `model.layers`.
BY_CREATION = STEM + tuple(f'{block}/{layer}' for block, layers in BLOCKS.items() for layer in layers)
BY_DEPTH = STEM + tuple(
    f'{block}/{layer}' for block, layers in BLOCKS.items() for layer in sorted(layers, key=lambda name: -layers[name]))

MEMBER = 'model.weights.h5'  # of a .keras archive
# The variables of a layer in Keras' order, and where they go in Flax. Both sides have the layout HWIO.
VARIABLES = {
    'conv2d': {'kernel': 'params/{}/conv/kernel'},
    'batch_normalization': {'beta': 'params/{}/bn/bias', 'moving_mean': 'batch_stats/{}/bn/mean',
                            'moving_variance': 'batch_stats/{}/bn/var'},
}
SCALE = 'params/{}/bn/scale'  # Keras' batch normalisation has none (`scale=False`): it is 1
# What is no part of an encoder. A dense layer cannot be one of its layers, so it is the classifier.
IGNORED = {
    'the classifier': re.compile(r'(.*/)?(predictions|dense(_\d+)?)/.*'),
    'the state of the optimiser': re.compile(r'(optimizer|optimizer_weights)/.*'),
    'the state of random numbers': re.compile(r'.*/seed_generator(_\d+)?/.*'),
}
LARGEST_MEMBER, LARGEST_ARRAY = 2**31, 2**26  # bytes; the largest kernel of Inception-v3 has 6.2 MB

# What h5py and zipfile raise of files that are damaged.
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, UnicodeError, EOFError, zipfile.BadZipFile, zlib.error)

_LEGACY = re.compile(r'(?:.*/)?(conv2d|batch_normalization)(?:_v\d)?(?:_(\d+))?/(\w+?)(?::0)?')
_COUNTED = re.compile(r'(?:.*/)?(conv2d|batch_normalization)(?:_(\d+))?/vars/(\d+)')


class KerasWeights(NamedTuple):
  """What a file of Keras holds.

  Attributes:
    arrays: float32 by Flax's flat name, 'params/Mixed_5b/branch1x1/conv/kernel', a scale of 1 included.
    ignored: names in the file by what they are, a key of IGNORED.
    counted: whether the layers are counted in the order of `model.layers`, as Keras 3 does.
  """

  arrays: dict[str, np.ndarray]
  ignored: dict[str, list[str]]
  counted: bool


def read_keras(path: pathlib.Path, *, archived: bool) -> KerasWeights:
  """Returns the encoder in a file of Keras.

  Args:
    path: of the file.
    archived: whether it is a .keras archive; otherwise it is an HDF5 file.

  Raises:
    ImportError: h5py is not installed.
    ValueError: the file is damaged; a layer of Inception-v3 is missing, or anything is left over (both are listed); an
      array is not stored in the file itself, is no float array, or is larger than any of Inception-v3.
  """
  try:
    import h5py  # An extra: it is needed for these files only.
  except ImportError as error:
    raise ImportError(f'{path.name} needs h5py: pip install lesion_jax[keras]') from error
  datasets = {}

  def collect(name: str, item: Any) -> None:
    if isinstance(item, h5py.Dataset):
      datasets[name] = item

  try:
    with h5py.File(_member(path) if archived else path, 'r') as file:
      file.visititems(collect)  # visits every object once, and no link that leaves the file
      ignored = {why: sorted(filter(pattern.fullmatch, datasets)) for why, pattern in IGNORED.items()}
      left = datasets.keys() - {name for names in ignored.values() for name in names}
      placed, counted = _place(left, path)
      arrays = {place: _array(datasets[name], f'{path}: {name}') for place, name in placed.items()}
  except _DAMAGE as error:
    raise ValueError(f'{path} is damaged ({error}); fetch or save it again') from error
  for layer in BY_CREATION:
    arrays[SCALE.format(layer)] = np.ones_like(arrays[VARIABLES['batch_normalization']['beta'].format(layer)])
  return KerasWeights(arrays, {why: names for why, names in ignored.items() if names}, counted)


def _member(path: pathlib.Path) -> io.BytesIO:
  """The weights in an archive, in memory."""
  with zipfile.ZipFile(path) as archive:
    if MEMBER not in archive.namelist():
      raise ValueError(f'{path} holds no {MEMBER}, only {archive.namelist()[:5]}; save the model as .keras, '
                       'or its weights as .weights.h5')
    member = archive.getinfo(MEMBER)
    if member.file_size > LARGEST_MEMBER:
      raise ValueError(f'{MEMBER} in {path} has {member.file_size:,} bytes unpacked, more than {LARGEST_MEMBER:,}; '
                       'save the weights of the InceptionV3 alone')
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise ValueError(f'{MEMBER} in {path} is compressed by another method than deflate; pack it again')
    with archive.open(member) as file:
      return io.BytesIO(file.read(member.file_size))  # never more than was announced


def _place(names: set[str], path: pathlib.Path) -> tuple[dict[str, str], bool]:
  """Flax's flat name -> name in the file, and whether the layers are counted by depth."""
  counted = any('/vars/' in name for name in names)
  layers, extra = _parse(names, counted)
  placed, missing = {}, []
  for kind, found in layers.items():
    numbers, order = sorted(found), BY_DEPTH if counted else BY_CREATION
    if len(numbers) != len(order):  # too few or too many: taken for a count without gaps, to say which
      first = numbers[0] if numbers else 0
      extra += [name for number in numbers if number >= first + len(order) for name in found[number].values()]
      numbers = list(range(first, first + len(order)))
    for layer, number in zip(order, numbers, strict=True):
      for variable, place in VARIABLES[kind].items():
        if name := found.get(number, {}).get(variable):
          placed[place.format(layer)] = name
        else:
          missing.append(f'{kind}{f"_{number}" * bool(number)}: {variable} of {layer}')
  if missing or extra:
    raise ValueError(f'{path} is not the InceptionV3 of Keras, nor a model around it:'
                     + listing('missing from the file', missing) + listing('left over in the file', sorted(extra))
                     + '\nSave the weights of the InceptionV3 alone: inception.save_weights("name.weights.h5")')
  return placed, counted


def _parse(names: set[str], counted: bool) -> tuple[dict[str, dict[int, dict[str, str]]], list[str]]:
  """{kind of layer: {number: {variable: name in the file}}}, and the names that are none of these or come twice."""
  layers: dict[str, dict[int, dict[str, str]]] = {kind: {} for kind in VARIABLES}
  extra = []
  for name in sorted(names):
    kind, number, variable = match.groups() if (match := (_COUNTED if counted else _LEGACY).fullmatch(name)) else '   '
    if kind in VARIABLES and counted:
      variable = dict(enumerate(VARIABLES[kind])).get(int(variable))
    if variable in VARIABLES.get(kind, ()) and variable not in (found := layers[kind].setdefault(int(number or 0), {})):
      found[variable] = name
    else:
      extra.append(name)
  return layers, extra


def _array(dataset: Any, name: str) -> np.ndarray:
  """The array as float32, if it lies in the file itself and its size is credible."""
  if dataset.external or dataset.is_virtual:
    raise ValueError(f'{name} lies in another file; save the weights again, in one')
  if dataset.dtype.kind != 'f':
    raise ValueError(f'{name} has the type {dataset.dtype}; save the model in float32')
  if dataset.nbytes > LARGEST_ARRAY:
    raise ValueError(f'{name} has the shape {dataset.shape}, larger than any array of Inception-v3')
  return dataset[()].astype(np.float32)
