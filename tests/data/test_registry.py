"""Preparing data sets once, and reading them back."""

from __future__ import annotations

import logging
import pathlib
import tempfile

import numpy as np
import pytest
from absl import logging as absl_logging

from lesion_jax.core import LESION_KEYS
from lesion_jax.data import synthetic
from lesion_jax.data.datasets.synthetic import Synthetic
from lesion_jax.data.pipeline import eval_batches, train_batches
from lesion_jax.data.registry import DATASETS, load_dataset
from lesion_jax.data.splits import SPLITS

SIZE, COUNT = 48, 24


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp('prepared')


@pytest.fixture(scope='module')
def dataset(data_dir):
  return load_dataset('synthetic', data_dir=data_dir, size=SIZE, seed=5, count=COUNT)


def test_the_object_describes_the_data_set(dataset):
  assert dataset.name == 'synthetic' and dataset.annotated == LESION_KEYS
  assert dataset.splits == ('train', 'validation', 'test')
  assert sum(dataset.lengths.values()) == COUNT
  assert all(len(dataset.source(split)) == length for split, length in dataset.lengths.items())
  assert dataset.description and dataset.licence


def test_examples_are_canonical_and_lossless(dataset):
  """What is read back is what was drawn, bit by bit."""
  drawn = {sample.id: sample for sample in (synthetic.generate(5, index, SIZE) for index in range(COUNT))}
  for split in dataset.splits:
    for example in dataset.source(split):
      sample = drawn.pop(example['id'])
      for key in ('image', 'lesions', 'ignore'):
        np.testing.assert_array_equal(example[key], getattr(sample, key), err_msg=key)
        assert example[key].dtype == np.uint8
      assert (example['grade'], example['patient']) == (sample.grade, sample.patient)
      assert (example['annotated'], example['weight']) == (255, 1)
      assert (example['annotated'].dtype, example['grade'].dtype, example['weight'].dtype) == (
          np.uint8, np.int32, np.float32)
  assert not drawn


def test_no_patient_is_in_two_splits(dataset):
  patients = [{example['patient'] for example in dataset.source(split)} for split in dataset.splits]
  assert sum(map(len, patients)) == len(set.union(*patients)) < COUNT


def test_sources_are_sequences(dataset):
  source = dataset.source('train')
  assert source[-1]['id'] == source[len(source) - 1]['id']
  with pytest.raises(IndexError):
    source[len(source)]


def test_ids_are_those_of_the_examples(dataset, monkeypatch):
  ids = [example['id'] for example in dataset.source('train')]
  monkeypatch.setattr('lesion_jax.data.dataset.decode_picture', lambda data: pytest.fail('decoded'))
  assert dataset.source('train').ids() == ids


def test_all_splits_are_one_source(dataset):
  everything = [example['id'] for example in dataset.source('all')]
  assert everything == [name for split in dataset.splits for name in dataset.source(split).ids()]
  assert len(dataset.source('all')) == COUNT


def test_some_photographs_are_chosen_by_their_ids(dataset):
  ids = dataset.source('train').ids()
  found = dataset.choose('train', only=ids[3:9], without=ids[5:7])
  assert [example['id'] for example in found] == ids[3:5] + ids[7:9] and len(found) == 4
  assert found[-1]['id'] == ids[8]
  assert len(dataset.choose('all', without=ids)) == COUNT - len(ids)
  for options, message in (({'only': ['nobody']}, 'no photograph nobody'), ({'without': ids}, 'is left to take')):
    with pytest.raises(ValueError, match=message):
      dataset.choose('train', **options)


def test_folds_share_the_photographs_out_and_lie_apart(tmp_path):
  options = {'data_dir': tmp_path, 'size': 32, 'count': 24, 'split': 'stratified', 'folds': 3}
  folds = [load_dataset('synthetic', **options, fold=fold, quiet=True) for fold in range(3)]
  tested = [name for fold in folds for name in fold.source('test').ids()]
  assert len(tested) == len(set(tested)) == 24
  assert len({fold.builder.data_dir for fold in folds}) == 3
  assert folds[1].dealing == {'name': 'stratified', 'seed': 2020, 'folds': 3, 'fold': 1}


def test_the_split_of_before_has_the_name_of_before(dataset):
  assert dataset.dealing == {'name': 'hash', 'seed': 2020, 'folds': 0, 'fold': 0}
  assert 'hash' not in str(dataset.builder.data_dir) and 'stratified' not in str(dataset.builder.data_dir)


@pytest.mark.parametrize('name', ['ddr', 'ddr_grading', 'eyepacs'])
def test_a_data_set_whose_splits_are_all_official_has_no_folds(name, tmp_path):
  with pytest.raises(ValueError, match=f'{name} has official splits'):
    load_dataset(name, data_dir=tmp_path / 'prepared', source_dir=tmp_path / 'release', folds=5)


def test_the_kind_of_split_of_each_data_set():
  kinds = {name: builder.SPLIT for name, builder in DATASETS.items() if builder.DEALT == SPLITS}
  assert kinds == {'synthetic': 'hash', **dict.fromkeys(
      ('retinal_lesions', 'fgadr', 'e_ophtha', 'aptos2019', 'messidor2', 'folder'), 'stratified')}
  assert all(builder.SPLIT == 'hash' for builder in DATASETS.values() if builder.DEALT not in (SPLITS, ()))


