"""The pages of all experiments, in Markdown: paragraphs, tables, metrics with their ranges, and where they come from.

Imports neither JAX nor what draws: a benchmark that starts processes of its own may import it in them as well.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import record
from lesion_jax.report.markdown import table

__all__ = ['BENCHMARKS', 'bounds', 'code', 'join', 'machine', 'number', 'on_gpu', 'provenance', 'span', 'table', 'write']

BENCHMARKS = pathlib.Path(__file__).parent / 'results' / 'benchmark'


def join(*parts: str) -> str:
  """Paragraphs, headings and tables below each other; empty ones are omitted."""
  return '\n\n'.join(part for part in parts if part)


def code(lines: Sequence[str]) -> str:
  """Returns a block of commands; '' without any."""
  return '\n'.join(['```', *lines, '```']) if lines else ''


def number(value: float | None, interval: Sequence[float] | None = None, *, undefined: str = '-') -> str:
  """Returns '0.419 [0.392, 0.447]', or `undefined`."""
  return undefined if value is None else f'{value:.3f}{bounds(interval)}'


def bounds(interval: Sequence[float] | None) -> str:
  """Returns ' [0.392, 0.447]', what stands behind a metric; '' without an interval."""
  return f' [{interval[0]:.3f}, {interval[1]:.3f}]' if interval else ''


def span(low: float, high: float, digits: str = '.2f') -> str:
  """Returns '0.95–1.05'."""
  return f'{low:{digits}}–{high:{digits}}'


def machine(hardware: Mapping[str, Any]) -> str:
  """Returns '2 CPU cores', or '2 x NVIDIA H200, 16 CPU cores', of `record.hardware`."""
  cores = f'{hardware["cpus"]} CPU {"core" if hardware["cpus"] == 1 else "cores"}'
  return cores if hardware['device'] == 'cpu' and hardware['devices'] == 1 else (
      f'{hardware["devices"]} x {hardware["device"]}, {cores}')


def provenance(result: Mapping[str, Any]) -> str:
  """Returns where the result of a benchmark comes from: machine, versions and command, of which older results have
  none."""
  command = result.get('command') or f'python -m experiments.benchmark {result["benchmark"]}'
  versions = ', '.join(f'{name} {version}' for name, version in result['versions'].items())
  return join(f'On {machine(result["hardware"])}. Versions: {versions}.', f'Written by `{command}`.')


def on_gpu(name: str, hardware: Mapping[str, Any]) -> str:
  """Returns the name of a benchmark's files: what is measured on a GPU stands beside what was on a CPU."""
  return name if hardware['device'] == 'cpu' else f'{name}-gpu'


def write(folder: pathlib.Path, name: str, result: Mapping[str, Any], render: Callable[[Mapping[str, Any]], str]) -> str:
  """Writes what a benchmark measured to NAME.json, with its command line (of absolute paths the name alone), and its page to NAME.md;
  returns the page."""
  given = [pathlib.Path(each).name if pathlib.Path(each).is_absolute() else each for each in sys.argv[1:]]
  result = {**result, 'command': ' '.join(['python -m experiments.benchmark', *given])}
  record.save(folder / f'{name}.json', result)
  text = render(result)
  (folder / f'{name}.md').write_text(text, encoding='utf-8')
  return text
