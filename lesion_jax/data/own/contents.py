"""Everything that a folder of one's own holds, in whichever of its layouts it is: `datasets.folder.Folder` shows them."""

from __future__ import annotations

import collections
import json
import pathlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from lesion_jax.annotation.mistakes import Findings, cut
from lesion_jax.annotation.naming import PATTERN, lesion_of, like_series, patients_of, say_patients
from lesion_jax.annotation.table import composed, plain
from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.data.masks import TEACH_INDICES, look
from lesion_jax.data.own.files import IMAGES, LOSSLESS, MASKS, SETTINGS, SPLIT_NAMES, TABLE, find, folders_in, list_files
from lesion_jax.data.own.table import Entry, read_entries, say_other_tables
from lesion_jax.data.scales import Scale
from lesion_jax.photograph.files import SUFFIXES, is_junk

KEYS = ('scale', 'values', 'indices')  # of SETTINGS
_CLASSES = {str(grade): grade for grade in range(NUM_GRADES)} | {
    plain(key): grade for grade, key in enumerate(GRADE_KEYS)}


class Contents(NamedTuple):
  """Everything that a folder holds.

  Attributes:
    photographs: id -> file.
    masks: lesion key -> id -> mask; the lesions that have a folder, in the order of LESION_KEYS.
    maps: id -> index map.
    lesions: id -> keys of the lesions that have a folder where the photograph lies.
    entries: id -> what is said of it.
    notes: what was taken for what, a sentence each.
    warnings: what may be wrong, a sentence each.
  """

  photographs: dict[str, pathlib.Path]
  masks: dict[str, dict[str, pathlib.Path]]
  maps: dict[str, pathlib.Path]
  lesions: dict[str, tuple[str, ...]]
  entries: dict[str, Entry]
  notes: list[str]
  warnings: list[str]


def read_settings(root: pathlib.Path) -> dict[str, Any]:
  """Returns the keys KEYS that the folder's own SETTINGS has; {} where there is none.

  Raises:
    ValueError: it is no JSON object, or has other keys, naming it.
  """
  path = find(root, SETTINGS)
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text('utf-8-sig'))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON: {cut(str(error), 200)}') from error
  if not isinstance(found, dict) or (unknown := set(found) - set(KEYS)):
    named = f'has {", ".join(sorted(map(cut, unknown)))}' if isinstance(found, dict) else 'is no object'
    raise ValueError(f'{path} {named}; it is one JSON object with any of {", ".join(KEYS)}, such as '
                     '{"scale": "referable", "values": {"lesion": 1, "ignore": 255}}')
  found = {key: value for key, value in found.items() if value is not None}
  for key, value in found.items():
    if not isinstance(value, str | dict):
      raise ValueError(f'{path}: {key} is {cut(value)}; it is text, as of the option of that name, or an object')
  return found


