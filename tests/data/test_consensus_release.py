"""From an export of three annotators to a data set that the builder reads, and what is left out on the way."""

from __future__ import annotations

import csv
import json
from typing import NamedTuple

import numpy as np
import pytest
from drawing import fundus, save
from exports import opinion, task, write_json
from PIL import Image

from lesion_jax.annotation import photographs as reasons
from lesion_jax.annotation.cleaning import contradicted
from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.names import Photographs
from lesion_jax.annotation.photographs import gather, judge
from lesion_jax.annotation.raster import rasterise
from lesion_jax.annotation.reading import read_exports
from lesion_jax.annotation.shapes import Annotation, Ellipse
from lesion_jax.core import LESION_KEYS, lesion_bits, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.data.consensus_release import Rules, write_release
from lesion_jax.data.registry import load_dataset
from lesion_jax.data.synthetic.annotator import annotate
from lesion_jax.data.synthetic.canvas import Frame, stream
from lesion_jax.photograph.crop import read_field

SIZE, SEED = 256, 5
ANNOTATORS = ('anna', 'berta', 'carl')


class Round(NamedTuple):
  """What was photographed and what each annotator says: file name -> annotator -> (grade, shapes)."""

  folder: object
  opinions: dict
  size: tuple[int, int]


@pytest.fixture(scope='session')
def annotated(tmp_path_factory) -> Round:
  """Fourteen photographs on a wider black background, so that the crop is none of the whole."""
  folder = tmp_path_factory.mktemp('photographs')
  opinions = {}
  for index in range(14):
    sample, scene = synthetic.generate(SEED, index, SIZE), synthetic.draw_scene(SEED, index)
    frame = Frame(SIZE, scene.camera.radius, scene.camera.cut)
    wide = np.zeros((SIZE, SIZE + 40, 3), np.uint8)
    wide[:, 30:30 + SIZE] = sample.image
    Image.fromarray(wide).save(folder / f'{sample.id}.png')
    grades = np.clip(sample.true_grade + np.array([0, 0, index % 3 == 0]), 0, 4)
    opinions[f'{sample.id}.png'] = {
        name: (int(grades[k]), [_moved(shape, 30) for shape in
                                annotate(stream(SEED, index, f'annotator {k}'), frame, scene.findings)])
        for k, name in enumerate(ANNOTATORS)}
  return Round(folder, opinions, (SIZE, SIZE + 40))


def _moved(shape, right):
  if isinstance(shape, synthetic.Ellipse):
    return shape._replace(centre=(shape.centre[0] + right, shape.centre[1]))
  return shape._replace(points=tuple((x + right, y) for x, y in shape.points))


SQUARE = (64, 64)
EYE = Ellipse('iHE', (32.0, 32.0), (6.0, 4.0), 0.3)


def export(annotated, path):
  """The opinions as Label Studio exports them after an upload."""
  tasks = [task(f'/data/upload/4/0123abcd-{name}',
                [opinion(who, grade, shapes, annotated.size) for who, (grade, shapes) in opinions.items()], id=number)
           for number, (name, opinions) in enumerate(annotated.opinions.items())]
  return write_json(path, tasks)


@pytest.fixture(scope='module')
def release(annotated, tmp_path_factory):
  """The folder that was written from the export, and what was counted."""
  folder = tmp_path_factory.mktemp('consensus')
  exports = read_exports([('', export(annotated, folder / 'export.json'))], Labels())
  cases, left_out = gather(exports.annotations, Photographs.of(annotated.folder), {})
  return folder / 'release', write_release(folder / 'release', cases, left_out, rules=Rules(licence='CC0'))


@pytest.fixture(scope='module')
def examples(release):
  """What the builder makes of it: split -> examples."""
  dataset = load_dataset('retinal_lesions', data_dir=release[0].parent / 'prepared', source_dir=release[0])
  return {split: list(dataset.source(split)) for split in dataset.splits}


