"""Whether we are still as fast as the committed results say: measured again, in few rounds.

Inference beside PyTorch's, of predict.json; training steps beside unmodified JAX's and PyTorch's, of train.json; with --source_dir what reading and writing take beside the network, over the yardstick
of the same process, of bulk_local.json. Ratios are compared, not times, so a busy machine may tell as well; another kind of processor has other ratios. A ratio
counts as lost when it fell by more than a fifth, and the whole interval of its rounds lies below what was recorded: a machine with two speeds
moves one by a seventh. So one arrangement for a CPU may be lost unseen here; that each of them is taken, tests say.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import pathlib
import statistics
import sys
from collections.abc import Mapping

import numpy as np

from experiments import page
from experiments.benchmarks import train
from experiments.benchmarks.bulk_local import measure as measure_host
from experiments.benchmarks.predict import Job, measure

ALLOWED = 0.2  # of a ratio that may be lost
HOST = 10  # photographs
NOTHING = 2  # status where nothing could be compared


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--recorded', type=pathlib.Path, default=page.BENCHMARKS / 'predict.json',
                      help='the result to compare with (default: the committed one)')
  parser.add_argument('--rounds', type=int, default=5, help='turns of each implementation (default 5)')
  parser.add_argument('--source_dir', type=pathlib.Path, help='IDRiD: photographs for reading and writing, which are measured where it is given')
  parser.add_argument('--work', type=pathlib.Path, default=pathlib.Path('runs/benchmark/bulk_local'), help='of those (default runs/benchmark/bulk_local)')
  parser.add_argument('--with-compiled', action='store_true', help='beside compiled PyTorch too, which takes a minute to start')


def run(arguments: argparse.Namespace) -> int:
  """Measures and compares; returns 1 where a ratio was lost, 2 where nothing could be compared."""
  found = [0 if arguments.source_dir is None else guard_host(arguments.source_dir, arguments.work, page.BENCHMARKS / 'bulk_local.json'),
           guard_inference(arguments), guard_training(page.BENCHMARKS / 'train.json', arguments)]
  return 1 if 1 in found else max(found)


def guard_training(recorded: pathlib.Path, arguments: argparse.Namespace) -> int:
  """`run` of a training step of each network, beside those implementations that are recorded and installed."""
  before = json.loads(recorded.read_text('utf-8'))
  peers = ['plain'] + ['torch'] * (importlib.util.find_spec('torch') is not None) + ['torch_compiled'] * arguments.with_compiled
  options = argparse.Namespace(implementations=['ours', *peers], rounds=arguments.rounds, steps=None,
                               **{name: before[name] for name in ('size', 'dtype', 'width')})
  lost = []
  for row in before['rows']:
    found, facts = train.measure(row['network'], row['batch'], options)
    if facts['hardware']['device'] != before['hardware']['device']:
      print(f'{recorded} is of {before["hardware"]["device"]}, this is {facts["hardware"]["device"]}', file=sys.stderr)
      return NOTHING
    named = lambda ratios, network=row['network']: {f'{peer} / ours, a step of {network}': ratio for peer, ratio in ratios.items()}
    then, now = named(row['ratios']), named(found['ratios'])
    _show(then, now)
    lost += losses(then, now)
  for sentence in lost:
    print(sentence, file=sys.stderr)
  return 1 if lost else 0


def _show(recorded: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]]) -> None:
  for pair, ratio in found.items():
    print(f'{pair}: {ratio["median"]:.2f} ({ratio["low"]:.2f} to {ratio["high"]:.2f}), recorded '
          f'{recorded.get(pair, {}).get("median", float("nan")):.2f}')


def guard_host(source_dir: pathlib.Path, work: pathlib.Path, recorded: pathlib.Path) -> int:
  """`run` of reading and writing: CPU seconds of HOST photographs over the yardstick."""
  before, now = json.loads(recorded.read_text('utf-8')), measure_host(source_dir, work, count=HOST, rounds=1)
  over = {when: {name: statistics.median(np.divide(row['cpu_seconds'], row['yardstick'])) for name, row in found['rows'].items()}
          for when, found in (('before', before), ('now', now))}
  lost = [f'{name}: a photograph takes {each:.1f} times the yardstick, {over["before"][name]:.1f} were recorded'
          for name, each in over['now'].items() if each > (1 + ALLOWED) * over['before'][name]]
  for name, each in over['now'].items():
    print(f'photographs, {name}: {each:.1f} times the yardstick, recorded {over["before"][name]:.1f}')
  for sentence in lost:
    print(sentence, file=sys.stderr)
  return 1 if lost else 0


def guard_inference(arguments: argparse.Namespace) -> int:
  """`run` of inference beside PyTorch's."""
  try:
    recorded = json.loads(arguments.recorded.read_text(encoding='utf-8'))
  except OSError as error:
    print(f'there is nothing to compare with ({error}); run python -m experiments.benchmark predict first', file=sys.stderr)
    return NOTHING
  row = recorded['rows'][0]
  implementations = [name for name in row['sides'] if name != 'torch_compiled' or arguments.with_compiled]
  job = Job(recorded['size'], row['batch'], recorded['dtype'], recorded['width'])
  measured = measure([job], implementations, arguments.rounds, recorded['count'])
  if measured['hardware']['device'] != recorded['hardware']['device']:
    print(f'{arguments.recorded} is of {recorded["hardware"]["device"]}, this is {measured["hardware"]["device"]}; '
          'give the result of the same device as --recorded', file=sys.stderr)
    return NOTHING
  found = measured['rows'][0]
  _show(row['ratios'], found['ratios'])
  if not set(found['ratios']) & set(row['ratios']):
    print('no ratio could be measured that was recorded; is torch installed?', file=sys.stderr)
    return NOTHING
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
