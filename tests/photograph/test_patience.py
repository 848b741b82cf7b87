"""Reading a photograph ends, by the clock: what takes too long is given up in words, and the process that gave it up ends."""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from drawing import fundus, save
from PIL import Image

from lesion_jax.photograph import patience
from lesion_jax.photograph.read import read_photograph
from lesion_jax.photograph.threads import SECONDS, allowed_seconds, limited

GIVEN_UP = 'longer than 0.5 seconds, and was given up; save it again'
PROGRAM = """
import sys
from lesion_jax.photograph.read import read_photograph
from lesion_jax.photograph.threads import limited
with limited(seconds=0.5):
  try:
    read_photograph(sys.argv[1])
  except ValueError as error:
    print(error)
"""


def _digits():
  """Nearly as many pixels as are read of a picture in digits, which takes Pillow seconds in Python."""
  return b'P3 1990 1990 255 ' + b'12 ' * (1990 * 1990 * 3)


@functools.cache
def _noise():
  """JPEG 2000, whose decoder lets no other thread run."""
  buffer = io.BytesIO()
  Image.fromarray(np.random.default_rng(0).integers(0, 256, (2200, 2200, 3), np.uint8)).save(buffer, 'JPEG2000')
  return buffer.getvalue()


def _dicom():
  """The same inside DICOM."""
  pydicom = pytest.importorskip('pydicom')
  dataset = pydicom.Dataset()
  dataset.file_meta = pydicom.dataset.FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
  dataset.SOPClassUID = pydicom.uid.OphthalmicPhotography8BitImageStorage
  dataset.SOPInstanceUID = '1.2.3'
  dataset.Modality, dataset.PhotometricInterpretation = 'OP', 'RGB'
  dataset.Rows = dataset.Columns = 2200
  dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PixelRepresentation = 3, 0, 0
  dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
  dataset.PixelData = pydicom.encaps.encapsulate([_noise()])
  buffer = io.BytesIO()
  dataset.save_as(buffer, enforce_file_format=True)
  return buffer.getvalue()


@pytest.mark.parametrize('draw', [_digits, pytest.param(_noise, marks=pytest.mark.slow), _dicom])
def test_what_takes_too_long_is_given_up_in_words_and_the_process_ends(tmp_path, draw):
  path = tmp_path / 'slow.img'
  path.write_bytes(draw())
  start = time.monotonic()
  with limited(seconds=0.5), pytest.raises(ValueError, match=GIVEN_UP):
    read_photograph(path)
  assert time.monotonic() - start < SECONDS / 2
  ended = subprocess.run([sys.executable, '-c', PROGRAM, path], capture_output=True, text=True, timeout=SECONDS, check=False)
  assert (ended.returncode, ended.stderr) == (0, '') and GIVEN_UP in ended.stdout


def test_the_other_process_ends_with_it():
  """Killed, not left behind: nothing decodes on."""
  started = []
  original = subprocess.Popen.__init__

  def watched(self, *arguments, **settings):
    original(self, *arguments, **settings)
    started.append(self)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(subprocess.Popen, '__init__', watched)
    with limited(seconds=0.5), pytest.raises(patience.TooSlow):
      patience.in_a_process(_noise())
  assert [process.returncode for process in started] == [-9]


def test_the_other_process_gives_the_pixels_or_the_cause():
  buffer = io.BytesIO()
  Image.fromarray(fundus(96, 120, seed=1)).save(buffer, 'JPEG2000')
  np.testing.assert_array_equal(patience.in_a_process(buffer.getvalue()), fundus(96, 120, seed=1))
  with pytest.raises(ValueError, match='have a hole of'):
    patience.in_a_process(buffer.getvalue()[:400] + bytes(2000))


@pytest.mark.parametrize('state', [{'frozen': True}, {'executable': ''}, {'executable': '/no/such/python'}])
def test_without_another_process_it_is_read_in_this_one(tmp_path, monkeypatch, state):
  for name, value in state.items():
    monkeypatch.setattr(sys, name, value, raising=False)
  Image.fromarray(fundus(96, 120, seed=1)).save(tmp_path / 'a.jp2')
  np.testing.assert_array_equal(read_photograph(tmp_path / 'a.jp2'), fundus(96, 120, seed=1))


def test_readings_that_were_given_up_hold_no_more_than_their_places(monkeypatch):
  monkeypatch.setattr(patience, '_slots', threading.BoundedSemaphore(2))
  go_on, begun = threading.Event(), []

  def stalls():
    begun.append(threading.current_thread())
    go_on.wait()

  with limited(seconds=0.05):
    for _ in range(4):
      with pytest.raises(patience.TooSlow):
        patience.within_seconds(stalls)
    assert len(begun) == 2 and all(thread.daemon for thread in begun)
    go_on.set()
    for thread in begun:
      thread.join()
  assert patience.within_seconds(lambda: 7) == 7


def test_what_is_raised_comes_through_and_seconds_count_on_the_thread(tmp_path):
  save(tmp_path / 'a.png', fundus(64, 64, seed=1))
  assert read_photograph(tmp_path / 'a.png').shape == (64, 64, 3)
  with pytest.raises(FileNotFoundError):
    read_photograph(tmp_path / 'b.png')
  assert allowed_seconds() == SECONDS
  with limited(seconds=7), limited(threads=2):
    assert patience.within_seconds(allowed_seconds) == 7
  for wrong in (0, -1, float('nan')):
    with pytest.raises(ValueError, match='give a number above 0'), limited(seconds=wrong):
      pass
