"""Values of options that several commands have; a mistake is said by argparse."""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from lesion_jax.places import home


def positive(text: str) -> int:
  """Returns a whole number from 1 on.

  Raises:
    argparse.ArgumentTypeError: it is another.
  """
  try:
    value = int(text)
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from 1 on') from None
  if value < 1:
    raise argparse.ArgumentTypeError(f'{text} is below 1')
  return value


def path(text: str) -> pathlib.Path:
  """Returns the path of a file or folder; '~' at its beginning is the home, which shells leave as it is in --out=~/found. An empty one,
  as of a shell's variable that is not set, is not taken for the folder that one is in.

  Raises:
    argparse.ArgumentTypeError: it is empty.
  """
  if not text:
    raise argparse.ArgumentTypeError('it is empty (a variable that is not set?); write . for the folder that you are in')
  return home(text)


def natural(text: str, advice: str = 'from 0 on') -> int:
  """Returns a whole number from 0 on.

  Raises:
    argparse.ArgumentTypeError: it is another.
  """
  if not text.isdecimal():
    raise argparse.ArgumentTypeError(f'{text} is not a whole number {advice}')
  return int(text)


def memory(text: str) -> int:
  """Converts '2G', '800M' or a number of bytes to bytes; K, M, G and T are powers of 1024, as containers have them.

  Raises:
    argparse.ArgumentTypeError: it is none of these, or nothing.
  """
  found = re.fullmatch(r'(\d{1,18}(?:\.\d+)?)([KMGT]?)(?:i?B)?', text.strip(), re.IGNORECASE)
  value = int(float(found[1]) * 1024 ** ' KMGT'.index(found[2].upper() or ' ')) if found else 0
  if value < 1:
    raise argparse.ArgumentTypeError(f'{text!r} is no amount of memory; write 2G, 800M or a number of bytes')
  return value


def add_limits(parser: argparse.ArgumentParser, *, seconds: int | None = None) -> None:
  """Adds --threads, --memory and --seconds.

  Args:
    parser: that gets them.
    seconds: the default of --seconds; None: that of the library, which is 60.
  """
  parser.add_argument('--threads', type=positive, metavar='N',
                      help='that read photographs and write results (default: as many as this process may use processors, by '
                           'affinity and by the quota of its container; at most 16)')
  parser.add_argument('--memory', type=memory, metavar='BYTES',
                      help='that the process may use, as 4G or 800M: a quarter of it bounds how many photographs are on their '
                           'way at once (default: what the machine, or the limit of the container, leaves it)')
  parser.add_argument('--seconds', type=positive, default=seconds, metavar='N',
                      help='that reading one photograph may take; one that takes longer fails, and the others continue '
                           f'(default {seconds or 60})')


NETWORK = ('the network: a directory with config.json and model.safetensors, a zip archive of one, or the name of a network '
           'in this package (`lesion-jax info` lists them)')

WINDOW = (
    'side in pixels of the overlapping windows by which a network with lesion maps, and without grades, is asked about a '
    'photograph: a multiple of 32 from 96 on; 0 for all of it at once (default: as the model says, else all at once '
    'where memory allows)')


def window(text: str) -> int:
  """Returns a whole number from 0 on, as `natural`; what else a window must be depends on the network."""
  return natural(text, 'of pixels; give a multiple of 32, or 0')


def probability(text: str) -> float:
  """Returns a number above 0 and at most 1.

  Raises:
    argparse.ArgumentTypeError: it is another.
  """
  try:
    value = float(text)
  except ValueError:
    raise argparse.ArgumentTypeError(f'{text!r} is not a number above 0 and at most 1, such as 1e-4') from None
  if not 0 < value <= 1:
    raise argparse.ArgumentTypeError(f'{text} is not above 0 and at most 1')
  return value


TEXTS = ('split', 'scale', 'values', 'indices')  # options of data sets whose value is text


def data_option(text: str) -> tuple[str, int | str]:
  """Parses 'count=1000' to an option of a data set and its value; text where the option is a folder, images_dir=DIR, or
  one of TEXTS.

  Raises:
    argparse.ArgumentTypeError: it is something else.
  """
  key, equals, value = text.partition('=')
  if (key.endswith('_dir') or key in TEXTS) and value:
    return key, value
  if not equals or not key.isidentifier() or not value.lstrip('-').isdecimal():
    raise argparse.ArgumentTypeError(f'{text} is not KEY=N with a whole number N, as count=1000 is, nor KEY_dir=FOLDER '
                                     f'or one of {", ".join(TEXTS)} with text')
  return key, int(value)


def thresholds(text: str) -> dict[str, float]:
  """Parses '0.4', 'MA=0.3,iHE=0.5' or '0.4,MA=0.3' to a threshold by lesion.

  Raises:
    argparse.ArgumentTypeError: for what is no lesion, or no number between 0 and 1.
  """
  from lesion_jax.core import LESION_KEYS

  found: dict[str, float] = {}
  seen: set[str] = set()
  for part in text.split(','):
    key, named, number = part.strip().rpartition('=')
    if named and key not in LESION_KEYS:
      raise argparse.ArgumentTypeError(f'{key!r} is no lesion; the lesions are {", ".join(LESION_KEYS)}')
    _require_first(key, seen)
    try:
      value = float(number)
    except ValueError:
      raise argparse.ArgumentTypeError(f'{number!r} is not a number; write 0.5, or MA=0.3,iHE=0.5') from None
    if not 0 < value < 1:
      raise argparse.ArgumentTypeError(f'{number} is not between 0 and 1')
    found |= {key: value} if named else dict.fromkeys((key for key in LESION_KEYS if key not in found), value)
  return found


