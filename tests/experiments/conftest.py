"""Made-up results in memory and on disk."""

from __future__ import annotations

import json

import pytest
from invented import make_memory, make_result

from experiments.collect import ROWS
from experiments.memory import SYSTEMS


@pytest.fixture
def results():
  """One seed of every row, all a little below the paper."""
  return [make_result(key, move=-0.05) for key in ROWS]


@pytest.fixture
def memories():
  """Of every system of Table IV."""
  return [make_memory(system) for system in SYSTEMS]


@pytest.fixture
def folder(tmp_path):
  """`folder(results) -> path` of a folder named 'small' with their files."""
  path = tmp_path / 'small'
  path.mkdir()

  def write(results):
    for result in results:
      name = f'memory-{result["system"]}' if 'system' in result else f'{result["row"]}-{result["seed"]}'
      (path / f'{name}.json').write_text(json.dumps(result))
    return path

  return write
