"""What is written down of a measurement."""

import subprocess
import sys

import numpy as np

from experiments import record

MB = 1 << 20


def test_the_peak_of_a_process_is_what_it_held_and_not_what_its_parent_did():
  held = np.ones(300 * MB, np.uint8)
  assert record.process_peak() > held.nbytes
  child = [sys.executable, '-c', 'from experiments import record; print(record.process_peak())']
  assert 5 * MB < int(subprocess.run(child, check=True, capture_output=True, text=True).stdout) < 150 * MB