def _require_first(key: str, seen: set[str]) -> None:
  """Notes a lesion, or '' of a number for all; raises argparse.ArgumentTypeError where it had one already."""
  if key in seen:
    raise argparse.ArgumentTypeError(f'it has two numbers for {key or "all lesions"}; give one, and others by name, as in 0.5,MA=0.3')
  seen.add(key)


def smallest(text: str) -> dict[str, tuple[float, str]]:
  """Parses 'MA=3', '5,HaEx=0.001DA' or 'none' to the smallest region by lesion: a number, and 'pixels' or 'disc areas'.

  Raises:
    argparse.ArgumentTypeError: for what is no lesion, or no number above 0.
  """
  from lesion_jax.core import LESION_KEYS

  found: dict[str, tuple[float, str]] = {}
  seen: set[str] = set()
  for part in [] if text.strip().casefold() == 'none' else text.split(','):
    key, named, number = part.strip().rpartition('=')
    if named and key not in LESION_KEYS:
      raise argparse.ArgumentTypeError(f'{key!r} is no lesion; the lesions are {", ".join(LESION_KEYS)}')
    _require_first(key, seen)
    discs = number.casefold().endswith('da')
    try:
      value = float(number[:-2] if discs else number)
    except ValueError:
      raise argparse.ArgumentTypeError(f"{number!r} is no size; write MA=3 for 3 pixels of the network's, MA=0.001DA for a "
                                       'thousandth of a disc area, or none') from None
    if not 0 < value < float('inf'):
      raise argparse.ArgumentTypeError(f'{number} is not above 0')
    each = value, 'disc areas' if discs else 'pixels'
    found |= {key: each} if named else dict.fromkeys((key for key in LESION_KEYS if key not in found), each)
  return found


def as_smallest(given: Mapping[str, tuple[float, str]] | None) -> Any:
  """Returns what `smallest` gave as the library takes it."""
  from lesion_jax.clinical.findings import Smallest

  return None if given is None else {key: Smallest(*each) for key, each in given.items()}


def add_smallest(parser: argparse.ArgumentParser, default: str) -> None:
  """Adds --smallest."""
  parser.add_argument('--smallest', type=smallest, metavar='T',
                      help="smallest region that counts, in pixels at the network's size or in disc areas (DA): a number for all "
                           'lesions, or by lesion as in MA=3,HaEx=0.001DA; smaller ones are excluded from masks, counts and areas; none: '
                           f'every region counts (default: {default})')


def add_clinic(parser: argparse.ArgumentParser) -> None:
  """Adds --patients, --no-patients, --fhir and --dicom-seg."""
  patients = parser.add_mutually_exclusive_group()
  patients.add_argument('--patients', type=path, metavar='TABLE',
                        help='whose eye each photograph shows: a table (CSV) with the columns image, patient and eye. Both eyes of a '
                             'patient become one line of patients.csv (default: the names of the files say it, as in 10_left.jpeg, '
                             '123_OD.jpg and P7_R.png, and the laterality of DICOM files)')
  patients.add_argument('--no-patients', dest='patients', action='store_false', default=None, help='names of files say nothing')
  parser.add_argument('--fhir', action='store_true',
                      help='write each record as FHIR R4 too: a DiagnosticReport with Observations in the codes of LOINC and SNOMED CT')
  parser.add_argument('--dicom-seg', action='store_true',
                      help='write a DICOM segmentation of the lesions and a structured report too, which refer to the photograph; needs '
                           'the extra `dicom`')


def add_forms(parser: argparse.ArgumentParser) -> None:
  """Adds --coco, --labelme, --index-maps and --page-maps."""
  parser.add_argument('--coco', choices=['rle', 'polygons'],
                      help="write the masks of all results in the folder as COCO's JSON too, coco.json: run lengths or polygons, "
                           'either pixel for pixel')
  parser.add_argument('--labelme', choices=['masks', 'polygons'],
                      help="write them as labelme's JSON too, labelme/<name>.json: masks, pixel for pixel, or polygons, which older "
                           'tools read as well. Files that you corrected there stay')
  parser.add_argument('--index-maps', action='store_true',
                      help='write them as index maps too, index_maps/masks/<name>.png: one number a pixel, 0 for nothing, 1 to 8 for MA '
                           'to FiP; with photographs beside it, a data set `folder`')
  parser.add_argument('--page-maps', action='store_true',
                      help="put the probability maps that --maps wrote at the network's size into the page too, in 8 bits, to try thresholds "
                           'there; the page becomes larger, and how large is said')


def in_flags(error: Exception, flags: Mapping[str, str]) -> str:
  """Returns what the library says of its arguments, with the options that they are here: leaks='keep' becomes --leaks
  keep, other_crop=True --other-crop, data_dir=x --prepared x, and source_dir --source.

  Args:
    error: that the library raised.
    flags: the library's name of an argument -> the option.
  """
  said = str(error)
  for name, flag in flags.items():
    named = rf'(?<![\w.-]){name}'
    said = re.sub(rf"{named}='([\w-]+)'", lambda found, flag=flag: f'{flag} {found[1]}', said)
    said = re.sub(rf'{named}=True\b', flag, said)
    said = re.sub(f'{named}=', f'{flag} ', said)
    # A short name alone is also a word.
    said = re.sub(rf'{named}\b' if '_' in name else f'^{name}(?=:)', flag, said)
  return said
