"""The results that are committed are whole, and what docs/results.md says of them is what they say."""

import functools
import json
import pathlib

import pytest

from experiments import collect, idrid_page, orderings, presets, program, render

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / 'experiments' / 'results'
PRESETS = sorted(RESULTS / name for name in presets.PRESETS if (RESULTS / name).exists())


@functools.cache
def loaded(folder):
  return collect.load(folder)


def test_of_the_check_of_the_programs_every_row_was_measured():
  assert {result['row'] for result in loaded(RESULTS / 'smoke')} == set(collect.ROWS)


def test_rows_on_real_photographs_are_of_the_preset_as_it_is_now():
  for result in loaded(RESULTS / 'idrid'):
    now = presets.configure('idrid', collect.ROWS[result['row']], result['seed'])
    for key in ('max_steps', 'batch_size', 'loss'):
      assert result['config'][result['stage']][key] == now[result['stage']][key]
    assert collect.counts_of(RESULTS / 'idrid' / f'{result["row"]}-{result["seed"]}.json').is_file()


@pytest.mark.parametrize('folder', PRESETS, ids=lambda path: path.name)
def test_the_pages_are_of_these_results(folder):
  results, memories = loaded(folder), collect.load_memories(folder)
  pages = {'table2.md': render.table2(results), 'table3.md': render.table3(results), 'orderings.md': orderings.markdown(results),
           'table4.md': render.table4(results, memories), 'summary.md': program.summary(results)}
  for path in folder.glob('*.md'):
    assert path.read_text('utf-8') == pages[path.name], path.name
  assert {'table2.md', 'orderings.md', 'summary.md'} <= {path.name for path in folder.glob('*.md')}


def test_the_page_of_results_has_the_summary_as_it_is():
  page = (ROOT / 'docs' / 'results.md').read_text('utf-8')
  assert program.between_marks(page, (RESULTS / 'idrid' / 'summary.md').read_text('utf-8')) == page


def test_the_page_of_idrid_is_of_its_results(tmp_path):
  for path in (RESULTS / 'idrid_lesions').iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  idrid_page.write(tmp_path)
  assert (tmp_path / 'idrid_lesions.md').read_text('utf-8') == (RESULTS / 'idrid_lesions' / 'idrid_lesions.md').read_text('utf-8')


@pytest.mark.parametrize(('side', 'count'), [(448, 48), (224, 12)])
def test_that_page_says_how_many_pixels_the_rule_looked_at(tmp_path, side, count):
  scores = {'part B': dict.fromkeys(idrid_page.KEYS, [0.1, 0.2, 0.3])}
  result = {'command': '', 'sharpness': {'side': side, 'quartiles': scores}, 'images_per_second': 1.0, 'steps': 8, 'parameters': 1,
            'validation': {}, 'hardware': {'cpus': 2, 'device': 'cpu'},
            'config': {'segment': {'model': {'name': 'lesion_net_16s'}, 'batch_size': 4, 'data': {'crop': side, 'size': 720}}}}
  (tmp_path / 'cpu-0.json').write_text(json.dumps(result))
  [page] = idrid_page.write(tmp_path)
  assert f'tiles of {side} px of validation photographs (mean log odds of the {count} most probable pixels' in page.read_text()
