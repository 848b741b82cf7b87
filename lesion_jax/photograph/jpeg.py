"""Whether the coded data of a JPEG are whole.

Decoders fill what is missing with grey and continue, so a photograph that was cut off, padded with zeros or has a hole in it
looks like one. Two looks at the file come before it is decoded: its markers say how many scans there are, each of which
passes over the whole picture, and of which kind; and libjpeg-turbo, through `simplejpeg`, says at what it stumbles in the
coded data, at an eighth of the size. Without `simplejpeg` (there are systems for which nobody has built it) only the first
look is taken, and a hole may pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO

try:
  import simplejpeg
except ImportError:
  simplejpeg = None

START, END_MARKER = b'\xff\xd8', b'\xff\xd9'
# Our choice. Files for screens have about 10 scans; each takes as long as decoding an ordinary file of that size.
MAX_SCANS = 100
_END, _SCAN = 0xd9, 0xda
_ALONE = {0x01, *range(0xd0, 0xd8)}  # markers without a length
_NEXT = re.compile(b'\xff+([^\x00\xff])', re.DOTALL)
_IN_SCAN = re.compile(b'\xff+([^\x00\xd0-\xd7\xff])', re.DOTALL)
_KINDS = {0xc3: 'lossless JPEG', **dict.fromkeys((0xc5, 0xc6, 0xc7, 0xcd, 0xce, 0xcf), 'hierarchical JPEG'),
          **dict.fromkeys((0xc9, 0xca), 'JPEG of arithmetic coding'), 0xcb: 'lossless JPEG', 0xf7: 'JPEG-LS'}
_FRAMES = {0xc0, 0xc1, 0xc2, *_KINDS}
_PADDING = 'extraneous bytes before marker 0xd9'
_EARLY = 'its coded data end early'
# In a TIFF: compression, and which number of it is JPEG; tables that all parts share; where strips or tiles begin, and their bytes.
_COMPRESSION, _JPEG, _TABLES, _PARTS = 259, 7, 347, ((273, 279), (324, 325))


class OtherKind(ValueError):
  """A JPEG that is sound, as far as was looked, and of a kind that is not read."""


def check_jpeg(data: bytes) -> None:
  """Looks for damage in a JPEG, and for kinds that are not read.

  Args:
    data: the file, or the stream out of another. What follows its end marker is not looked at.

  Raises:
    ValueError: what is wrong, in words that follow the file's name and a colon; OtherKind where it is the kind.
  """
  scans, place = 0, len(START)
  while True:
    found = _NEXT.search(data, place)
    if found is None:
      if not scans:
        raise ValueError('it has no picture')
      if simplejpeg is None:
        raise ValueError(f'{_EARLY}: the end marker is missing; copy it again')
      data, place = data + END_MARKER, len(data) + len(END_MARKER)  # some writers leave it out
      break
    marker, place = found[1][0], found.end()
    if marker == _END:
      break
    if marker in _ALONE:
      continue
    length = int.from_bytes(data[place:place + 2], 'big')
    if length < 2 or place + length > len(data):
      raise ValueError('its header is cut off or damaged; copy it again')
    if marker in _FRAMES:
      _check_frame(marker, data[place + 2])
    place += length
    if marker == _SCAN:
      scans += 1
      if scans > MAX_SCANS:
        raise ValueError(f'it has more than {MAX_SCANS} scans, each of which passes over the whole picture; save it again')
      found = _IN_SCAN.search(data, place)
      place = found.start() if found else len(data)
  if not scans:
    raise ValueError('it has no picture')
  _check_codes(data[:place])


def check_parts(tags: Mapping[int, Any], file: BinaryIO) -> None:
  """Does the same for a page of a TIFF, each strip or tile of which is a JPEG where its compression says so.

  Args:
    tags: of the page, as Pillow has them.
    file: the TIFF.

  Raises:
    ValueError: as `check_jpeg`.
  """
  if tags.get(_COMPRESSION) != _JPEG:
    return
  tables = bytes(tags.get(_TABLES) or START).rstrip(b'\0').removesuffix(END_MARKER)
  for offsets, counts in _PARTS:
    for place, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
      file.seek(place)
      check_jpeg(tables + file.read(count).removeprefix(START))


def _check_frame(marker: int, bits: int) -> None:
  if marker in _KINDS:
    raise OtherKind(f'it is a {_KINDS[marker]}, which is not read; save it as ordinary JPEG, PNG or TIFF')
  if bits != 8:
    raise OtherKind(f'it is a JPEG of {bits} bits; read are 8')


def _check_codes(data: bytes) -> None:
  if simplejpeg is None:
    return
  try:
    _, _, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    colours = 'CMYK' if colours in ('CMYK', 'YCCK') else 'GRAY'
    simplejpeg.decode_jpeg(data, colours, fastdct=True, fastupsample=True, min_height=1, min_width=1, min_factor=8, strict=True)
  except ValueError as error:
    said = str(error)
    if _PADDING in said and (bare := data.removesuffix(END_MARKER).rstrip(b'\0')) + END_MARKER != data:
      return _check_codes(bare + END_MARKER)  # zeros are harmless behind the last row, and there alone
    if 'remature' in said:
      raise ValueError(f'{_EARLY}, or have a hole; copy it again') from error
    if 'orrupt' in said or 'Huffman' in said:
      raise ValueError(f'its coded data are damaged ({said.removeprefix("Corrupt JPEG data: ")}); copy it again') from error
    # What else it does not do, Pillow may.
