"""Any export -> annotations, each by one annotator of one photograph."""

from __future__ import annotations

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable

from lesion_jax.annotation.coco import is_coco, read_coco
from lesion_jax.annotation.cvat import read_cvat
from lesion_jax.annotation.json_file import read_json
from lesion_jax.annotation.label_studio import read_label_studio
from lesion_jax.annotation.labelme import is_labelme, read_labelme
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.shapes import Annotation
from lesion_jax.photograph.files import is_junk
from lesion_jax.places import real


@dataclasses.dataclass(frozen=True)
class Exports:
  """What several exports hold together.

  Attributes:
    annotations: one for each annotator of a photograph.
    passed_over: what was not taken, by reason, counted.
  """

  annotations: list[Annotation]
  passed_over: Counter[str]


def read_exports(files: Iterable[tuple[str, pathlib.Path]], labels: Labels) -> Exports:
  """Reads exports of Label Studio, COCO and labelme (JSON) and CVAT (XML), told apart by what they hold.

  Args:
    files: (annotator, path); the annotator names whose a file of one annotator is (CVAT, COCO, labelme), and is '' where the
      file says it. A folder stands for the JSON files in it, one annotator's of labelme.
    labels: what the labels mean.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: naming the file, where it cannot be read; or where two files hold the same annotator's opinion of the
      same photograph, as nobody votes twice.
  """
  annotations, passed_over, seen = [], Counter(), {}
  for annotator, path in files:
    found, skipped = _read(annotator, path, labels)
    passed_over += skipped
    for annotation in found:
      key = annotation.photograph, annotation.annotator
      if key in seen:
        raise ValueError(
            f'{annotation.annotator} annotated {annotation.photograph} in {seen[key]} and in {path}, and nobody votes '
            'twice. Give one of the two; or, where they are two people, name them: NAME=FILE (CVAT, COCO, labelme)')
      seen[key] = path
    annotations.extend(found)
  return Exports(annotations, passed_over)


def _read(annotator: str, path: pathlib.Path, labels: Labels) -> tuple[list[Annotation], Counter[str]]:
  if path.is_dir():
    files = sorted(file for file in path.glob('*.json') if not is_junk(file))
    if not files:
      raise ValueError(f'{path} is a folder without JSON files of labelme; name the exported files in it')
    whole, passed_over = [], Counter()
    for file in files:
      found, skipped = _read(annotator or real(path).name, file, labels)
      whole, passed_over = whole + found, passed_over + skipped
    return whole, passed_over
  start = path.read_bytes()[:64].removeprefix(b'\xef\xbb\xbf').lstrip()[:1]
  if start == b'<':
    return read_cvat(path, labels, annotator)
  if start not in (b'[', b'{'):
    raise ValueError(f'{path} is neither an export of Label Studio, COCO or labelme (JSON) nor of CVAT (XML); unpack archives '
                     'first')
  if start == b'{':
    content = read_json(path)
    for is_one, read in ((is_coco, read_coco), (is_labelme, read_labelme)):
      if is_one(content):
        return read(path, content, labels, annotator)
  if annotator:
    raise ValueError(f'{path} is an export of Label Studio, which says itself who annotated; leave out {annotator}=')
  return read_label_studio(path, labels)
