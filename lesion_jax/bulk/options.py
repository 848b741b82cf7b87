"""What a run of many photographs is told, and the network that this means."""

from __future__ import annotations

import dataclasses
import hashlib
import numbers
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lesion_jax import pretrained
from lesion_jax.clinical.evidence import listed
from lesion_jax.clinical.findings import Smallest
from lesion_jax.extras import MissingExtra, require
from lesion_jax.places import home
from lesion_jax.pretrained import networks
from lesion_jax.report.coco import FORMS as COCO_FORMS
from lesion_jax.report.html import FULL_SIZE
from lesion_jax.report.labelme import FORMS as LABELME_FORMS
from lesion_jax.report.maps import FORMS as MAPS
from lesion_jax.report.maps import NETWORK, PLACES


class Refused(ValueError):
  """What was asked for cannot be done. Its text begins with the option that is to be changed, if it is one alone.

  Attributes:
    option: name of the option, or ''.
  """

  def __init__(self, option: str, said: str) -> None:
    super().__init__(option, said)
    self.option = option

  def __str__(self) -> str:
    return ''.join(self.args)


class Forms(NamedTuple):
  """In which forms of other tools the masks of all photographs are written beside table and page; see `Options`."""

  coco: str | None = None
  labelme: str | None = None
  index_maps: bool = False
  page_maps: bool = False

  def check(self) -> None:
    """Raises Refused where there is no such form."""
    for name, allowed in (('coco', COCO_FORMS), ('labelme', LABELME_FORMS)):
      if (value := getattr(self, name)) not in (None, *allowed):
        raise Refused(name, f' {value!r}: choose one of {", ".join(allowed)}')


@dataclasses.dataclass(frozen=True)
class Options:
  """How photographs are predicted. `predict.load` and `predict.prepare` say more.

  Attributes:
    models: a bundle, or the name of a network of this package, or several, whose probabilities are averaged. (): the
      default network of this package.
    batch_size: photographs in one forward pass.
    thresholds: from which probability a pixel is in the mask of a lesion, by lesion; the others are the model's.
    rule: by which lesions are called present, 'bundle' or 'maximum'.
    crop: look for the field of view; None: as the network was trained.
    tta: test-time augmentation, 'flips', 'dihedral' or None.
    window: side of overlapping windows, in pixels; 0: none; None: as the model says.
    dtype: in which the network computes; None: the model's own.
    device: where, 'cpu', 'gpu', 'cuda:1'; None: JAX's own choice.
    backend: 'jax' or 'onnxruntime'.
    smallest: the smallest region that counts, by lesion; of the other lesions none is too small. None: as the model says.
    maps: write the probability maps too, as 'png' of 16 bits or 'npz' of float32; None: not. See `report.maps.Maps`.
    maps_at: 'network', at its size, or 'photograph', in the photograph's own pixels.
    burnt_in: write the photograph with the lesions drawn into its own pixels too.
    coco: write the masks of all photographs as COCO's JSON too, as 'rle' or 'polygons'.
    labelme: write them as labelme's JSON too, a file a photograph, as 'masks' or 'polygons'.
    index_maps: write them as index maps too, a picture a photograph, whose numbers are lesions.
    landmarks: the network that looks for optic disc and fovea, or whether one does, see `predict.load`.
    fhir: write each record as FHIR R4 too.
    operating_point: the name of one of the bundle, at which photographs are called referable and at risk of edema, as
      'high-sensitivity'; None: the most probable grade and risk decide.
    page_maps: put the probability maps that `maps` writes at the network's size into the page too, in 8 bits.
    full_size: keep the square of each photograph, and show it on the page, in the photograph's own pixels, not in 2048 at most.
    overlay: write `overlay.png`, the field of view with the lesions outlined; page and outlines do without it.
    reduced: decode JPEG files at a fraction of their size where the network needs no more, see `predict.prepare`.
    dicom_seg: write a DICOM segmentation of the lesions and a structured report too, see `report.dicom`.
    patients: a table that says whose eye each photograph shows, see `bulk.patients.read_patients`; None: the names of the files
      say it, where they do; False: neither.
    threads: that read photographs and write results; None: as many as the process may use processors.
    memory: bytes that the process may use, of which a share bounds how many photographs are on their way at once; None: what
      the machine, or a limit of its containers, leaves it. The network itself takes what it takes.
    seconds: that reading one photograph may take; one that takes longer fails. None: `photograph.threads.SECONDS`.
  """

  models: str | os.PathLike | Sequence[str | os.PathLike] = ()
  batch_size: int = 1
  thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
  rule: str = 'bundle'
  crop: bool | None = None
  tta: str | None = None
  window: int | None = None
  dtype: str | None = None
  device: str | None = None
  backend: str = 'jax'
  smallest: Mapping[str, Smallest] | None = None
  maps: str | None = None
  maps_at: str = 'network'
  burnt_in: bool = False
  coco: str | None = None
  labelme: str | None = None
  index_maps: bool = False
  landmarks: str | os.PathLike | bool | None = None
  fhir: bool = False
  operating_point: str | None = None
  page_maps: bool = False
  full_size: bool = False
  overlay: bool = True
  reduced: bool = False
  dicom_seg: bool = False
  patients: str | os.PathLike | bool | None = None
  threads: int | None = None
  memory: int | None = None
  seconds: int | None = None

  def __post_init__(self) -> None:
    if isinstance(self.models, str | os.PathLike):
      object.__setattr__(self, 'models', (self.models,))
    for name, allowed in (('maps', (None, *MAPS)), ('maps_at', PLACES)):
      if (value := getattr(self, name)) not in allowed:
        raise Refused(name, f' {value!r}: choose one of {", ".join(map(str, allowed))}')
    self.forms.check()
    if self.page_maps and (self.maps is None or self.maps_at != NETWORK):
      raise Refused('page-maps', " puts the maps that lie in the results into the page: give --maps npz too, at the network's size")
    if self.reduced and self.full_size:
      raise Refused('reduced', " decodes photographs at a fraction of their size, and --full-size shows them in their own pixels: choose one")
    if self.dicom_seg:
      try:
        require('dicom', 'pydicom', 'highdicom')
      except MissingExtra as error:
        raise Refused('dicom-seg', f': {error}') from error
    for name in ('threads', 'memory', 'seconds'):
      if (value := getattr(self, name)) is not None and value < 1:
        raise Refused(name, f' {value}: give a whole number from 1 on')

  @property
  def forms(self) -> Forms:
    """In which forms of other tools the masks of all photographs are written too."""
    return Forms(self.coco, self.labelme, self.index_maps, self.page_maps)

  def recorded(self) -> dict[str, Any]:
    """Returns those that change results, as they stand in a record: a run with others predicts again."""
    thresholds = {key: float(value) if isinstance(value, numbers.Real) else value for key, value in self.thresholds.items()}  # NumPy's are no JSON
    chosen = {'crop': self.crop, 'threshold': thresholds, 'tta': self.tta, 'dtype': self.dtype}
    # Left out where they are not used: results from before there were such options stay valid.
    later = {'backend': (self.backend, 'jax'), 'window': (self.window, None), 'rule': (self.rule, 'bundle'),
             'smallest': (None if self.smallest is None else {key: each._asdict() for key, each in self.smallest.items()}, None),
             'maps': (self.maps and f'{self.maps} {self.maps_at}', None), 'burnt_in': (self.burnt_in, False),
             'landmarks': (identify_landmarks(self.models, self.landmarks), None), 'fhir': (self.fhir, False),
             'dicom_seg': (self.dicom_seg, False), 'operating_point': (self.operating_point, None), FULL_SIZE: (self.full_size, False),
             'overlay': (self.overlay, True), 'reduced': (self.reduced, False)}
    return chosen | {name: value for name, (value, default) in later.items() if value != default}


