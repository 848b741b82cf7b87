"""Maps on disk, and other thresholds without the network: what comes out is a fresh prediction with them."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil

import flax.linen as nn
import jax.numpy as jnp
import jsonschema
import numpy as np
import oracle
import pytest
from PIL import Image
from scipy import ndimage

from lesion_jax import cli, models
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.reading import read_exports
from lesion_jax.bulk import Options, Refused, predict_photographs, rethreshold
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.record import SCHEMA
from lesion_jax.core import LESION_KEYS, NUM_LESIONS, Outputs, lesion_index
from lesion_jax.data.native import NativeSource
from lesion_jax.data.registry import load_dataset
from lesion_jax.weights.bundle import save_bundle

KEYS = ('MA', 'HaEx', 'CWS')


class Soft(nn.Module):
  """Lesions by colour, with all probabilities in between; CWS nowhere."""

  @nn.compact
  def __call__(self, images, *, train):
    gain = self.param('gain', nn.initializers.ones, ())
    _, green, blue = jnp.moveaxis(images.astype(jnp.float32), -1, 0)
    maps = jnp.full((*green.shape, NUM_LESIONS), -10.0)
    maps = maps.at[..., lesion_index('MA')].set((green - 60) / 9 * gain)
    maps = maps.at[..., lesion_index('HaEx')].set((blue - 70) / 11 * gain)
    return Outputs(maps=maps, lesions=maps.max((1, 2)))


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Two photographs with specks of every strength, and a bundle."""
  monkeypatch.setitem(models.MODELS, 'soft', Soft)
  give(tmp_path)
  (tmp_path / 'eyes').mkdir()
  for number in (1, 2):
    rng = np.random.default_rng(number)
    image = oracle.photograph(grade=1)
    specks = ndimage.gaussian_filter(rng.normal(size=(*image.shape[:2], 2)), (3, 3, 0)) * 600
    inside = image[..., :1] > 0
    image[..., 1:] = np.where(inside, np.clip(image[..., 1:] + specks, 0, 255), 0)
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / 'eyes' / f'{number}.png')
  return tmp_path


def give(place, **changes):
  """The bundle, with changes of its configuration."""
  save_bundle(place / 'bundle', config=oracle.oracle_config(model={'name': 'soft'}, annotated=list(KEYS), **changes), card='',
              variables={'params': {'gain': np.float32(1)}})


def predict(place, out, **options):
  return predict_photographs(place / 'eyes', place / out, Options(place / 'bundle', **options))


def files(out, *without):
  """The files of a run but the page, which has its time, and the table, which says what was predicted when."""
  return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob('*'))
          if path.is_file() and path.name not in ('report.html', 'results.csv', *without)}


def rows(out):
  with (out / 'results.csv').open(newline='') as file:
    return [{key: value for key, value in row.items() if key != 'status'} for row in csv.DictReader(file)]


class TestMaps:

  @pytest.mark.parametrize(('form', 'at'), [('png', 'network'), ('npz', 'photograph'), *(
      pytest.param(*each, marks=pytest.mark.slow) for each in (('npz', 'network'), ('png', 'photograph')))])
  def test_they_are_what_the_network_says_in_either_size(self, place, form, at):
    from lesion_jax.predict import load

    entries = predict(place, 'out', maps=form, maps_at=at)
    jsonschema.validate(entries[0].record, json.loads(SCHEMA.read_text()))
    for entry in entries:
      found = load(place / 'bundle')(entry.file)
      folder = place / 'out' / entry.folder
      for key in KEYS:
        expected = found.maps[0, ..., lesion_index(key)] if at == 'network' else found.on_photograph(key)
        if form == 'npz':
          with np.load(folder / 'maps.npz') as archive:
            assert archive[key].dtype == np.float32
            np.testing.assert_array_equal(archive[key], np.clip(expected, 0, 1))
        else:
          with Image.open(folder / f'{key}_map.png') as image:
            assert image.mode.startswith('I;16')
            np.testing.assert_allclose(np.asarray(image) / 65535, np.clip(expected, 0, 1), atol=1 / 131070 + 1e-7)
      names = {'maps.npz'} if form == 'npz' else {f'{key}_map.png' for key in KEYS}
      assert names | ({'inside.png'} if at == 'network' else set()) <= set(entry.record['files'])

  def test_without_being_asked_for_there_are_none_and_asking_predicts_again(self, place):
    plain = predict(place, 'out')
    assert 'maps' not in plain[0].record and not list((place / 'out').glob('*/*map*'))
    assert [entry.status for entry in predict(place, 'out', maps='png')] == ['predicted'] * 2
    assert [entry.status for entry in predict(place, 'out', maps='png')] == ['skipped'] * 2
    predict(place, 'out')
    assert not list((place / 'out').glob('*/*map*')) and not list((place / 'out').glob('*/inside.png'))


