"""kill -9 at random moments: while data are prepared, at steps, in saves, while bundles, figures, pictures, results and tables are
written. The same command goes on each time, and what is there in the end is what an undisturbed run leaves, to the bit."""

from __future__ import annotations

import os
import pathlib
import random
import re
import signal
import subprocess
import sys

import numpy as np
import oracle
import pytest
from drawing import save
from dying import SAID

from lesion_jax.train.logs import read_scalars
from lesion_jax.weights.bundle import load_bundle, save_bundle

ROOT = pathlib.Path(__file__).parents[1]
TRAININGS, PREDICTIONS = 20, 12  # deaths
LATEST = 300.0  # milliseconds after a change of a file

pytestmark = pytest.mark.slow


def _run(*arguments):
  """(whether it was killed, changes of files of a run that was not)."""
  ended = subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, env=os.environ | {'PYTHONPATH': str(ROOT)},
                         capture_output=True, text=True, timeout=900, check=False)
  if ended.returncode == -signal.SIGKILL:
    return True, 0
  assert ended.returncode == 0, ended.stderr[-3000:]
  return False, int(re.search(f'{SAID}(\\d+)', ended.stdout)[1])


def _until_killed(deaths, changes, run, check):
  """Runs in new folders, each until it comes to its end, with deaths at moments drawn over all changes of files.

  Args:
    deaths: how many.
    changes: of an undisturbed run.
    run: `run(number of the folder, changes, milliseconds) -> killed`; 0 changes: never.
    check: called with the number of a folder whose run has come to its end.
  """
  draw, folder, dead = random.Random(14), 0, 0
  while dead < deaths:
    # Most deaths leave less than a whole run to do.
    if run(folder, draw.randint(1, changes), draw.choice([0, draw.uniform(0, LATEST)])):
      dead += 1
    else:
      check(folder)
      folder += 1
  if not run(folder, 0, 0):
    check(folder)


def _training(root):
  return ['tests/tiny_main.py', '--config=tests/tiny_config.py', f'--workdir={root / "run"}', f'--data_dir={root / "data"}', '--watch']


def _left_by_training(root):
  """Weights, figures, examples of both networks as bytes, and the loss of each step."""
  run = root / 'run'
  found = {'metrics.json': (run / 'metrics.json').read_bytes()}
  for stage in ('segment', 'grade'):
    folder = run / stage
    load_bundle(folder / 'bundle')
    for name in ('bundle/model.safetensors', 'bundle/photographs.safetensors', 'bundle/config.json', 'bundle/README.md', 'report.json',
                 'examples.png', 'calibration.png'):
      found[f'{stage}/{name}'] = (folder / name).read_bytes()
    steps, values = read_scalars(folder / 'metrics.csv')['train', 'loss']
    found[f'{stage}/loss'] = np.array([steps, values]).tobytes()
    found[f'{stage}/files'] = sorted(path.name for path in folder.iterdir())
  return found


def test_training(tmp_path):
  killed, changes = _run(*_training(tmp_path / 'whole'))
  assert not killed and changes > 50
  expected, ended = _left_by_training(tmp_path / 'whole'), []

  def run(folder, after, milliseconds):
    return _run(*_training(tmp_path / str(folder)), f'--die_changes={after}', f'--die_delay={milliseconds}')[0]

  def check(folder):
    found = _left_by_training(tmp_path / str(folder))
    assert not [name for name in expected if found[name] != expected[name]]
    ended.append(folder)

  _until_killed(TRAININGS, changes, run, check)
  print(f'{TRAININGS} deaths in {len(ended)} runs of {changes} changes each')


def test_prediction(tmp_path):
  for number in range(8):
    save(tmp_path / 'eyes' / f'{number}.png', oracle.photograph())
  config = oracle.oracle_config(annotated=['MA', 'CWS'])
  save_bundle(tmp_path / 'bundle', config=config, card='', variables={'params': {'gain': np.float32(1)}})

  def predict(folder, after, milliseconds):
    out = tmp_path / str(folder)
    return _run('tests/dying.py', after, milliseconds, out, 'predict', tmp_path / 'eyes', '--model', tmp_path / 'bundle', '--out', out,
                '--coco', 'rle', '--maps', 'png', '--quiet')

  def left(folder):
    files = {path.relative_to(tmp_path / str(folder)).as_posix(): path.read_bytes()
             for path in (tmp_path / str(folder)).rglob('*') if path.is_file()}
    table = files.pop('results.csv').decode().replace('skipped', 'predicted')
    return files | {'results.csv': table}

  killed, changes = predict('whole', 0, 0)
  assert not killed and changes > 30
  expected, ended = left('whole'), []

  def check(folder):
    found = left(folder)
    assert found.keys() == expected.keys()
    assert not [name for name in expected if found[name] != expected[name] and name != 'report.html']
    ended.append(folder)

  _until_killed(PREDICTIONS, changes, lambda *arguments: predict(*arguments)[0], check)
  print(f'{PREDICTIONS} deaths in {len(ended)} runs of {changes} changes each')
