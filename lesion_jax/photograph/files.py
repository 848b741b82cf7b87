"""Names of files and folders: which are photographs, and what systems leave beside them that is none."""

from __future__ import annotations

import pathlib

SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.jp2', '.j2k', '.j2c', '.jpc', '.jpf', '.jpx', '.tif', '.tiff',
            '.bmp', '.gif', '.webp', '.ppm', '.pgm', '.pnm', '.dcm', '.dicom')
# Folders in which systems and stores keep copies and thumbnails of what lies beside them.
COPIES = {'@eadir', '__macosx', '.thumbnails', '.@__thumb', '#recycle', '$recycle.bin', '.trash', '.trashes', '@recycle'}
JUNK = {'thumbs.db', 'desktop.ini'} | COPIES  # as are hidden files and folders


def is_junk(path: pathlib.PurePath) -> bool:
  """Tells by its name whether a file or folder is hidden, or one that a file manager or a store leaves."""
  return path.name.startswith('.') or path.name.casefold() in JUNK


def is_own(path: pathlib.PurePath) -> bool:
  """Tells of a path below a user's folder whether neither it nor a folder on the way to it is such a one."""
  return not any(is_junk(pathlib.PurePath(part)) for part in path.parts)
