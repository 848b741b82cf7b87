"""Fig. 4 is drawn from the networks of the results, stays without them, and goes when it is of others."""

import json

import pytest
from invented import make_result

from experiments import program, record
from experiments.program import MARKS, SHOWN, between_marks, measured
from experiments.runner import Paths


@pytest.fixture
def paths(tmp_path):
  return Paths('smoke', tmp_path / 'runs', tmp_path / 'data', tmp_path / 'results', '', '')


@pytest.fixture
def pictures(paths, monkeypatch):
  """The titles and captions of the pictures that were drawn; the files hold their captions."""
  drawn = []

  def fig4(bundles, source, path, caption):
    drawn.append((list(bundles), caption))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(caption)

  monkeypatch.setattr(program.figures, 'fig4', fig4)
  monkeypatch.setattr(program.figures, 'caption_of', lambda path: path.read_text() if path.exists() else None)
  monkeypatch.setattr(program, 'open_datasets', lambda *_: {'segment': type('Data', (), {'source': lambda self, split: []})()})
  return drawn


def shown(paths, *, trained=True, weights='abcdefgh'):
  """Results of the columns of Fig. 4, and their bundles if `trained`."""
  results = [make_result(key, preset='smoke', weights=f'{weights}-{key}') for key in SHOWN]
  for result in results if trained else ():
    bundle = paths.bundle(program.ROWS[result['row']], 0)
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / 'config.json').write_text(json.dumps({'weights_sha256': result['weights']}))
  return results


def test_all_columns_are_drawn_once(paths, pictures):
  results = shown(paths)
  for _ in range(2):
    program.write_fig4(paths, results)
  (titles, caption), = pictures
  assert titles == [result['title'] for result in results]
  assert caption == f'Data: synthetic, seed 0; networks {" ".join(["abcdefgh"] * len(SHOWN))}'


def test_without_the_networks_a_picture_of_the_same_results_stays(paths, pictures):
  results = shown(paths)
  program.write_fig4(paths, results)
  for path in paths.runs.rglob('config.json'):
    path.unlink()
  program.write_fig4(paths, results)
  assert (paths.folder / 'fig4.png').exists() and len(pictures) == 1


def test_a_picture_of_other_results_goes(paths, pictures, capsys):
  program.write_fig4(paths, shown(paths))
  program.write_fig4(paths, shown(paths, trained=False, weights='hgfedcba'))
  assert not (paths.folder / 'fig4.png').exists()
  assert 'Fig. 4 is not drawn: it needs the networks of the results in' in capsys.readouterr().out


def test_one_network_that_is_missing_is_named(paths, pictures, capsys):
  results = shown(paths)
  (paths.bundle(program.ROWS['danet'], 0) / 'config.json').unlink()
  program.write_fig4(paths, results)
  assert not pictures and '(not there: DANet)' in capsys.readouterr().out


def test_render_runs_nothing(paths, pictures, monkeypatch):
  for result in shown(paths, trained=False):
    record.save(paths.folder / f'{result["row"]}-0.json', result)
  monkeypatch.setattr(program.runner, 'run_all', None)
  flags = ['--preset=smoke', '--render', f'--results={paths.results}', f'--workdir={paths.runs}']
  assert program.main(2, 'Table II.', flags) == 0
  assert {path.name for path in paths.folder.iterdir()} >= {'table2.md', 'orderings.md', 'fig5.png'}


def test_memory_is_measured_in_a_process_for_each_system_that_has_none_wherever_this_one_runs(paths, monkeypatch):
  called = []
  monkeypatch.setattr(program.subprocess, 'call', lambda command, cwd: called.append(command) or int(not (cwd / 'experiments').is_dir()))
  paths.folder.mkdir(parents=True)
  (paths.folder / 'memory-fcn_8s.json').touch()
  assert program.measure(paths) == 0
  assert [command[4] for command in called] == ['--model=deeplab_v3_plus', '--model=abn_grader', '--model=multitask']


def test_a_page_keeps_what_stands_around_its_summary():
  page = f'# Results\n\n{MARKS[0]}\n\nold\n\n{MARKS[1]}\n\n## More\n'
  assert between_marks(page, 'new') == page.replace('old', 'new')
  assert between_marks(between_marks(page, ''), 'old') == page
  with pytest.raises(ValueError, match='lacks the lines'):
    between_marks('# Results', 'new')


def test_a_summary_counts_the_runs_that_were_measured_of_those_that_are_meant():
  results = [make_result('lesion_net_16s', preset='idrid', seed=seed) for seed in (0, 1)] + [make_result('unet', preset='idrid')]
  assert measured(results).startswith('Measured: 2 of 28 rows, 3 of 50 runs')
  assert not measured([make_result('unet', preset='smoke')])
