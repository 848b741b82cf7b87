"""The situations that people reported of other tools, all of the folder of cases beside the project, through the commands: right,
or one sentence. Each stands for a kind, of which the tests of its subject draw inputs of their own; README.md there has the
right values."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import oracle
import pytest
from PIL import Image
from real import IDRID

import lesion_jax
from lesion_jax import cli, models
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.reading import read_exports
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.data.native import NativeSource
from lesion_jax.data.registry import load_dataset
from lesion_jax.weights.bundle import save_bundle
from lesion_jax.weights.initialize import initialize

REPORTS = IDRID.parents[1] / 'cases' / 'reports'
LONGEST = 700  # characters of a sentence
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not REPORTS.is_dir(), reason=f'the cases are not at {REPORTS}'),
              pytest.mark.filterwarnings('default')]


@pytest.fixture
def run(capfd):
  """`run(*arguments) -> (status, what was said)`, without anything of Python in it."""

  def call(*arguments):
    try:
      status = cli.main([str(argument) for argument in arguments])
    except SystemExit as ended:
      status = ended.code
    shown = capfd.readouterr()
    assert 'Traceback' not in shown.err + shown.out and 'object at 0x' not in shown.err
    return status, shown.out + shown.err

  return call


@pytest.fixture
def prepare(run, tmp_path):
  """`prepare(case, *options) -> (status, what was said)` of `lesion-jax prepare folder` at 96 pixels."""
  return lambda name, *options: run('prepare', 'folder', '--source', REPORTS / name, '--size', 96, '--out',
                                    tmp_path / 'prepared', *options)


@pytest.fixture
def opened(tmp_path):
  """`opened(case, **options)`: the data set that `prepare` prepared."""
  return lambda name, **options: load_dataset('folder', source_dir=REPORTS / name, size=96, data_dir=tmp_path / 'prepared',
                                              quiet=True, **options)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
  """One that sees lesions by colour and grades."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(), card='', variables={'params': {'gain': np.float32(1)}})
  return tmp_path / 'bundle'


def _sentence(said):
  """What a command ended with 2 says last, in one line."""
  last = said.strip().splitlines()[-1]
  assert ': error: ' in last and len(last) < LONGEST, said
  return last


def _natives(dataset):
  return {native.labels['id']: native for split in dataset.splits for native in NativeSource(dataset, split)}


def test_pairs_of_eyes_are_dealt_together_and_that_is_said(prepare, opened):
  status, said = prepare('eye_pairs')
  assert status == 0 and '12 patients of 24 photographs' in said and 'there is no column patient' in said
  dataset = opened('eye_pairs')
  side = {example['id']: split for split in dataset.splits for example in dataset.source(split)}
  assert len(side) == 24 and all(side[f'{number}_left'] == side[f'{number}_right'] for number in range(300, 312))


def test_1_and_255_in_one_mask_are_asked_about_and_can_be_declared(prepare, opened):
  status, said = prepare('ignore_255')
  assert status == 2 and re.search(r'hold both 1 and 255 \(6 of 6 masks\).*lesion=1,ignore=255', _sentence(said))
  assert prepare('ignore_255', '--option', 'values=lesion=1,ignore=255')[0] == 0
  for name, native in _natives(opened('ignore_255', values='lesion=1,ignore=255')).items():
    mask = np.asarray(Image.open(REPORTS / 'ignore_255' / 'masks' / 'HaEx' / f'{name}.png'))
    np.testing.assert_array_equal(native.present['HaEx'], mask == 1)
    np.testing.assert_array_equal(native.unscored['HaEx'], mask == 255)


def test_two_grades_are_asked_about_and_as_referable_they_have_no_kappa(prepare, run, bundle, tmp_path):
  status, said = prepare('grade_binary')
  assert status == 0 and re.search(r'only the grades 0, 1 occur.*or referable yes/no', said)
  common = ['--model', bundle, '--data', 'folder', '--source', REPORTS / 'grade_binary', '--split', 'all', '--no-pictures',
            '--prepared', tmp_path / 'prepared']
  status, said = run('evaluate', *common, '--option', 'scale=referable', '--out', tmp_path / 'judged')
  assert status == 0, said
  figures = json.loads((tmp_path / 'judged' / 'report.json').read_text())
  assert figures['kappa']['value'] is None and 'referable' in figures['kappa']['reason']
  assert {'sensitivity', 'specificity', 'auc'} <= figures['referable'].keys()


def test_grades_as_floats_are_taken_and_empty_ones_are_unknown(prepare, opened):
  assert prepare('grade_float')[0] == 0
  dataset = opened('grade_float')
  found = {example['id']: int(example['grade']) for split in dataset.splits for example in dataset.source(split)}
  rows = (line.split(',') for line in (REPORTS / 'grade_float' / 'grades.csv').read_text().splitlines()[1:])
  assert found == {row[0]: int(float(row[1])) if row[1] else -1 for row in rows} and -1 in found.values()


def test_index_maps_are_called_so_and_read_where_a_mapping_says_what_they_are(prepare, opened):
  for name in ('label_map', 'label_map_in_lesion'):
    status, said = prepare(name)
    assert status == 2 and re.search(r'index map.*1=MA,2=iHE,3=HaEx,4=CWS', _sentence(said)), said
  assert '6 of 6' in said
  indices = '1=MA,2=iHE,3=HaEx,4=CWS'
  assert prepare('label_map', '--option', f'indices={indices}')[0] == 0
  natives = _natives(opened('label_map', indices=indices))
  assert len(natives) == 6
  for name, native in natives.items():
    numbers = np.asarray(Image.open(REPORTS / 'label_map' / 'masks' / f'{name}.png'))
    for number, key in enumerate(('MA', 'iHE', 'HaEx', 'CWS'), 1):
      np.testing.assert_array_equal(native.present[key], numbers == number)


