"""What `python -m experiments.tableN` does."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from experiments import collect, figures, memory, orderings, presets, render, runner
from experiments.rows import ROWS, TABLES
from experiments.runner import Place
from lesion_jax.data.registry import load_dataset

SHOWN = ('fcn_8s', 'deeplab_v3_plus', 'danet', 'lesion_net_16s_dice', 'lesion_net_16s')  # columns of Fig. 4


def main(table: int, description: str, argv: Sequence[str] | None = None) -> int:
  """Runs the rows of a table, measures memory for Table IV, renders; returns the exit status."""
  options = runner.parse(description, [row.key for row in TABLES[table]], argv)
  place, status = Place.of(options), 0
  try:
    if not options.render:
      status = runner.run_all(place, [ROWS[key] for key in options.rows], options.seeds, ROWS)
      if table == 4 and not status:
        status = measure(place)
    if status != runner.STOPPED:
      write(table, place)
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return status


def measure(place: Place) -> int:
  """Measures the memory of every system that has no result yet; returns the exit status."""
  for system in memory.SYSTEMS:
    path = place.folder / f'memory-{system}.json'
    if path.exists():
      continue
    print(f'memory of {system} ...', flush=True)
    if status := subprocess.call([sys.executable, '-m', 'experiments.memory', 'predict', f'--model={system}',
                                  f'--json={path}']):
      return status
  return 0


def write(table: int, place: Place) -> None:
  """Renders what there are results of: the table, all rows in brief, the paper's orderings, and with Table II its two
  figures."""
  results, memories = collect.load(place.folder), collect.load_memories(place.folder)
  texts = {2: lambda: render.table2(results), 3: lambda: render.table3(results),
           4: lambda: render.table4(results, memories)}
  pages = {f'table{table}.md': texts[table](), 'summary.md': render.summary(results),
           'orderings.md': orderings.markdown(results)}
  for name, text in pages.items():
    (place.folder / name).write_text(text, encoding='utf-8')
    print(place.folder / name)
  if table == 2 and any(result['stage'] == 'segment' for result in results):
    figures.fig5(results, place.folder / 'fig5.png')
    print(place.folder / 'fig5.png')
    write_fig4(place, results)


def write_fig4(place: Place, results: Sequence[collect.Result]) -> None:
  """Draws Fig. 4 where the networks of these results lie: beside the results on drawn photographs, in the runs' folder
  on real ones, which are not ours to publish. Without the networks a picture of these very results stays, and one of
  others does not."""
  shown = [result for result in results if result['row'] in SHOWN and result['seed'] == 0]
  bundles = {result['title']: place.bundle(ROWS[result['row']], 0) for result in shown}
  drawn = presets.DATA[place.preset] == 'synthetic'
  path = (place.folder if drawn else place.runs / place.preset) / 'fig4.png'
  networks = ' '.join(result['weights'][:8] for result in shown)
  caption = f'Data: {presets.DATA[place.preset]}, seed 0; networks {networks}'
  if shown and figures.caption_of(path) == caption:
    return
  path.unlink(missing_ok=True)
  absent = [title for (title, bundle), result in zip(bundles.items(), shown, strict=True)
            if not _holds(bundle, result['weights'])]
  if not shown or absent or not (drawn or place.source_dir):
    print(f'Fig. 4 is not drawn: it needs the networks of the results in {place.runs}' +
          (f' (not there: {", ".join(absent)})' if absent else '') + ('' if drawn else ' and --source_dir=DIR'))
    return
  data = presets.configure(place.preset, ROWS[SHOWN[0]], 0).segment.data
  dataset = load_dataset(data.name, data_dir=place.data_dir, size=data.size, source_dir=place.source_dir or None,
                         split=data.split, split_seed=data.seed, folds=data.folds, fold=data.fold,
                         **({'count': data.count} if drawn else {}))
  figures.fig4(bundles, dataset.source('test'), path, caption=caption)
  print(path)


def _holds(bundle: pathlib.Path, weights: str) -> bool:
  """Whether the bundle in the runs' folder has these weights."""
  path = bundle / 'config.json'
  return path.exists() and json.loads(path.read_text('utf-8'))['weights_sha256'] == weights
