"""What holds for every registered data set, and for every release with lesion masks."""

from __future__ import annotations

import logging
import pathlib
import re

import pytest
from draw_releases import DRAWN, examples_of, open_release, snapshot

from lesion_jax.core import LESION_KEYS
from lesion_jax.data.registry import DATASETS, load_dataset
from lesion_jax.data.splits import SPLITS

OWN = ('synthetic', 'folder')  # published nowhere
DOCS = pathlib.Path(__file__).parents[2] / 'docs' / 'datasets.md'


@pytest.fixture(params=DRAWN)
def drawn_release(request, tmp_path) -> tuple[str, pathlib.Path]:
  """Name and release of each."""
  return request.param, DRAWN[request.param](tmp_path / 'release')


class TestRegistered:

  @pytest.mark.parametrize('name', DATASETS)
  def test_it_says_what_it_is(self, name):
    builder = DATASETS[name]
    assert builder.name == name and builder.__module__ == f'lesion_jax.data.datasets.{name}'
    assert len(builder.DESCRIPTION) > 100 and builder.LICENCE and builder.CROPPED in (True, False)
    assert 'plit' in builder.__doc__ or 'official' in builder.__doc__, 'the docstring says whose the split is'
    assert set(builder.ANNOTATED) <= set(LESION_KEYS) and (builder.ANNOTATED or builder.GRADED)

  @pytest.mark.parametrize('name', [name for name in DATASETS if name not in OWN])
  def test_a_published_one_names_its_source_and_its_counts(self, name):
    builder = DATASETS[name]
    assert re.fullmatch(r'\s*@\w+\{[\w-]+,\n.*\btitle=\{.+\}.*\}\s*', builder.CITATION, re.DOTALL)
    assert builder.HOMEPAGE.startswith('https://')
    assert builder.PUBLISHED and all(count > 0 for count in builder.PUBLISHED.values())
    assert 'source_dir' in builder.__doc__

  @pytest.mark.parametrize('name', DATASETS)
  def test_it_has_its_row_in_the_documentation(self, name):
    assert re.search(rf'^\| `{name}` \|', DOCS.read_text('utf-8'), re.MULTILINE)


def test_nothing_is_written_into_a_release(drawn_release):
  name, release = drawn_release
  before = snapshot(release)
  examples_of(open_release(name, release))
  assert snapshot(release) == before


def test_no_patient_is_in_two_splits(drawn_release):
  dataset = open_release(*drawn_release)
  patients = [{example['patient'] for example in dataset.source(split)} for split in dataset.splits]
  assert len(patients) > 1 and sum(map(len, patients)) == len(set.union(*patients))
  assert set(dataset.splits) <= set(SPLITS)


def test_every_photograph_has_an_id_of_its_own(drawn_release):
  dataset = open_release(*drawn_release)
  assert len(examples_of(dataset)) == sum(dataset.lengths.values())


def test_what_is_prepared_needs_the_release_no_longer(drawn_release):
  name, release = drawn_release
  first = open_release(name, release)
  release.rename(release.with_name('moved'))
  again = open_release(name, release)
  assert (again.annotated, again.graded, again.lengths) == (first.annotated, first.graded, first.lengths)
  assert examples_of(again).keys() == examples_of(first).keys()


def test_counts_that_differ_from_the_published_ones_are_reported(drawn_release, caplog, monkeypatch):
  monkeypatch.setattr(logging.getLogger('absl'), 'propagate', True)
  name, release = drawn_release
  open_release(name, release)
  warned = [record.message for record in caplog.records if 'differs from the published dataset' in record.message]
  if name in OWN:
    assert not warned
  else:
    message, = warned
    for what, count in DATASETS[name].PUBLISHED.items():
      assert re.search(rf'{what} \d+ \(published: {count}\)', message)


def test_another_folder_is_refused_by_what_is_missing_in_it(drawn_release, tmp_path):
  name, _ = drawn_release
  (tmp_path / 'empty').mkdir()
  with pytest.raises(FileNotFoundError, match=f'no folder {tmp_path / "empty"}/'):
    load_dataset(name, data_dir=tmp_path / 'data', source_dir=tmp_path / 'empty')


def test_nothing_is_prepared_inside_a_release(drawn_release):
  name, release = drawn_release
  with pytest.raises(ValueError, match=f'lies inside the raw dataset {release}'):
    load_dataset(name, data_dir=release / 'prepared', source_dir=release)
