"""`lesion_jax.load`: from bundles to a predictor."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import numbers
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import numpy as np
from flax import traverse_util

from lesion_jax import pretrained, runtime
from lesion_jax.core import LESION_KEYS, Prediction
from lesion_jax.cpu import arranged
from lesion_jax.metrics.presence import MAXIMUM
from lesion_jax.models import DTYPES, get_model
from lesion_jax.photograph.windows import check_window
from lesion_jax.places import home
from lesion_jax.predict import onnx_graph, programs
from lesion_jax.predict.config import check_config
from lesion_jax.predict.ensemble import average, check_heads, join_configs
from lesion_jax.predict.landmarks import load_landmarks
from lesion_jax.predict.predictor import Predictor
from lesion_jax.predict.step import PredictFn, compiled, forward
from lesion_jax.predict.tta import augmented
from lesion_jax.predict.windows import choose_window, fits_windows, require_windows, windowed
from lesion_jax.weights.bundle import Bundle, load_bundle

Path = str | os.PathLike
BACKENDS = ('jax', 'onnxruntime')
OWN_RULE = 'bundle'  # the one that came with the weights
OF_A_RUN = ('tta', 'backend', 'operating_point')  # keys of a predictor's configuration that its caller chose; of a bundle they mean nothing
# What networks raise when they are traced with fields or arrays that are not theirs.
MISFITS = (flax.errors.FlaxError, TypeError, ValueError, AttributeError, RecursionError, ArithmeticError, LookupError)


class Member(NamedTuple):
  """One network that answers, alone or with others.

  Attributes:
    path: of its bundle.
    config: of the bundle, with the `dtype` and the `window` that were chosen.
    variables: on the device, or on the host.
    digest: of the bundle's weights.
    model: the network.
    network_fn: its forward pass.
    predict_fn: the same by windows, where it is asked by them.
    photographs: of the bundle, what it learned from.
  """

  path: pathlib.Path
  config: dict[str, Any]
  variables: Any
  digest: str
  model: nn.Module
  network_fn: PredictFn
  predict_fn: PredictFn
  photographs: dict[str, np.ndarray] | None = None

  @property
  def name(self) -> str:
    """What errors and provenance call it: the last two parts of its path. A run leaves 'grade/bundle', and where it
    lies on this machine concerns no reader of the results."""
    return '/'.join(self.path.parts[-2:])

  @property
  def window(self) -> int:
    """Side of the windows, in pixels; 0: it is asked about the whole square at once."""
    return self.config['preprocessing'].get('window', 0)

  def look(self) -> Prediction:
    """Returns the heads that the network has, as shapes; it is traced, and nothing is computed.

    Raises:
      ValueError: configuration and weights are not of one network, or it cannot be asked by windows and is to be.
    """
    side = self.window or self.config['preprocessing']['size']
    image = jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)
    with _misfits(self.path):
      # The first prediction takes this trace.
      traced = jax.jit(self.network_fn).trace(self.variables, image)
      self._require_its_own(traced.jaxpr.jaxpr, image)
      found = traced.out_info
    if self.window:
      require_windows(self.name, self.window, found)
    return found

  def plain(self) -> Member:
    """Returns the same with its forward pass as the network has it, see `step.compiled`."""
    return self._computed_by(forward(self.model))

  def arranged_for(self, platform: str) -> Member:
    """Returns the same with its forward pass as a platform computes it fastest, see `cpu.arranged`."""
    return self._computed_by(arranged(forward(self.model), platform))

  def _computed_by(self, network_fn: PredictFn) -> Member:
    return self._replace(network_fn=network_fn, predict_fn=windowed(network_fn, self.window))

  def _require_its_own(self, program: Any, image: jax.ShapeDtypeStruct) -> None:
    """Raises ValueError where there are arrays that the network does not have: whose they are, nobody knows."""
    used = {id(variable) for operation in program.eqns for variable in operation.invars} | set(map(id, program.outvars))
    names = jax.tree.leaves(traverse_util.path_aware_map(lambda path, leaf: '/'.join(path), self.variables))
    idle = {name for name, variable in zip(names, program.invars[:len(names)], strict=True) if id(variable) not in used}
    if not idle:
      return
    made = jax.eval_shape(functools.partial(self.model.init, train=False), jax.random.key(0), image)  # some are for training
    if more := sorted(idle - set(traverse_util.flatten_dict(dict(made), sep='/'))):
      raise ValueError(f'the weights have {len(more)} arrays that the network {self.config["model"]["name"]} has not, '
                       f'{more[0]} for instance')


def load(
    path: Path | Sequence[Path] | None = None, *, dtype: str | None = None, device: str | jax.Device | None = None,
    thresholds: float | Mapping[str, float] | None = None, tta: str | None = None, backend: str = 'jax',
    window: int | None = None, rule: str = OWN_RULE, landmarks: Path | bool | None = None,
) -> Predictor:
  """Loads a network, or several that answer as one.

  Compiled programs are kept for the next process, see `runtime.use_cache`.

  Args:
    path: a bundle, a directory or a zip archive; or a network of this package by name, None: its default, see `pretrained`.
      Of a list, probabilities are averaged, see `ensemble.average`; `variables` and `predict_fn`'s first argument are tuples.
    dtype: 'float32' or 'bfloat16', in which the network computes; None: as the bundle says. Parameters and results are
      float32 always. bfloat16 pays on accelerators alone.
    device: 'cpu', 'gpu', 'cuda:1' (the second of its kind) or a JAX device; None: JAX's default.
    thresholds: from which probability a pixel counts as a lesion, above 0 and below 1: one for all, or by key, the others
      as the bundle says. Under Eq. 1, a photograph has the lesion from there on too.
    tta: test-time augmentation: 'flips' averages over 4 mirrored copies of each photograph, 'dihedral' over 8 mirrored
      and turned ones, at 4 and 8 times the price. It is chosen here because `predict_fn` then is all that is computed.
    backend: 'jax', or 'onnxruntime': faster on a CPU, for one network in float32 without `tta`. Its graph is made the
      first time, see `onnx_graph.make_predict_fn`; `predict_fn` is then no JAX function, and `variables` are empty.
    rule: by which lesions are called present: 'bundle', the bundle's own (Eq. 1 where it has none), or 'maximum', Eq. 1 at
      the thresholds of the pixels, as the paper has it.
    window: side of the overlapping windows by which a network with lesion maps, and without grades, is asked about the
      square, see `windows.windowed`: a multiple of 32 from 96 to the bundle's size, right where the network learned
      from crops of that size or where memory is short. 0: the whole square at once. None: as the bundle says
      (preprocessing.window), and where it says nothing whole if memory allows, else by windows of 960, see
      `windows.choose_window`. What was chosen is in the predictor's `config`.
    landmarks: the network that looks for optic disc and fovea beside it: a bundle, or the name of one in this package, see
      `landmarks.load_landmarks`. None: that which goes with the networks of this package, where there is one; for other networks
      none. True: that of this package for any network; False: none.

  Raises:
    FileNotFoundError: `path` is not a bundle, or None where this package has no network.
    ImportError: a package of the backend is missing; the message has the command that installs it.
    ValueError: a bundle is damaged, or made for something that this version does not do; the members of an ensemble do
      not fit together; there is no such dtype, device, lesion, augmentation, window or backend, or the backend or
      the network does not have it.
  """
  path = pretrained.default_name() if path is None else path
  paths = [path] if isinstance(path, str | os.PathLike) else list(path)
  _check_choices(paths, dtype, backend, rule)
  origin = {'path': [_lasting(one) for one in paths], 'dtype': dtype, 'device': _named(device), 'thresholds': thresholds, 'tta': tta,
            'backend': backend, 'window': window, 'rule': rule, **({} if landmarks is None else {
                'landmarks': landmarks if isinstance(landmarks, bool) else _lasting(landmarks)})}
  beside = pretrained.landmarks_of(paths, landmarks)
  if backend == 'onnxruntime':
    finder = None if beside is None else load_landmarks(beside, find_device('cpu'))
    return dataclasses.replace(_load_graph(paths, dtype, device, _thresholds(thresholds), tta, window, rule), origin=origin,
                               landmarks=finder)
  place, changes = find_device(device), _thresholds(thresholds)
  platform = place.platform if place else jax.default_backend()
  runtime.use_cache()
  members = []
  for one in paths:
    member = read_member(one, dtype=dtype, window=window, platform=platform, device=place)
    members.append(member._replace(variables=jax.device_put(member.variables, place)))  # continues while others are read
  config, variables, predict_fn = join(members)
  config = _ruled(config, rule) | {'thresholds': config['thresholds'] | changes} | ({'tta': tta} if tta else {})
  predict_fn, plain = (augmented(each, tta) for each in (predict_fn, join([member.plain() for member in members])[2]))
  program = _first_program(members, predict_fn, variables, config, platform)
  return Predictor(config, variables, compiled(predict_fn, platform, plain), program and compiled(program, platform),
                   tuple(members), origin, None if beside is None else load_landmarks(beside, place), _learned_from(members))


def _check_choices(paths: Sequence[Path], dtype: str | None, backend: str, rule: str) -> None:
  """Raises ValueError where `load` does not know an argument."""
  if not paths:
    raise ValueError('no bundle came; give the path of one, or a list of them')
  if dtype not in (None, *DTYPES):
    raise ValueError(f'unknown dtype {dtype!r}; choose one of {", ".join(DTYPES)}, or None')
  if backend not in BACKENDS:
    raise ValueError(f'unknown backend {backend!r}; choose one of {", ".join(BACKENDS)}')
  if rule not in (OWN_RULE, MAXIMUM):
    raise ValueError(f'unknown rule {rule!r}; choose {OWN_RULE} or {MAXIMUM}')


def _load_graph(
    paths: Sequence[Path], dtype: str | None, device: Any, changes: Mapping[str, float], tta: str | None,
    window: int | None, rule: str,
) -> Predictor:
  """The predictor of the onnxruntime backend."""
  refused = {'an ensemble': len(paths) > 1, 'test-time augmentation': tta,
             f'dtype {dtype!r}': dtype not in (None, 'float32'),
             f'device {device!r}': str(device or 'cpu').lower() not in ('cpu', 'cpu:0')}
  if wanted := [name for name, given in refused.items() if given]:
    raise ValueError(f'the onnxruntime backend does not do {", ".join(wanted)}: it runs one network on the CPU in '
                     "float32, photographs as they are; backend='jax' does")
  config, graph, photographs = _found_graph(paths[0], window)
  config = _ruled(config, rule) | {'thresholds': config['thresholds'] | changes, 'backend': 'onnxruntime'}
  return Predictor(config, {}, onnx_graph.make_predict_fn(graph, config['preprocessing'].get('window', 0)), photographs=photographs)


def _found_graph(path: Path, window: int | None) -> tuple[dict[str, Any], pathlib.Path, dict[str, np.ndarray]]:
  """Configuration and graph of a bundle, and what it learned from, whose weights are not held any longer: the graph has them."""
  member = read_member(path, window=window, device='cpu')
  bundle = Bundle(member.config, member.variables, member.digest)
  if member.window or not onnx_graph.find_place(bundle).exists():  # else it was looked at when its graph was made
    member.look()
  return member.config, onnx_graph.find_graph(bundle), _learned_from([member])


def _learned_from(members: Sequence[Member]) -> dict[str, np.ndarray]:
  """Fingerprints of all that networks learned from, as far as they say."""
  known = [member.photographs for member in members if member.photographs]
  return {split: np.concatenate([each[split] for each in known]) for split in ('train', 'validation')} if known else {}


def _lasting(path: Path) -> str:
  """A bundle as another process finds it, in whatever folder that is; a name of this package, where nothing is called so, stays one."""
  return os.path.abspath(home(path)) if os.path.lexists(home(path)) else str(path)


def _named(device: str | jax.Device | None) -> str | None:
  """A device as `find_device` knows it in another process."""
  return device if device is None or isinstance(device, str) else f'{device.platform}:{_devices(device.platform).index(device)}'


def find_device(device: str | jax.Device | None) -> jax.Device | None:
  """Returns the device of a name, 'cpu', 'gpu', 'cuda:1'; None stays None.

  Raises:
    ValueError: there is no such device, or none at all; the message lists those that there are.
  """
  if device is None or isinstance(device, jax.Device):
    runtime.devices()  # raises where there is none
    return device
  platform, _, position = str(device).partition(':')
  found = _devices(platform)
  position = position or '0'
  if position.isdecimal() and int(position) < len(found):
    return found[int(position)]
  known = {one: f'{one.platform}:{number}' for name in (None, 'cpu') for number, one in enumerate(_devices(name))}
  raise ValueError(f'there is no device {device!r}; there are {", ".join(known.values())}')


def _devices(platform: str | None) -> list[jax.Device]:
  try:
    return jax.devices(platform) if platform != '' else []
  except RuntimeError:  # no such platform here
    return []


def read_member(
    path: Path, *, dtype: str | None = None, window: int | None = None, platform: str | None = None,
    device: jax.Device | str | None = None,
) -> Member:
  """Reads a bundle; its variables stay on the host, and nothing is traced unless `choose_window` takes windows.

  Args:
    path: of the bundle, or the name of a packaged network.
    dtype: of `load`.
    window: likewise.
    platform: for which the forward pass is arranged, see `cpu.arranged`; None: it stays as the network has it.
    device: whose memory `choose_window` looks at.

  Raises:
    FileNotFoundError, ValueError: of `load`.
  """
  member = _read(path, dtype, platform)
  config, network_fn, preprocessing = member.config, member.network_fn, member.config['preprocessing']
  if window is None:
    window = preprocessing.get('window') or choose_window(preprocessing['size'], device)
    if window and not preprocessing.get('window') and not fits_windows(member.look()):
      window = 0
  check_window(window, preprocessing['size'])
  chosen = {key: value for key, value in preprocessing.items() if key != 'window'} | (
      {'window': int(window)} if window else {})
  return member._replace(config=config | {'preprocessing': chosen}, predict_fn=windowed(network_fn, window))


def _read(path: Path, dtype: str | None = None, platform: str | None = None) -> Member:
  """A bundle as it stands, whatever it says of windows; `read_member` has the arguments."""
  path = pretrained.find(path)
  bundle = load_bundle(path)
  check_config(bundle.config, str(path / 'config.json'))
  fields = bundle.config['model']
  with _misfits(path):
    get_model(**fields)  # before anything goes into it: it may be of any depth
    model = get_model(**(fields := _with_dtype(fields, dtype) if dtype else fields))
  network_fn = forward(model) if platform is None else arranged(forward(model), platform)
  variables = jax.tree.map(lambda array: np.asarray(array, np.float32), bundle.variables)  # of any floating-point type, see `weights.bundle`
  config = {key: value for key, value in bundle.config.items() if key not in OF_A_RUN} | {'model': fields}
  return Member(path, config, variables, bundle.digest, model, network_fn, network_fn, bundle.photographs)


def read_whole(path: Path) -> Bundle:
  """Reads a bundle that others are to run, as it stands, and holds it to all that `load` holds it to.

  Args:
    path: of the bundle, or the name of a packaged network.

  Raises:
    FileNotFoundError, ValueError: of `load`.
  """
  member = _read(path)
  member.look()
  return Bundle(member.config, member.variables, member.digest, member.photographs)


@contextlib.contextmanager
def _misfits(path: pathlib.Path) -> Iterator[None]:
  """Says of a bundle whose network cannot be built that this is so."""
  try:
    yield
  except MISFITS as error:
    raise ValueError(f'{path}: config.json and the weights do not make a network: '
                     f'{next(iter(str(error).splitlines()), type(error).__name__)}') from error


def join(members: Sequence[Member]) -> tuple[dict[str, Any], Any, PredictFn]:
  """Returns configuration, variables and pure function of one member, or of several as one, see `ensemble`.

  Raises:
    ValueError: they take photographs that are prepared differently.
  """
  if len(members) == 1:
    return members[0].config, members[0].variables, members[0].predict_fn
  configs = [member.config for member in members]
  config = join_configs([member.name for member in members], configs)
  learned = [member.config['annotated'] for member in members]
  return config, tuple(member.variables for member in members), average(
      [member.predict_fn for member in members], learned)


def _first_program(
    members: Sequence[Member], predict_fn: PredictFn, variables: Any, config: Mapping[str, Any], platform: str,
) -> PredictFn | None:
  """The program for one photograph as an earlier process kept it; else the networks are traced, which shows whether
  bundles make networks and these an ensemble, and it is kept. None where that is not done."""
  images = jax.ShapeDtypeStruct((1, *2 * [config['preprocessing']['size']], 3), np.uint8)
  about = [images.shape, config.get('tta'), [member.config['annotated'] for member in members],
           [member.window for member in members]]
  place = programs.find_place([member.model for member in members], variables, about) if platform == 'cpu' else None
  if program := programs.read(place):
    return program
  check_heads([member.name for member in members], [member.look() for member in members])
  return programs.keep(place, predict_fn, variables, images)


def _with_dtype(fields: Mapping[str, Any], dtype: str) -> dict[str, Any]:
  """The fields of a network that computes in another type, the network in it too."""
  inside = {key: _with_dtype(value, dtype) if isinstance(value, Mapping) else value for key, value in fields.items()}
  return inside | {'dtype': dtype}


def _ruled(config: Mapping[str, Any], rule: str) -> dict[str, Any]:
  """A configuration with the bundle's own rule, or without one, which is Eq. 1."""
  return {key: value for key, value in config.items() if rule == OWN_RULE or key != 'presence'}


def _thresholds(thresholds: float | Mapping[str, float] | None) -> dict[str, float]:
  """By key, those that differ from the bundle's."""
  if thresholds is None:
    return {}
  changes = dict(thresholds) if isinstance(thresholds, Mapping) else dict.fromkeys(LESION_KEYS, thresholds)
  if unknown := sorted(set(changes) - set(LESION_KEYS)):
    raise ValueError(f'there is no lesion {", ".join(unknown)} to set a threshold for; the lesions are '
                     f'{", ".join(LESION_KEYS)}')
  for key, value in changes.items():
    if not (isinstance(value, numbers.Real) and 0 < value < 1):
      raise ValueError(f'the threshold of {key} is {value!r}; it must be a probability above 0 and below 1')
  return {key: float(value) for key, value in changes.items()}