def read_contents(root: pathlib.Path, scale: Scale, indices: Mapping[int, str | None]) -> Contents:
  """Lists a folder in whichever of its layouts it is.

  Args:
    root: the folder.
    scale: of its grades.
    indices: what the numbers of index maps mean.

  Raises:
    FileNotFoundError: there are no photographs.
    ValueError: something in it is not understood; all mistakes of one kind are counted together.
  """
  parts = _parts(root)
  if parts is None:
    classes = _read_classes(root, scale)
    if classes is not None:
      return classes
    list_files(find(root, IMAGES), SUFFIXES)  # raises, as there is no such folder
  photographs: dict[str, pathlib.Path] = {}
  masks: dict[str, dict[str, pathlib.Path]] = {}
  maps: dict[str, pathlib.Path] = {}
  lesions: dict[str, tuple[str, ...]] = {}
  drawn: dict[pathlib.Path, tuple[str, ...]] = {}
  of_folder: dict[str, str] = {}
  notes, tables = [], [find(root, TABLE)]
  for split, folder in parts.items():
    found = list_files(find(folder, IMAGES), SUFFIXES)
    if not found:
      raise FileNotFoundError(f'no photograph in {find(folder, IMAGES)}; put them there, ending in {" ".join(SUFFIXES)}')
    if twice := sorted(found.keys() & photographs.keys()):
      raise ValueError(f'{found[twice[0]]} and {photographs[twice[0]]} have one name, as have {len(twice)} in all; the name '
                       'without its ending names a photograph, so rename one of them, and what belongs to it')
    photographs |= found
    own = list_masks(find(folder, MASKS), found, notes)
    for key, of_lesion in own.items():
      masks.setdefault(key, {}).update(of_lesion)
    drawn[find(folder, MASKS)] = tuple(own)
    lesions |= dict.fromkeys(found, tuple(own))
    maps |= _list_maps(find(folder, MASKS), found, indices)
    if split:
      of_folder |= dict.fromkeys(found, split)
      tables.append(find(folder, TABLE))
  masks = {key: masks[key] for key in LESION_KEYS if key in masks}
  if masks and maps:
    raise ValueError(f'{find(root, MASKS)} holds folders of lesions and index maps; give one of the two')
  warnings = say_other_tables({root, *parts.values()} if not any(table.is_file() for table in tables) else ())
  warnings += [] if maps else _say_unknown(drawn, masks)
  warnings += _say_no_splits(root, parts.values()) if of_folder else []
  warnings += _say_unread(parts.values())
  places: dict[str, str] = {}
  entries = read_entries([table for table in tables if table.is_file()], photographs, scale, notes, warnings, places)
  if of_folder:
    notes.append('splits are those of the folders ' + ', '.join(folder.name for folder in parts.values()))
    entries = _of_folders(entries, of_folder)
  if any(entry.patient for entry in entries.values()):
    _sides(entries, places).require_none()
  entries = _with_patients(photographs, entries, notes, warnings)
  return Contents(photographs, masks, maps, lesions, entries, list(dict.fromkeys(notes)), warnings)


def _of_folders(entries: Mapping[str, Entry], of_folder: Mapping[str, str]) -> dict[str, Entry]:
  """The entries of photographs whose folders say the split. Raises ValueError where a table says another."""
  wrong = Findings()
  for name, entry in entries.items():
    if entry.split and entry.split != of_folder[name]:
      wrong.add(name, f'the table puts it into {entry.split} and its folder into {of_folder[name]}; take the column split out')
  wrong.require_none()
  return {name: entries.get(name, Entry(UNKNOWN_GRADE, None, None))._replace(split=split) for name, split in of_folder.items()}


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path] | None:
  """{'' : root} where images/ lies in it; split -> folder where folders of splits have images/; else None."""
  if find(root, IMAGES).is_dir():
    return {'': root}
  found: dict[str, pathlib.Path] = {}
  for folder in folders_in(root):
    split = SPLIT_NAMES.get(folder.name.casefold())
    if split and find(folder, IMAGES).is_dir():
      if split in found:
        raise ValueError(f'{found[split]} and {folder.name} are one split ({split}); put them together')
      found[split] = folder
  return found or None


def _say_unknown(drawn: Mapping[pathlib.Path, tuple[str, ...]], masks: Iterable[str]) -> list[str]:
  """A warning for each split whose folder of masks has no folder of a lesion that another split has."""
  return [f'{folder} has no folder {", ".join(lacking)}, as another split has: unknown in the photographs of this one; where a lesion '
          'was looked for in all of them and is in none, give it an empty folder'
          for folder, own in drawn.items() if (lacking := [key for key in masks if key not in own])]


def _say_no_splits(root: pathlib.Path, splits: Collection[pathlib.Path]) -> list[str]:
  """A warning for folders with photographs beside those of splits."""
  others = [folder for folder in folders_in(root) if splits and folder not in splits
            and any(path.suffix.lower() in SUFFIXES for path in folder.glob('*/*'))]
  return [f'{", ".join(map(str, others))} have photographs and are not read, as their names are no splits; those are '
          f'{", ".join(SPLIT_NAMES)}'] if others else []


def _say_unread(folders: Iterable[pathlib.Path]) -> list[str]:
  """A warning for folders with pictures beside those that are read."""
  found = [inner for folder in folders for inner in folders_in(folder) if inner not in (find(folder, IMAGES), find(folder, MASKS))
           and any(path.suffix.lower() in SUFFIXES for pattern in ('*', '*/*') for path in inner.glob(pattern))]
  return [f'{", ".join(map(str, found))} have pictures and are not read; photographs belong into {IMAGES}/, and masks into {MASKS}/<lesion>/'
          ] if found else []


