"""Reads DIARETDB1's XML: what one expert marked in one photograph, and how sure they were.

Facts, from readers of the raw dataset: markinglist/marking holds one of circleregion (centroid/coords2d, radius),
ellipseregion (centroid/coords2d, radius direction="x" and "y", angle in degrees, counter-clockwise on screen) and
polygonregion (coords2d, ...), and beside it confidencelevel and markingtype; coordinates count pixels' centres from 0.
"""

from __future__ import annotations

import math
import pathlib
import xml.etree.ElementTree as ET
from typing import NamedTuple

from lesion_jax.annotation.safe_xml import number, parse_xml, points
from lesion_jax.annotation.shapes import Ellipse, Polygon, Shape

LESION_OF = {'Red_small_dots': 'MA', 'Haemorrhages': 'iHE', 'Hard_exudates': 'HaEx', 'Soft_exudates': 'CWS'}
# Markings of some files that are no lesion of ours, or that the experts did not look for throughout.
OTHERS = ('Disc', 'Fundus_area', 'IRMA', 'Neovascularisation')
CONFIDENCE = {'High': 1.0, 'Medium': 0.75, 'Low': 0.25}


class Marking(NamedTuple):
  """One marked lesion: its shape, and how sure the expert was, in (0, 1]."""

  shape: Shape
  confidence: float


def read_markings(path: pathlib.Path) -> list[Marking]:
  """Reads one expert's markings of one photograph; those of OTHERS are left out.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: naming it, where it is not such a file, or has an unknown type, confidence or region.
  """
  root = parse_xml(path)
  if root.find('markinglist') is None:
    raise ValueError(f'{path} is no annotation of DIARETDB1: it has no markinglist')
  found = []
  for order, marking in enumerate(root.findall('markinglist/marking'), start=1):
    where = f'{path}, marking {order}'
    kind = _text(marking, 'markingtype')
    if kind in OTHERS:
      continue
    if kind not in LESION_OF:
      raise ValueError(f'{where}: unknown markingtype {kind!r}; known are {", ".join((*LESION_OF, *OTHERS))}')
    confidence = _text(marking, 'confidencelevel')
    if confidence not in CONFIDENCE:
      raise ValueError(f'{where}: unknown confidencelevel {confidence!r}; known are {", ".join(CONFIDENCE)}')
    found.append(Marking(_shape(marking, LESION_OF[kind], where), CONFIDENCE[confidence]))
  return found


def _shape(marking: ET.Element, lesion: str, where: str) -> Shape:
  for name, read in (('circleregion', _circle), ('ellipseregion', _ellipse), ('polygonregion', _polygon)):
    region = marking.find(name)
    if region is not None:
      return read(region, lesion, where)
  raise ValueError(f'{where} has none of circleregion, ellipseregion and polygonregion')


def _circle(region: ET.Element, lesion: str, where: str) -> Ellipse:
  radius = number(region.findtext('radius'), 'radius', where)
  return Ellipse(lesion, _centre(region, where), (radius, radius), 0.0)


def _ellipse(region: ET.Element, lesion: str, where: str) -> Ellipse:
  radii = {radius.get('direction'): radius.text for radius in region.findall('radius')}
  axes = tuple(number(radii.get(side), f'radius {side}', where) for side in ('x', 'y'))
  return Ellipse(lesion, _centre(region, where), axes, -math.radians(number(region.findtext('angle'), 'angle', where)))


def _polygon(region: ET.Element, lesion: str, where: str) -> Polygon:
  outline = [point for item in region.findall('coords2d') for point in points(item.text, where)]
  if not outline:
    raise ValueError(f'{where}: its polygon has no points')
  return Polygon(lesion, tuple(outline))


def _centre(region: ET.Element, where: str) -> tuple[float, float]:
  return points(region.findtext('centroid/coords2d'), where)[0]


def _text(marking: ET.Element, name: str) -> str:
  return (marking.findtext(name) or '').strip()
