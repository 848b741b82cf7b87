"""Here again: what came back is joined, checked and put among the results."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

from experiments.borrowed import state

RESULTS = pathlib.Path(__file__).parents[1] / 'results'
# Folders whose pages are written from all of their results, and by what.
RENDERED = {'idrid_lesions': 'python -m experiments.idrid --render', 'small': 'python -m experiments.table2 --preset=small --render'}


def collect(folders: Sequence[pathlib.Path], runs: pathlib.Path, results: pathlib.Path) -> list[str]:
  """Unpacks what runs left in their --out, in their order, and copies the results.

  Args:
    folders: of one run each, the first first.
    runs: gets everything: results, logs, runs and the network.
    results: experiments/results, which gets the results; not pages that are written from several.

  Returns:
    What to say: of each part what became of it, and what to do next.

  Raises:
    FileNotFoundError, ValueError: of `state.read` and `state.unpack`; a run was a rehearsal, whose numbers are no results.
  """
  said, parts = [], {}
  for folder in folders:
    found = state.read(folder)
    if found['small'] and results == RESULTS:
      raise ValueError(f'{folder} is of a rehearsal, whose numbers are no results; give another --results')
    for name, entry in found['archives'].items():
      state.unpack(folder, name, entry, runs)
    parts |= {name: about for name, about in found['parts'].items() if parts.get(name, {}).get('status') != state.DONE}
  for name, about in parts.items():
    said.append(f'{name}: ' + ', '.join(about[key] for key in ('status', 'why') if key in about))
  for path in sorted((runs / 'results').rglob('*')):
    target = results / path.relative_to(runs / 'results')
    if path.is_file() and not (path.suffix == '.md' and target.parent.name in RENDERED):
      target.parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(path, target)
      said.append(str(target))
  said += [f'write the pages of {name}: {command}' for name, command in RENDERED.items() if (runs / 'results' / name).exists()]
  return said + _networks(runs, parts)


def _networks(runs: pathlib.Path, parts: dict[str, dict[str, object]]) -> list[str]:
  """Puts networks that came back into their runs, where `experiments.idrid` finds them; how to evaluate one that is not yet."""
  said = []
  for network in sorted((runs / 'network').glob('*')):
    bundle = runs / 'runs' / 'idrid' / network.name / 'segment' / 'bundle'
    shutil.copytree(network, bundle, dirs_exist_ok=True)
    said.append(f'the network: {bundle}')
    if parts.get('lesions-test', {}).get('status') != state.DONE:
      preset, seed, steps = network.name.split('-')
      said.append(f'evaluate it: python -m experiments.idrid --source_dir=DIR --preset={preset} --seed={seed} --steps={steps} '
                  f'--workdir={runs / "runs" / "idrid"}')
  return said
