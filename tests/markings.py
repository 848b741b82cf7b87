"""Writes annotations as DIARETDB1 has them."""

from __future__ import annotations


def circle(x, y, radius):
  return f'<circleregion><centroid><coords2d>{x},{y}</coords2d></centroid><radius>{radius}</radius></circleregion>'


def ellipse(x, y, a, b, angle):
  return (f'<ellipseregion><centroid><coords2d>{x},{y}</coords2d></centroid><radius direction="x">{a}</radius>'
          f'<radius direction="y">{b}</radius><angle>{angle}</angle></ellipseregion>')


def polygon(*points):
  return '<polygonregion>' + ''.join(f'<coords2d>{x},{y}</coords2d>' for x, y in points) + '</polygonregion>'


def marking(region, kind, confidence='High'):
  return (f'<marking>{region}<representativepoint><coords2d>1,1</coords2d></representativepoint>'
          f'<confidencelevel>{confidence}</confidencelevel><markingtype>{kind}</markingtype></marking>')


def diaretdb1(*markings):
  return ('<?xml version="1.0" encoding="UTF-8"?><imgannotooldata><header><creator>expert</creator></header>'
          f'<markinglist>{"".join(markings)}</markinglist></imgannotooldata>')
