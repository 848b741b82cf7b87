"""What `python -m experiments.tableN` does."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from experiments import collect, figures, memory, orderings, presets, render, runner
from experiments.page import join
from experiments.rows import ROWS, TABLES
from experiments.runner import Paths
from lesion_jax.stages import open_datasets
from lesion_jax.train.parallel import Devices

# Data whose pictures may lie beside the results, and Fig. 4 there: photographs of IDRiD by its licence, CC BY 4.0.
PUBLIC = {'synthetic': 'fig4.png', 'idrid': 'fig4.jpg'}
# Of these results docs/results.md has the summary, between two marks.
FACE = runner.ROOT / 'experiments' / 'results' / 'idrid'
MARKS = '<!-- what follows is experiments/results/idrid/summary.md -->', '<!-- end of summary.md -->'
SHOWN = ('fcn_8s', 'deeplab_v3_plus', 'danet', 'lesion_net_16s_dice', 'lesion_net_16s')  # columns of Fig. 4


def main(table: int, description: str, argv: Sequence[str] | None = None) -> int:
  """Runs the rows of a table, measures memory for Table IV, renders; returns the exit status."""
  options = runner.parse(description, [row.key for row in TABLES[table]], argv)
  paths, status = Paths.of(options), 0
  try:
    if not options.render:
      status = runner.run_all(paths, [ROWS[key] for key in options.rows], options.seeds, ROWS)
      if table == 4 and not status:
        status = measure(paths)
    if status != runner.STOPPED:
      write(table, paths)
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return status


def measure(paths: Paths) -> int:
  """Measures the memory of every system that has no result yet; returns the exit status."""
  for system in memory.SYSTEMS:
    path = paths.folder / f'memory-{system}.json'
    if path.exists():
      continue
    print(f'memory of {system} ...', flush=True)
    if status := subprocess.call([sys.executable, '-m', 'experiments.memory', 'predict', f'--model={system}',
                                  f'--json={path}'], cwd=runner.ROOT):
      return status
  return 0


def write(table: int, paths: Paths) -> None:
  """Renders what there are results of: the table, all rows in brief, the paper's orderings, and with Table II its two
  figures."""
  results, memories = collect.load(paths.folder), collect.load_memories(paths.folder)
  texts = {2: lambda: render.table2(results), 3: lambda: render.table3(results),
           4: lambda: render.table4(results, memories)}
  pages = {f'table{table}.md': texts[table](), 'summary.md': summary(results),
           'orderings.md': orderings.markdown(results)}
  for name, text in pages.items():
    (paths.folder / name).write_text(text, encoding='utf-8')
    print(paths.folder / name)
  if paths.folder == FACE:
    docs = runner.ROOT / 'docs' / 'results.md'
    docs.write_text(between_marks(docs.read_text('utf-8'), pages['summary.md']), encoding='utf-8')
    print(docs)
  if table == 2 and any(result['stage'] == 'segment' for result in results):
    figures.fig5(results, paths.folder / 'fig5.png')
    print(paths.folder / 'fig5.png')
    if figures.has_curves(results):
      figures.precision_recall(results, paths.folder / 'precision_recall.png')
      print(paths.folder / 'precision_recall.png')
    write_fig4(paths, results)


def summary(results: Sequence[collect.Result]) -> str:
  """Returns all rows in brief: how many of them were measured, what a reader wants to know first, what is at chance, and a line a row.
  Where the results rank nothing, the lines alone."""
  return join(measured(results), orderings.headlines(results), render.photographs(results), render.chance(results), render.summary(results))


def measured(results: Sequence[collect.Result]) -> str:
  """Says how many of the preset's rows and runs there are; '' where the results rank nothing."""
  if not render.ranks(results):
    return ''
  preset = results[0]['preset']
  runs = [(key, seed) for key in ROWS if key not in presets.NOT_RUN.get(preset, {}) for seed in presets.seeds_of(preset, key)]
  done = {(result['row'], result['seed']) for result in results} & set(runs)
  rows = {key for key, _ in runs}
  return (f'Measured: {len({key for key, _ in done})} of {len(rows)} rows, {len(done)} of {len(runs)} runs (a run is a row with one seed; '
          f'{len(rows & presets.CLAIMED.get(preset, rows))} of the rows are meant to have {len(presets.SEEDS[preset])}).')


def between_marks(page: str, text: str) -> str:
  """Returns a page with the text between MARKS in place of what stands there.

  Raises:
    ValueError: the page lacks a mark.
  """
  before, first, rest = page.partition(MARKS[0])
  _, second, after = rest.partition(MARKS[1])
  if not (first and second):
    raise ValueError(f'docs/results.md lacks the lines {MARKS[0]} and {MARKS[1]}, between which the summary stands')
  return f'{before}{first}\n\n{text}\n\n{second}{after}'


def write_fig4(paths: Paths, results: Sequence[collect.Result]) -> None:
  """Draws Fig. 4 where the networks of these results lie: beside the results, but in the runs' folder on photographs that are
  not ours to publish. Without the networks a picture of these very results stays, and one of others does not."""
  shown = [result for result in results if result['row'] in SHOWN and result['seed'] == 0]
  bundles = {result['title']: paths.bundle(ROWS[result['row']], 0) for result in shown}
  name = presets.DATA[paths.preset]
  path = (paths.folder if name in PUBLIC else paths.runs / paths.preset) / PUBLIC.get(name, 'fig4.png')
  networks = ' '.join(result['weights'][:8] for result in shown)
  missing = [ROWS[key].title for key in SHOWN if key not in {result['row'] for result in shown}]
  caption = f'Data: {name}, seed 0; networks {networks}' + (f'; not run yet: {", ".join(missing)}' if missing else '')
  if shown and figures.caption_of(path) == caption:
    return
  path.unlink(missing_ok=True)
  absent = [title for (title, bundle), result in zip(bundles.items(), shown, strict=True)
            if not _holds(bundle, result['weights'])]
  raw = name == 'synthetic' or paths.source_dir
  if not shown or absent or not raw:
    print(f'Fig. 4 is not drawn: it needs the networks of the results in {paths.runs}' +
          (f' (not there: {", ".join(absent)})' if absent else '') + ('' if raw else ' and --source_dir=DIR'))
    return
  config = runner.configure(paths, ROWS[shown[0]['row']], 0, ROWS)
  dataset, = open_datasets(config, str(paths.data_dir), Devices()).values()
  figures.fig4(bundles, dataset.source('test'), path, caption=caption)
  print(path)


def _holds(bundle: pathlib.Path, weights: str) -> bool:
  """Whether the bundle in the runs' folder has these weights."""
  path = bundle / 'config.json'
  return path.exists() and json.loads(path.read_text('utf-8'))['weights_sha256'] == weights
