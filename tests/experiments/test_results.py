"""The results that are committed are whole, and what docs/results.md says of them is what they say."""

import pathlib

import pytest

from experiments import collect, idrid_page, presets, render

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / 'experiments' / 'results'
PRESETS = sorted(RESULTS / name for name in presets.PRESETS if (RESULTS / name).exists())


BEGUN = [folder for folder in PRESETS if not (folder / 'summary.md').exists()]


@pytest.mark.parametrize('folder', BEGUN, ids=lambda path: path.name)
def test_of_a_preset_that_is_begun_there_are_rows_as_it_is_now_and_no_page(folder):
  for result in collect.load(folder):
    now = presets.configure(folder.name, collect.ROWS[result['row']], result['seed'])
    for key in ('max_steps', 'batch_size', 'loss'):
      assert result['config'][result['stage']][key] == now[result['stage']][key]
    assert collect.counts_of(folder / f'{result["row"]}-{result["seed"]}.json').is_file()
  assert not list(folder.glob('*.md'))


@pytest.mark.parametrize('folder', [folder for folder in PRESETS if folder not in BEGUN], ids=lambda path: path.name)
def test_every_row_was_measured_and_the_pages_are_of_these_results(folder):
  results, memories = collect.load(folder), collect.load_memories(folder)
  assert {result['row'] for result in results} == set(collect.ROWS)
  pages = {'table2.md': render.table2(results), 'table3.md': render.table3(results),
           'table4.md': render.table4(results, memories), 'summary.md': render.summary(results)}
  for name, text in pages.items():
    assert (folder / name).read_text('utf-8') == text, name


def test_the_page_of_results_has_the_summary_as_it_is():
  summary = render.summary(collect.load(ROOT / 'experiments' / 'results' / 'smoke'))
  table, _, conditions = summary.partition('\n\n')
  page = (ROOT / 'docs' / 'results.md').read_text('utf-8')
  assert table in page
  assert conditions in ' '.join(page.split())


def test_the_page_of_idrid_is_of_its_results(tmp_path):
  for path in (RESULTS / 'idrid_lesions').iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  idrid_page.write(tmp_path)
  assert (tmp_path / 'idrid_lesions.md').read_text('utf-8') == (RESULTS / 'idrid_lesions' / 'idrid_lesions.md').read_text('utf-8')
