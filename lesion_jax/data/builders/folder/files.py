"""What lies in a folder of one's own: photographs, masks, and the table; with errors that say what to do."""

from __future__ import annotations

import collections
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lesion_jax.core import GRADE_KEYS, LESION_KEYS, NUM_GRADES, UNKNOWN_GRADE
from lesion_jax.data.findings import Findings, cut
from lesion_jax.data.masks import TEACH_INDICES
from lesion_jax.data.naming import PATTERN, lesion_of, patients_of, say_patients
from lesion_jax.data.scales import Scale
from lesion_jax.data.splits import SPLITS
from lesion_jax.data.table import Table, composed, plain, read_table

IMAGES, MASKS, TABLE, SETTINGS = 'images', 'masks', 'grades.csv', 'dataset.json'
COLUMNS = ('grade', 'patient', 'split')  # of the table, beside 'id'; each may be missing
KEYS = ('scale', 'values', 'indices')  # of SETTINGS
PHOTOGRAPHS = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp', '.ppm', '.gif', '.webp', '.jp2', '.dcm', '.dicom')
LOSSLESS = ('.png', '.tif', '.tiff', '.gif', '.bmp')
JUNK = ('thumbs.db', 'desktop.ini')  # of file managers, as are hidden files
SPLIT_NAMES = {'train': 'train', 'training': 'train', 'val': 'validation', 'valid': 'validation',
               'validation': 'validation', 'dev': 'validation', 'test': 'test', 'testing': 'test'}
_CLASSES = {str(grade): grade for grade in range(NUM_GRADES)} | {
    plain(key): grade for grade, key in enumerate(GRADE_KEYS)}


class Entry(NamedTuple):
  """What the table, or a folder, says of a photograph; None where it does not say it."""

  grade: int
  patient: str | None
  split: str | None


class Contents(NamedTuple):
  """Everything that a folder holds.

  Attributes:
    photographs: id -> file.
    masks: lesion key -> id -> mask; the lesions that have a folder, in the order of LESION_KEYS.
    maps: id -> index map.
    entries: id -> what is said of it.
    notes: what was taken for what, a sentence each.
    warnings: what may be wrong, a sentence each.
  """

  photographs: dict[str, pathlib.Path]
  masks: dict[str, dict[str, pathlib.Path]]
  maps: dict[str, pathlib.Path]
  entries: dict[str, Entry]
  notes: list[str]
  warnings: list[str]


def read_settings(root: pathlib.Path) -> dict[str, Any]:
  """The keys KEYS that the folder's own SETTINGS has; {} where there is none.

  Raises:
    ValueError: it is no JSON object, or has other keys, naming it.
  """
  path = root / SETTINGS
  if not path.is_file():
    return {}
  try:
    found = json.loads(path.read_text('utf-8-sig'))
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{path} is not JSON: {cut(str(error), 200)}') from error
  if not isinstance(found, dict) or (strange := set(found) - set(KEYS)):
    named = f'has {", ".join(sorted(map(cut, strange)))}' if isinstance(found, dict) else 'is no object'
    raise ValueError(f'{path} {named}; it is one JSON object with any of {", ".join(KEYS)}, such as '
                     '{"scale": "referable", "values": {"lesion": 1, "ignore": 255}}')
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
    list_files(root / IMAGES, PHOTOGRAPHS)  # raises, as there is no such folder
  photographs: dict[str, pathlib.Path] = {}
  masks: dict[str, dict[str, pathlib.Path]] = {}
  maps: dict[str, pathlib.Path] = {}
  of_folder: dict[str, str] = {}
  notes, tables = [], [root / TABLE]
  for split, folder in parts.items():
    found = list_files(folder / IMAGES, PHOTOGRAPHS)
    if not found:
      raise FileNotFoundError(f'no photograph in {folder / IMAGES}; put them there, ending in {" ".join(PHOTOGRAPHS)}')
    if twice := sorted(found.keys() & photographs.keys()):
      raise ValueError(f'{found[twice[0]]} and {photographs[twice[0]]} have one name, as have {len(twice)} in all; the name '
                       'without its ending names a photograph, so rename one of them, and what belongs to it')
    photographs |= found
    for key, of_lesion in list_masks(folder / MASKS, found, notes).items():
      masks.setdefault(key, {}).update(of_lesion)
    maps |= _list_maps(folder / MASKS, found, indices)
    if split:
      of_folder |= dict.fromkeys(found, split)
      tables.append(folder / TABLE)
  masks = {key: masks[key] for key in LESION_KEYS if key in masks}
  if masks and maps:
    raise ValueError(f'{root / MASKS} holds folders of lesions and index maps; give one of the two')
  warnings: list[str] = []
  places: dict[str, str] = {}
  entries = read_entries([table for table in tables if table.is_file()], photographs, scale, notes, warnings, places)
  if of_folder:
    notes.append('splits are those of the folders ' + ', '.join(folder.name for folder in parts.values()))
    wrong = Findings()
    for name, entry in entries.items():
      if entry.split and entry.split != of_folder[name]:
        wrong.add(name, f'the table puts it into {entry.split} and its folder into {of_folder[name]}; take the column split out')
    wrong.require_none()
    entries = {name: entries.get(name, Entry(UNKNOWN_GRADE, None, None))._replace(split=split)
               for name, split in of_folder.items()}
  if any(entry.patient for entry in entries.values()):
    _sides(entries, places).require_none()
  entries = _with_patients(photographs, entries, notes, warnings)
  return Contents(photographs, masks, maps, entries, notes, warnings)


