"""Whether our inference is still as fast beside PyTorch's as predict.json says: measured again, in few rounds.

Ratios are compared, not times, so a busy machine may tell as well; another kind of processor has other ratios. A ratio
counts as lost when it fell by more than a fifth, and the whole interval of its rounds lies below what was recorded.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping

from experiments import page
from experiments.benchmarks.predict import Job, measure

ALLOWED = 0.2  # of a ratio that may be lost


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--recorded', type=pathlib.Path, default=page.BENCHMARKS / 'predict.json',
                      help='the result to compare with (default: the committed one)')
  parser.add_argument('--rounds', type=int, default=5, help='turns of each implementation (default 5)')
  parser.add_argument('--with-compiled', action='store_true', help='beside compiled PyTorch too, which takes a minute to start')


def run(arguments: argparse.Namespace) -> int:
  """Measures and compares; returns 1 where a ratio was lost, 2 where nothing could be compared."""
  try:
    recorded = json.loads(arguments.recorded.read_text(encoding='utf-8'))
  except OSError as error:
    print(f'there is nothing to compare with ({error}); run python -m experiments.benchmark predict first', file=sys.stderr)
    return 2
  row = recorded['rows'][0]
  implementations = [name for name in row['sides'] if name != 'torch_compiled' or arguments.with_compiled]
  job = Job(recorded['size'], row['batch'], recorded['dtype'], recorded['width'])
  measured = measure([job], implementations, arguments.rounds, recorded['count'])
  if measured['hardware']['device'] != recorded['hardware']['device']:
    print(f'{arguments.recorded} is of {recorded["hardware"]["device"]}, this is {measured["hardware"]["device"]}; '
          'give the result of the same device as --recorded', file=sys.stderr)
    return 2
  found = measured['rows'][0]
  for pair, ratio in found['ratios'].items():
    print(f'{pair}: {ratio["median"]:.2f} ({ratio["low"]:.2f} to {ratio["high"]:.2f}), recorded '
          f'{row["ratios"].get(pair, {}).get("median", float("nan")):.2f}')
  if not set(found['ratios']) & set(row['ratios']):
    print('no ratio could be measured that was recorded; is torch installed?', file=sys.stderr)
    return 2
  lost = losses(row['ratios'], found['ratios'])
  for sentence in lost:
    print(sentence, file=sys.stderr)
  return 1 if lost else 0


def losses(recorded: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> list[str]:
  """Returns a sentence for each ratio that lost more than ALLOWED.

  Args:
    recorded: by 'PEER / OURS', of `turns.compare`.
    found: the same, measured now; pairs that only one of them has are passed over.
  """
  sentences = []
  for pair in recorded.keys() & found.keys():
    before, now = recorded[pair]['median'], found[pair]
    if now['median'] < (1 - ALLOWED) * before and now['high'] < before:
      peer, own = pair.split(' / ')
      sentences.append(f'{own} has become slower: {peer} takes {now["median"]:.2f} times as long, {before:.2f} were recorded, '
                       f'{1 - now["median"] / before:.0%} less')
  return sorted(sentences)
