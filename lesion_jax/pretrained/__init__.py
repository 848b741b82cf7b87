"""Networks that come with this package: found by name, and held to the digests that are pinned in `networks`."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import lesion_jax
from lesion_jax.places import home
from lesion_jax.pretrained import networks

ROOT = pathlib.Path(__file__).parent
CONFIG, WEIGHTS = 'config.json', 'model.safetensors'  # of a bundle
PINNED = {CONFIG: 'config_sha256', WEIGHTS: 'weights_sha256'}
REMEDY = 'install lesion_jax again (pip install --force-reinstall), or name another network with --model'
NONE = 'no network is packaged with this version ({}) of lesion_jax: name the bundle of one, with --model BUNDLE or as ' \
       "lesion_jax.load('path/to/bundle')"


def default_name() -> str:
  """The packaged network that is used where none is named.

  Raises:
    FileNotFoundError: there is none.
  """
  if networks.DEFAULT is None:
    raise FileNotFoundError(NONE.format(lesion_jax.__version__))
  return networks.DEFAULT


def is_packaged(model: str | os.PathLike) -> bool:
  """Whether this is the name of a packaged network, and no path that exists."""
  return str(model) in networks.NETWORKS and not os.path.exists(home(model))


def find(model: str | os.PathLike) -> pathlib.Path:
  """The bundle of a packaged network, checked; anything else is a path and stays what it is.

  Args:
    model: a path, or, where there is nothing, the name of a packaged network.

  Raises:
    FileNotFoundError: there is no such path, and no packaged network of that name; or a file of it is missing.
    ValueError: a file of the packaged network is not the one that is pinned.
  """
  if is_packaged(model):
    return check(str(model))
  path = pathlib.Path(model)
  if not os.path.exists(home(path)):
    named = f'; the networks of this package are {", ".join(networks.NETWORKS)}' if networks.NETWORKS else ''
    raise FileNotFoundError(f'{path} is not a bundle: it does not exist{named}; name a directory that save_bundle wrote, or a '
                            'zip archive of one')
  return path


def check(name: str) -> pathlib.Path:
  """The folder of a packaged network, its configuration and weights held to the digests that are pinned.

  Raises:
    KeyError: there is none of that name.
    FileNotFoundError: a file of it is missing.
    ValueError: a file of it is another.
  """
  return _checked(name, networks.NETWORKS[name])


def _checked(name: str, entry: Mapping[str, Any]) -> pathlib.Path:
  folder = ROOT / entry['folder']
  for file, key in PINNED.items():
    try:
      with (folder / file).open('rb') as stream:
        digest = hashlib.file_digest(stream, 'sha256').hexdigest()
    except OSError as error:
      raise FileNotFoundError(f'{folder / file} of the packaged network {name!r} cannot be read ({error.strerror}); '
                              f'{REMEDY}') from error
    if digest != entry[key]:
      raise ValueError(f'{folder / file} is not the file with which the network {name!r} was released: its SHA-256 is '
                       f'{digest}, pinned is {entry[key]}. It is not used; {REMEDY}')
  return folder


def find_landmarks(network: str | os.PathLike[str]) -> pathlib.Path:
  """The bundle of a packaged network of landmarks, checked; anything else is a path and stays what it is.

  Raises:
    FileNotFoundError, ValueError: of `find`.
  """
  if str(network) in networks.LANDMARKS and not os.path.exists(home(network)):
    return _checked(str(network), networks.LANDMARKS[str(network)])
  if not os.path.exists(home(network)):
    named = f'; this package has {", ".join(networks.LANDMARKS)}' if networks.LANDMARKS else ''
    raise FileNotFoundError(f'{network} is not a bundle of a network of landmarks: it does not exist{named}')
  return pathlib.Path(network)


def landmarks_of(
    models: Sequence[str | os.PathLike[str]], asked: str | os.PathLike[str] | bool | None = None,
) -> str | os.PathLike[str] | None:
  """The network of landmarks that is used beside others; None: none is.

  Args:
    models: the networks that predict, paths or names.
    asked: of `predict.load`: None, True, False, a path or a name.

  Raises:
    FileNotFoundError: True, and this package has none.
  """
  if asked is False:
    return None
  if asked is True:
    if not networks.LANDMARKS:
      raise FileNotFoundError(f'no network of landmarks is packaged with this version ({lesion_jax.__version__}) of lesion_jax: name '
                              'the bundle of one')
    return next(iter(networks.LANDMARKS))
  if asked is not None:
    return asked
  named = {networks.NETWORKS[str(model)].get('landmarks') if is_packaged(model) else None for model in models}
  return next(iter(named)) if len(named) == 1 and named <= set(networks.LANDMARKS) else None


def available() -> dict[str, dict[str, Any]]:
  """The packaged networks by name, ready for JSON; {} where there is none.

  Returns:
    Of each: `default`, whether it is used where none is named; `about`, one line; `licence`; `size`, side in pixels of the
    square that it takes; `storage`; `bytes` of all its files; `lesions`, keys of those that it evaluates, and
    `not_evaluated`, of the others, which it never learned; `data`, what it learned from; `figures` on its test split, see
    `figures`; `problem`, '' or why it cannot be used: then what its files say is left empty; and `landmarks`, None or the
    network of landmarks that is used beside it: `name`, `about`, `licence`, `size`, `storage`, `bytes` and `problem`.
  """
  return {name: _describe(name, entry) for name, entry in networks.NETWORKS.items()}


def figures(metrics: Mapping[str, Any]) -> dict[str, float]:
  """The main metrics of a bundle's test report: `pixel_f1`, `image_f1` and `aupr`, means over the lesions, `kappa`
  (quadratic weights), `accuracy`, `referable_sensitivity`, `referable_specificity`; those that it has a value for.

  Of several data sets that were evaluated together the metrics of lesions are those of the one that has lesions in its
  masks, and those of grades those of the one with most graded photographs: these can be compared with others on that
  set. Where several have lesions, they are of all together."""
  alone = list(metrics.get('data_sets', {}).values())
  masked = [report for report in alone if any(report.get('positive_pixels', {}).values())]
  graded = max(alone, key=lambda report: sum(map(sum, report.get('confusion', ()))), default=metrics)
  lesions = masked[0] if len(masked) == 1 else metrics
  means = {key: lesions.get(key, {}).get('mean') for key in ('pixel_f1', 'image_f1', 'aupr')}
  scores = {key: graded.get(key, {}).get('value') for key in ('kappa', 'accuracy')}
  referable = {f'referable_{key}': graded.get('referable', {}).get(key, {}).get('value')
               for key in ('sensitivity', 'specificity')}
  return {key: value for key, value in (means | scores | referable).items() if value is not None}


def _describe(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
  said = {'default': name == networks.DEFAULT, **_pinned(entry), 'landmarks': _describe_landmarks(entry.get('landmarks'))}
  try:
    folder = check(name)
    config = json.loads((folder / CONFIG).read_text('utf-8'))
  except (OSError, ValueError) as error:
    return said | {'bytes': 0, 'lesions': [], 'not_evaluated': [], 'data': '', 'figures': {}, 'problem': str(error)}
  annotated = config['annotated']
  return said | {
      'bytes': _bytes(folder), 'lesions': annotated, 'not_evaluated': [key for key in config['lesions'] if key not in annotated],
      'data': config.get('data', {}).get('name', ''), 'figures': figures(config.get('metrics', {})), 'problem': ''}


def _describe_landmarks(name: str | None) -> dict[str, Any] | None:
  if (entry := networks.LANDMARKS.get(name or '')) is None:
    return None
  said = {'name': name, **_pinned(entry)}
  try:
    return said | {'bytes': _bytes(_checked(name, entry)), 'problem': ''}
  except (OSError, ValueError) as error:
    return said | {'bytes': 0, 'problem': str(error)}


def _pinned(entry: Mapping[str, Any]) -> dict[str, Any]:
  return {key: entry[key] for key in ('about', 'licence', 'size', 'storage')}


def _bytes(folder: pathlib.Path) -> int:
  return sum(file.stat().st_size for file in folder.rglob('*') if file.is_file())
