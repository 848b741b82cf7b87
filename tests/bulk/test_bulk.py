"""Bulk prediction from Python: what the command can do, values and a callback can; on a cluster as in this process."""

from __future__ import annotations

import json
import sys
import types

import numpy as np
import oracle
import pytest
from PIL import Image

from lesion_jax import models
from lesion_jax.bulk import Interrupted, Options, Refused, predict_photographs
from lesion_jax.bulk.cluster import pack, unpack
from lesion_jax.bulk.options import identify
from lesion_jax.clinical.record import Run
from lesion_jax.report.table import Entry
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def place(tmp_path, monkeypatch):
  """A folder with three photographs, of grades 1 to 3, one file that is none, and the oracle as a bundle."""
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(annotated=['MA', 'CWS']), card='',
              variables={'params': {'gain': np.float32(1)}})
  (tmp_path / 'eyes').mkdir()
  for grade in (1, 2, 3):
    Image.fromarray(oracle.photograph(grade=grade)).save(tmp_path / 'eyes' / f'{grade}.png')
  (tmp_path / 'eyes' / '4.png').write_text('no picture')
  return tmp_path


@pytest.fixture
def ray(monkeypatch):
  """A cluster whose workers are called one after the other in this process."""

  class Dataset:

    def __init__(self, rows, blocks):
      self._rows, self._blocks = rows, blocks

    def map_batches(self, worker, *, fn_constructor_args, **_):
      made = worker(*fn_constructor_args)
      size = -(-len(self._rows) // self._blocks)
      chunks = [self._rows[start:start + size] for start in range(0, len(self._rows), size)]
      self._found = [made({'entry': np.array([row['entry'] for row in chunk])}) for chunk in chunks]
      return self

    def iter_rows(self):
      return ({key: values[i] for key, values in found.items()}
              for found in self._found for i in range(len(found['number'])))

  module, data = types.ModuleType('ray'), types.ModuleType('ray.data')
  module.data, module.exceptions = data, types.SimpleNamespace(RayError=RuntimeError)
  module.init = module.shutdown = lambda *_, **__: None
  module.nodes, module.cluster_resources = lambda: [{'Alive': True}], dict
  context = types.SimpleNamespace()
  data.DataContext = types.SimpleNamespace(get_current=lambda: context)
  data.ActorPoolStrategy = lambda size: size
  data.from_items = lambda rows, override_num_blocks: Dataset(rows, override_num_blocks)
  monkeypatch.setitem(sys.modules, 'ray', module)
  monkeypatch.setitem(sys.modules, 'ray.data', data)


def files(out):
  """The files of a run but the page, which has its time."""
  return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob('*'))
          if path.is_file() and path.name != 'report.html'}


def test_values_in_entries_out_and_the_callback_counts(place):
  seen = []
  entries = predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle'),
                                progress=lambda done, total: seen.append((done, total)))
  assert [(entry.status, entry.folder) for entry in entries] == [
      ('predicted', '1'), ('predicted', '2'), ('predicted', '3'), ('failed', '')]
  assert [entry.record['grade']['value'] for entry in entries[:3]] == [1, 2, 3]
  assert json.loads((place / 'out' / '2' / 'result.json').read_text()) == entries[1].record
  assert '4.png' in entries[3].error and entries[3].record is None
  assert seen[0] == (0, 4) and seen[-1] == (4, 4) and seen == sorted(seen)
  assert (place / 'out' / 'results.csv').exists() and (place / 'out' / 'report.html').exists()


def test_what_is_done_is_skipped_and_the_callback_is_not_called(place):
  first = predict_photographs([place / 'eyes' / '1.png'], place / 'out', Options(place / 'bundle'))
  again = predict_photographs([place / 'eyes' / '1.png'], place / 'out', Options(place / 'bundle'),
                              progress=lambda *_: pytest.fail('nothing was to be predicted'))
  assert [entry.status for entry in again] == ['skipped'] and again[0].record == first[0].record


