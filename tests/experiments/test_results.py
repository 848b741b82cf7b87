"""The results that are committed are whole, and what the README says of them is what they say."""

import pathlib

import pytest

from experiments import collect, render

ROOT = pathlib.Path(__file__).parents[2]
PRESETS = sorted(path for path in (ROOT / 'experiments' / 'results').glob('*') if any(path.glob('*-0.json')))


@pytest.mark.parametrize('folder', PRESETS, ids=lambda path: path.name)
def test_every_row_was_measured_and_the_pages_are_of_these_results(folder):
  results, memories = collect.load(folder), collect.load_memories(folder)
  assert {result['row'] for result in results} == set(collect.ROWS)
  pages = {'table2.md': render.table2(results), 'table3.md': render.table3(results),
           'table4.md': render.table4(results, memories), 'summary.md': render.summary(results)}
  for name, text in pages.items():
    assert (folder / name).read_text('utf-8') == text, name


def test_the_readme_has_the_summary_as_it_is():
  summary = render.summary(collect.load(ROOT / 'experiments' / 'results' / 'smoke'))
  table, _, conditions = summary.partition('\n\n')
  readme = (ROOT / 'README.md').read_text('utf-8')
  assert table in readme
  assert conditions in ' '.join(readme.split())
