"""One kind of input, drawn here, damaged many times and given to the program: a process of its own that prints what happened.

`python fuzzing.py KIND NUMBER FOLDER` prints a line of JSON for each damage, {"damage": what it was, "said": the last line that the
program said of it, "error": a traceback where it ended in one, "seconds": ...}, and at last {"peak": bytes}. A damage on which it
stays longer than STALL seconds ends it, with where it stood. The same damages always.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import faulthandler
import hashlib
import io
import json
import pathlib
import resource
import sys
import time
import traceback
import warnings
import zipfile

import exports
import numpy as np
import oracle
from drawing import fundus
from PIL import Image

STALL = 20  # seconds
FORMS = {
    'a.jpg': {'quality': 90}, 'b.jpg': {'progressive': True}, 'c.jpg': {'restart_marker_blocks': 5}, 'd.png': {}, 'e.tif': {},
    'f.tif': {'compression': 'tiff_lzw'}, 'g.webp': {}, 'h.webp': {'lossless': True}, 'i.gif': {}, 'j.bmp': {}, 'k.ppm': {}, 'l.jp2': {},
    'm.tif': {'compression': 'jpeg'}, 'n.png': {'interlace': 1}}
STRANGE = (None, True, -1, 0, 1e300, 10**40, 0.5, '', 'x' * 5000, '\x1b[31m\u202e', '<script>alert(1)</script>', [], {}, [[]] * 50,
           {'id': {'id': []}}, '..', 'NaN', float('nan'), float('inf'))


def damage(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
  """(what was done, bytes of a file that are no longer what they were)."""
  array, size = bytearray(data), len(data)
  place, length = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
  head = int(rng.integers(min(size, 200)))
  kind = ('bits', 'bytes of the head', 'a number of the head', 'cut', 'zeros', 'twice', 'noise', 'left out')[rng.integers(8)]
  if kind == 'bits':
    for at in rng.integers(0, size, int(rng.integers(1, 60))):
      array[at] ^= 1 << int(rng.integers(8))
  elif kind == 'bytes of the head':
    for at in rng.integers(0, min(size, 300), int(rng.integers(1, 6))):
      array[at] = int(rng.choice([0, 1, 0x7f, 0x80, 0xff, rng.integers(256)]))
  elif kind == 'a number of the head':
    array[head:head + 4] = (b'\xff\xff\xff\xff', b'\0\0\0\0', b'\x7f\xff\xff\xff', b'\xff\xff\xff\x7f', b'\0\0\x40\0')[rng.integers(5)]
  elif kind == 'cut':
    del array[place:]
  elif kind == 'zeros':
    array[place:place + length] = bytes(len(array[place:place + length]))
  elif kind == 'twice':
    array[place:place] = array[place:place + length]
  elif kind == 'noise':
    array[place:place + length] = rng.bytes(length)
  else:
    del array[place:place + length]
  return f'{kind} at {place}, {length}, {head}', bytes(array)


def damage_json(value, rng: np.random.Generator):
  """(what was done, JSON of which something is of another type, missing, or nested deep)."""
  value, trail = copy.deepcopy(value), []
  node, parent, key = value, None, None
  while isinstance(node, dict | list) and node and (parent is None or rng.random() < 0.85):
    parent, key = node, rng.choice(sorted(node)) if isinstance(node, dict) else int(rng.integers(len(node)))
    key = str(key) if isinstance(node, dict) else key
    trail.append(key)
    node = node[key]
  choice = int(rng.integers(len(STRANGE) + 3))
  if choice == 0:
    del parent[key]
  elif choice == 1:
    parent[key] = [parent[key]] * 3
  elif choice == 2:
    for _ in range(5000):
      node = [node]
    parent[key] = '@DEEP@'
  else:
    parent[key] = STRANGE[choice - 3]
  text = json.dumps(value).replace('"@DEEP@"', '[' * 20000 + ']' * 20000)
  return f'{choice} at {trail}', text.encode()


def draw_images(folder):
  """(name, bytes) of photographs in FORMS."""
  for name, options in FORMS.items():
    Image.fromarray(fundus(96, 120, seed=1)).save(folder / name, **options)
    yield name, (folder / name).read_bytes()


def draw_dicom(folder):
  """The same of DICOM: numbers, JPEG and JPEG 2000."""
  import pydicom
  from pydicom.encaps import encapsulate

  eye = fundus(96, 120, seed=1)
  for name, syntax, form in (('a.dcm', pydicom.uid.ExplicitVRLittleEndian, None), ('b.dcm', pydicom.uid.ImplicitVRLittleEndian, None),
                             ('c.dcm', pydicom.uid.JPEGBaseline8Bit, 'JPEG'), ('d.dcm', pydicom.uid.JPEG2000, 'JPEG2000')):
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.OphthalmicPhotography8BitImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3'
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = 96, 120, 3, 0
    dataset.PhotometricInterpretation = {'JPEG': 'YBR_FULL_422', 'JPEG2000': 'YBR_ICT'}.get(form, 'RGB')
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    buffer = io.BytesIO()
    if form:
      Image.fromarray(eye).save(buffer, form, **({'irreversible': True, 'no_jp2': True} if form == 'JPEG2000' else {}))
    dataset.PixelData = encapsulate([buffer.getvalue()]) if form else eye.tobytes()
    dataset['PixelData'].VR = 'OB'
    dataset.save_as(folder / name, enforce_file_format=True)
    yield name, (folder / name).read_bytes()


def run(*arguments):
  """The last line that a command says; raises what it raises."""
  from lesion_jax import cli

  said = io.StringIO()
  with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
    try:
      status = cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
      status = ended.code
  lines = said.getvalue().strip().splitlines() or ['']
  if status not in (0, 1, 2):
    raise AssertionError(f'status {status}')
  return f'{status}: {lines[-1]}'


def take_photograph(path, data):
  """What `prepare` makes of a damaged photograph."""
  from lesion_jax.predict import prepare

  path.write_bytes(data)
  try:
    return f'a square of {prepare(path, 64).crop.side}'
  except ValueError as error:
    return str(error)


def fuzz_photographs(kind, number, folder, rng):
  """Images and DICOM: damages of each form in turn."""
  drawn = list((draw_dicom if kind == 'dicom' else draw_images)(folder))
  for name, data in drawn:
    assert take_photograph(folder / name, data).startswith('a square'), name
  for index in range(number):
    name, data = drawn[index % len(drawn)]
    what, data = damage(data, rng)
    yield f'{name}: {what}', lambda name=name, data=data: take_photograph(folder / name, data)


def fuzz_bundles(_, number, folder, rng):
  """A zip archive: damaged as a file, in its config.json, or in its weights."""
  from lesion_jax import models
  from lesion_jax.weights.bundle import save_bundle

  models.MODELS['oracle'] = oracle.Oracle
  config = oracle.oracle_config()
  save_bundle(folder / 'bundle', config=config, card='', variables={'params': {'gain': np.float32(1)}})
  Image.fromarray(oracle.photograph(grade=2)).save(folder / 'eye.png')
  members = {path.name: path.read_bytes() for path in (folder / 'bundle').iterdir()}

  def predict(archive):
    (folder / 'damaged.zip').write_bytes(archive)
    return run('predict', folder / 'eye.png', '--model', folder / 'damaged.zip', '--out', folder / 'out')

  def packed(changed):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
      for name, data in (members | changed).items():
        archive.writestr(name, data)
    return buffer.getvalue()

  assert predict(packed({})).startswith('0')
  for index in range(number):
    if index % 2:
      what, data = damage_json(json.loads(members['config.json']), rng)
      archive = packed({'config.json': data})
    elif index % 4:
      what, archive = damage(packed({}), rng)
    else:
      what, data = damage(members['model.safetensors'], rng)
      config = json.loads(members['config.json']) | {'weights_sha256': hashlib.sha256(data).hexdigest()}  # or no reader would see it
      archive = packed({'model.safetensors': data, 'config.json': json.dumps(config).encode()})
    yield what, lambda archive=archive: predict(archive)


def fuzz_annotations(kind, number, folder, rng):
  """Exports of Label Studio and of CVAT, given to `consensus`."""
  from lesion_jax.annotation.shapes import Polygon

  (folder / 'photographs').mkdir()
  size, readers = (96, 120), (3, 4, 5)
  for name in ('1_left.png', '2_left.png'):
    Image.fromarray(fundus(*size, seed=1)).save(folder / 'photographs' / name)
  with (folder / 'patients.csv').open('w', newline='') as file:
    csv.writer(file).writerows([('photograph', 'patient', 'eye'), ('1_left.png', 'p1', 'left'), ('2_left.png', 'p2', 'left')])
  shape = Polygon('MA', ((30, 30), (50, 30), (50, 52), (30, 50)))
  if kind == 'json':
    sound = [exports.task(name, [exports.opinion(reader, 2, [shape], size) for reader in readers]) for name in ('1_left.png', '2_left.png')]
    text = json.dumps(sound).encode()
  else:
    polygon = ('<polygon label="MA" source="manual" occluded="0" points="30.00,30.00;50.00,30.00;50.00,52.00" z_order="0"></polygon>'
               '<tag label="DR2" source="manual"></tag>')
    text = exports.cvat([(name, size, polygon) for name in ('1_left.png', '2_left.png')]).encode()

  def agree(data):
    path = folder / f'export.{kind}'
    path.write_bytes(data)
    return run('consensus', path, '--images', folder / 'photographs', '--patients', folder / 'patients.csv', '--annotators', 1,
               '--out', folder / f'out{time.monotonic_ns()}')

  assert (said := agree(text)).startswith('0'), said
  for index in range(number):
    if kind == 'json' and index % 3:
      what, data = damage_json(sound, rng)
    elif kind == 'xml' and index % 3:
      old = rng.choice(['points="30.00,30.00;50.00,30.00;50.00,52.00"', 'width="120"', 'label="MA"', '<annotations>', 'label="DR2"', '</tag>'])
      new = rng.choice(['points="1e999,nan;;"', 'points="' + '1,' * 20000 + '"', 'width="-1"', 'width="1e300"', 'label="&#x202e;"', '<a>' * 5000,
                        '<!DOCTYPE a [<!ENTITY b "c">]>', '<![CDATA[x]]>', '&b;', '', 'label="' + 'x' * 9000 + '"'])
      what, data = f'{new[:30]} for {old}', text.replace(old.encode(), new.encode(), int(rng.integers(1, 3)))
    else:
      what, data = damage(text, rng)
    yield what, lambda data=data: agree(data)


def fuzz_records(_, number, folder, rng):
  """The record of an earlier run, in whose place another is found."""
  from lesion_jax import models
  from lesion_jax.weights.bundle import save_bundle

  models.MODELS['oracle'] = oracle.Oracle
  save_bundle(folder / 'bundle', config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  Image.fromarray(oracle.photograph(grade=2)).save(folder / 'eye.png')
  record = folder / 'out' / 'eye' / 'result.json'

  def predict(data):
    if data is not None:
      record.write_bytes(data)
    said = run('predict', folder / 'eye.png', '--model', folder / 'bundle', '--out', folder / 'out')
    assert said.startswith('0') and 'alert(1)' not in (folder / 'out' / 'report.html').read_text(), said
    return said

  predict(None)
  sound = record.read_bytes()
  for index in range(number):
    what, data = damage_json(json.loads(sound), rng) if index % 3 else damage(sound, rng)
    yield what, lambda data=data: predict(data)


KINDS = {'images': fuzz_photographs, 'dicom': fuzz_photographs, 'bundles': fuzz_bundles, 'json': fuzz_annotations,
         'records': fuzz_records, 'xml': fuzz_annotations}


def main(kind, number, folder):
  """Tries all damages of one kind."""
  warnings.simplefilter('ignore')
  for index, (what, act) in enumerate(KINDS[kind](kind, int(number), pathlib.Path(folder), np.random.default_rng(14))):
    faulthandler.dump_traceback_later(STALL, exit=True)
    start, found = time.monotonic(), {'damage': f'{index}: {what}'}
    try:
      found['said'] = act()
    except BaseException:  # noqa: BLE001 (of a mutation anything)
      found['error'] = traceback.format_exc()
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(found | {'seconds': time.monotonic() - start}), flush=True)
  print(json.dumps({'peak': 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)


if __name__ == '__main__':
  main(*sys.argv[1:])
