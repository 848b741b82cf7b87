"""`lesion-jax predict`: files per photograph, and one table of all."""

from __future__ import annotations

import argparse
import collections
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.bmp', '.webp', '.ppm')
DISPLAY_SIZE = 1024  # side of an overlay: the network's own size may be too small to read
TABLE = 'results.csv'

PREDICT = f'''\
Reads photographs, finds the field of view in each, and writes for each into DIR:

  <name>/overlay.png    the field of view with the lesions outlined (networks with lesion maps only)
  <name>/<lesion>.png   a mask in the photograph's own pixels, 0 or 255, of each lesion that is present (likewise)
  <name>/result.json    grade, probabilities, and where in the photograph the network looked

and {TABLE} for all of them. A photograph that cannot be read, or whose results cannot be written, does not stop the
others.

Of folders, every file is taken whose name ends in {' '.join(SUFFIXES)}.'''
EXAMPLES = '''\
examples:
  lesion-jax predict left.jpg right.jpg --model runs/demo/grade/bundle --out results
  lesion-jax predict photographs/ --model bundle --out results --batch-size 8    (on a GPU)

exit status: 0, or 1 where a photograph failed, or 2 where nothing could be done.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  predict = commands.add_parser(
      'predict', help='lesions and grade of photographs', description=PREDICT, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  predict.add_argument('files', nargs='+', type=pathlib.Path, metavar='FILE',
                       help='a photograph, or a folder that is searched with all folders in it')
  predict.add_argument('--model', required=True, type=pathlib.Path, metavar='BUNDLE',
                       help='directory of the network: config.json and model.safetensors')
  predict.add_argument('--out', required=True, type=pathlib.Path, metavar='DIR',
                       help='where the results go; made where it does not exist')
  predict.add_argument('--batch-size', type=_batch_size, default=1, metavar='N',
                       help='photographs in one pass (default 1, right on a CPU; try 8 on a GPU)')
  predict.add_argument('--threshold', type=_threshold, metavar='T',
                       help="probability from which a lesion is present (default: the model's own, by lesion)")
  predict.add_argument('--crop', action=argparse.BooleanOptionalAction,
                       help='look for the field of view in every photograph; or in none, as they are squares around it '
                            'already (default: as the network was trained; if that was on squares, square photographs '
                            'are only resized)')
  predict.set_defaults(run=_predict, parser=predict)


def find_photographs(paths: Sequence[pathlib.Path], out: pathlib.Path) -> list[pathlib.Path]:
  """The files among `paths` and the photographs in the folders among them, each once, folders in sorted order.

  What lies in `out` is the output of an earlier run, and is not searched.
  """
  found: dict[pathlib.Path, pathlib.Path] = {}
  for path in paths:
    inside = sorted(file for file in path.rglob('*') if file.suffix.lower() in SUFFIXES and file.is_file()
                    and not file.resolve().is_relative_to(out.resolve())) if path.is_dir() else [path]
    for file in inside:
      found.setdefault(file.resolve(), file)
  return list(found.values())


def name_folders(files: Sequence[pathlib.Path]) -> list[str]:
  """A folder name for each file: its stem, with '~2', '~3' appended where a file before it took that name.

  Names that differ in case alone count as equal, as some file systems hold them to be.
  """
  taken, names = {TABLE}, []
  for file in files:
    name, number = file.stem, 1
    while name.casefold() in taken:
      number += 1
      name = f'{file.stem}~{number}'
    taken.add(name.casefold())
    names.append(name)
  return names


def _predict(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  files = find_photographs(arguments.files, arguments.out)
  if not files:
    parser.error(f'no photograph found in {", ".join(map(str, arguments.files))}; '
                 f'of folders, files ending in {" ".join(SUFFIXES)} are taken')
  try:
    arguments.out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    parser.error(f'--out {arguments.out} cannot be a directory: {error}')

  from lesion_jax import runtime
  from lesion_jax.predict import load

  runtime.set_up()
  try:
    predictor = load(arguments.model)
  except (FileNotFoundError, ValueError) as error:
    parser.error(f'--model {arguments.model}: {error}')
  try:
    rows = _run(predictor, files, arguments)
  except OSError as error:
    print(f'{TABLE} could not be written: {error}', file=sys.stderr)
    return 1
  failed = [row['error'] for row in rows if 'error' in row]
  if failed:
    print(f'{len(failed)} of {len(rows)} photographs failed:', *failed, sep='\n  ', file=sys.stderr)
  print(f'{len(rows) - len(failed)} of {len(rows)} photographs predicted; see {arguments.out / TABLE}')
  return 1 if failed else 0


def _run(predictor: Any, files: Sequence[pathlib.Path], arguments: argparse.Namespace) -> list[dict[str, Any]]:
  """Predicts and writes all photographs; returns the rows of the table, in the order of the files."""
  from lesion_jax.report.result import write_table

  rows: dict[pathlib.Path, dict[str, Any]] = {}
  try:
    _fill(rows, predictor, files, arguments)
  finally:  # whatever happened, what is finished is in the table
    ordered = [rows[file] for file in files if file in rows]
    write_table(arguments.out / TABLE, ordered)
  return ordered


def _fill(
    rows: dict[pathlib.Path, dict[str, Any]], predictor: Any, files: Sequence[pathlib.Path],
    arguments: argparse.Namespace,
) -> None:
  """Predicts and writes all photographs, and puts the row of each into `rows` when it is finished or has failed."""
  import tqdm

  from lesion_jax.report.result import Found, describe, table_row, write_result

  thresholds = predictor.thresholds
  if arguments.threshold is not None:
    thresholds = [arguments.threshold] * len(thresholds)
  crop = predictor.crop if arguments.crop is None else arguments.crop
  waiting: collections.deque[tuple[pathlib.Path, str, Any]] = collections.deque()
  with tqdm.tqdm(total=len(files), unit='photo', dynamic_ncols=True, disable=None) as bar:

    def fail(file: pathlib.Path, error: str) -> None:
      rows[file] = {'file': str(file), 'folder': '', 'error': error}
      bar.update()

    def squares() -> Iterator[Any]:
      for file, folder, opened in _open_all(files, predictor.size, crop, arguments.batch_size):
        if isinstance(opened, Exception):
          fail(file, str(opened))
        else:
          square, display = opened
          waiting.append((file, folder, display))
          yield square

    for result in predictor.stream(squares(), batch_size=arguments.batch_size):
      file, folder, display = waiting.popleft()
      found = Found(result.crops[0], *(None if head is None else head[0] for head in (
          result.maps, result.lesions, result.grades)))
      record = describe(found, str(file), predictor.config, thresholds)
      try:
        write_result(arguments.out / folder, display, found, record)
      except OSError as error:
        fail(file, f'{file}: its results could not be written: {error}')
      else:
        rows[file] = table_row(record, folder)
        bar.update()


def _open_all(
    files: Sequence[pathlib.Path], size: int, crop: bool | None, batch_size: int,
) -> Iterator[tuple[pathlib.Path, str, Any]]:
  """(file, folder, (square for the network, square to draw on) or the error), in order, read on threads."""
  from lesion_jax.data.fundus import read_photograph
  from lesion_jax.data.threads import ordered_map
  from lesion_jax.predict import prepare

  def open_one(item: tuple[pathlib.Path, str]) -> tuple[pathlib.Path, str, Any]:
    file, folder = item
    try:
      image = read_photograph(file)
      square = prepare(image, size, crop=crop, name=str(file))
      return file, folder, (square, square.crop.apply(image, DISPLAY_SIZE))
    except (OSError, ValueError) as error:
      return file, folder, error

  named = zip(files, name_folders(files), strict=True)
  return ordered_map(open_one, named, ahead=max(batch_size, os.cpu_count() or 1))


def _batch_size(text: str) -> int:
  value = int(text)
  if value < 1:
    raise argparse.ArgumentTypeError(f'{text} is below 1')
  return value


def _threshold(text: str) -> float:
  value = float(text)
  if not 0 < value < 1:
    raise argparse.ArgumentTypeError(f'{text} is not between 0 and 1')
  return value

