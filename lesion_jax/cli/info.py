"""`lesion-jax info`: what is in a bundle, or what this installation has."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import pathlib
import platform
from collections.abc import Iterable, Mapping
from typing import Any

from lesion_jax import machine, pretrained
from lesion_jax.places import home

DESCRIPTION = '''\
Of a BUNDLE: the network and its fields, its parameters by part, the lesions that it learned and from which probability
they count as present, how photographs are prepared, the data, the metrics on its test split with their intervals, where
it comes from, and the digest of its weights. The weights are checked against the digest.

Without one: versions, devices, where compiled programs are kept, the trained networks in this package, and the
architectures that there are.'''
EPILOG = '''\
examples:
  lesion-jax info runs/demo/grade/bundle
  lesion-jax info                    (which networks are in this package, by name)
  lesion-jax info runs/demo/grade/bundle --json | jq .metrics.kappa.value
  lesion-jax info --models

exit status: 0, or 2 where there is no sound bundle.'''
METRICS = {'pixel_f1': 'mean pixel F1', 'image_f1': 'mean image F1', 'aupr': 'mean AUPR', 'kappa': 'kappa',
           'accuracy': 'accuracy', 'referable_sensitivity': 'sensitivity of referable DR',
           'referable_specificity': 'specificity of referable DR'}  # of `pretrained.figures`
SCHEMA_VERSION = 1  # of --json; a change that breaks readers counts it up
REQUIRED = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scipy', 'pillow', 'simplejpeg', 'safetensors')
EXTRAS = ('orbax-checkpoint', 'grain', 'tensorflow-datasets', 'pydicom', 'highdicom', 'starlette', 'torch', 'h5py', 'onnx', 'onnxruntime',
          'tensorflow-cpu', 'ray')


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  parser = commands.add_parser(
      'info', help='what is in a bundle, or what this installation has', description=DESCRIPTION, epilog=EPILOG,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('bundle', nargs='?', type=pathlib.Path, metavar='BUNDLE',
                      help='a bundle, or the name of a network in this package; without it: the installation')
  parser.add_argument('--models', action='store_true',
                      help='without a bundle: count the parameters of every network, which takes about half a minute')
  parser.add_argument('--json', action='store_true', help='one JSON object instead of text')
  parser.set_defaults(run=_info, parser=parser)


def _info(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  if arguments.bundle is None:
    found = describe_installation(count=arguments.models)
    text = _installation_text
  else:
    if arguments.models:
      parser.error('--models is about the installation; leave it or the bundle out')
    try:
      found = describe_bundle(pretrained.find(arguments.bundle))
    except (OSError, ValueError) as error:
      parser.error(str(error))
    text = _bundle_text
  print(json.dumps(found, indent=2) if arguments.json else _printable(text(found)))
  return 0


def describe_bundle(path: pathlib.Path) -> dict[str, Any]:
  """Returns what `info BUNDLE --json` prints: schema_version, bundle, storage of its weights, parameters, lesions,
  photographs (how many it learned from and was chosen by, at all stages; None where that is not known), digest, files,
  and of the bundle's config.json model, grades, preprocessing, presence, temperatures, operating_points, data, provenance and metrics as
  they are.

  Raises:
    FileNotFoundError, ValueError: there is no bundle at `path`, it is damaged, or made for another version.
  """
  from flax import traverse_util

  from lesion_jax.core import LESIONS
  from lesion_jax.models import get_model
  from lesion_jax.predict.config import check_config
  from lesion_jax.weights.bundle import load_bundle

  bundle = load_bundle(path)
  config = bundle.config
  check_config(config, str(path))
  try:
    get_model(**config['model'])
  except (TypeError, ValueError) as error:
    raise ValueError(f'{path}: config.json names no network of this version: {error}') from error
  files = _list_files(path)
  photographs = bundle.photographs
  learned = None if photographs is None else {split: len(photographs[split]) for split in ('train', 'validation')}
  parameters = traverse_util.flatten_dict(bundle.variables['params'], sep='/')
  statistics = traverse_util.flatten_dict(bundle.variables['batch_stats'], sep='/')
  return {
      'schema_version': SCHEMA_VERSION,
      'bundle': str(path),
      'model': config['model'],
      'storage': bundle.storage,
      'parameters': {
          'parts': _by_part(parameters),
          'total': sum(array.size for array in parameters.values()),
          'running_statistics': sum(array.size for array in statistics.values()),
          'types': sorted({str(array.dtype) for array in (*parameters.values(), *statistics.values())}),
      },
      'lesions': {lesion.key: {'name': lesion.name, 'learned': lesion.key in config['annotated'],
                               'threshold': config['thresholds'][lesion.key]} for lesion in LESIONS},
      **{key: config.get(key, {})
         for key in ('grades', 'preprocessing', 'presence', 'temperatures', 'operating_points', 'data', 'provenance', 'metrics')},
      'photographs': learned,
      'digest': bundle.digest,
      'files': files,
  }


def describe_installation(*, count: bool) -> dict[str, Any]:
  """Returns what `info --json` prints: schema_version, versions (None: not installed), devices, device_problem (why there are none, or ''),
  cache, `pretrained`, the networks in this package as `pretrained.available` has them, and models, each with its number of
  parameters where `count` asks for it, else None."""
  import lesion_jax
  from lesion_jax.models import MODELS
  from lesion_jax.runtime import cache_dir, devices

  cache, problem = cache_dir(), ''
  try:
    found = devices()
  except ValueError as error:
    found, problem = [], str(error)
  return {
      'schema_version': SCHEMA_VERSION,
      'versions': {'lesion_jax': lesion_jax.__version__, 'python': platform.python_version()}
                  | {name: _version(name) for name in (*REQUIRED, *EXTRAS)},
      'devices': [{'platform': device.platform, 'kind': device.device_kind} for device in found],
      'device_problem': problem,
      'processors': machine.processors(),
      'cache': {'folder': str(cache), 'bytes': sum(file.stat().st_size for file in cache.rglob('*') if file.is_file())},
      'pretrained': pretrained.available(),
      'models': {name: _count(name) if count else None for name in MODELS},
  }


def _list_files(path: pathlib.Path) -> dict[str, int]:
  """{name: bytes} of the files of a bundle that was loaded."""
  import zipfile

  path = home(path)
  if path.is_dir():
    return {file.relative_to(path).as_posix(): file.stat().st_size
            for file in sorted(path.rglob('*')) if file.is_file()}
  with zipfile.ZipFile(path) as archive:
    return {item.filename: item.file_size for item in archive.infolist()
            if not item.is_dir() and not item.filename.startswith('__MACOSX/')}


def _by_part(parameters: Mapping[str, Any]) -> dict[str, int]:
  """Parameters by module of the network; of one that contains a network with an encoder, by module of that one."""
  nested = {name.split('/')[0] for name in parameters if name.split('/')[1:2] == ['encoder']}
  parts: dict[str, int] = {}
  for name, array in parameters.items():
    modules = name.split('/')[:-1]
    part = '/'.join(modules[:2] if modules[:1] and modules[0] in nested else modules[:1]) or name
    parts[part] = parts.get(part, 0) + array.size
  return parts


def _count(name: str) -> int:
  """Parameters of a network of the full width, from shapes alone."""
  import jax
  import jax.numpy as jnp

  from lesion_jax.models import get_model

  model = get_model(name)
  images = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.uint8)
  shapes = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), images)
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes['params']))


def _version(name: str) -> str | None:
  try:
    return importlib.metadata.version(name)
  except importlib.metadata.PackageNotFoundError:
    return None


def _bundle_text(found: Mapping[str, Any]) -> str:
  parameters, data = found['parameters'], found['data']
  parts = [
      _section(found['bundle'], _flat({'name': '', **found['model']})),
      _section('parameters', [
          *((part, f'{count:>12,}') for part, count in parameters['parts'].items()),
          ('in all', f'{parameters["total"]:>12,}'),
          ('running statistics', f'{parameters["running_statistics"]:>12,}'),
          ('types', ', '.join(parameters['types'])),
          ('stored as', found['storage'])]),
      _section('lesions', _lesions(found['lesions'], found['presence'])),
      _section('temperatures', _flat(found['temperatures'])),
      _section('operating points', _points(found['operating_points'])),
      _section('photographs', _flat(found['preprocessing'])),
      _section('data', _flat({key: data[key] for key in data if key != 'citation'})),
      _section('learned from, at all stages', _learned(found['photographs'])),
      _section('provenance', _flat(found['provenance'])),
  ]
  parts.append(_metrics_text(found['metrics']))
  files = [(name, f'{size:,} bytes') for name, size in found['files'].items()]
  parts.append(_section('files', [*files, ('SHA-256 of the weights', found['digest'])]))
  return '\n\n'.join(part for part in parts if part)


def _points(points: Mapping[str, Any]) -> list[tuple[str, str]]:
  return [(name, ', '.join(f'{what} from {point[what]["threshold"]:.3f}' for what in ('referable', 'edema') if what in point))
          for name, point in points.items()]


def _metrics_text(metrics: Mapping[str, Any]) -> str:
  from lesion_jax.report.terminal import format_report

  try:
    return format_report(metrics, 'test split') if metrics else ''
  except (AttributeError, LookupError, TypeError, ValueError):  # what a stranger wrote there
    return 'test split\n  its metrics are not those of a report of lesion_jax; --json shows them'


def _learned(counts: Mapping[str, int] | None) -> list[tuple[str, str]]:
  if counts is None:
    return [('photographs', 'not known')]
  return [(f'{split} photographs', f'{count:,}') for split, count in counts.items()]


def _lesions(lesions: Mapping[str, Any], presence: Mapping[str, Any]) -> list[tuple[str, str]]:
  learned = [(f'{key} {lesion["name"]}', _from(lesion['threshold'], presence.get('thresholds', {}).get(key)))
             for key, lesion in lesions.items() if lesion['learned']]
  learned += [('present by', presence['rule'])] if presence else []
  others = ', '.join(key for key, lesion in lesions.items() if not lesion['learned'])
  return learned + ([('never learned', f'{others}: not evaluated')] if others else [])


def _from(pixel: float, presence: float | None) -> str:
  return f'present from {pixel:g}' if presence is None else f'present from {presence:g}, pixels from {pixel:g}'


def _installation_text(found: Mapping[str, Any]) -> str:
  devices = [(f'{i}', f'{device["platform"]}, {device["kind"]}') for i, device in enumerate(found['devices'])]
  devices += [('none', found['device_problem'])] if found['device_problem'] else []
  cache, size = found['cache']['folder'], f'{found["cache"]["bytes"] / 1e6:,.1f} MB'
  networks = ((name, '' if count is None else f'{count:>12,} parameters') for name, count in found['models'].items())
  return '\n\n'.join([
      _section('versions', ((name, version or 'not installed') for name, version in found['versions'].items())),
      _section('devices', [*devices, ('processors', str(found['processors']))]),
      _section('compiled programs, safe to delete', [('folder', cache), ('size', size)]),
      _section('trained networks in this package', _packaged(found['pretrained'])),
      _section('networks', networks),
  ])


def _packaged(networks: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
  """A few lines for each network; one where there is none."""
  if not networks:
    return [('none', 'name the bundle of one: --model BUNDLE')]
  pairs = []
  for name, network in networks.items():
    pairs.append((name, network['about'] + ('; the default' if network['default'] else '')))
    if network['problem']:
      pairs.append(('', f'NOT USABLE: {network["problem"]}'))
      continue
    figures = ', '.join(f'{METRICS[key]} {value:.3f}' for key, value in network['figures'].items())
    pairs += [('', f'{network["size"]} pixels, {network["bytes"] / 1e6:.1f} MB as {network["storage"]}'),
              ('', f'evaluates {", ".join(network["lesions"]) or "no lesion"}'
                   + (f'; not evaluated: {", ".join(network["not_evaluated"])}' if network['not_evaluated'] else '')),
              ('', f'learned from {network["data"] or "what it does not say"}; licence: {network["licence"]}'),
              *([('', f'on its test split: {figures}')] if figures else [])]
    if marks := network['landmarks']:
      told = f'NOT USABLE: {marks["problem"]}' if marks['problem'] else f'{marks["about"]}; {marks["bytes"] / 1e6:.1f} MB as {marks["storage"]}'
      pairs.append(('', f'beside it {marks["name"]}: {told}'))
  return pairs


def _section(title: str, pairs: Iterable[tuple[str, str]]) -> str:
  """A title and aligned lines below it; nothing where there are no pairs."""
  pairs = list(pairs)
  width = max((len(key) for key, _ in pairs), default=0)
  lines = [f'  {key:<{width}}  {text}'.rstrip() for key, text in pairs]
  return '\n'.join([title, *lines]) if pairs else ''


def _flat(values: Mapping[str, Any], before: str = '') -> list[tuple[str, str]]:
  """('lesion.name', 'lesion_net_16s') of nested JSON; what is empty is left out."""
  pairs = []
  for key, value in values.items():
    if isinstance(value, Mapping):
      pairs += _flat(value, f'{before}{key}.')
    elif value not in ('', None, []):
      pairs.append((before + key, ', '.join(map(str, value)) if isinstance(value, list) else str(value).strip()))
  return pairs


def _printable(text: str) -> str:
  """Without the control characters by which a bundle from elsewhere could steer a terminal."""
  return ''.join(char if char.isprintable() or char == '\n' else '?' for char in text)
