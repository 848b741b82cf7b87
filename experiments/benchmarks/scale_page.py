"""The page of the benchmark of scaling."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks.scale_worker import DEVICE_BATCH, GLOBAL_BATCH, SIZE


def render(result: Mapping[str, Any]) -> str:
  """The page of a result, in Markdown."""
  return '\n'.join([*_steps(result), '', *_traffic(result['traffic']), '', *_paper(result), '',
                    'Versions: ' + ', '.join(f'{name} {of}' for name, of in result['versions'].items()) + '.', '',
                    f'Written by `{result["command"]}`.', ''])


def _steps(result: Mapping[str, Any]) -> list[str]:
  lines = [
      '# Several devices', '',
      f'A small Lesion-Net (an encoder of five convolutions) at {SIZE}x{SIZE}, float32, with a batch of {GLOBAL_BATCH} '
      f'in all (strong) and of {DEVICE_BATCH} on each device (weak). Differences are those of the first step to one '
      'device, with BatchNorm over all devices; those of gradients and running statistics as a part of the largest entry of '
      f'each array. **The devices are simulated and share {result["hardware"]["cpus"]} CPU cores: the times show what the '
      'division costs, not what more devices would gain.**', '',
      '| devices | processes | loss differs by | gradient differs by | strong, ms a step | weak, ms a step |',
      '|---|---|---|---|---|---|']
  for row in result['rows']:
    strong, weak = (1000 * statistics.median(row[name]) for name in ('strong', 'weak'))
    lines.append(f'| {row["devices"]} | {row["processes"]} | {row["loss_difference"]:.1e} | '
                 f'{row["gradient_difference"]:.1e} | {strong:.1f} | {weak:.1f} |')
  return lines


def _traffic(traffic: Mapping[str, Any]) -> list[str]:
  lines = [
      '## What is sent', '',
      'Lesion-Net-16s, the whole network: all-reduce operations in the compiled program of a step, and their bytes. '
      'XLA combines what the step asks for one array at a time.', '',
      '| BatchNorm | parameters | running statistics | arrays | operations | bytes a step | bytes by parameter |',
      '|---|---|---|---|---|---|---|']
  for norm, found in traffic['norms'].items():
    sent = sum(one['bytes'] for one in found['all_reduces'])
    lines.append(f'| {norm} | {found["parameters"]:,} | {found["statistics"]:,} | {found["reductions_written"]} | '
                 f'{len(found["all_reduces"])} | {sent:,} | {sent / found["parameters"]:.3f} |')
  return lines


def _paper(result: Mapping[str, Any]) -> list[str]:
  assumed = result['assumed']
  return [
      '## On paper: 8 and 64 GPUs', '',
      f'Assumed, not measured: each GPU computes at {assumed["flops"] / 1e12:.0f} TFLOP/s, takes {assumed["batch"]} '
      f'photographs of 896x896 in a step of {result["traffic"]["flops"] / 1e9:.0f} GFLOP each (XLA\'s count), sends '
      f'{assumed["inside"] / 1e9:.0f} GB/s within a machine of {assumed["node"]} and {assumed["between"] / 1e9:.0f} '
      f'GB/s between machines, {assumed["latency"] * 1e6:.0f} µs a message; a ring, 2 (n - 1) / n of the bytes; nothing is '
      'sent while it computes; data never wait.', '',
      '| GPUs | compute, ms | send, ms | images/s | of n times one | CPU cores that read |',
      '|---|---|---|---|---|---|',
      *_gpus(result['paper'], result['reading_cpu_ms'])]


def _gpus(paper: Sequence[Mapping[str, Any]], reading: float | None) -> list[str]:
  cores = lambda row: '' if reading is None else f'{math.ceil(row["images_per_second"] * reading / 1000)}'
  return [f'| {row["gpus"]} | {1000 * row["compute"]:.1f} | {1000 * row["send"]:.2f} | '
          f'{row["images_per_second"]:,.0f} | {row["efficiency"]:.2f} | {cores(row)} |' for row in paper]
