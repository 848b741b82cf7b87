"""Fig. 4 is drawn from the networks of the results, stays without them, and goes when it is of others."""

import json

import pytest
from invented import make_result

from experiments import program, record
from experiments.program import SHOWN
from experiments.runner import Place


@pytest.fixture
def place(tmp_path):
  return Place('smoke', tmp_path / 'runs', tmp_path / 'data', tmp_path / 'results', '', '')


@pytest.fixture
def pictures(place, monkeypatch):
  """The titles and captions of the pictures that were drawn; the files hold their captions."""
  drawn = []

  def fig4(bundles, source, path, caption):
    drawn.append((list(bundles), caption))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(caption)

  monkeypatch.setattr(program.figures, 'fig4', fig4)
  monkeypatch.setattr(program.figures, 'caption_of', lambda path: path.read_text() if path.exists() else None)
  monkeypatch.setattr(program, 'load_dataset', lambda *args, **options: type('Data', (), {'source': lambda self, split: []})())
  return drawn


def shown(place, *, trained=True, weights='abcdefgh'):
  """Results of the columns of Fig. 4, and their bundles if `trained`."""
  results = [make_result(key, preset='smoke', weights=f'{weights}-{key}') for key in SHOWN]
  for result in results if trained else ():
    bundle = place.bundle(program.ROWS[result['row']], 0)
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / 'config.json').write_text(json.dumps({'weights_sha256': result['weights']}))
  return results


def test_all_columns_are_drawn_once(place, pictures):
  results = shown(place)
  for _ in range(2):
    program.write_fig4(place, results)
  (titles, caption), = pictures
  assert titles == [result['title'] for result in results]
  assert caption == f'Data: synthetic, seed 0; networks {" ".join(["abcdefgh"] * len(SHOWN))}'


def test_without_the_networks_a_picture_of_the_same_results_stays(place, pictures):
  results = shown(place)
  program.write_fig4(place, results)
  for path in place.runs.rglob('config.json'):
    path.unlink()
  program.write_fig4(place, results)
  assert (place.folder / 'fig4.png').exists() and len(pictures) == 1


def test_a_picture_of_other_results_goes(place, pictures, capsys):
  program.write_fig4(place, shown(place))
  program.write_fig4(place, shown(place, trained=False, weights='hgfedcba'))
  assert not (place.folder / 'fig4.png').exists()
  assert 'Fig. 4 is not drawn: it needs the networks of the results in' in capsys.readouterr().out


def test_one_network_that_is_missing_is_named(place, pictures, capsys):
  results = shown(place)
  (place.bundle(program.ROWS['danet'], 0) / 'config.json').unlink()
  program.write_fig4(place, results)
  assert not pictures and '(not there: DANet)' in capsys.readouterr().out


def test_render_runs_nothing(place, pictures, monkeypatch):
  for result in shown(place, trained=False):
    record.save(place.folder / f'{result["row"]}-0.json', result)
  monkeypatch.setattr(program.runner, 'run_all', None)
  flags = ['--preset=smoke', '--render', f'--results={place.results}', f'--workdir={place.runs}']
  assert program.main(2, 'Table II.', flags) == 0
  assert {path.name for path in place.folder.iterdir()} >= {'table2.md', 'orderings.md', 'fig5.png'}


def test_memory_is_measured_in_a_process_for_each_system_that_has_none(place, monkeypatch):
  called = []
  monkeypatch.setattr(program.subprocess, 'call', lambda command: called.append(command) or 0)
  place.folder.mkdir(parents=True)
  (place.folder / 'memory-fcn_8s.json').touch()
  assert program.measure(place) == 0
  assert [command[4] for command in called] == ['--model=deeplab_v3_plus', '--model=abn_grader', '--model=multitask']
