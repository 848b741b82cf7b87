"""A result as DICOM, read back by pydicom alone: every pixel where it was, the patient as the source has it, one truth a result."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pathlib

import batch
import numpy as np
import pytest
from batch import HEALTHY, RICH
from PIL import Image

from lesion_jax.clinical.record import describe
from lesion_jax.clinical.schema import fits, read_schema
from lesion_jax.core import LESION_KEYS
from lesion_jax.photograph.landmarks import Landmark, Landmarks
from lesion_jax.photograph.read import read_photograph
from lesion_jax.report.result_folder import NAMES, rewrite_whose, write_result

pydicom = pytest.importorskip('pydicom')
pytest.importorskip('highdicom')

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402

from lesion_jax.report.dicom import PHOTOGRAPH, SEG, SR, write_dicom  # noqa: E402
from lesion_jax.report.dicom.codes import SCHEME, official  # noqa: E402

PATIENT = {'PatientName': 'Müller^Änne', 'PatientID': '4711', 'PatientBirthDate': '19500101', 'PatientSex': 'F', 'PatientAge': '074Y',
           'StudyDate': '20240102', 'StudyTime': '101500', 'StudyID': '12', 'AccessionNumber': 'A77', 'ReferringPhysicianName': 'Dr^Who',
           'StudyDescription': 'Screening'}
EMPTY = ('PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyID', 'AccessionNumber', 'ReferringPhysicianName')


def save_dicom(path, pixels, **elements):
  """An Ophthalmic Photography image as a camera writes it."""
  dataset = Dataset()
  dataset.file_meta = FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.OphthalmicPhotography8BitImageStorage
  dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3.4'
  dataset.StudyInstanceUID, dataset.SeriesInstanceUID = '1.2.3', '1.2.3.9'
  dataset.SpecificCharacterSet, dataset.Modality, dataset.NumberOfFrames = 'ISO_IR 100', 'OP', 1
  dataset.Manufacturer, dataset.ImageLaterality = 'Maker', 'R'
  dataset.Rows, dataset.Columns = pixels.shape[:2]
  dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
  if pixels.ndim == 3:
    dataset.PlanarConfiguration = 0
  dataset.PhotometricInterpretation = 'RGB' if pixels.ndim == 3 else 'MONOCHROME2'
  dataset.BitsAllocated = dataset.BitsStored = 8
  dataset.HighBit, dataset.PixelRepresentation = 7, 0
  for name, value in {**PATIENT, **elements}.items():
    setattr(dataset, name, value)
  for name in [name for name, value in elements.items() if value is None]:
    del dataset[name]
  dataset.PixelData = pixels.tobytes()
  dataset['PixelData'].VR = 'OB'
  dataset.save_as(path, enforce_file_format=True)
  return path


def made(index=RICH, *, whose=None, heads=batch.HEADS, **changes):
  """A prediction and its record."""
  found = dataclasses.replace(batch.find(index, heads, grade=2), landmarks=(
      Landmarks(Landmark(120.0, 200.0, 0.97, True), Landmark(130.0, 110.0, 0.9, True), 0.1526 * batch.SIZE),))
  return found, describe(found, batch.network(**changes), file='eye.png', run=batch.run_of(index), whose=whose)


def write(tmp_path, file, index=RICH, **options):
  found, record = made(index, **options)
  return write_result(tmp_path / 'eye', found, record, dicom=file)


@pytest.fixture
def png(tmp_path):
  Image.fromarray(batch.sample(RICH).image).save(tmp_path / 'eye.png')
  return tmp_path / 'eye.png'


def frames(segmentation):
  """bool [N, H, W] out of the bits, PS3.5 8.1.1: the first pixel is the lowest bit."""
  count = segmentation.NumberOfFrames * segmentation.Rows * segmentation.Columns
  bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), bitorder='little')[:count]
  return bits.reshape(-1, segmentation.Rows, segmentation.Columns) > 0


def masks_of(segmentation):
  """The masks by the code of their segment."""
  keys = {segment.SegmentNumber: segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in segmentation.SegmentSequence}
  numbers = [group.SegmentIdentificationSequence[0].ReferencedSegmentNumber for group in segmentation.PerFrameFunctionalGroupsSequence]
  return {keys[number]: mask for number, mask in zip(numbers, frames(segmentation), strict=True)}


def mask_on_disk(folder, key, size):
  path = folder / f'{key}.png'
  if not path.exists():
    return np.zeros(size, bool)
  with Image.open(path) as image:
    return np.asarray(image) > 0


def lacking(dataset):
  """Elements of type 1 or 2 that mandatory modules of its IOD want on the first level, and that are not there (PS3.3)."""
  found = []
  for module in get_iod_module_map()[get_sop_class_iod_map()[dataset.SOPClassUID]]:
    if module['usage'] != 'M' or module['key'] == 'sr-document-content':  # whose elements depend on the type of a content item
      continue
    for attribute in get_module_attribute_map()[module['key']]:
      name, kind = attribute['keyword'], attribute['type']
      if not attribute['path'] and (kind == '1' and (name not in dataset or dataset[name].is_empty) or kind == '2' and name not in dataset):
        found.append((module['key'], name))
  return found


def code(sequence):
  return sequence[0].CodingSchemeDesignator, sequence[0].CodeValue


def items(item):
  """All content items below one, with itself."""
  yield item
  for each in item.get('ContentSequence', ()):
    yield from items(each)


def said(item):
  """(concept, value) of the items just below one."""
  found = []
  for each in item.ContentSequence:
    value = {'CODE': lambda each: code(each.ConceptCodeSequence), 'NUM': lambda each: float(each.MeasuredValueSequence[0].NumericValue),
             'TEXT': lambda each: each.TextValue}.get(each.ValueType, lambda each: None)(each)
    found.append((code(each.ConceptNameCodeSequence)[1], value))
  return found


class TestSegmentation:

  @pytest.mark.parametrize('index', [RICH, HEALTHY])
  def test_every_evaluated_lesion_is_a_segment_and_every_pixel_where_it_was(self, tmp_path, png, index):
    record = write(tmp_path, png, index, annotated=['MA', 'HaEx', 'CWS'])
    segmentation = pydicom.dcmread(tmp_path / 'eye' / SEG)
    masks = masks_of(segmentation)
    assert list(masks) == ['MA', 'HaEx', 'CWS'] and segmentation.SegmentationType == 'BINARY'
    assert (segmentation.Rows, segmentation.Columns) == (batch.SIZE, batch.SIZE)
    for key, mask in masks.items():
      assert np.array_equal(mask, mask_on_disk(tmp_path / 'eye', key, mask.shape))
      assert mask.any() == (record['states'][key] == 'present')
    assert any(mask.any() for mask in masks.values()) == (index == RICH)
    assert not lacking(segmentation) and not lacking(pydicom.dcmread(tmp_path / 'eye' / SR)) and not lacking(pydicom.dcmread(tmp_path / 'eye' / PHOTOGRAPH))

  def test_segments_are_coded_and_say_which_network_made_them(self, tmp_path, png):
    record = write(tmp_path, png)
    segmentation = pydicom.dcmread(tmp_path / 'eye' / SEG)
    for key, segment in zip(LESION_KEYS, segmentation.SegmentSequence, strict=True):
      assert code(segment.SegmentedPropertyCategoryCodeSequence) == ('SCT', '49755003')
      assert code(segment.SegmentedPropertyTypeCodeSequence) == (SCHEME, key) and segment.SegmentAlgorithmType == 'AUTOMATIC'
      assert code(segment.AnatomicRegionSequence) == ('SCT', '5665001')
      algorithm, = segment.SegmentationAlgorithmIdentificationSequence
      assert record['run']['model'] in algorithm.AlgorithmParameters and algorithm.AlgorithmVersion == record['run']['lesion_jax']
    assert segmentation.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == SCHEME
    assert 'research' in segmentation.ContentDescription

  def test_a_network_without_maps_or_without_lesions_has_none(self, tmp_path, png):
    assert SEG not in write(tmp_path, png, heads=('lesions', 'grades'))['files'] and not (tmp_path / 'eye' / SEG).exists()
    report = pydicom.dcmread(tmp_path / 'eye' / SR)
    assert len([item for item in items(report) if item.ValueType == 'IMAGE']) == 1 + len(LESION_KEYS)
    assert SEG not in write(tmp_path, png, heads=('grades',))['files']
    assert SEG not in write(tmp_path, png, annotated=[])['files'] and (tmp_path / 'eye' / SR).exists()


class TestOfADicomFile:

  def write(self, tmp_path, pixels=None, **elements):
    file = save_dicom(tmp_path / 'eye.dcm', batch.sample(RICH).image if pixels is None else pixels, **elements)
    record = write(tmp_path, file)
    return record, pydicom.dcmread(tmp_path / 'eye' / SEG), pydicom.dcmread(tmp_path / 'eye' / SR)

  def test_patient_and_study_are_those_of_the_source_and_it_is_referred_to(self, tmp_path):
    record, *objects = self.write(tmp_path)
    for each in objects:
      assert {name: each.get(name) for name in PATIENT} == PATIENT and each.StudyInstanceUID == '1.2.3'
      assert each.SeriesInstanceUID != '1.2.3.9' and not lacking(each)
    segmentation, report = objects
    assert segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == '1.2.3.4'
    group = segmentation.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert group.ReferencedSOPInstanceUID == '1.2.3.4'
    evidence = [(series.SeriesInstanceUID, each.ReferencedSOPInstanceUID) for each_study in report.CurrentRequestedProcedureEvidenceSequence
                for series in each_study.ReferencedSeriesSequence for each in series.ReferencedSOPSequence]
    assert set(evidence) == {('1.2.3.9', '1.2.3.4'), (segmentation.SeriesInstanceUID, segmentation.SOPInstanceUID)}
    assert PHOTOGRAPH not in record['files'] and not (tmp_path / 'eye' / PHOTOGRAPH).exists()

  def test_of_the_patient_nothing_is_in_the_other_files(self, tmp_path):
    self.write(tmp_path)
    for path in (tmp_path / 'eye').iterdir():
      if path.suffix != '.dcm':
        data = path.read_bytes()
        assert not any(value.encode('latin-1') in data for value in ('Müller', 'A77', '19500101', 'Dr^Who')), path

  @pytest.mark.parametrize('name', [EMPTY[0], 'Manufacturer', *(pytest.param(each, marks=pytest.mark.slow) for each in EMPTY[1:])])
  def test_what_may_be_empty_may_be_missing(self, tmp_path, name):
    _, segmentation, report = self.write(tmp_path, **{name: None})
    assert not segmentation.get(name) or name == 'Manufacturer'
    assert not lacking(segmentation) and not lacking(report)

  @pytest.mark.parametrize('name', ['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID', 'Modality'])
  def test_what_nothing_can_refer_to_is_refused_in_a_sentence(self, tmp_path, name):
    file = save_dicom(tmp_path / 'eye.dcm', batch.sample(RICH).image)
    dataset = pydicom.dcmread(file)
    del dataset[name]
    dataset.save_as(file)
    with pytest.raises(ValueError, match=f'a DICOM file without {name} cannot be referred to; export it again, or leave out --dicom-seg'):
      write(tmp_path, file)
    assert not (tmp_path / 'eye' / 'result.json').exists()

  @pytest.mark.filterwarnings('ignore')  # pydicom says what it finds odd
  def test_odd_values_of_the_patient_stay_as_they_are(self, tmp_path):
    _, segmentation, report = self.write(tmp_path, PatientSex='W', PatientBirthDate='1950-01-01', StudyTime='10:15')
    for each in (segmentation, report):
      assert (each.PatientSex, each.PatientBirthDate, each.StudyTime) == ('W', '1950-01-01', '10:15')

  @pytest.mark.parametrize('letters, name', [('ISO_IR 192', '김^희중'), (['', 'ISO 2022 IR 87'], 'Yamada^Tarou=山田^太郎'), (None, 'Miller^Ann')])
  def test_names_in_all_letters_stay(self, tmp_path, letters, name):
    _, segmentation, report = self.write(tmp_path, SpecificCharacterSet=letters, PatientName=name, ReferringPhysicianName='')
    for each in (segmentation, report):
      assert each.PatientName == name and (each.get('SpecificCharacterSet') or None) == letters

  def test_an_unknown_kind_of_object_is_refused_in_a_sentence(self, tmp_path):
    with pytest.raises(ValueError, match='DICOM objects that refer to it cannot be written.*leave out --dicom-seg'):
      self.write(tmp_path, SOPClassUID='1.2.3.4.5.6')

  def test_pixels_that_are_not_square_keep_their_spacing(self, tmp_path):
    file = save_dicom(tmp_path / 'eye.dcm', batch.sample(RICH).image, PixelSpacing=[0.05, 0.04])
    found = batch.find(RICH)
    found = dataclasses.replace(found, squares=(dataclasses.replace(found.squares[0], spacing=(0.05, 0.04)),))
    record = describe(found, batch.network(), file='eye.dcm', run=batch.run_of(RICH))
    write_result(tmp_path / 'eye', found, record, dicom=file)
    measures, = pydicom.dcmread(tmp_path / 'eye' / SEG).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert list(measures.PixelSpacing) == [0.05, 0.04]
    areas = {code(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence)[1] for item in items(pydicom.dcmread(tmp_path / 'eye' / SR))
             if item.ValueType == 'NUM' and code(item.ConceptNameCodeSequence)[1] == '42798000'}
    assert areas == {'{pixels}', 'mm2'}

  def test_without_a_spacing_none_is_said_and_grey_is_a_photograph_too(self, tmp_path):
    _, segmentation, _ = self.write(tmp_path, batch.sample(RICH).image[..., 1].copy())
    assert 'PixelMeasuresSequence' not in segmentation.SharedFunctionalGroupsSequence[0]

  def test_another_size_than_the_result_has_is_another_photograph(self, tmp_path):
    with pytest.raises(ValueError, match='it is another photograph by now'):
      self.write(tmp_path, batch.sample(RICH).image[:-2].copy())


class TestOfAnotherPhotograph:

  def test_a_secondary_capture_holds_its_pixels_and_no_patient(self, tmp_path, png):
    record = write(tmp_path, png)
    photograph, segmentation = (pydicom.dcmread(tmp_path / 'eye' / name) for name in (PHOTOGRAPH, SEG))
    assert record['files'][-3:] == [PHOTOGRAPH, SEG, SR] and set(record['files']) <= NAMES
    assert fits(record, read_schema(pathlib.Path('lesion_jax/clinical/result.schema.json').resolve()))
    assert photograph.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert np.array_equal(read_photograph(tmp_path / 'eye' / PHOTOGRAPH), batch.sample(RICH).image)
    for each in (photograph, segmentation, pydicom.dcmread(tmp_path / 'eye' / SR)):
      assert not any(each[name].value for name in EMPTY) and each.StudyInstanceUID == photograph.StudyInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == photograph.SOPInstanceUID

  @pytest.mark.parametrize('options, coded', [({'quality': 95}, True), ({'quality': 95, 'subsampling': 0}, True), ({'progressive': True}, False)])
  def test_a_jpeg_s_coded_data_go_along_without_what_stands_beside_them(self, tmp_path, options, coded):
    exif = Image.Exif()
    exif[0x010e] = 'Ann Miller, 4711'
    file = tmp_path / 'eye.jpg'
    Image.fromarray(batch.sample(RICH).image).save(file, exif=exif, comment=b'born 1950', **options)
    write(tmp_path, file)
    data = (tmp_path / 'eye' / PHOTOGRAPH).read_bytes()
    assert b'Miller' not in data and b'born' not in data
    photograph = pydicom.dcmread(tmp_path / 'eye' / PHOTOGRAPH)
    assert photograph.file_meta.TransferSyntaxUID.is_compressed is coded and photograph.LossyImageCompression == '01'
    assert np.array_equal(read_photograph(tmp_path / 'eye' / PHOTOGRAPH), read_photograph(file)) and not lacking(photograph)

  def test_damaged_exif_is_left_out_too(self, tmp_path):
    file = tmp_path / 'eye.jpg'
    Image.fromarray(batch.sample(RICH).image).save(file, exif=b'Exif\0\0II*\0', dpi=(72, 72), quality=95)
    write(tmp_path, file)
    photograph = pydicom.dcmread(tmp_path / 'eye' / PHOTOGRAPH)
    assert photograph.file_meta.TransferSyntaxUID.is_compressed and b'Exif' not in (tmp_path / 'eye' / PHOTOGRAPH).read_bytes()
    assert np.array_equal(read_photograph(tmp_path / 'eye' / PHOTOGRAPH), read_photograph(file))

  @pytest.mark.parametrize('orientation', [1, 6, 2, *(pytest.param(each, marks=pytest.mark.slow) for each in (3, 4, 5, 7, 8))])
  def test_whatever_a_camera_says_of_up_masks_lie_on_the_upright_photograph(self, tmp_path, orientation):
    image = batch.sample(RICH).image.copy()
    image[3:9, 5:25] = (255, 0, 0)  # a mark that no turn or mirror leaves in its place
    exif, file = Image.Exif(), tmp_path / 'eye.jpg'
    exif[0x0112] = orientation
    lying = {1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1], 5: lambda x: x.swapaxes(0, 1),
             6: lambda x: np.rot90(x, 1), 7: lambda x: x[::-1, ::-1].swapaxes(0, 1), 8: lambda x: np.rot90(x, -1)}[orientation]
    Image.fromarray(np.ascontiguousarray(lying(image))).save(file, exif=exif, quality=97, subsampling=0)
    upright = read_photograph(file)
    assert np.abs(upright.astype(int) - image).mean() < 3
    write(tmp_path, file)
    assert np.array_equal(read_photograph(tmp_path / 'eye' / PHOTOGRAPH), upright)
    masks = masks_of(pydicom.dcmread(tmp_path / 'eye' / SEG))
    assert all(np.array_equal(mask, mask_on_disk(tmp_path / 'eye', key, mask.shape)) for key, mask in masks.items())

  def test_a_patient_of_a_table_is_in_it_and_one_of_a_name_is_not(self, tmp_path, png):
    write(tmp_path, png, whose={'patient': 'Åse 7', 'eye': 'left', 'source': 'table'})
    for name in (PHOTOGRAPH, SEG, SR):
      assert pydicom.dcmread(tmp_path / 'eye' / name).PatientID == 'Åse 7'
    assert pydicom.dcmread(tmp_path / 'eye' / PHOTOGRAPH).Laterality == 'L'
    write(tmp_path, png, whose={'patient': '7', 'eye': 'left', 'source': 'name'})
    assert not pydicom.dcmread(tmp_path / 'eye' / PHOTOGRAPH).PatientID


class TestReport:

  def test_it_has_what_the_record_has(self, tmp_path, png):
    record = write(tmp_path, png)
    report = pydicom.dcmread(tmp_path / 'eye' / SR)
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == ('PARTIAL', 'UNVERIFIED', 'PRELIMINARY')
    assert report.ContentTemplateSequence[0].TemplateIdentifier == '1500'
    measured, = (item for item in report.ContentSequence if code(item.ConceptNameCodeSequence) == ('DCM', '126010'))
    whole, *lesions = measured.ContentSequence
    facts = said(whole)
    assert ('71491-5', ('LN', 'LA18645-4')) in facts and ('DISORDER', ('SCT', '312904009')) in facts  # the right eye by its landmarks
    assert ('EDEMA', (SCHEME, f'EDEMA_{record["edema"]["value"]}')) in facts and ('LOOK', (SCHEME, 'YES')) in facts
    assert [value[1] for name, value in facts if name == 'REASON'] == [reason.upper().replace(' ', '_') for reason in record['look']['reasons']]
    assert dict(facts)['P_DR2'] == pytest.approx(record['grade']['probabilities']['DR2'])
    segmentation = pydicom.dcmread(tmp_path / 'eye' / SEG)
    for number, (key, group) in enumerate(zip(LESION_KEYS, lesions, strict=True), 1):
      facts = said(group)
      assert ('121071', (SCHEME, key)) in facts and ('STATE', (SCHEME, record['states'][key].upper())) in facts
      found = record['lesions'][key]['found']
      if record['states'][key] == 'present':
        assert ('REGIONS', found['regions']) in facts and ('42798000', found['pixels']) in facts and ('SHARE', found['share']) in facts
      else:
        assert not {'REGIONS', '42798000', 'SHARE'} & dict(facts).keys()
      reference = next(item.ReferencedSOPSequence[0] for item in group.ContentSequence
                       if item.ValueType == 'IMAGE' and 'ReferencedSegmentNumber' in item.ReferencedSOPSequence[0])
      assert (reference.ReferencedSOPInstanceUID, reference.ReferencedSegmentNumber) == (segmentation.SOPInstanceUID, number)
    comments = [item.TextValue for item in report.ContentSequence if item.ValueType == 'TEXT' and code(item.ConceptNameCodeSequence)[1] == '121106']
    assert set(record['look']['sentences']) | set(record['notes']) <= set(comments)
    assert any(record['run']['model'] in item.TextValue for item in items(report) if item.ValueType == 'TEXT')

  def test_what_is_not_evaluated_is_said_and_never_absent(self, tmp_path, png):
    write(tmp_path, png, annotated=['MA'])
    facts = [fact for item in items(pydicom.dcmread(tmp_path / 'eye' / SR)) if item.ValueType == 'CONTAINER' for fact in said(item)]
    assert {name for name, value in facts if value == (SCHEME, 'NOT_EVALUATED')} == set(LESION_KEYS) - {'MA'}

  def test_official_codes_fit_with_their_official_names(self):
    from lesion_jax.clinical.codes import ANSWERS, DISORDERS, SEVERITY

    for each in (*SEVERITY.values(), *ANSWERS, *filter(None, DISORDERS)):
      assert len(official(each).meaning) <= 64 and each.name.startswith(official(each).meaning)


class TestOneTruth:

  def read(self, tmp_path):
    return {name: (tmp_path / 'eye' / name).read_bytes() for name in (PHOTOGRAPH, SEG, SR)}

  def uids(self, tmp_path):
    return {name: pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID for name, data in self.read(tmp_path).items()}

  def test_the_same_result_again_is_the_same_files_byte_for_byte(self, tmp_path, png):
    write(tmp_path, png)
    before = self.read(tmp_path)
    write(tmp_path, png)
    assert self.read(tmp_path) == before

  def test_one_that_is_made_elsewhere_or_was_damaged_has_the_same_uids(self, tmp_path, png):
    write(tmp_path, png)
    before = self.uids(tmp_path)
    for name in (PHOTOGRAPH, SEG, SR):
      data = (tmp_path / 'eye' / name).read_bytes()
      (tmp_path / 'eye' / name).write_bytes(data[:-9])
    write(tmp_path, png)
    assert self.uids(tmp_path) == before and np.array_equal(read_photograph(tmp_path / 'eye' / PHOTOGRAPH), batch.sample(RICH).image)
    assert len(frames(pydicom.dcmread(tmp_path / 'eye' / SEG))) == len(LESION_KEYS)
    write(tmp_path / 'elsewhere', png)
    assert self.uids(tmp_path / 'elsewhere') == before

  def test_another_result_has_others_and_the_same_photograph(self, tmp_path, png):
    write(tmp_path, png)
    before = self.uids(tmp_path)
    write(tmp_path, png, annotated=['MA'])
    after = self.uids(tmp_path)
    assert after[PHOTOGRAPH] == before[PHOTOGRAPH] and after[SEG] != before[SEG] and after[SR] != before[SR]

  def test_whose_eye_it_is_makes_another_result_where_it_lies(self, tmp_path, png):
    record = write(tmp_path, png)
    before = self.uids(tmp_path)
    said_now = {'patient': '9', 'eye': 'left', 'source': 'table'}
    changed = rewrite_whose(tmp_path / 'eye', record, said_now, png)
    assert json.loads((tmp_path / 'eye' / 'result.json').read_text()) == changed and not set(self.uids(tmp_path).values()) & set(before.values())
    assert pydicom.dcmread(tmp_path / 'eye' / SEG).PatientID == '9'

  def test_without_being_asked_for_none_stays(self, tmp_path, png):
    write(tmp_path, png)
    found, record = made()
    assert not set(write_result(tmp_path / 'eye', found, record)['files']) & {PHOTOGRAPH, SEG, SR}
    assert not list((tmp_path / 'eye').glob('*.dcm'))

  def test_where_the_photograph_is_gone_what_was_kept_of_it_will_do(self, tmp_path, png):
    record = write(tmp_path, png)
    png.unlink()
    before = self.uids(tmp_path)
    fewer = copy.deepcopy(record)
    fewer['states']['MA'], fewer['lesions']['MA']['present'] = 'absent', False
    assert write_dicom(tmp_path / 'eye', fewer, {}, tmp_path / 'eye' / PHOTOGRAPH) == [PHOTOGRAPH, SEG, SR]
    assert self.uids(tmp_path)[PHOTOGRAPH] == before[PHOTOGRAPH] and self.uids(tmp_path)[SEG] != before[SEG]
