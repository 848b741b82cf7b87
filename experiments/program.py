"""What `python -m experiments.tableN` does."""

from __future__ import annotations

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
  if not options.render:
    try:
      status = runner.run_all(place, [ROWS[key] for key in options.rows], options.seeds, ROWS)
      if table == 4 and not status:
        status = table4.measure(place)
    except ValueError as error:
      print(f'error: {error}', file=sys.stderr)
      return 2
  if status != runner.STOPPED:
    write(table, place)
  return status


def write(table: int, place: Place) -> None:
  """Renders what there are results of: the table, the paper's orderings, and with Table II its two figures."""
  results, memories = collect.load(place.folder), collect.load_memories(place.folder)
  if not results:
    print(f'no results in {place.folder} yet')
    return
  texts = {2: lambda: render.table2(results), 3: lambda: render.table3(results),
           4: lambda: render.table4(results, memories)}
  pages = {f'table{table}.md': texts[table](), 'orderings.md': orderings.markdown(results)}
  for name, text in pages.items():
    (place.folder / name).write_text(text, encoding='utf-8')
    print(place.folder / name)
  if table == 2 and any(result['stage'] == 'segment' for result in results):
    figures.fig5(results, place.folder / 'fig5.png')
    print(place.folder / 'fig5.png')
    write_fig4(place)


def write_fig4(place: Place) -> None:
  """Draws Fig. 4 where its networks lie: beside the results on drawn photographs, in the runs' folder on real ones,
  which are not ours to publish."""
  rows = [ROWS[key] for key in SHOWN]
  bundles = {row.title: place.bundle(row, 0) for row in rows if (place.bundle(row, 0) / 'config.json').exists()}
  if not bundles:
    print(f'no trained networks in {place.runs}: Fig. 4 is not drawn')
    return
  stage = presets.configure(place.preset, rows[0], 0, source_dir=place.source_dir).segment
  drawn = stage.data.name == 'synthetic'
  options = {'count': stage.data.count} if drawn else {}
  dataset = load(stage.data.name, data_dir=place.data_dir, size=stage.data.size, source_dir=place.source_dir or None,
                 **options)
  path = (place.folder if drawn else place.runs / place.preset) / 'fig4.png'
  figures.fig4(bundles, dataset.source('test'), path)
  print(path)