def expected(annotated, name):
  """Masks and grade of one photograph, by counting votes pixel by pixel."""
  opinions = annotated.opinions[name]
  votes = np.stack([unpack_bits(rasterise(shapes, annotated.size)) for _, shapes in opinions.values()])
  agreed = votes.sum(axis=0) >= 2
  grade = sorted(grade for grade, _ in opinions.values())[1]  # of three with a majority, the median
  against = unpack_bits(np.uint8(contradicted(grade)))
  _, crop = read_field(annotated.folder / name)
  pack = lambda masks: crop.apply_mask(np.packbits(masks, axis=-1, bitorder='little')[..., 0], 896)
  return pack(agreed & ~against), pack(agreed & against), grade


def test_the_builder_reads_what_the_annotators_agree_on(annotated, examples):
  found = {example['id']: example for split in examples.values() for example in split}
  assert sorted(f'{name}.png' for name in found) == sorted(annotated.opinions)
  for name, example in found.items():
    lesions, ignore, grade = expected(annotated, f'{name}.png')
    np.testing.assert_array_equal(example['lesions'], lesions)
    np.testing.assert_array_equal(example['ignore'], ignore)
    assert example['grade'] == grade
  assert sum(example['lesions'].any() for example in found.values()) > 8


def test_the_builder_splits_as_the_release_says(release, examples):
  written = json.loads((release[0] / 'splits.json').read_text())
  assert written['seed'] == 2020 and written['unit'] == 'patient'
  assert {split: sorted(example['id'] for example in part) for split, part in examples.items()} == {
      split: sorted(written[split]) for split in examples}
  assert all(written[split] for split in ('train', 'validation', 'test'))


def test_photographs_are_cropped_to_their_field(annotated, examples):
  example = examples['train'][0]
  image, crop = read_field(annotated.folder / f'{example["id"]}.png')
  assert np.abs(example['image'].astype(int) - crop.apply(image, 896)).mean() < 2  # a JPEG


