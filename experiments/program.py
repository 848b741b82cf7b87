"""What `python -m experiments.tableN` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from experiments import collect, figures, orderings, presets, render, runner, table2, table3, table4
from experiments.collect import ROWS
from experiments.runner import Place
from lesion_jax.data.source import load

TABLES = {2: table2, 3: table3, 4: table4}
SHOWN = ('fcn_8s', 'deeplab_v3_plus', 'danet', 'lesion_net_16s_dice', 'lesion_net_16s')  # columns of Fig. 4


def main(table: int, argv: Sequence[str] | None = None) -> int:
  """Runs the rows of a table, measures memory for Table IV, renders; returns the exit status."""
  module = TABLES[table]
  keys = [row.key for row in module.ROWS]
  options = runner.parse(module.__doc__, keys, argv)
  place, status = Place.of(options), 0
  try:
    if not options.render:
      status = runner.run_all(place, [ROWS[key] for key in options.rows], options.seeds, ROWS)
      if table == 4 and not status:
        status = table4.measure(place)
    if status != runner.STOPPED:
      write(table, place)
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return status


def write(table: int, place: Place) -> None:
  """Renders what there are results of: the table, the paper's orderings, and with Table II its two figures."""
  results, memories = collect.load(place.folder), collect.load_memories(place.folder)
  texts = {2: lambda: render.table2(results), 3: lambda: render.table3(results),
           4: lambda: render.table4(results, memories)}
  pages = {f'table{table}.md': texts[table](), 'orderings.md': orderings.markdown(results)}
  for name, text in pages.items():
    (place.folder / name).write_text(text, encoding='utf-8')
    print(place.folder / name)
  if table == 2 and any(result['stage'] == 'segment' for result in results):
    figures.fig5(results, place.folder / 'fig5.png')
    print(place.folder / 'fig5.png')
    write_fig4(place, results)


def write_fig4(place: Place, results: Sequence[collect.Result]) -> None:
  """Draws Fig. 4 where the networks of these results lie: beside the results on drawn photographs, in the runs' folder
  on real ones, which are not ours to publish. A picture of other networks does not stay."""
  bundles = {result['title']: place.bundle(ROWS[result['row']], 0) for result in results
             if result['row'] in SHOWN and result['seed'] == 0 and _is_of(result, place)}
  drawn = presets.DATA[place.preset] == 'synthetic'
  path = (place.folder if drawn else place.runs / place.preset) / 'fig4.png'
  if not bundles or not (drawn or place.source_dir):
    print(f'Fig. 4 is not drawn: it needs the networks of the results in {place.runs}' +
          ('' if drawn else ' and --source_dir=DIR'))
    path.unlink(missing_ok=True)
    return
  data = presets.configure(place.preset, ROWS[SHOWN[0]], 0).segment.data
  dataset = load(data.name, data_dir=place.data_dir, size=data.size, source_dir=place.source_dir or None,
                 **({'count': data.count} if drawn else {}))
  figures.fig4(bundles, dataset.source('test'), path)
  print(path)


def _is_of(result: collect.Result, place: Place) -> bool:
  """Whether the network in the runs' folder is that of which the result tells."""
  path = place.bundle(ROWS[result['row']], result['seed']) / 'config.json'
  return path.exists() and json.loads(path.read_text('utf-8'))['metrics'] == result['report']