def _read_classes(root: pathlib.Path, scale: Scale) -> Contents | None:
  """Folders by grade, `train/3/x.jpg` or `3/x.jpg`; None where there are none."""
  splits = {folder: SPLIT_NAMES[folder.name.casefold()] for folder in folders_in(root)
            if folder.name.casefold() in SPLIT_NAMES and any(_class(inner.name, scale) for inner in folders_in(folder))}
  tops = splits or ({root: None} if any(_class(folder.name, scale) for folder in folders_in(root)) else {})
  if not tops:
    return None
  if unread := [path for top in {root, *tops} for path in (find(top, TABLE), find(top, MASKS)) if path.exists()]:
    raise ValueError(f'{", ".join(map(str, sorted(unread)))} would not be read, as the photographs lie in folders of their grades; put them into '
                     f'{IMAGES}/ and their grades into {TABLE}, or take out what is not to be read')
  listed: list[tuple[pathlib.Path, Entry]] = []
  for top, split in tops.items():
    for folder in folders_in(top):
      written = _class(folder.name, scale)
      if not written:
        raise ValueError(f'{folder} is no grade; the folders in {top} are named by grades: {", ".join(scale.spans)}')
      grade = scale.grade(written)
      listed += [(path, Entry(grade, None, split)) for path in list_files(folder, SUFFIXES).values()]
  if not listed:
    return None
  stems = collections.Counter(composed(path.stem) for path, _ in listed)
  whole = max(stems.values()) > 1  # numbered anew in each folder, so a name alone is no id
  name = lambda path: composed('-'.join(path.relative_to(root).with_suffix('').parts)) if whole else composed(path.stem)
  photographs = {name(path): path for path, _ in listed}
  entries = {name(path): entry for path, entry in listed}
  notes = [f'grades are those of the folders they lie in{", and so are the splits" if splits else ""}']
  if whole:
    notes.append(f'names occur in several folders, so an id is made of both, {next(iter(photographs))} for instance')
  warnings = _say_no_splits(root, splits)
  folders: dict[pathlib.Path, dict[str, str]] = collections.defaultdict(dict)
  for path, _ in listed if whole else ():  # two eyes of one number are a pair within a folder alone
    folders[path.parent][composed(path.stem)] = name(path)
  entries = _with_patients(photographs, entries, notes, warnings, list(folders.values()))
  return Contents(photographs, {}, {}, {}, entries, notes, warnings)


def _class(name: str, scale: Scale) -> str:
  """How the scale writes the grade that a folder is named by; '' where it is named by none."""
  if scale.knows(name):
    return name
  written = str(_CLASSES.get(plain(name), ''))
  return written if written in scale.spans else ''


def list_masks(
    folder: pathlib.Path, photographs: Mapping[str, pathlib.Path], notes: list[str],
) -> dict[str, dict[str, pathlib.Path]]:
  """Returns lesion key -> photograph -> mask, in the order of LESION_KEYS; only the lesions that have a folder.

  Args:
    folder: that holds a folder for each lesion, named by its key or as `naming.lesion_of` knows it.
    photographs: id -> file.
    notes: takes which folder was taken for which lesion, where its name is not the key.

  Raises:
    ValueError: for a folder that is named like no lesion, two of one lesion, or masks of no photograph.
  """
  folders: dict[str, pathlib.Path] = {}
  for path in folders_in(folder):
    key = path.name if path.name in LESION_KEYS else lesion_of(path.name)
    if key is None:
      raise ValueError(f'{path}: there is no lesion of that name; the folders in {folder} are named '
                       f'{", ".join(LESION_KEYS)} (or HE, EX, SE, or by whole names)')
    if key in folders:
      raise ValueError(f'{path} and {folders[key].name} are both {key}; put their masks into one folder')
    folders[key] = path
  masks = {key: list_files(folders[key], LOSSLESS) for key in LESION_KEYS if key in folders}
  if others := [f'{path.name} as {key}' for key, path in folders.items() if path.name != key]:
    notes.append(f'folders of masks are taken by their names: {", ".join(others)}')
  _require_photographs((path for of_lesion in masks.values() for path in of_lesion.values()), photographs)
  return masks