def test_names_of_releases_are_lesions(prepare, opened):
  status, said = prepare('lesion_names')
  assert status == 0 and 'HE as iHE' in said and set(opened('lesion_names').annotated) == {'MA', 'iHE', 'HaEx', 'CWS'}


def test_folders_by_split_and_grade_are_taken(prepare, opened):
  assert prepare('image_folder')[0] == 0
  dataset = opened('image_folder')
  for split, folder in (('train', 'train'), ('validation', 'val'), ('test', 'test')):
    expected = {path.stem: int(path.parent.name) for path in (REPORTS / 'image_folder' / folder).rglob('*.jpg')}
    assert {example['id']: int(example['grade']) for example in dataset.source(split)} == expected


def test_enhanced_photographs_have_reasons_of_their_own_and_the_page_says_so(run, bundle, tmp_path):
  status, said = run('predict', REPORTS / 'enhanced', '--model', bundle, '--out', tmp_path / 'out')
  assert status == 0, said
  quality = {path.parent.name: json.loads(path.read_text())['quality'] for path in (tmp_path / 'out').glob('*/result.json')}
  own = [set(quality[name]['reasons']) for name in sorted(quality)]
  assert quality['0_plain']['gradable'] and not own[0]
  assert own[1] & {'colours', 'contrast'} and own[2] & {'colours', 'contrast'} and 'not in colour' in own[3]
  assert 'edge not seen' in own[4]


def test_a_brush_stroke_of_another_size_than_its_photograph_is_a_sentence(run, tmp_path):
  """What the case holds is a stub of 65536 values on a photograph of 96 x 96; whole strokes are read, see tests/annotation."""
  status, said = run('consensus', REPORTS / 'annotations' / 'label_studio_brush.json', '--images', REPORTS / 'annotations' / 'photographs',
                     '--out', tmp_path / 'truth')
  assert status == 2 and 'a brush stroke has 65536 values, and a photograph of 96x96 pixels 36864' in _sentence(said)


@pytest.mark.parametrize('name', ['coco.json', 'labelme_300_left.json'])
def test_annotations_are_read_to_the_pixel(name, run, tmp_path):
  path = REPORTS / 'annotations' / name
  found = read_exports([('', path)], Labels()).annotations
  assert found and all(annotation.shapes for annotation in found)
  status, said = run('consensus', *(f'{who}={path}' for who in 'abc'), '--images', REPORTS / 'annotations' / 'photographs', '--out', tmp_path / 'truth')
  assert status == 0 or 'no photograph is left' in _sentence(said), said
  for annotation in found:
    packed = rasterise(annotation.shapes, annotation.size)
    keys = [key for key in LESION_KEYS if (packed & lesion_bits([key])).any()]
    assert keys and packed.any()
    if name == 'coco.json':
      expected = _coco(json.loads(path.read_text()), annotation.photograph)
      np.testing.assert_array_equal(packed > 0, expected)


def _coco(document, photograph):
  """All polygons of a photograph, by asking of every pixel's centre on which side of each edge it lies."""
  image, = (image for image in document['images'] if pathlib.PurePosixPath(image['file_name']).name == photograph)
  y, x = np.mgrid[:image['height'], :image['width']] + 0.5
  whole = np.zeros(y.shape, bool)
  for annotation in document['annotations']:
    for ring in annotation['segmentation'] if annotation['image_id'] == image['id'] else ():
      points, inside = np.reshape(ring, (-1, 2)).astype(float), np.zeros(y.shape, bool)
      for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
          inside ^= ((y0 > y) != (y1 > y)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x)
      whole |= inside
  return whole


def test_processors_that_are_shown_and_not_allowed_take_no_memory(tmp_path):
  model = {'name': 'lesion_net_16s', 'width': 0.125}
  variables = initialize(models.get_model(**model), jax.ShapeDtypeStruct((1, 96, 96, 3), np.uint8), seed=0)
  bundle = tmp_path / 'bundle'
  save_bundle(bundle, config=oracle.oracle_config(model=model, preprocessing={'size': 96, 'crop': 'field of view'}), card='',
              variables=variables)
  run = subprocess.run(
      [sys.executable, REPORTS / 'many_processors.py', '64', REPORTS / 'enhanced', bundle, tmp_path / 'out'], check=False,
      capture_output=True, text=True, env=os.environ | {'PYTHONPATH': str(pathlib.Path(lesion_jax.__file__).parents[1])})
  found = re.search(r'64 processors shown: status 0, peak (\d+) MB', run.stdout)
  assert found and int(found[1]) < 2000, run.stdout + run.stderr


def test_every_case_is_tried():
  """A new one needs a test."""
  assert {path.name for path in REPORTS.iterdir()} == {
      'README.md', 'annotations', 'enhanced', 'eye_pairs', 'grade_binary', 'grade_float', 'ignore_255', 'image_folder', 'label_map',
      'label_map_in_lesion', 'lesion_names', 'many_processors.py'}
