"""`lesion-jax predict --dicom-seg`: what is asked for on the command line, with whatever else is."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from oracle import GREEN
from PIL import Image

from lesion_jax import cli
from lesion_jax import predict as predict_package
from lesion_jax.bulk import Options, Refused
from lesion_jax.bulk.inputs import find_photographs
from lesion_jax.extras import MissingExtra

pydicom = pytest.importorskip('pydicom')
pytest.importorskip('highdicom')

LESION = [(GREEN, (100, 80, 129, 119))]
NAMES = ('photograph.dcm', 'segmentation.dcm', 'report.dcm')


def first_frame(path):
  dataset = pydicom.dcmread(path)
  count = dataset.Rows * dataset.Columns
  return np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder='little')[:count].reshape(dataset.Rows, dataset.Columns) > 0


def mask(path):
  with Image.open(path) as image:
    return np.asarray(image) > 0


def test_objects_lie_beside_the_rest_and_a_mirrored_photograph_has_mirrored_ones(predict, save):
  path = save('eye.png', lesions=LESION)
  with Image.open(path) as image:
    Image.fromarray(np.asarray(image)[:, ::-1].copy()).save(path.with_name('mirrored.png'))
  status, out = predict(path, path.with_name('mirrored.png'), '--dicom-seg', '--fhir')
  assert status == 0
  plain, mirrored = (first_frame(out / name / 'segmentation.dcm') for name in ('eye', 'mirrored'))
  assert plain[80:120, 100:130].mean() > 0.85 and mirrored[80:120, 170:200].mean() > 0.85 and plain.shape == (200, 300)
  for name, frame in (('eye', plain), ('mirrored', mirrored)):
    assert np.array_equal(frame, mask(out / name / 'MA.png'))
    files = json.loads((out / name / 'result.json').read_text())['files']
    assert {*NAMES, 'fhir.json'} <= set(files)


def test_again_it_is_skipped_and_a_folder_of_results_is_no_photograph(predict, save, monkeypatch, capsys):
  path = save('eye.png', lesions=LESION)
  out = predict(path, '--dicom-seg')[1]
  before = {name: (out / 'eye' / name).read_bytes() for name in NAMES}
  assert predict(path, '--dicom-seg', '--overwrite')[0] == 0
  assert {name: (out / 'eye' / name).read_bytes() for name in NAMES} == before
  monkeypatch.setattr(predict_package, 'load', None)
  assert predict(path, '--dicom-seg')[0] == 0 and '1 were done before' in capsys.readouterr().out
  assert find_photographs([out], out.parent / 'elsewhere') == []


@pytest.mark.parametrize('gone', [False, True])
def test_new_thresholds_make_new_objects_of_what_lies_there(predict, save, gone):
  path = save('eye.png', lesions=LESION)
  out = predict(path, '--dicom-seg', '--maps', 'npz')[1]
  before = pydicom.dcmread(out / 'eye' / 'segmentation.dcm')
  if gone:
    path.unlink()
  assert cli.main(['rethreshold', str(out), '--threshold', 'MA=0.9999999']) == 0
  after = pydicom.dcmread(out / 'eye' / 'segmentation.dcm')
  assert after.SOPInstanceUID != before.SOPInstanceUID
  frame = first_frame(out / 'eye' / 'segmentation.dcm')
  path = out / 'eye' / 'MA.png'
  assert np.array_equal(frame, mask(path) if path.exists() else np.zeros_like(frame))
  assert set(NAMES) <= set(json.loads((out / 'eye' / 'result.json').read_text())['files'])


def test_a_dicom_file_that_is_gone_takes_its_objects_with_it(predict, save, capsys):
  path = save('eye.png', lesions=LESION)
  with Image.open(path) as image:
    pixels = np.asarray(image)
  dataset = pydicom.Dataset()
  dataset.file_meta = pydicom.dataset.FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.VLPhotographicImageStorage
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3'
  dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality, dataset.PatientID = '1.2', '1.2.4', 'XC', '4711'
  dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = *pixels.shape, 0
  dataset.PhotometricInterpretation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 'RGB', 8, 8, 7
  dataset.PixelRepresentation, dataset.PixelData = 0, pixels.tobytes()
  dataset.save_as(path.with_suffix('.dcm'), enforce_file_format=True)
  out = predict(path.with_suffix('.dcm'), '--dicom-seg', '--maps', 'npz')[1]
  segmentation = pydicom.dcmread(out / 'eye' / 'segmentation.dcm')
  assert segmentation.PatientID == '4711' and np.array_equal(first_frame(out / 'eye' / 'segmentation.dcm'), mask(out / 'eye' / 'MA.png'))
  path.with_suffix('.dcm').unlink()
  assert cli.main(['rethreshold', str(out), '--threshold', 'MA=0.9']) == 0
  assert 'its DICOM objects are removed, as the photograph cannot be read any more' in capsys.readouterr().err
  assert not list((out / 'eye').glob('*.dcm')) and not set(NAMES) & set(json.loads((out / 'eye' / 'result.json').read_text())['files'])


def test_without_the_extra_its_command_is_said(monkeypatch):
  def require(extra, *modules):
    raise MissingExtra(f"{modules[-1]} is not installed: pip install 'lesion_jax[{extra}]'")

  monkeypatch.setattr('lesion_jax.bulk.options.require', require)
  with pytest.raises(Refused, match=r"dicom-seg: highdicom is not installed: pip install 'lesion_jax\[dicom\]'"):
    Options(dicom_seg=True)


def test_new_thresholds_without_the_extra_change_nothing(predict, save, monkeypatch, capsys):
  out = predict(save('eye.png', lesions=LESION), '--dicom-seg', '--maps', 'npz')[1]
  before = {path.name: path.read_bytes() for path in (out / 'eye').iterdir()}
  monkeypatch.setitem(sys.modules, 'highdicom', None)
  for name in ('document', 'segmentation'):
    monkeypatch.delitem(sys.modules, f'lesion_jax.report.dicom.{name}')
    monkeypatch.delattr(f'lesion_jax.report.dicom.{name}')
  with pytest.raises(SystemExit) as stop:
    cli.main(['rethreshold', str(out), '--threshold', 'MA=0.9'])
  assert stop.value.code == 2 and "pip install 'lesion_jax[dicom]'" in capsys.readouterr().err
  assert {path.name: path.read_bytes() for path in (out / 'eye').iterdir()} == before