TOP, MAXIMUM = ({'presence': {'rule': rule, 'thresholds': dict.fromkeys(LESION_KEYS, 0.5)}} for rule in ('top500', 'maximum'))


class TestRethreshold:

  @pytest.mark.parametrize('thresholds, presence', [
      ({'MA': 0.9, 'HaEx': 0.123, 'CWS': 0.00001}, TOP),
      *(pytest.param(*each, marks=pytest.mark.slow) for each in (
          ({'MA': 0.3}, {}), ({'MA': 0.3}, TOP), ({'MA': 0.3}, MAXIMUM), ({'MA': 0.9, 'HaEx': 0.123, 'CWS': 0.00001}, {}),
          ({'MA': 0.9, 'HaEx': 0.123, 'CWS': 0.00001}, MAXIMUM)))])
  def test_from_npz_everything_is_that_of_a_fresh_prediction(self, place, presence, thresholds):
    give(place, **presence)
    predict(place, 'out', maps='npz')
    before = files(place / 'out')
    found = rethreshold(place / 'out', thresholds)
    assert not found.left and [entry.status for entry in found.entries] == ['predicted'] * 2
    predict(place, 'fresh', maps='npz', thresholds=thresholds)
    mine, fresh = (files(place / out, 'overlay.png') for out in ('out', 'fresh'))
    assert mine.keys() == fresh.keys() and [name for name in mine if mine[name] != fresh[name]] == []
    assert rows(place / 'out') == rows(place / 'fresh') and before != files(place / 'out')
    again = predict(place, 'out', maps='npz', thresholds=thresholds)
    assert [entry.status for entry in again] == ['skipped'] * 2, 'the same command has nothing to do'

  def test_from_png_masks_differ_only_where_a_probability_is_at_the_threshold(self, place):
    predict(place, 'out', maps='png')
    rethreshold(place / 'out', {'MA': 0.3, 'HaEx': 0.7})
    predict(place, 'fresh', maps='npz', thresholds={'MA': 0.3, 'HaEx': 0.7})
    for folder in ('1', '2'):
      with np.load(place / 'fresh' / folder / 'maps.npz') as archive:
        for key, threshold in (('MA', 0.3), ('HaEx', 0.7)):
          masks = [np.asarray(Image.open(place / out / folder / f'{key}.png')) for out in ('out', 'fresh')]
          close = np.abs(archive[key] - threshold) < 1 / 65535
          assert (masks[0] != masks[1]).sum() <= 16 * close.sum()

  def test_back_again_gives_what_there_was(self, place):
    predict(place, 'out', maps='npz', thresholds={'MA': 0.5})
    first = files(place / 'out', 'overlay.png')
    rethreshold(place / 'out', {'MA': 0.2})
    rethreshold(place / 'out', {'MA': 0.5})
    assert files(place / 'out', 'overlay.png') == first

  def test_a_process_that_was_killed_leaves_what_can_be_done_again(self, place):
    predict(place, 'out', maps='npz')
    shutil.copytree(place / 'out', place / 'whole')
    folder = place / 'out' / '1'
    (folder / 'result.json').rename(folder / '.result.json.before')
    (folder / 'MA.png').unlink()
    rethreshold(place / 'out', {'MA': 0.4}), rethreshold(place / 'whole', {'MA': 0.4})
    assert files(place / 'out') == files(place / 'whole')
    (folder / 'result.json').rename(folder / '.result.json.before')
    predict(place, 'out', maps='npz')
    assert (folder / 'result.json').exists() and not (folder / '.result.json.before').exists()

  def test_results_without_maps_stay_and_are_named(self, place, capsys):
    predict(place, 'out', maps='npz')
    predict_photographs(place / 'eyes' / '1.png', place / 'out', Options(place / 'bundle'))
    before = (place / 'out' / '1' / 'result.json').read_bytes()
    assert cli.main(['rethreshold', str(place / 'out'), '--threshold', 'MA=0.4']) == 1
    said = capsys.readouterr()
    assert '1: it has no probability maps; predict again with --maps npz' in said.err and '1 of 2 results made anew' in said.out
    assert (place / 'out' / '1' / 'result.json').read_bytes() == before

  @pytest.mark.parametrize('damage', [lambda path: path.write_bytes(b'no archive'), lambda path: path.unlink(),
                                      lambda path: np.savez(path, MA=np.zeros((3, 3), np.float32))])
  def test_damaged_maps_stay_and_are_named(self, place, damage):
    predict(place, 'out', maps='npz')
    damage(place / 'out' / '2' / 'maps.npz')
    before = (place / 'out' / '2' / 'result.json').read_bytes()
    found = rethreshold(place / 'out', {'MA': 0.4})
    assert [entry.status for entry in found.entries] == ['predicted', 'skipped'] and found.left[0].startswith('2: ')
    assert (place / 'out' / '2' / 'result.json').read_bytes() == before

  def test_maps_whose_data_are_damaged_inside_of_their_archive_stay_and_are_named(self, place):
    predict(place, 'out', maps='npz')
    path = place / 'out' / '2' / 'maps.npz'
    sound = path.read_bytes()
    for start in (60, 400):  # the head of the array, and what is in it
      path.write_bytes(sound[:start] + bytes([0xff] * 40) + sound[start + 40:])
      found = rethreshold(place / 'out', {'MA': 0.4})
      assert [entry.status for entry in found.entries] == ['predicted', 'skipped']
      assert found.left[0].startswith('2: its maps are damaged (') and found.left[0].endswith('predict again with --overwrite')

  @pytest.mark.parametrize('damage', [lambda path: path.write_bytes(b'no picture'), lambda path: path.unlink()])
  def test_without_its_picture_a_result_stays_as_it_was(self, place, damage):
    predict(place, 'out', maps='npz')
    damage(place / 'out' / '2' / 'field.jpg')
    before = {path.name: path.read_bytes() for path in (place / 'out' / '2').iterdir()}
    found = rethreshold(place / 'out', {'MA': 0.4})
    assert [entry.status for entry in found.entries] == ['predicted', 'skipped'] and found.left[0].startswith('2: ')
    assert {path.name: path.read_bytes() for path in (place / 'out' / '2').iterdir()} == before

  def test_what_cannot_be_done_is_refused(self, place):
    predict(place, 'out')
    with pytest.raises(Refused, match='no result in .* has probability maps; predict again with --maps npz'):
      rethreshold(place / 'out', {'MA': 0.4})
    predict(place, 'large', maps='npz', maps_at='photograph')
    assert "in the photograph's own pixels" in rethreshold(place / 'large', {'MA': 0.4}).left[0]
    predict(place, 'out', maps='npz')
    for thresholds, said in (({'NV': 0.3}, 'NV is evaluated in no result'), ({'MA': 1.0}, 'not between 0 and 1')):
      with pytest.raises(Refused, match=said):
        rethreshold(place / 'out', thresholds)
    with pytest.raises(Refused, match='no folder'):
      rethreshold(place / 'nowhere', {'MA': 0.3})

  def test_the_command(self, place, capsys):
    predict(place, 'out', maps='npz')
    assert cli.main(['rethreshold', str(place / 'out'), '--threshold', 'MA=0.3', '--threshold', 'HaEx=0.6', '--coco', 'rle']) == 0
    assert '2 of 2 results made anew' in capsys.readouterr().out and (place / 'out' / 'coco.json').exists()
    record = json.loads((place / 'out' / '1' / 'result.json').read_text())
    assert [record['lesions'][key]['threshold'] for key in KEYS] == [0.3, 0.6, 0.5]
    with pytest.raises(SystemExit):
      cli.main(['rethreshold', str(place / 'out')])
    assert 'give --threshold, --smallest, --coco, --labelme or --index-maps' in capsys.readouterr().err