def test_grades_are_a_table_as_in_the_release(release, annotated):
  with (release[0] / 'dr_grades.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['image id', 'kaggle label', 'our label'] and rows[0]['kaggle label'] == ''
  assert len(rows) == len(annotated.opinions)


def test_the_data_sheet_and_the_record_count_the_same(release):
  record = json.loads((release[0] / 'consensus.json').read_text())
  sheet = (release[0] / 'README.md').read_text()
  assert 'CC0' in sheet and '14 photographs of' in sheet and 'Fleiss' in sheet
  assert record['licence'] == 'CC0' and len(record['photographs']) == 14
  drawn = sum(item['shapes'].get('MA', 0) for item in record['photographs'])
  with_it = sum('MA' in item['lesions'] for item in record['photographs'])
  against = sum('MA' in item['contradicting'] for item in record['photographs'])
  assert f'| MA | {with_it} | {against} | {drawn} |' in sheet
  assert [kappa['annotators'] for kappa in record['agreement']['quadratic_kappa']] == [[1, 2], [1, 3], [2, 3]]


def test_annotators_are_numbered_not_named(release):
  for name in ('README.md', 'consensus.json'):
    text = (release[0] / name).read_text()
    assert not any(who in text for who in ('anna', 'berta', 'carl'))


def test_agreement_is_that_of_the_opinions(release, annotated):
  grades = np.array([[grade for grade, _ in opinions.values()] for opinions in annotated.opinions.values()])
  assert (grades[:, 0] == grades[:, 1]).all() and (grades[:, 0] != grades[:, 2]).any()
  assert release[1].agreement.kappa['anna', 'berta'].value == 1
  assert release[1].agreement.kappa['anna', 'carl'].value < 1
  assert set(release[1].agreement.graded.values()) == {len(grades)}


# What is left out.


@pytest.fixture
def folder(tmp_path):
  """Photographs of three patients, square, and one file that is none."""
  for number, name in enumerate(('1_left.png', '2_left.png', '3_left.png')):
    save(tmp_path / 'photographs' / name, fundus(*SQUARE, seed=number))
  (tmp_path / 'photographs' / '4_left.png').write_bytes(b'no picture')
  save(tmp_path / 'photographs' / '5_left.png', np.zeros((*SQUARE, 3), np.uint8))
  return tmp_path / 'photographs'


def votes(name, *grades, shapes=(EYE,), size=SQUARE):
  return [Annotation(name, f'annotator {k}', grade, tuple(shapes), size) for k, grade in enumerate(grades)]


def verdicts(folder, annotations, **options):
  cases, left_out = gather(annotations, Photographs.of(folder), {})
  judged = [judge(case, **{'annotators': 3} | options) for case in cases]
  return {verdict.case.identity.id: verdict for verdict in judged}, left_out


@pytest.mark.parametrize('annotations, reason, detail', [
    (votes('1_left.png', 2, 2), reasons.TOO_FEW, '2 of 3'),
    (votes('1_left.png', 1, 2, 3), reasons.NO_MAJORITY, '1 DR1, 1 DR2, 1 DR3'),
    (votes('1_left.png', 1, None, None), reasons.NO_MAJORITY, '1 DR1, 2 no grade'),
    (votes('4_left.png', 1, 1, 1), reasons.UNREADABLE, 'cannot read the photograph'),
    (votes('5_left.png', 1, 1, 1), reasons.UNREADABLE, 'no field of view found'),
    (votes('1_left.png', 1, 1, 1, size=(64, 96)), reasons.RESIZED, 'drawn on 96x64 pixels, the photograph has 64x64'),
])
def test_a_photograph_is_left_out_for_a_reason(folder, annotations, reason, detail):
  found, _ = verdicts(folder, annotations)
  verdict, = found.values()
  assert verdict.example is None and verdict.left_out.reason == reason and detail in verdict.left_out.detail


@pytest.mark.parametrize('name', ['4_left.png', '5_left.png'], ids=['damaged', 'black'])
def test_the_reason_names_the_file_but_not_the_folders_of_this_computer(folder, name):
  verdict, = verdicts(folder, votes(name, 1, 1, 1))[0].values()
  assert name in verdict.left_out.detail and str(folder) not in verdict.left_out.detail


def test_annotations_without_their_photograph_are_listed(folder):
  found, left_out = verdicts(folder, votes('1_left.png', 1, 1, 1) + votes('9_left.png', 1, 1))
  assert left_out == [('9_left.png', reasons.NOT_FOUND, '2 annotations')]
  assert found['1_left'].example is not None


def test_a_photograph_that_was_uploaded_twice_is_one_unless_someone_voted_twice(folder):
  twice = votes('aaaaaaaa-1_left.png', 1, 1) + votes('bbbbbbbb-1_left.png', 1)
  found, left_out = verdicts(folder, twice)
  assert not found and left_out[0][1:] == (reasons.AMBIGUOUS, 'aaaaaaaa-1_left.png, bbbbbbbb-1_left.png')
  third = [Annotation('bbbbbbbb-1_left.png', 'another', 1, (), SQUARE)]
  found, left_out = verdicts(folder, twice[:2] + third)
  assert found['1_left'].example is not None and not left_out


def test_fewer_annotators_can_be_asked_for(folder):
  assert verdicts(folder, votes('1_left.png', 2), annotators=1)[0]['1_left'].example.grade == 2


def test_what_two_annotators_say_counts_for_agreement_even_where_it_is_left_out(folder):
  found, _ = verdicts(folder, votes('1_left.png', 1, 2) + votes('2_left.png', 1, 2, 3) + votes('3_left.png', 1))
  assert found['1_left'].ballot.grades == (1, 2) and found['2_left'].ballot.grades == (1, 2, 3)
  assert found['3_left'].ballot is None


def test_a_lesion_that_contradicts_the_grade_is_not_scored(folder):
  example = verdicts(folder, votes('1_left.png', 1, 1, 2))[0]['1_left'].example
  assert example.ignore.any() and not example.lesions.any()
  assert set(np.unique(example.ignore)) == {0, lesion_bits(['iHE'])}


def test_shapes_on_a_reduced_copy_are_enlarged(folder):
  """The copy has half the size, so the ellipse on it has half the axes."""
  half = Ellipse('iHE', (15.75, 15.75), (3.0, 2.0), 0.3)  # the corner at -0.5 stays where it is
  small = verdicts(folder, votes('1_left.png', 2, 2, 2, shapes=[half], size=(32, 32)))[0]['1_left'].example
  large = verdicts(folder, votes('1_left.png', 2, 2, 2))[0]['1_left'].example
  np.testing.assert_array_equal(small.lesions, large.lesions)


# Writing.


def write(folder, annotations, name='out', **rules):
  cases, left_out = gather(annotations, Photographs.of(folder), {})
  return write_release(folder.parent / name, cases, left_out, rules=Rules(**rules))


def test_votes_can_be_chosen(folder):
  annotations = votes('1_left.png', 2, 2, 2)
  annotations[1:] = [annotation._replace(shapes=()) for annotation in annotations[1:]]
  assert write(folder, annotations, 'majority').kept[0].lesions == ()
  assert write(folder, annotations, 'union', votes=1).kept[0].lesions == ('iHE',)
  assert 'at least 1 of its annotators' in (folder.parent / 'union' / 'README.md').read_text()


def test_files_are_those_of_lesions_that_are_there(folder):
  write(folder, votes('1_left.png', 2, 2, 2) + votes('2_left.png', 0, 0, 0, shapes=()))
  out = folder.parent / 'out'
  assert [path.relative_to(out).as_posix() for path in sorted((out / 'lesion_segs_896x896').rglob('*.png'))] == [
      'lesion_segs_896x896/1_left/retinal_hemorrhage.png']
  assert sorted(path.name for path in out.iterdir()) == [
      'README.md', 'consensus.json', 'dr_grades.csv', 'images_896x896', 'lesion_segs_896x896', 'splits.json']


def test_what_is_left_out_is_in_the_sheet(folder):
  write(folder, votes('1_left.png', 2, 2, 2) + votes('2_left.png', 1, 2, 3))
  sheet = (folder.parent / 'out' / 'README.md').read_text()
  assert '- no majority for a grade: 1' in sheet
  assert '| 2_left.png | no majority for a grade | 1 DR1, 1 DR2, 1 DR3 |' in sheet
  assert 'Not stated' in sheet


def test_undefined_figures_are_said(folder):
  write(folder, votes('1_left.png', 2, 2, 2))
  sheet = (folder.parent / 'out' / 'README.md').read_text()
  record = json.loads((folder.parent / 'out' / 'consensus.json').read_text())
  assert 'undefined (all grades are one and the same' in sheet and 'nan' not in sheet.lower().split()
  assert record['agreement']['fleiss_kappa']['value'] is None and record['agreement']['fleiss_kappa']['reason']
  assert set(record['agreement']['dice']) == set(LESION_KEYS)


def test_nothing_is_overwritten_and_nothing_is_left_of_what_failed(folder):
  write(folder, votes('1_left.png', 2, 2, 2))
  with pytest.raises(FileExistsError, match='out is there already'):
    write(folder, votes('1_left.png', 2, 2, 2))
  with pytest.raises(ValueError, match='no photograph is left: 1 too few annotators, 1 not among the photographs|'
                                       'no photograph is left: 1 not among the photographs, 1 too few annotators'):
    write(folder, votes('1_left.png', 2) + votes('9_left.png', 2), 'other')
  with pytest.raises(ValueError, match='no photograph is left: the exports hold no annotation'):
    write(folder, [], 'other')
  assert sorted(path.name for path in folder.parent.iterdir()) == ['out', 'photographs']


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
  def full(*_, **__):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('PIL.Image.Image.save', full)
  with pytest.raises(OSError, match='No space left'):
    write(folder, votes('1_left.png', 2, 2, 2))
  assert sorted(path.name for path in folder.parent.iterdir()) == ['photographs']


@pytest.mark.parametrize('rules, message', [
    ({'annotators': 0}, '0 annotators; a photograph needs at least 1'),
    ({'votes': 4}, '4 votes make a lesion, but photographs with 3 annotators count; give 1 to 3'),
    ({'votes': 0}, '0 votes make a lesion'),
])
def test_impossible_rules_are_refused(rules, message):
  with pytest.raises(ValueError, match=message):
    Rules(**rules)