def _parts(root: pathlib.Path) -> dict[str, pathlib.Path] | None:
  """{'' : root} where images/ lies in it; split -> folder where folders of splits have images/; else None."""
  if (root / IMAGES).is_dir():
    return {'': root}
  found: dict[str, pathlib.Path] = {}
  for folder in _folders(root):
    split = SPLIT_NAMES.get(folder.name.casefold())
    if split and (folder / IMAGES).is_dir():
      if split in found:
        raise ValueError(f'{found[split]} and {folder.name} are one split ({split}); put them together')
      found[split] = folder
  return found or None


def _read_classes(root: pathlib.Path, scale: Scale) -> Contents | None:
  """Folders by grade, `train/3/x.jpg` or `3/x.jpg`; None where there are none."""
  splits = {folder: SPLIT_NAMES[folder.name.casefold()] for folder in _folders(root)
            if folder.name.casefold() in SPLIT_NAMES and any(_class(inner.name, scale) for inner in _folders(folder))}
  tops = splits or ({root: None} if any(_class(folder.name, scale) for folder in _folders(root)) else {})
  if not tops:
    return None
  listed: list[tuple[pathlib.Path, Entry]] = []
  for top, split in tops.items():
    for folder in _folders(top):
      written = _class(folder.name, scale)
      if not written:
        if folder.name == MASKS:
          continue
        raise ValueError(f'{folder} is no grade; the folders in {top} are named by grades: {", ".join(scale.spans)}')
      grade = scale.grade(written)
      listed += [(path, Entry(grade, None, split)) for path in list_files(folder, PHOTOGRAPHS).values()]
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
  warnings: list[str] = []
  entries = entries if whole else _with_patients(photographs, entries, notes, warnings)
  return Contents(photographs, {}, {}, entries, notes, warnings)


def _class(name: str, scale: Scale) -> str:
  """How the scale writes the grade that a folder is named by; '' where it is named by none."""
  if name.casefold() in scale.spans:
    return name
  written = str(_CLASSES.get(plain(name), ''))
  return written if written in scale.spans else ''


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
  return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith('.')) if root.is_dir() else []