class TestSmallest:

  def _sizes(self, place, out, key):
    found = {}
    for folder in ('1', '2'):
      record = json.loads((place / out / folder / 'result.json').read_text())
      with np.load(place / out / folder / 'maps.npz') as archive:
        labels, count = ndimage.label(archive[key] >= record['lesions'][key]['threshold'], np.ones((3, 3)))
      found[folder] = np.bincount(labels.ravel())[1:count + 1], record
    return found

  def test_regions_below_it_are_in_no_mask_count_or_area(self, place):
    predict(place, 'all', maps='npz')
    entries = predict(place, 'out', maps='npz', smallest={'MA': Smallest(6)})
    jsonschema.validate(entries[0].record, json.loads(SCHEMA.read_text()))
    gone = 0
    for folder, (sizes, record) in self._sizes(place, 'out', 'MA').items():
      lesion = record['lesions']['MA']
      assert lesion['found']['regions'] == (sizes >= 6).sum()
      assert lesion['smallest'] == {'value': 6, 'unit': 'pixels', 'network_pixels': 6}
      whole, less = (np.asarray(Image.open(place / out / folder / 'MA.png')) > 0 for out in ('all', 'out'))
      assert not (less & ~whole).any()
      gone += (whole & ~less).sum()
      other = json.loads((place / 'all' / folder / 'result.json').read_text())
      assert record['lesions']['HaEx'] == other['lesions']['HaEx'] and record['states'] == other['states']
      assert any('Left out of masks, counts and areas' in note and 'MA 6 pixels' in note for note in record['notes'])
    assert gone > 0
    assert 'MA 6 pixels' in (place / 'out' / 'report.html').read_text()
    with (place / 'out' / 'results.csv').open(newline='') as file:
      assert next(csv.DictReader(file))['smallest regions'] == 'MA 6 pixels'
    assert 'smallest' not in (place / 'all' / 'results.csv').read_text()

  def test_disc_areas_are_shares_of_the_field(self, place):
    predict(place, 'out', maps='npz', smallest={'HaEx': Smallest(0.1, 'disc areas')})
    for folder, (sizes, record) in self._sizes(place, 'out', 'HaEx').items():
      inside = np.asarray(Image.open(place / 'out' / folder / 'inside.png')) > 0
      least = int(np.ceil(0.1 * 0.019 * inside.sum()))
      assert least > 1 and record['lesions']['HaEx']['smallest']['network_pixels'] == least
      assert record['lesions']['HaEx']['found']['regions'] == (sizes >= least).sum()

  def test_the_bundle_says_it_and_the_command_overrules_it(self, place, tmp_path):
    give(place, smallest={'MA': {'value': 6, 'unit': 'pixels'}})
    own = predict(place, 'own')
    assert own[0].record['lesions']['MA']['smallest']['value'] == 6
    run = lambda *more: cli.main(['predict', str(place / 'eyes'), '--model', str(place / 'bundle'), '--quiet', *more])
    assert run('--out', str(tmp_path / 'none'), '--smallest', 'none') == 0
    assert 'smallest' not in (tmp_path / 'none' / '1' / 'result.json').read_text().partition('"run"')[0]
    assert run('--out', str(tmp_path / 'more'), '--smallest', 'MA=9,HaEx=0.1DA') == 0
    lesions = json.loads((tmp_path / 'more' / '1' / 'result.json').read_text())['lesions']
    assert (lesions['MA']['smallest']['value'], lesions['HaEx']['smallest']['unit']) == (9, 'disc areas')

  @pytest.mark.parametrize('value', [{'MA': 3}, {'MA': {'value': 0}}, {'XX': {'value': 3}}, {'MA': {'value': 3, 'unit': 'mm'}}, 3])
  def test_a_bundle_that_says_something_else_is_refused(self, place, value):
    give(place, smallest=value)
    with pytest.raises(Refused, match='smallest'):
      predict(place, 'out')

  def test_rethresholding_keeps_it_or_changes_it(self, place):
    predict(place, 'out', maps='npz', smallest={'MA': Smallest(6)})
    rethreshold(place / 'out', {'MA': 0.3})
    predict(place, 'fresh', maps='npz', smallest={'MA': Smallest(6)}, thresholds={'MA': 0.3})
    assert files(place / 'out', 'overlay.png') == files(place / 'fresh', 'overlay.png')
    rethreshold(place / 'out', {}, smallest={})
    predict(place, 'plain', maps='npz', thresholds={'MA': 0.3}, smallest={})
    assert files(place / 'out', 'overlay.png') == files(place / 'plain', 'overlay.png')


