"""XML from strangers: no declarations of their own, so no entities that grow and none that fetch."""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ET
from xml.parsers import expat

from lesion_jax.annotation.mistakes import cut


def parse_xml(path: pathlib.Path) -> ET.Element:
  """Returns the root of an XML file.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: naming it, where it is not XML, or its document type (DOCTYPE) declares something or names a file
      elsewhere. A bare name, as in DIARETDB1's `<!DOCTYPE imgannotool>`, does neither.
  """
  data = path.read_bytes()
  try:
    _refuse_doctype(path, data)
    return ET.fromstring(data)
  except (expat.ExpatError, ET.ParseError, LookupError) as error:
    raise ValueError(f'{path} is not XML: {error}') from error


def number(text: str | None, what: str, where: str) -> float:
  """Returns a finite number of an attribute or element.

  Raises:
    ValueError: where it is missing or another thing, saying what and where.
  """
  try:
    value = float(text or '')
  except ValueError:
    value = float('nan')
  if not abs(value) < float('inf'):
    raise ValueError(f'{where}: {what} is {cut(repr(text))}; expected a number')
  return value


def points(text: str | None, where: str, *, pairs: str = ';') -> list[tuple[float, float]]:
  """Parses 'x,y;x,y;...' as points.

  Raises:
    ValueError: where it is anything else.
  """
  found = []
  for pair in (text or '').split(pairs):
    x, comma, y = pair.partition(',')
    if not comma:
      raise ValueError(f'{where}: {cut(pair.strip())!r} is no point; expected x,y')
    found.append((number(x, 'x', where), number(y, 'y', where)))
  return found


def _refuse_doctype(path: pathlib.Path, data: bytes) -> None:
  def refuse(name, system, public, declares):
    if system is not None or public is not None or declares:
      raise ValueError(f'{path} has a DOCTYPE that declares entities or names another file, which no annotation needs and '
                       'which can make a reader fetch or fill anything; remove that line, or export the file again')

  parser = expat.ParserCreate()
  parser.StartDoctypeDeclHandler = refuse
  parser.Parse(data, True)