def identify(models: Sequence[str | os.PathLike]) -> str:
  """Returns what tells bundles from all others: the SHA-256 of config.json, which has that of the weights; of a bundle
  in one file, the file's; of several bundles, that of theirs.

  Args:
    models: of `Options`.

  Raises:
    Refused: there is no such network, or it cannot be read.
  """
  try:
    paths = [pretrained.find(model) for model in models or [pretrained.default_name()]]
  except (FileNotFoundError, ValueError) as error:
    raise (Refused('model', f': {error}') if models else Refused('', str(error))) from error
  digests = [_digest(path, 'model') for path in paths]
  return digests[0] if len(digests) == 1 else hashlib.sha256(''.join(digests).encode()).hexdigest()


def _digest(path: pathlib.Path, option: str) -> str:
  """SHA-256 of a bundle's config.json, or of the bundle in one file."""
  path = home(path)
  first = path / 'config.json' if path.is_dir() else path
  try:
    with first.open('rb') as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    lacking = path.is_dir() and isinstance(error, FileNotFoundError)
    state = 'lacks config.json' if lacking else f'cannot be read ({error.strerror})'
    raise Refused(option, f': {path} is not a bundle: it {state}; name a directory that save_bundle wrote, or a zip '
                  'archive of one') from error


def identify_landmarks(models: Sequence[str | os.PathLike], asked: str | os.PathLike | bool | None) -> str | None:
  """What tells the network of landmarks from others, as `identify` has it; None where there is none.

  Raises:
    Refused: it cannot be read.
  """
  if not models and networks.DEFAULT is None:
    return None  # there is no network to go beside
  try:
    found = pretrained.landmarks_of(models or [pretrained.default_name()], asked)
    path = None if found is None else pretrained.find_landmarks(found)
  except (FileNotFoundError, ValueError) as error:
    raise Refused('landmarks', f': {error}') from error
  return None if path is None else _digest(path, 'landmarks')


def load_predictor(options: Options) -> Any:
  """Returns the predictor that the options ask for. Everything that shapes the network's computation goes in here, and
  into `Options.recorded` if it changes results.

  Raises:
    Refused: the network cannot be used so, or does not evaluate a lesion that was given a threshold.
  """
  from lesion_jax import runtime
  from lesion_jax.predict import load

  runtime.set_up()
  try:
    predictor = load(options.models or None, dtype=options.dtype, device=options.device,
                     thresholds=options.thresholds, tta=options.tta, backend=options.backend, window=options.window,
                     rule=options.rule, landmarks=options.landmarks)
  except (OSError, ImportError, ValueError) as error:
    raise Refused('', f'the network cannot be used: {error}') from error
  evaluated, points = predictor.config['annotated'], predictor.config.get('operating_points', {})
  if options.operating_point not in (None, *points):
    raise Refused('operating_point', f' {options.operating_point!r}: this network has {listed(list(points)) if points else "none"}')
  if unknown := [key for key in options.smallest or {} if key not in evaluated]:
    if len(options.smallest) < len(predictor.thresholds):
      raise Refused('smallest', f': this network does not evaluate {", ".join(unknown)}, only {", ".join(evaluated)}')
  unknown = [key for key in options.thresholds if key not in evaluated]
  if unknown and len(options.thresholds) < len(predictor.thresholds):  # a number for all means those that are evaluated
    raise Refused('threshold', f': this network does not evaluate {", ".join(unknown)}, only {", ".join(evaluated)}')
  return predictor
