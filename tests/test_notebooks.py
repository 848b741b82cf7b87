"""The notebooks: valid files without outputs, whose cells run one after the other at a tiny size."""

from __future__ import annotations

import ast
import builtins
import json
import pathlib
import sys

import jax
import numpy as np
import oracle
import pages
import pytest
from oracle import GREEN, photograph
from packaged import packaged
from PIL import Image
from tiny import TINY_MODELS

from lesion_jax import models
from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.initialize import initialize

FOLDER = pages.ROOT / 'docs' / 'notebooks'
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))
LESIONS = ['MA', 'iHE', 'HaEx', 'CWS']


def read(name):
  return json.loads((FOLDER / f'{name}.ipynb').read_text('utf-8'))


def text_of(cell):
  return ''.join(cell['source'])


def run(name, **parameters):
  """Runs the code cells in one namespace, where `parameters` go after the cell of that tag; returns it and what was displayed."""
  shown = []
  # `display` is there in a notebook; `lesion_jax` is not, before a cell imports it.
  space = {'__name__': 'notebook', '__builtins__': vars(builtins) | {'display': lambda image: shown.append(image.copy())}}
  for number, cell in enumerate(read(name)['cells']):
    if cell['cell_type'] == 'code':
      exec(compile(text_of(cell), f'{name}.ipynb, cell {number}', 'exec'), space)
      if 'parameters' in cell['metadata'].get('tags', ()):
        assert parameters.keys() <= space.keys()
        space |= parameters
        parameters = {}
  assert not parameters
  return space, shown


def test_there_are_two():
  assert [path.stem for path in NOTEBOOKS] == ['fine_tune', 'predict']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
class TestFiles:

  def test_it_is_a_notebook_of_format_4_without_outputs(self, path):
    found = json.loads(path.read_text('utf-8'))
    assert (found['nbformat'], found['nbformat_minor']) == (4, 5)
    ids = [cell['id'] for cell in found['cells']]
    assert len(set(ids)) == len(ids)
    for cell in found['cells']:
      assert cell['cell_type'] in ('markdown', 'code') and isinstance(cell['metadata'], dict)
      assert all(isinstance(line, str) for line in cell['source'])
      if cell['cell_type'] == 'code':
        assert cell['outputs'] == [] and cell['execution_count'] is None
        ast.parse(text_of(cell))
      else:
        assert not {'outputs', 'execution_count'} & cell.keys()

  def test_every_link_leads_to_a_file(self, path):
    for cell in json.loads(path.read_text('utf-8'))['cells']:
      if cell['cell_type'] == 'markdown':
        for target in pages.links(text_of(cell)):
          assert (path.parent / target.partition('#')[0]).resolve().is_file(), target

  def test_one_cell_has_the_parameters(self, path):
    tagged = [cell for cell in json.loads(path.read_text('utf-8'))['cells'] if 'parameters' in cell['metadata'].get('tags', ())]
    assert len(tagged) == 1 and tagged[0]['cell_type'] == 'code'


class TestPredict:

  def test_it_runs_with_the_network_of_the_package_and_generated_images(self, tmp_path, monkeypatch, capsys):
    packaged(monkeypatch, tmp_path, 'idrid')
    space, shown = run('predict', work=tmp_path / 'work', size=64)
    assert {path.name for path in space['photographs']} == {'synthetic_1.png', 'synthetic_2.png'}
    assert (tmp_path / 'work' / 'results' / 'report.html').is_file()
    assert len(shown) == 4 and all(isinstance(image, Image.Image) for image in shown)
    said = capsys.readouterr().out
    assert 'MA    microaneurysm' in said and 'HaEx ' not in said.partition('the page')[0], 'not among those that it learned'
    assert 'MA from 0.7: ' in said

  def test_what_it_says_is_what_is_in_the_photograph(self, tmp_path, monkeypatch, capsys):
    packaged(monkeypatch, tmp_path, 'idrid')
    path = tmp_path / 'eye.png'
    Image.fromarray(photograph(grade=3, lesions=[(GREEN, (100, 80, 129, 119))])).save(path)
    space, shown = run('predict', photographs=[path], work=tmp_path / 'work')
    said = capsys.readouterr().out
    assert 'present' in said and 'grade DR3' in said and 'MA from 0.3: [1] regions' in said
    heat = np.asarray(shown[1])
    assert heat.shape == (200, 300) and heat[100, 115] > 200 > heat[100, 160]
    assert space['found'].present[0].any()


class TestFineTune:

  SIDE = 32

  @pytest.fixture
  def start(self, tmp_path, monkeypatch):
    """A bundle of the network of configs/idrid.py with the shallow encoder, which has learned nothing."""
    monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
    fields = {'name': 'lesion_net_4s', 'decoder_channels': [128, 96, 64], 'encoder_norm': 'running'}
    variables = initialize(models.get_model(**fields), jax.ShapeDtypeStruct((1, self.SIDE, self.SIDE, 3), np.uint8), 0)
    config = oracle.oracle_config(model=fields, annotated=LESIONS, preprocessing={'size': self.SIDE, 'crop': 'field of view'})
    save_bundle(tmp_path / 'start', config=config, variables=variables, card='')
    return tmp_path / 'start'

  @pytest.mark.slow
  def test_it_runs_from_a_folder_to_a_comparison(self, start, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    space, shown = run(
        'fine_tune', folder=tmp_path / 'photographs', start=start, workdir=tmp_path / 'run', data_dir=tmp_path / 'data', count=24, side=96,
        size=self.SIDE, crop=self.SIDE, steps=2, batch_size=4, changes={'freeze': ('encoder/block_2',)})
    assert space['status'] == 0 and len(shown) == 1
    found = space['config'].segment
    assert (found.init, found.data.name, found.max_steps, found.freeze) == (str(start), 'folder', 2, ('encoder/block_2',))
    tuned = load_bundle(tmp_path / 'run' / 'segment' / 'bundle')
    assert tuned.config['annotated'] == LESIONS and tuned.config['data']['name'] == 'folder'
    before = load_bundle(start).variables['params']['encoder']
    np.testing.assert_array_equal(tuned.variables['params']['encoder']['block_2']['conv']['kernel'], before['block_2']['conv']['kernel'])
    assert not np.array_equal(tuned.variables['params']['encoder']['block_8']['conv']['kernel'], before['block_8']['conv']['kernel'])
    said = capsys.readouterr().out
    assert "'train': " in said and 'annotated: MA iHE HaEx CWS' in said and '| after less before |' in said
    assert pathlib.Path(tmp_path / 'run' / 'segment' / 'test_counts.npz').is_file()