def list_files(folder: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
  """The files of a folder by their names without ending (NFC), sorted.

  Raises:
    FileNotFoundError: where there is no such folder.
    ValueError: where something else lies in it, or two files have one name.
  """
  if not folder.is_dir():
    raise FileNotFoundError(f'no folder {folder}; source_dir must hold {IMAGES}/, and {MASKS}/ or {TABLE} or both; or folders '
                            'train, val and test of the same; or a folder for each grade (0/ to 4/), or train/0/ and so on')
  found: dict[str, pathlib.Path] = {}
  wrong = Findings()
  for path in sorted(folder.iterdir()):
    if _is_junk(path):
      continue
    name = composed(path.stem)
    if path.suffix.lower() not in suffixes or not path.is_file():
      wrong.add(str(path), f'does not belong here: this folder holds files ending in {" ".join(suffixes)} and '
                           'nothing else; move it elsewhere, or convert it')
    elif name in found:
      raise ValueError(f'{path} and {found[name].name} have one name; the name without its ending names a '
                       'photograph, so rename one of them, and what belongs to it')
    else:
      found[name] = path
  wrong.require_none()
  return found


def _is_junk(path: pathlib.Path) -> bool:
  return path.name.startswith('.') or path.name.lower() in JUNK


def list_masks(
    folder: pathlib.Path, photographs: Mapping[str, pathlib.Path], notes: list[str],
) -> dict[str, dict[str, pathlib.Path]]:
  """Lesion key -> photograph -> mask, in the order of LESION_KEYS; only the lesions that have a folder.

  Args:
    folder: that holds a folder for each lesion, named by its key or as `naming.lesion_of` knows it.
    photographs: id -> file.
    notes: takes which folder was taken for which lesion, where its name is not the key.

  Raises:
    ValueError: for a folder that is named like no lesion, two of one lesion, or masks of no photograph.
  """
  folders: dict[str, pathlib.Path] = {}
  for path in _folders(folder):
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
  files = [path for path in sorted(folder.iterdir()) if path.is_file() and not _is_junk(path)] if folder.is_dir() else []
  if strange := [path for path in files if path.suffix.lower() not in LOSSLESS]:
    raise ValueError(f'{strange[0]} does not belong here: {folder} holds a folder for each lesion, or index maps ending in '
                     f'{" ".join(LOSSLESS)}')
  if files and not indices:
    from lesion_jax.data.masks import look  # its values, for the message alone

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


def read_entries(
    tables: Iterable[pathlib.Path], photographs: Mapping[str, pathlib.Path], scale: Scale, notes: list[str],
    warnings: list[str], places: dict[str, str],
) -> dict[str, Entry]:
  """Photograph -> what the tables say of it; {} where there is no table.

  Args:
    tables: files that there are.
    photographs: id -> file.
    scale: of the grades.
    notes: takes what was taken for what.
    warnings: takes the columns that are not used.
    places: takes file and row of each photograph.

  Raises:
    ValueError: where one has no column 'id', a row is of no photograph or a second one, a photograph has none, or a value
      is not allowed: all such rows, counted.
  """
  find, wrong, entries = _finder(photographs), Findings(), {}
  abouts = []
  for path in tables:
    table = read_table(path, ('id', *COLUMNS))
    abouts.append(path)
    columns = ['id', *(column for column in COLUMNS if table.find(column) is not None)]
    if others := table.others(('id', *COLUMNS)):
      warnings.append(f'{path}: the columns {", ".join(map(cut, others))} are not used; used are {", ".join(columns)}')
    _require_ids(table)
    for where, cells in table.cells(columns):
      if name := _add(dict(zip(columns, cells, strict=True)), where, find, scale, entries, wrong):
        places[name] = f'{where} ({name})'
  wrong.require_none()
  if abouts and (missing := [name for name in photographs if name not in entries]):
    raise ValueError(f'{abouts[0]} has no row for {len(missing)} photographs: {", ".join(missing[:5])}; give each one, '
                     'with an empty grade where it is unknown')
  if abouts and any(entry.patient for entry in entries.values()):
    patients = [entry.patient or name for name, entry in entries.items()]
    _require_one_spelling(patients, abouts[0])
    notes.append(say_patients(patients, 'from the column patient'))
  return entries


def _require_ids(table: Table) -> None:
  if table.find('id') is None:
    raise ValueError(f'{table.path} has no column id; its columns are {cut(", ".join(table.header), 300)} (read as '
                     f'{table.encoding}, cells separated by {cut(repr(table.separator))}); name the column of the photographs '
                     'id, and the others grade, patient and split')


def _add(
    cells: dict[str, str], where: str, find: Any, scale: Scale, entries: dict[str, Entry], wrong: Findings) -> str | None:
  """Takes one row and returns its photograph, or says what is wrong with it."""
  name = find(cells['id'])
  if name is None:
    wrong.add(where, f'there is no photograph {cut(cells["id"])!r} in {IMAGES}/; an id is the name of a file there')
    return None
  where = f'{where} ({name})'
  if name in entries:
    wrong.add(where.rpartition(' (')[0], f'{name} has a row already')
    return None
  try:
    grade = scale.grade(cells.get('grade', ''))
  except ValueError as error:
    wrong.add(where, str(error))
    return None
  split = cells.get('split')
  if split is not None and split.casefold() not in SPLIT_NAMES:
    wrong.add(where, f'split is {cut(split)!r}; the splits are {", ".join(SPLITS)}, for every photograph, or leave '
                     'the column out and photographs are dealt by patient')
    return None
  entries[name] = Entry(grade, ' '.join(cells.get('patient', '').split()) or None,
                        None if split is None else SPLIT_NAMES[split.casefold()])
  return name


def _finder(photographs: Mapping[str, pathlib.Path]) -> Any:
  """Finds the photograph that a table's id means: its name without or with its ending or that of another format, whatever
  the case where that is one photograph alone; None where there is none."""
  exact = dict.fromkeys(photographs)
  full = {composed(path.name): name for name, path in photographs.items()}
  loose = collections.defaultdict(list)
  for name in photographs:
    loose[name.casefold()].append(name)

  def find(text: str) -> str | None:
    text = text.replace('\\', '/').rpartition('/')[2]
    bare = composed(pathlib.PurePath(text).stem) if pathlib.PurePath(text).suffix.lower() in PHOTOGRAPHS else text
    for one in (text, bare):
      if one in exact:
        return one
      if one in full:
        return full[one]
    alike = loose.get(text.casefold(), []) or loose.get(bare.casefold(), [])
    return alike[0] if len(alike) == 1 else None

  return find


def _require_one_spelling(patients: Iterable[str], table: pathlib.Path) -> None:
  """Raises ValueError where two patients differ in nothing but case, as one would be dealt to two splits."""
  seen: dict[str, str] = {}
  for patient in patients:
    if (other := seen.setdefault(patient.casefold(), patient)) != patient:
      raise ValueError(f'{table}: the patients {other} and {patient} differ in nothing but case; write one patient one way')


def _with_patients(
    photographs: Mapping[str, pathlib.Path], entries: dict[str, Entry], notes: list[str], warnings: list[str],
) -> dict[str, Entry]:
  """The entries with patients taken from names, where no column says them."""
  if any(entry.patient for entry in entries.values()):
    return entries
  found = patients_of(photographs)
  if not found:
    return entries
  patients = [found.get(name, name) for name in photographs]
  notes.append(say_patients(patients, f'as {len(found)} names are of the form {PATTERN} and there is no column patient, which '
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
