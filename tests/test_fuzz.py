"""600 damages of images, DICOM, bundles, JSON and XML: an answer or a sentence, no traceback, no stall, no process above 3 GB."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
NUMBERS = {'images': 210, 'dicom': 90, 'bundles': 100, 'json': 80, 'records': 60, 'xml': 60}
LONGEST, MOST = 2000, 3 << 30  # characters of what is said, bytes
OF_PYTHON = re.compile(r'Traceback|object at 0x|\b[A-Z]\w+Error\b')


def test_they_are_600():
  assert sum(NUMBERS.values()) == 600


@pytest.mark.slow
@pytest.mark.parametrize('kind', NUMBERS)
def test_every_damage_is_answered(kind, tmp_path):
  if kind == 'dicom':
    pytest.importorskip('pydicom')
  paths = os.pathsep.join(map(str, (HERE.parent, HERE)))
  done = subprocess.run([sys.executable, HERE / 'fuzzing.py', kind, str(NUMBERS[kind]), tmp_path], capture_output=True, text=True,
                        env=os.environ | {'PYTHONPATH': paths, 'JAX_PLATFORMS': 'cpu'}, check=False, timeout=3000)
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  assert done.returncode == 0, f'{len(lines)} were done: {done.stderr[-3000:]}'
  *found, last = lines
  assert len(found) == NUMBERS[kind] and last['peak'] < MOST
  raised = [f'{each["damage"]}\n{each["error"]}' for each in found if 'error' in each]
  assert not raised, f'{len(raised)} of {len(found)}:\n' + '\n'.join(raised[:3])
  odd = [each for each in found if len(each['said']) > LONGEST or OF_PYTHON.search(each['said'])]
  assert not odd, odd[:3]