def test_batches_come_from_a_source(dataset):
  batch = next(train_batches(dataset.source('train'), batch_size=4, seed=0, threads=2))
  assert batch['image'].shape == (4, SIZE, SIZE, 3) and len(set(batch['id'])) == 4
  ids = [name for batch in eval_batches(dataset.source('test'), batch_size=4) for name in batch['id'] if name]
  assert ids == [example['id'] for example in dataset.source('test')]


def test_preparing_happens_once_and_is_logged(tmp_path, caplog, monkeypatch):
  caplog.set_level(logging.INFO, logger='absl')
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  first = load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4)
  assert [record.message for record in caplog.records if 'happens once' in record.message] == [
      f'preparing synthetic in {first.builder.data_dir}; this happens once']
  monkeypatch.setattr(Synthetic, 'read', lambda *_: pytest.fail('prepared again'))
  again = load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4)
  assert (again.lengths, again.description) == (first.lengths, first.description)


def test_data_prepared_before_it_said_what_it_annotates_is_read(tmp_path):
  first = load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4)
  (first.builder.data_path / 'metadata.json').unlink()
  again = load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4)
  assert (again.annotated, again.graded) == (LESION_KEYS, True)


def test_what_tfds_says_at_every_start_is_not_repeated(tmp_path, caplog, monkeypatch):
  monkeypatch.setattr(absl_logging.get_absl_logger(), 'propagate', True)
  load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4).source('train')[0]
  absl_logging.warning('something else')
  assert [record.message for record in caplog.records] == ['something else']


@pytest.mark.parametrize('name, crop', [
    ('synthetic', 'square'), ('retinal_lesions', 'square'),
    ('idrid', 'field of view'), ('idrid_grading', 'field of view'),
])
def test_a_data_set_says_whether_it_was_cropped(name, crop, tmp_path, request):
  options = {'count': 1} if name == 'synthetic' else {'source_dir': request.getfixturevalue(f'{name}_release')}
  assert load_dataset(name, data_dir=tmp_path / 'prepared', size=SIZE, **options).crop == crop


def test_an_interrupted_preparation_is_done_again(tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(Synthetic, 'read', lambda self, index: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4)
  assert not list(tmp_path.glob('synthetic/*/1.0.0'))
  assert sum(load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=4).lengths.values()) == 4


def test_configurations_never_share_a_folder(tmp_path, retinal_lesions_release):
  config = Synthetic.CONFIG
  variants = [config(), config(size=448), config(seed=1), config(count=7)]
  release = DATASETS['retinal_lesions'].CONFIG
  variants += [release(source_dir=tmp_path / 'a'), release(source_dir=tmp_path / 'b'),
               release(source_dir=tmp_path / 'a', size=448)]
  assert len({variant.name for variant in variants}) == len(variants)
  assert release(source_dir=tmp_path / 'x' / '..' / 'a').name == variants[4].name


def test_nothing_is_written_outside_data_dir_nor_printed(tmp_path, monkeypatch, capsys):
  home, scratch = tmp_path / 'home', tmp_path / 'scratch'
  home.mkdir(), scratch.mkdir()
  monkeypatch.setenv('HOME', str(home))
  monkeypatch.setattr(tempfile, 'tempdir', str(scratch))
  load_dataset('synthetic', data_dir=tmp_path / 'data', size=SIZE, count=4)
  assert not list(home.iterdir()) and not list(scratch.iterdir())
  assert not capsys.readouterr().out


def test_an_empty_split_is_said(tmp_path):
  dataset = load_dataset('synthetic', data_dir=tmp_path, size=SIZE, count=1)
  assert dataset.splits == ('train',)
  with pytest.raises(ValueError, match="in the split 'test'; its splits are: train 1, validation 0, test 0"):
    dataset.source('test')


def test_an_unknown_split_is_said(dataset):
  with pytest.raises(ValueError, match="no examples in the split 'dev'"):
    dataset.source('dev')


@pytest.mark.parametrize('name, options, message', [
    ('imagenet', {}, "unknown data set 'imagenet'; there are: synthetic, retinal_lesions, idrid, idrid_grading"),
    ('synthetic', {'cuont': 3}, 'synthetic has no option cuont; it takes count, seed'),
    ('synthetic', {'source_dir': 'here'}, 'generated, not read'),
    ('synthetic', {'count': 0}, 'count at least 1'),
    ('synthetic', {'size': 16}, 'size=16 pixels'),
    ('idrid', {}, 'source_dir is missing'),
    ('idrid', {'count': 3, 'source_dir': 'here'}, 'idrid has no option count; it takes none'),
])
def test_errors_teach(tmp_path, name, options, message):
  with pytest.raises(ValueError, match=message):
    load_dataset(name, data_dir=tmp_path, **options)


def test_a_release_is_never_written(retinal_lesions_release):
  with pytest.raises(ValueError, match='inside the raw dataset'):
    load_dataset('retinal_lesions', data_dir=retinal_lesions_release / 'prepared', source_dir=retinal_lesions_release)