def _list_maps(
    folder: pathlib.Path, photographs: Mapping[str, pathlib.Path], indices: Mapping[int, str | None],
) -> dict[str, pathlib.Path]:
  """The index maps that lie in the folder of the masks itself."""
  files = [path for path in sorted(folder.iterdir()) if path.is_file() and not is_junk(path)] if folder.is_dir() else []
  if unknown := [path for path in files if path.suffix.lower() not in LOSSLESS]:
    raise ValueError(f'{unknown[0]} does not belong here: {folder} holds a folder for each lesion, or index maps ending in '
                     f'{" ".join(LOSSLESS)}')
  if files and not indices:
    values = ', '.join(map(str, sorted(look(files[0]).values)[:12]))
    raise ValueError(f'{files[0]} ({len(files)} files) lies in no folder of a lesion, so it is taken for an index map, one for '
                     f'all lesions; its values are {values}: {TEACH_INDICES}; or put masks into {folder}/<lesion>/, of '
                     f'{", ".join(LESION_KEYS)}')
  found: dict[str, pathlib.Path] = {}
  for path in files:
    if (other := found.setdefault(composed(path.stem), path)) is not path:
      raise ValueError(f'{path} and {other.name} have one name; remove one of them')
  _require_photographs(found.values(), photographs)
  return found


def _require_photographs(masks: Iterable[pathlib.Path], photographs: Mapping[str, pathlib.Path]) -> None:
  wrong = Findings()
  for path in masks:
    if composed(path.stem) not in photographs:
      wrong.add(str(path), f'is the mask of no photograph: a mask has the name of its photograph in {IMAGES}/, but for the '
                           'ending')
  wrong.require_none()


def _with_patients(
    photographs: Mapping[str, pathlib.Path], entries: dict[str, Entry], notes: list[str], warnings: list[str],
    folders: Iterable[Mapping[str, str]] = (),
) -> dict[str, Entry]:
  """The entries with patients taken from names, where no column says them. `folders` are name -> id, of photographs whose names say
  nothing outside their own folder."""
  if any(entry.patient for entry in entries.values()):
    return entries
  groups = list(folders) or [{name: name for name in photographs}]
  found = {ids[name]: ids[name].removesuffix(name) + patient for ids in groups for name, patient in patients_of(ids).items()}
  if not found:
    notes.append(f'{len(photographs)} photographs, each taken for a patient of its own, as there is no column patient and names are '
                 f'not of the form {PATTERN}')
    if alike := next(filter(None, map(like_series, groups)), ()):
      warnings.append(f'{", ".join(alike)} may be photographs of one patient, and each is taken for a patient of its own, so '
                      f'that they may lie in two splits; a column patient in {TABLE} says it')
    return entries
  patients = [found.get(name, name) for name in photographs]
  notes.append(say_patients(patients, f'as {len(found)} names are of the form {PATTERN} (or other words for an eye; '
                                      f'{next(iter(found))} is patient {next(iter(found.values()))}) and there is no column patient, which '
                                      'would go before'))
  nothing = Entry(UNKNOWN_GRADE, None, None)
  entries = {name: entries.get(name, nothing)._replace(patient=found.get(name)) for name in photographs}
  if crossing := _sides(entries, {}):
    warnings.append(f'by their names, patients are in two splits, so one eye leaks the other: {crossing.say()}')
  return entries


def _sides(entries: Mapping[str, Entry], places: Mapping[str, str]) -> Findings:
  """Photographs of patients that are in another split already."""
  split_of: dict[str, str] = {}
  wrong = Findings()
  for name, entry in entries.items():
    patient = entry.patient or name  # as in the records
    if entry.split and (other := split_of.setdefault(patient, entry.split)) != entry.split:
      wrong.add(places.get(name, name), f'the patient {cut(patient)} is in {entry.split} and in {other}; all photographs of a '
                                        'patient belong to one split')
  return wrong
