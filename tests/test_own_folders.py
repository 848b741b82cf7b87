"""Several folders of one's own as one mixture, what their names may hold, and a validation split that can choose."""

import csv
import os
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image
from tiny import TINY_MODELS
from tiny_config import changed

from lesion_jax import models, stages
from lesion_jax.stages.datasets import join_places, split_places
from lesion_jax.stages.leaks import Before
from lesion_jax.stages.stage import Stage
from lesion_jax.train.parallel import Devices

SIDE = 72


def draw(root, seed, grades=(0, 1, 2, 3, 4, 2), lesions=(True,) * 6, scored=True):
  """Six photographs, two of each split; `lesions` says which have a spot, `scored` whether the validation masks are judged."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
  disc = x**2 + y**2 < (SIDE / 2 - 3)**2
  (root / 'images').mkdir(parents=True)
  (root / 'masks' / 'HaEx').mkdir(parents=True)
  rows = []
  for number in range(6):
    split = ('train', 'validation', 'test')[number // 2]
    picture = np.where(disc[..., None], rng.integers(60, 200, (SIDE, SIDE, 3)), 0).astype(np.uint8)
    Image.fromarray(picture).save(root / 'images' / f'eye{number}.png')
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[30:40, 30:40] = 255 * lesions[number]
    if split == 'validation' and not scored:
      mask[:] = 127
    Image.fromarray(mask).save(root / 'masks' / 'HaEx' / f'eye{number}.png')
    rows.append([f'eye{number}', grades[number], f'{root.name}-{number}', split])
  with (root / 'grades.csv').open('w', newline='') as file:
    csv.writer(file).writerows([['id', 'grade', 'patient', 'split'], *rows])
  return root


@pytest.fixture(autouse=True)
def shallow_networks(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)


def opened(tmp_path, source, *, name='folder', stage='segment', **changes):
  config = changed(stages=(stage,), **{f'{stage}__data__name': name, f'{stage}__data__source_dir': str(source),
                                       f'{stage}__batch_size': 2, **changes})
  return stages.open_datasets(config, str(tmp_path / 'data'), Devices(jax.devices()[:1]))[stage]


def test_two_folders_are_two_parts_with_names_of_their_own(tmp_path):
  places = [draw(tmp_path / name, seed) for seed, name in enumerate(('north', 'a+b'))]
  data = opened(tmp_path, os.pathsep.join(map(str, places)), name='folder+folder', segment__data__weights=(2.0, 1.0))
  assert [part.name for part in data.parts] == ['folder:north', 'folder:a_b']
  assert data.lengths == {'train': 4, 'validation': 4, 'test': 4} and data.annotated == ('HaEx',)


def test_folders_of_one_name_are_told_apart_and_the_same_one_twice_is_refused(tmp_path):
  places = [draw(tmp_path / where / 'eyes', seed) for seed, where in enumerate('ab')]
  data = opened(tmp_path, os.pathsep.join(map(str, places)), name='folder+folder')
  assert [part.name for part in data.parts] == ['folder:eyes-1', 'folder:eyes-2']
  again = tmp_path / 'a' / '..' / 'a' / 'eyes'
  with pytest.raises(ValueError, match='names a data set twice'):
    opened(tmp_path, f'{places[0]}{os.pathsep}{again}', name='folder+folder')


@pytest.mark.parametrize(('folders', 'called'), [
    (('1/a', '2/a', 'a-1'), ['a-2', 'a-3', 'a-1']), (('a-2', '1/a', '2/a'), ['a-2', 'a-1', 'a-3']),
    (('1/a', '2/a', '1/a-1', '2/a-1'), ['a-2', 'a-3', 'a-1-1', 'a-1-2'])])
def test_numbers_give_no_folder_the_name_of_another(tmp_path, folders, called):
  places = [draw(tmp_path / name, seed) for seed, name in enumerate(folders)]
  assert [part.name for part in opened(tmp_path, join_places(places), name='+'.join(['folder'] * len(places))).parts] == [
      f'folder:{name}' for name in called]


def test_a_separator_in_a_name_has_a_backslash_before_it(tmp_path):
  assert split_places(os.pathsep.join(['a', f'b\\{os.pathsep}c', ''])) == ['a', f'b{os.pathsep}c', '']
  assert join_places(['a', f'b{os.pathsep}c', '']) == os.pathsep.join(['a', f'b\\{os.pathsep}c', ''])
  assert split_places(join_places(['ends\\', tmp_path])) == ['ends\\/', str(tmp_path)]
  places = draw(tmp_path / f'with{os.pathsep}one', 0), draw(tmp_path / 'plain', 1)
  assert opened(tmp_path, join_places(places), name='folder+folder').lengths['train'] == 4
  assert opened(tmp_path, join_places(places[:1])).lengths['train'] == 2  # of a single data set it is a folder as it stands


@pytest.mark.parametrize(('changes', 'said'), [
    ({'segment__data__centred': 0.5}, 'centred=0.5: no training photograph has a lesion'),
    ({'segment__data__draw_grades': (1.0,) * 5}, '1 of 2 photographs have no grade')])
def test_what_cannot_be_drawn_is_refused_before_anything_is_trained(tmp_path, changes, said):
  draw(tmp_path / 'mine', 0, grades=(0, '', 2, 3, 4, 2), lesions=(False, False, True, True, True, True))
  with pytest.raises(ValueError, match=f"stage 'segment': folder cannot be drawn from by --config.segment.data: .*{said}"):
    opened(tmp_path, tmp_path / 'mine', **changes)


class TestCriterion:

  @pytest.mark.parametrize('options', [{'scored': False}, {'lesions': (True, True, False, False, True, True)}],
                           ids=['unscored', 'without a lesion'])
  @pytest.mark.parametrize('figure', ['', 'pixel_f1', 'image_f1', 'aupr'])
  def test_of_lesions_needs_a_lesion_in_validation(self, tmp_path, options, figure):
    draw(tmp_path / 'mine', 0, **options)
    with pytest.raises(ValueError, match="stage 'segment': .* needs a photograph with a scored pixel of HaEx .*column `split`"):
      opened(tmp_path, tmp_path / 'mine', segment__criterion=figure)

  @pytest.mark.parametrize(('grades', 'has'), [
      ((0, 1, '', '', 3, 4), 'none with a grade'), ((0, 1, 2, 2, 3, 4), 'all of grade 2')])
  def test_of_grades_needs_several_grades_in_validation(self, tmp_path, grades, has):
    draw(tmp_path / 'mine', 0, grades=grades)
    with pytest.raises(ValueError, match=rf"'grade': .* by kappa .* photographs of several grades \(it has 2, {has}\)"):
      opened(tmp_path, tmp_path / 'mine', stage='grade', grade__model__name='inception_v3_grader')

  def test_one_photograph_that_can_tell_is_enough(self, tmp_path):
    draw(tmp_path / 'mine', 0, lesions=(True, True, True, False, True, True))
    assert opened(tmp_path, tmp_path / 'mine').lengths['validation'] == 2


@pytest.mark.parametrize(('stage', 'changes', 'said'), [
    ('grade', {'grade__model__name': 'inception_v3_grader'}, 'from which a network of the five steps DR0 to DR4 cannot learn'),
    ('segment', {'segment__data__grades_as_lesions': 'on'}, 'does not say which lesions are absent')])
def test_nothing_of_five_steps_is_learned_from_a_coarser_scale(tmp_path, stage, changes, said):
  draw(tmp_path / 'mine', 0, grades=(0, 1, 0, 1, 0, 1))
  with pytest.raises(ValueError, match=f'the grades of folder are on the scale referable, {said if stage == "grade" else "which " + said}'):
    opened(tmp_path, tmp_path / 'mine', stage=stage, **{f'{stage}__data__scale': 'referable', **changes})


def test_a_stage_takes_no_grade_for_more_than_its_scale_tells(tmp_path, monkeypatch):
  """Of a mixture each part by its own: the first has three classes, the second the five steps."""
  places = [draw(tmp_path / name, seed, grades=(0, 1, 2, 2, 1, 0)) for seed, name in enumerate(('three', 'five'))]
  (places[0] / 'dataset.json').write_text('{"scale": "three"}')
  config = changed(stages=('segment',), segment__batch_size=2).segment
  data = opened(tmp_path, os.pathsep.join(map(str, places)), name='folder+folder')
  assert data.source('validation').index.grade.tolist() == [4, 4, 2, 2]  # as stored: the lowest that each can be
  count = lambda variables, source, **_: {'grade': source.index.grade, 'presence_scores': np.zeros((len(source), 8))}
  monkeypatch.setattr(Stage, '_counter', lambda self, thresholds: count)
  stage = Stage('segment', config, 0, tmp_path, data, types.SimpleNamespace(bundle=None), None, Devices(jax.devices()[:1]), Before({}))
  counts = stage.evaluate({}, 'validation').counts
  assert counts['grade'].tolist() == [-1, -1, 2, 2] and counts['referable'].tolist() == [-1, -1, 1, 1]


def in_folders_of_splits(source):
  """What `draw` makes, as folders of splits; the grades stay in one table without splits."""
  root = source.with_name('split')
  for number in range(6):
    split = ('train', 'val', 'test')[number // 2]
    for place in ('images', 'masks/HaEx'):
      (root / split / place).mkdir(parents=True, exist_ok=True)
      (source / place / f'eye{number}.png').rename(root / split / place / f'eye{number}.png')
  rows = (source / 'grades.csv').read_text().splitlines()
  (root / 'grades.csv').write_text('\n'.join(','.join(row.split(',')[:2]) for row in rows))
  return root


def test_a_lesion_that_no_training_photograph_is_annotated_for_is_not_learned(tmp_path):
  root = in_folders_of_splits(draw(tmp_path / 'clinic', 0))
  shutil.copytree(root / 'test' / 'masks' / 'HaEx', root / 'test' / 'masks' / 'MA')
  data = opened(tmp_path, root)
  assert data.annotated == ('MA', 'HaEx') and stages.parts.learned(changed().segment, data) == ('HaEx',)


def test_a_training_split_without_masks_or_without_grades_is_refused(tmp_path):
  root = in_folders_of_splits(draw(tmp_path / 'clinic', 0))
  shutil.rmtree(root / 'train' / 'masks')
  with pytest.raises(ValueError, match="no training photograph of folder is annotated with lesions, from which the loss 'dual_dice'"):
    opened(tmp_path, root)
  text = (root / 'grades.csv').read_text().splitlines()
  (root / 'grades.csv').write_text('\n'.join([text[0], *(f'{row.split(",")[0]},' for row in text[1:3]), *text[3:]]))
  with pytest.raises(ValueError, match='no training photograph of folder is annotated with grades'):
    opened(tmp_path / 'anew', root, stage='grade', grade__model__name='inception_v3_grader')