class TestOtherForms:

  @pytest.mark.parametrize('form', ['rle', 'polygons'])
  def test_coco_gives_the_masks_back_pixel_for_pixel(self, place, form):
    entries = predict(place, 'out', coco=form)
    found = read_exports([('net', place / 'out' / 'coco.json')], Labels())
    assert {each.photograph for each in found.annotations} == {'1.png', '2.png'}
    for annotation in found.annotations:
      folder = place / 'out' / annotation.photograph[0]
      np.testing.assert_array_equal(rasterise(annotation.shapes, annotation.size), np.asarray(Image.open(folder / 'lesions.png')))
    document = json.loads((place / 'out' / 'coco.json').read_text())
    numbers = [each['id'] for each in document['annotations']]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [each['name'] for each in document['categories']] == list(LESION_KEYS)
    assert {each['file_name'] for each in document['images']} == {entry.file for entry in entries}

  def test_lesions_are_burnt_into_the_photographs_own_pixels(self, place):
    entries = predict(place, 'out', burnt_in=True, maps='npz')
    for entry in entries:
      image, burnt = (np.asarray(Image.open(path)).astype(int) for path in (entry.file, place / 'out' / entry.folder / 'burnt.jpg'))
      height = image.shape[0]
      assert burnt.shape[1] == image.shape[1] and burnt.shape[0] > height, 'a strip of names below'
      packed = np.asarray(Image.open(place / 'out' / entry.folder / 'lesions.png')) > 0
      far = ndimage.distance_transform_edt(~packed) > 24  # beyond the lines and the blocks of JPEG
      near = ndimage.binary_dilation(packed) & ~packed
      assert np.abs(burnt[:height] - image)[far].mean() < 3 < 20 < np.abs(burnt[:height] - image)[near].mean()

  def test_new_thresholds_burn_in_anew_or_say_that_the_photograph_is_gone(self, place):
    predict(place, 'out', burnt_in=True, maps='npz')
    first = (place / 'out' / '1' / 'burnt.jpg').read_bytes()
    (place / 'eyes' / '2.png').unlink()
    found = rethreshold(place / 'out', {'MA': 0.2})
    assert (place / 'out' / '1' / 'burnt.jpg').read_bytes() != first and not (place / 'out' / '2' / 'burnt.jpg').exists()
    assert not found.left and found.notes[0].startswith('2: burnt.jpg is removed, as the photograph cannot be read any more')
    assert 'burnt.jpg' not in found.entries[1].record['files']

  def test_areas_are_in_mm2_where_dicom_states_a_spacing_and_nowhere_else(self, place):
    pydicom = pytest.importorskip('pydicom')
    image = np.asarray(Image.open(place / 'eyes' / '1.png'))
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.OphthalmicPhotography8BitImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = '1.2.3'
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PlanarConfiguration = *image.shape[:2], 3, 0
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = 'RGB', 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelSpacing, dataset.PixelData = 7, ['0.08', '0.06'], image.tobytes()
    dataset['PixelData'].VR = 'OB'
    dataset.save_as(place / 'eyes' / '1.dcm', enforce_file_format=True)
    (place / 'eyes' / '1.png').unlink()
    stated, other = predict(place, 'out')
    jsonschema.validate(stated.record, json.loads(SCHEMA.read_text()))
    found = stated.record['lesions']['HaEx']['found']
    assert found['mm2'] == pytest.approx(found['pixels'] * 0.08 * 0.06, rel=0.01) and found['mm2'] > 0
    assert float(rows(place / 'out')[0]['HaEx mm2']) == found['mm2']
    assert 'mm2' not in json.dumps(other.record['lesions']) and rows(place / 'out')[1]['HaEx mm2'] == ''
    assert 'Areas in mm2 are by the pixel spacing' in (place / 'out' / 'report.html').read_text()

  @pytest.mark.parametrize('form', ['masks', 'polygons'])
  def test_labelme_gives_the_masks_back_pixel_for_pixel(self, place, form):
    entries = predict(place, 'out', labelme=form)
    found = read_exports([('net', place / 'out' / 'labelme')], Labels()).annotations
    assert [each.photograph for each in found] == ['1.png', '2.png']
    for annotation, entry in zip(found, entries, strict=True):
      packed = np.asarray(Image.open(place / 'out' / entry.folder / 'lesions.png'))
      np.testing.assert_array_equal(rasterise(annotation.shapes, annotation.size), packed)
      path = place / 'out' / 'labelme' / f'{entry.folder}.json'
      document = json.loads(path.read_text())
      assert (path.parent / document['imagePath']).resolve() == (place / 'eyes' / annotation.photograph).resolve()
      assert {'imageData', 'flags', 'version'} <= document.keys() and packed.shape == (
          document['imageHeight'], document['imageWidth'])
      np.testing.assert_array_equal(_as_labelme(document) if form == 'masks' else packed, packed)

  def test_files_of_labelme_that_a_person_saved_stay(self, place):
    predict(place, 'out', labelme='masks', maps='npz')
    path = place / 'out' / 'labelme' / '1.json'
    document = json.loads(path.read_text())
    document['shapes'] = document['shapes'][:1]
    path.write_text(json.dumps(document))
    corrected, other = path.read_bytes(), (place / 'out' / 'labelme' / '2.json').read_bytes()
    found = rethreshold(place / 'out', {'MA': 0.2})
    assert path.read_bytes() == corrected and (place / 'out' / 'labelme' / '2.json').read_bytes() != other
    assert len(found.notes) == 1 and '1 files in' in found.notes[0] and '1.json; remove them' in found.notes[0]

  def test_index_maps_are_a_data_set_with_the_photographs_beside_them(self, place, tmp_path):
    said = []
    entries = predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle', index_maps=True), notice=said.append)
    (place / 'out' / 'index_maps' / 'images').symlink_to(place / 'eyes')
    dataset = load_dataset('folder', data_dir=tmp_path / 'data', source_dir=place / 'out' / 'index_maps', size=64, quiet=True)
    natives = {each.labels['id']: each for split in dataset.lengths for each in NativeSource(dataset, split)}
    assert dataset.annotated == KEYS and natives.keys() == {entry.folder for entry in entries}
    several = []
    for entry in entries:
      numbers = np.asarray(Image.open(place / 'out' / 'index_maps' / 'masks' / f'{entry.folder}.png'))
      packed = np.asarray(Image.open(place / 'out' / entry.folder / 'lesions.png'))
      bits = np.stack([packed >> bit & 1 for bit in range(NUM_LESIONS)])
      np.testing.assert_array_equal(numbers, np.where(packed > 0, bits.argmax(0) + 1, 0), 'the first lesion of a pixel')
      for key in KEYS:
        np.testing.assert_array_equal(natives[entry.folder].present[key], numbers == lesion_index(key) + 1)
      several.append((bits.sum(0) > 1).sum())
    assert sum(several) > 0 and len(said) == 1
    assert said[0].startswith(f'{sum(several)} pixels of {np.count_nonzero(several)} photographs have more than one lesion')

  def test_forms_that_lie_there_are_made_anew_though_nobody_asks(self, place):
    predict(place, 'out', maps='npz', coco='polygons', labelme='polygons', index_maps=True)
    rethreshold(place / 'out', {'MA': 0.2})
    predict(place, 'fresh', maps='npz', coco='polygons', labelme='polygons', index_maps=True, thresholds={'MA': 0.2})
    assert files(place / 'out', 'overlay.png') == files(place / 'fresh', 'overlay.png')

  def test_they_are_never_taken_for_photographs(self, place):
    predict(place, 'eyes/out', labelme='masks', index_maps=True)
    said = []
    again = predict_photographs([place / 'eyes', place / 'eyes' / '**' / '*.png'], place / 'other', Options(place / 'bundle'),
                                notice=said.append)
    assert sorted(entry.folder for entry in again) == ['1', '2'] and said == ['3 other files were not taken (.csv 2, .html 1)']

  def test_a_form_that_there_is_not_is_refused(self, place):
    for option in ('coco', 'labelme'):
      with pytest.raises(Refused, match=f"{option} 'boxes': choose one of"):
        Options(place / 'bundle', **{option: 'boxes'})


def _as_labelme(document):
  """All lesions of a file, packed, by the rule of labelme's own conversion: a mask lies in its box, both corners in it."""
  packed = np.zeros((document['imageHeight'], document['imageWidth']), np.uint8)
  for shape in document['shapes']:
    (left, top), (right, bottom) = np.asarray(shape['points']).astype(int)
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape['mask'])))).astype(bool)
    packed[top:bottom + 1, left:right + 1] |= mask * np.uint8(1 << lesion_index(shape['label']))
  return packed
