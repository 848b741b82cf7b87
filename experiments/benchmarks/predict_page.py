"""The page of the benchmark of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {'ours': 'ours, JAX', 'plain': 'JAX as it is', 'onnxruntime': 'ours, onnxruntime', 'torch': 'PyTorch',
         'torch_compiled': 'PyTorch, compiled'}
HEAD = ['| batch | side | s an answer | range | photographs/s | CPU s | share of the floor | largest difference | s to ready |',
        '|---|---|---|---|---|---|---|---|---|']


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  matmul, copied = result['matmul_flops_per_second'], result['copy_bytes_per_second']
  lines = [
      '# Answers', '',
      f'The multi-task network with Lesion-Net-16s at {result["size"]}x{result["size"]}, {result["dtype"]}, width '
      f'{result["width"]:g}: from uint8 photographs on the device to all probabilities. The median of {result["rounds"]} '
      'turns, which the sides took one after another, and the lowest and highest. Same weights and photographs. JAX as it '
      'is: our network without our options of the compiler, pools and convolutions for a CPU. PyTorch has BatchNorm folded and is channels last; compiled, its weights are frozen. The difference is that in probability from '
      'ours in JAX. Time to ready: from the start of the program to its first answer; ours may find its program in the '
      'cache of an earlier run.', '', *HEAD]
  for row in result['rows']:
    lines += [_side(row, side, found) for side, found in row['sides'].items()]
  lines += ['', *(f'- {NAMES[side]} was left out: {why}.' for side, why in result['missing'].items()), *_ratios(result), '',
            f'The floor: the network\'s convolutions and matrix products, {result["rows"][0]["flops"] / 1e9:.0f} GFLOP for '
            f'{result["rows"][0]["batch"]} counted from their shapes, each as long as its arithmetic takes at '
            f'{matmul / 1e9:.4g} GFLOP/s, the rate of one large matrix product on this machine in this run, or as its '
            f'operands and result take at {copied / 1e9:.3g} GB/s, the rate of copying, whichever is longer: '
            + ', '.join(f'{row["floor_seconds"]:.3g} s for {row["batch"]}' for row in result['rows'])
            + '. A share above 1 means that the product was disturbed, or that multiplications were saved.', '',
            f'On {machine_of(result["hardware"])}. Versions: '
            + ', '.join(f'{name} {version}' for name, version in result['versions'].items()) + '.', '',
            f'Written by `{result["command"]}`.', '']
  return '\n'.join(lines)


def _side(row: Mapping[str, Any], side: str, found: Mapping[str, Any]) -> str:
  seconds = found['seconds']
  difference = '' if side == 'ours' else f'{found["difference"]:.1e}'
  return (f'| {row["batch"]} | {NAMES[side]} | {seconds["median"]:.3g} | {seconds["lowest"]:.3g}–{seconds["highest"]:.3g} | '
          f'{row["batch"] / seconds["median"]:.3g} | {found["cpu_seconds"]["median"]:.3g} | '
          f'{row["floor_seconds"] / seconds["median"]:.2f} | {difference} | {found["seconds_to_ready"]:.1f} |')


def _ratios(result: Mapping[str, Any]) -> list[str]:
  lines = ['', '| batch | how many times as long | by medians | median of the rounds | 95 % interval |', '|---|---|---|---|---|']
  for row in result['rows']:
    for pair, ratio in row['ratios'].items():
      peer, own = pair.split(' / ')
      lines.append(f'| {row["batch"]} | {NAMES[peer]} / {NAMES[own]} | {ratio["of_medians"]:.2f} | {ratio["median"]:.2f} | '
                   f'{ratio["low"]:.2f}–{ratio["high"]:.2f} |')
  return lines


def machine_of(hardware: Mapping[str, Any]) -> str:
  """In words."""
  cores = f'{hardware["cpus"]} CPU cores'
  return cores if hardware["device"] == 'cpu' else f'{hardware["device"]}, {cores}'