def test_a_callback_can_end_the_run_and_what_is_finished_is_kept(place):

  def stop(done, total):
    if done:
      raise KeyboardInterrupt

  with pytest.raises(Interrupted) as ended:
    predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle'), progress=stop)
  assert ended.value.total == 4 and ended.value.entries
  table = (place / 'out' / 'results.csv').read_text()
  assert table.count('predicted') == sum(entry.status == 'predicted' for entry in ended.value.entries)
  again = predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle'))
  assert again[0].status == 'skipped' and len(again) == 4


@pytest.mark.parametrize('changes, option, named', [
  ({'photographs': 'none/'}, '', 'no file|no photograph found in none'),
  ({'model': 'absent'}, 'model', 'absent'),
  ({'options': {'thresholds': {'NV': 0.3}}}, 'threshold', 'does not evaluate NV, only MA, CWS'),
  ({'options': {'operating_point': 'careful'}}, 'operating_point', "'careful': this network has"),
  ({'options': {'dtype': 'float8'}}, '', 'the network cannot be used: unknown dtype'),
  ({'workers': 2}, 'workers', 'ray'),
  ({'engine': 'slurm'}, 'engine', 'local, ray'),
])
def test_what_cannot_be_done_is_refused_by_the_option_to_change(place, changes, option, named):
  (place / 'none').mkdir()
  photographs = place / changes.pop('photographs', 'eyes')
  options = Options(place / changes.pop('model', 'bundle'), **changes.pop('options', {}))
  with pytest.raises(Refused, match=named.replace('none', str(place / 'none'))) as refused:
    predict_photographs(photographs, place / 'out', options, **changes)
  assert refused.value.option == option


def test_a_model_in_the_home_is_found(place, monkeypatch):
  monkeypatch.setenv('HOME', str(place))
  assert identify(['~/bundle']) == identify([place / 'bundle'])


def test_thresholds_and_rule_reach_the_record(place):
  options = Options(place / 'bundle', thresholds={'MA': 0.25}, rule='maximum')
  record = predict_photographs(place / 'eyes' / '1.png', place / 'out', options)[0].record
  assert (record['lesions']['MA']['threshold'], record['lesions']['CWS']['threshold']) == (0.25, 0.5)
  assert record['lesions']['MA']['presence']['threshold'] == 0.25
  assert record['run']['options'] == {
      'crop': None, 'threshold': {'MA': 0.25}, 'tta': None, 'dtype': None, 'rule': 'maximum'}


@pytest.mark.parametrize('changes', [{}, {'window': 0, 'thresholds': {'MA': 0.3}, 'batch_size': 2}])
def test_a_cluster_writes_what_this_process_writes(place, ray, changes):
  options = Options(place / 'bundle', **changes)
  mine = predict_photographs(place / 'eyes', place / 'local', options)
  theirs = predict_photographs(place / 'eyes', place / 'cluster', options, engine='ray')
  assert theirs == mine and files(place / 'cluster') == files(place / 'local')


def test_a_photograph_travels_as_text_whatever_its_name_is():
  item = 3, Entry('eyes/\udcff=1.png', 'f', 'waiting', run=Run('a', 'b', {'crop': None}, 'c'))
  assert unpack(pack(item)) == item


def test_thresholds_may_be_numbers_of_numpy(place):
  entry, *_ = predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle', thresholds={'MA': np.float32(0.25)}))
  assert entry.record['run']['options']['threshold'] == {'MA': 0.25} and entry.record['lesions']['MA']['threshold'] == 0.25


def test_threads_and_memory_change_no_result_and_are_no_part_of_what_it_depends_on(place):
  predict_photographs(place / 'eyes', place / 'out', Options(place / 'bundle'))
  first = files(place / 'out')
  few = Options(place / 'bundle', threads=1, memory=64 << 20)
  assert [entry.status for entry in predict_photographs(place / 'eyes', place / 'out', few)[:3]] == ['skipped'] * 3
  predict_photographs(place / 'eyes', place / 'out', few, overwrite=True)
  again = files(place / 'out')
  assert {name: data for name, data in again.items() if name != 'results.csv'} == {
      name: data for name, data in first.items() if name != 'results.csv'}
  with pytest.raises(Refused, match='memory 0: give a whole number from 1 on'):
    Options(place / 'bundle', memory=0)
