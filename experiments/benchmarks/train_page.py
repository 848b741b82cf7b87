"""The page of the benchmark of training steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.benchmarks.predict_page import machine_of

NAMES = {'ours': 'ours', 'plain': 'JAX as it is', 'torch': 'PyTorch', 'torch_compiled': 'PyTorch, compiled'}
HEAD = ['| network | batch | side | s a step | range | images/s | this / ours, by medians | median of the rounds | 95 % interval | CPU s a step | share of the matrix rate '
        '| s to ready |', '|---|---|---|---|---|---|---|---|---|---|---|---|']


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  rate, copied = result['matmul_flops_per_second'], result['copy_bytes_per_second']
  lines = [
      '# Training steps', '',
      f'One step at {result["size"]}x{result["size"]}, {result["dtype"]}, width {result["width"]:g}: forward, loss, '
      f'gradient, SGD. The median of {result["rounds"]} turns, which the sides took one after another, and the lowest '
      'and highest. Same weights, input and loss; neither side augments. PyTorch is channels last, with autocast where the '
      'type is bfloat16, fused SGD, and with BatchNorm folded in the lesion branch that the multi-task network does not '
      'train. '
      'JAX as it is: our step without our options of the compiler. This / ours: by the medians of both, and the median of the '
      'rounds with the range in which it lies by bootstrap, where they took turns. Time to ready: imports, weights, compilation and two steps; ours may find its program '
      'in the cache of an earlier run.',
      '',
      f'The device reached {rate / 1e12:.3g} TFLOP/s in one large matrix product, the better of both libraries, and '
      f'{copied / 1e9:.3g} GB/s in copying. The share is that of the floor, the FLOPs of the step (XLA\'s count of the '
      'step as it is written) at this rate, in the time that the step took; above 1 where convolutions save multiplications '
      'or the matrix product was disturbed.', '', *HEAD]
  for row in result['rows']:
    lines += _sides(row, rate)
  lines += ['', *[f'- {line}' for row in result['rows'] for line in lines_of(row)], '',
            f'On {machine_of(result["hardware"])}. Versions: '
            + ', '.join(f'{name} {version}' for name, version in result['versions'].items()) + '.', '',
            f'Written by `{result["command"]}`.', '']
  return '\n'.join(lines)


def lines_of(row: Mapping[str, Any]) -> list[str]:
  """What is to be said of a row in words."""
  about = f'{row["network"]}, batch {row["batch"]}'
  lines = []
  if row['flops']:
    lines.append(f'{about}: {row["flops"] / 1e9:.1f} GFLOP a step.')
  if row['loss_difference'] is not None:
    lines.append(f'{about}: the losses of the first step differ by {row["loss_difference"]:.1e} of their value, those '
                 f'after it by {row["loss_difference_after_a_step"]:.1e}.')
  if not row['side_by_side']:
    lines.append(f'{about}: the sides do not fit into memory together, and were started alone, twice each.')
  return lines


def _sides(row: Mapping[str, Any], rate: float) -> list[str]:
  lines = []
  for side, found in row['sides'].items():
    start = f'| {row["network"]} | {row["batch"]} | {NAMES[side]} |'
    if 'error' in found:
      lines.append(f'{start} {found["error"]} | | | | | | | | |')
      continue
    seconds, ratio = found['seconds'], row['ratios'].get(side)
    by_rounds = f'{ratio["median"]:.2f} | {ratio["low"]:.2f}–{ratio["high"]:.2f}' if ratio and row['side_by_side'] else ' | '
    compared = f'{ratio["of_medians"]:.2f} | {by_rounds}' if ratio else ' |  | '
    share = f'{row["flops"] / rate / seconds["median"]:.2f}' if row['flops'] else ''
    lines.append(
        f'{start} {seconds["median"]:.3f} | {seconds["lowest"]:.3f}–{seconds["highest"]:.3f} | '
        f'{row["batch"] / seconds["median"]:.2f} | {compared} | '
        f'{found["cpu_seconds"]["median"]:.2f} | {share} | '
        f'{found["seconds_to_ready"]:.0f} |')
  return lines
