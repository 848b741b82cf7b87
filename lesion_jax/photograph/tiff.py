"""What a TIFF says of itself that Pillow does not ask: which of its pages is the photograph, and how its numbers are stored.

Needs Pillow alone, so that exports carry this file.
"""

from __future__ import annotations

import contextlib
import struct
from typing import Any, BinaryIO

from PIL import TiffImagePlugin

MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
KIND, BITS, COMPRESSION, PHOTOMETRIC, PLANES, FORMAT = 254, 258, 259, 262, 284, 339
WHITE_IS_ZERO, SEPARATE, UNCOMPRESSED, UNSIGNED = 0, 2, 1, 1
REDUCED = 1  # bit of KIND: a page that is a smaller copy of another
FORMATS = {2: 'with a sign', 3: 'with a floating point', 5: 'of two parts (complex)', 6: 'of two parts (complex)'}
MAX_PAGES = 100
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error)
LARGER = 4  # times the pixels of the first page: that one was a thumbnail, though nothing says so


def refuse_numbers(file: BinaryIO) -> None:
  """Says of a TIFF which Pillow does not know whether its numbers are the cause. Raises ValueError where they are."""
  file.seek(0)
  head = file.read(16)
  if head[:4] not in MAGIC:
    return
  cause = None
  with contextlib.suppress(*DAMAGE):  # of which the caller speaks
    tags = TiffImagePlugin.ImageFileDirectory_v2(head if b'+' in head[2:4] else head[:8])
    file.seek(tags.next)
    tags.load(file)
    cause = _odd(tags)
  if cause:
    raise ValueError(cause)


def choose_page(image: Any) -> None:
  """Turns an open TIFF to the page that is the photograph: the first that is not marked as a smaller copy, or one at least
  LARGER times as large as that, of the same kind.

  Raises:
    ValueError: there is none, or its numbers are not read.
  """
  sizes: list[tuple[int, int]] = []
  for number in range(MAX_PAGES):
    try:
      image.seek(number)
    except EOFError:
      break
    except DAMAGE as error:
      raise ValueError(f'its page {number + 1} is cut off or damaged, or of a kind that is not read; copy it again, or save the '
                       'photograph alone') from error
    if not int(image.tag_v2.get(KIND, 0)) & REDUCED:
      sizes.append((number, image.width * image.height))
  if not sizes:
    raise ValueError('it holds nothing but smaller copies of a photograph that is not in it')
  number, first = sizes[0]
  largest = max(sizes, key=lambda page: page[1])
  image.seek(largest[0] if largest[1] >= LARGER * first else number)
  if cause := _odd(image.tag_v2):
    raise ValueError(cause)


def _odd(tags: Any) -> str | None:
  """Why numbers stored so are not read."""
  bits = tags.get(BITS, (1,))
  bits = max(bits) if isinstance(bits, tuple) else int(bits)
  kinds = tags.get(FORMAT, (UNSIGNED,))
  kind = max(kinds) if isinstance(kinds, tuple) else int(kinds)
  if kind in FORMATS:
    return (f'its pixels are numbers of {bits} bits {FORMATS[kind]}, whose white is not known; convert it to 8 or 16 bits a '
            'channel without them')
  if bits > 8 and bits != 16:
    return f'its pixels are numbers of {bits} bits; convert it to 8 or 16 bits a channel'
  if bits == 16 and tags.get(PLANES) == SEPARATE and tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
    return ('its colours lie one behind the other in planes of 16 bits, which is not read; save it with the colours of a pixel '
            'side by side, or with 8 bits a channel')
  return None
