"""What stands beside a table so that its metrics can be judged: data, sizes, steps, seeds, machine, command."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Sequence
from typing import Any

from experiments import page, presets
from experiments.collect import Result
from experiments.rows import ROWS

PAPERS_DATA = 'retinal_lesions'
OTHER_DATA = "The data are not the paper's, so nothing here is comparable with the paper's results."
RELEASED_DATA = ("The photographs are the part of the paper's data that was released, split anew: close to the paper's "
                 'setting and not the same.')
RANDOM_START = ("The photographs are the part of the paper's data that was released, but the paper's networks start from "
                'ImageNet weights and some of these do not.')
GB = 1e9


def conditions(results: Sequence[Result]) -> str:
  """Returns sentences on what was measured, on what and with what, and on whether it may be held against the paper."""
  if not results:
    return 'Nothing was measured yet.'
  data = distinct(result['data'] for result in results)
  parts = [
      f'Data: {", ".join(data)}, {span(result["test_images"] for result in results)} test photographs',
      f'input {squares(result["size"] for result in results)} pixels',
      *_crops(results),
      f'{span(result["steps"] for result in results)} steps of training',
      seeds(results),
      *machine(results),
  ]
  starts = distinct(result['config'][result['stage']]['pretrained'] for result in results)
  parts.insert(3, 'starting from ' + ' and '.join(name or 'random weights' for name in starts))
  verdict = OTHER_DATA
  if data == [PAPERS_DATA]:
    verdict = RELEASED_DATA if all(starts) else RANDOM_START
  notes = [presets.NOTES[name] for name in distinct(result['preset'] for result in results) if name in presets.NOTES]
  return ' '.join([f'{"; ".join(parts)}.', verdict, *notes])


def seeds(results: Sequence[Result]) -> str:
  """Returns 'seed 0' or 'seeds 0, 1', and where rows have not all of them how many a row has: 'seeds 0, 1 (1 to 2 a row)'."""
  known = sorted({result['seed'] for result in results})
  each = collections.Counter(result['row'] for result in results).values()
  return (f'{"seed" if len(known) == 1 else "seeds"} {", ".join(map(str, known))}' +
          (f' ({span(each)} a row)' if len(set(each)) > 1 else ''))


def _crops(results: Sequence[Result]) -> list[str]:
  """How many crops a step of those that learn from crops takes, of what size."""
  found = distinct((stage['batch_size'], stage['data']['crop']) for result in results
                   if (stage := result['config'][result['stage']]).get('data', {}).get('crop'))
  return [f'learning from {" or ".join(f"{batch} crops of {side} x {side}" for batch, side in found)} a step'] if found else []


def machine(results: Iterable[Result]) -> list[str]:
  """Returns hardware and versions, each as a text."""
  results = list(results)
  hardware = distinct(page.machine(result['hardware']) for result in results)
  names = distinct(name for result in results for name in result['versions'])
  versions = [f'{name} {" and ".join(distinct(result["versions"].get(name, "?") for result in results))}'
              for name in names]
  return ['; '.join(hardware), ', '.join(versions)]


def intervals(results: Sequence[Result]) -> str:
  """Returns what the brackets behind a metric are."""
  found = distinct((result['report']['intervals']['level'], result['report']['intervals']['resamples'])
                   for result in results)
  kinds = ' or '.join(f'{100 * level:g} % interval of {resamples:,} resamples' for level, resamples in found)
  seeds = '' if len({result['seed'] for result in results}) < 2 else (
      ' A metric is the mean over the seeds ± the standard deviation over them; the ends of its interval are the '
      "means of the seeds' ends.")
  return f'In square brackets: the {kinds} of the test {sampled(results)}.{seeds}' if found else ''


def sampled(results: Iterable[Result]) -> str:
  """Returns what the resamples are of: patients, in results of before photographs."""
  return ' or '.join(distinct('photographs' if result['report']['intervals'].get('patients') is None else 'patients'
                              for result in results)) or 'patients'


def commands(results: Sequence[Result], *, rows: bool = True) -> list[str]:
  """Returns the commands that gave these results, those that differ in rows and seeds alone as one; without `rows`, for
  all rows of their tables."""
  found: dict[str, list[Result]] = {}
  for result in results:
    found.setdefault(_without_choice(result['command']), []).append(result)
  return [_command(command, [result['row'] for result in group] if rows else (), group)
          for command, group in found.items()]


def command_for(results: Sequence[Result], rows: Sequence[str]) -> str:
  """Returns the command that gives the named rows of one table in the preset, and with the seeds, of `results`.

  Raises:
    ValueError: there is no result from which to take the preset.
  """
  if not results:
    raise ValueError('no results: they would say which preset a command is of')
  table = f'experiments.table{ROWS[rows[0]].table}'
  command = re.sub(r'experiments\.table\d', table, _without_choice(results[0]['command']))
  return _command(command, rows, [result for result in results if result['row'] in rows] or results)


def distinct(values: Iterable[Any]) -> list[Any]:
  """Returns the values without repetition, in the order in which they came."""
  return list(dict.fromkeys(values))


def span(values: Iterable[int]) -> str:
  """Returns '150', or '150 to 2,000'."""
  low, high = min(values := list(values)), max(values)
  return f'{low:,}' if low == high else f'{low:,} to {high:,}'


def squares(sides: Iterable[int]) -> str:
  """Returns '32 x 32, 64 x 64 and 128 x 128'."""
  *first, last = [f'{side} x {side}' for side in sorted(set(sides))]
  return f'{", ".join(first)} and {last}' if first else last


def _without_choice(command: str) -> str:
  return re.sub(r'\s+--(?:rows|seeds)[= ]\S+', '', command)


def _command(command: str, rows: Sequence[str], results: Sequence[Result]) -> str:
  chosen = f' --rows={",".join(distinct(rows))}' if rows else ''
  return f'{command}{chosen} --seeds={",".join(map(str, sorted({result["seed"] for result in results})))}'
