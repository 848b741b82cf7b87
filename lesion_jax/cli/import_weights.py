"""`lesion-jax import-weights`: pretrained encoders and exported networks, made ready for this library."""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import Any

from lesion_jax.whole import whole

DESCRIPTION = '''\
Makes of SOURCE what this library takes, and says what was read and what was skipped. SOURCE is one of

  a file of Inception-v3 weights, of torchvision or timm (.safetensors, .pth) or of Keras (.h5, .weights.h5, .keras);
      PATH becomes a .safetensors file under torchvision's names, for config.segment.pretrained and its like. They take
      all those files as they are, too; PATH needs neither torch nor h5py any more.
  a folder that `lesion-jax export --to torch` wrote, or a state dict in it; PATH becomes the bundle again.

Torch's own format needs the extra torch, Keras' the extra keras (h5py alone). No file can run code.'''
EPILOG = '''\
examples:
  lesion-jax import-weights inception_v3.keras --out encoder.safetensors
  lesion-jax import-weights gluon_inception_v3.safetensors --input imagenet --out encoder.safetensors
  lesion-jax import-weights exported/ --out bundle

--input imagenet is for weights that were trained on pixels with the ImageNet mean at 0 and its standard deviation at 1
(timm's gluon_in1k; torchvision's model, where it was trained from scratch). The published weights of torchvision and
Keras and timm's others expect -1..1. A file does not say which it is.

exit status: 0, or 2 where nothing could be imported.'''
INPUTS = ('inception', 'imagenet')
EXPORTED = ('lesion_jax_torch', 'lesion_jax_torch.py')  # what lies beside an exported state dict


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'import-weights', help='weights of torchvision, timm, Keras, or of an exported network', description=DESCRIPTION,
      epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('source', type=pathlib.Path, metavar='SOURCE', help='a file of weights, or an exported folder')
  parser.add_argument('--out', required=True, type=pathlib.Path, metavar='PATH',
                      help='the .safetensors file, or the bundle, to make; it must not exist')
  parser.add_argument('--input', choices=INPUTS, default=INPUTS[0],
                      help='the pixels that the encoder expects: -1..1 (inception, the default), or with mean and '
                           'standard deviation of ImageNet; then the difference goes into the first convolution')
  parser.set_defaults(run=_import, parser=parser)


def _import(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  source = arguments.source
  bundle = os.path.isdir(source) or any(os.path.exists(source.parent / name) for name in EXPORTED)
  out = arguments.out
  if not os.path.exists(source):
    parser.error(f'there is nothing at {source}')
  if bundle and arguments.input != INPUTS[0]:
    parser.error('--input is for encoder weights; an exported network is taken as it is')
  if not bundle and out.suffix != '.safetensors':
    parser.error(f'--out {out} must end in .safetensors: encoder weights become such a file')
  if os.path.lexists(out) and not (bundle and os.path.isdir(out) and not os.listdir(out)):
    parser.error(f'--out {out} is there already; it is left alone, give another name')
  try:
    lines = _bundle(source, out) if bundle else _encoder(source, out, arguments.input)
  except (OSError, ValueError, ImportError) as error:
    parser.error(str(error) if str(source) in str(error) else f'{source}: {error}')
  width = max(len(key) for key, _ in lines)
  print(*(f'{key:<{width}}  {text}' for key, text in lines), sep='\n')
  return 0


def _encoder(source: pathlib.Path, out: pathlib.Path, pixels: str) -> list[tuple[str, str]]:
  """Encoder weights to a .safetensors file; returns what to print, as (key, text)."""
  from lesion_jax.weights.encoder import from_imagenet_input, read_encoder
  from lesion_jax.weights.names import to_torch
  from lesion_jax.weights.tensors import encode

  found = read_encoder(source)
  _check_complete(found.arrays)
  arrays, notes = found.arrays, list(found.notes)
  if pixels == 'imagenet':
    arrays = from_imagenet_input(arrays)
    notes.append("the first convolution now takes pixels in -1..1: exactly for the padding 'VALID'; with 'SAME' the "
                 'outermost ring of its output sees grey beyond the image, not the mean colour')
  data = encode(to_torch(arrays))
  with whole(out) as fresh:
    fresh.write_bytes(data)
  return [
      ('read', f'{source}: {found.source}'),
      ('', _counts(arrays)),
      *(('ignored', f'{_listed(names)}: {why}') for why, names in found.ignored.items()),
      *(('note', note) for note in notes),
      *_written(out, data),
      ('use', f'--config.segment.pretrained={out}, and so for classify and grade'),
  ]


def _check_complete(arrays: dict[str, Any]) -> None:
  """Raises ValueError, listing both sides, where the arrays are not exactly a stock encoder."""
  import jax
  import jax.numpy as jnp

  from lesion_jax.models import InceptionV3
  from lesion_jax.weights.merge import merge

  images = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda x: InceptionV3().init(jax.random.key(0), x, train=False), images)
  merge(shapes, arrays, prefix='')


def _bundle(source: pathlib.Path, out: pathlib.Path) -> list[tuple[str, str]]:
  """An exported network to a bundle; returns what to print, as (key, text)."""
  from flax import traverse_util

  from lesion_jax.export import from_torch
  from lesion_jax.predict.config import check_config
  from lesion_jax.report.card import model_card
  from lesion_jax.weights.bundle import WEIGHTS, save_bundle

  found = from_torch(source)
  check_config(found.config, f'{source}: its config.json')
  save_bundle(out, config=found.config, variables=found.variables, card=model_card(found.config))
  return [
      ('read', f'{source}: {found.config["model"]["name"]}, exported to torch'),
      ('', _counts(traverse_util.flatten_dict(found.variables, sep='/'))),
      *_written(out / WEIGHTS, (out / WEIGHTS).read_bytes()),
      ('use', f'lesion-jax predict PHOTOGRAPH --model {out} --out DIR'),
  ]


def _counts(arrays: dict[str, Any]) -> str:
  """How much there is, by flat name."""
  kernels = sum(name.endswith('/kernel') for name in arrays)
  parameters, statistics = (sum(array.size for name, array in arrays.items() if name.startswith(kind))
                            for kind in ('params/', 'batch_stats/'))
  return f'{len(arrays)} arrays, {kernels} kernels; {parameters:,} parameters, {statistics:,} running statistics'


def _listed(names: list[str]) -> str:
  return f'{names[0]}' if len(names) == 1 else f'{names[0]} and {len(names) - 1} more'


def _written(path: pathlib.Path, data: bytes) -> list[tuple[str, str]]:
  import hashlib

  return [('wrote', f'{path}, {len(data):,} bytes'), ('SHA-256', hashlib.sha256(data).hexdigest())]
