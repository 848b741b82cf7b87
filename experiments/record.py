"""What is written down of a measurement: one JSON file each, with all that is needed to judge it.

JAX is imported where a device is looked at alone: a process that is measured from its start imports this module too.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import re
import resource
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import lesion_jax
from lesion_jax.whole import whole

SCHEMA = 1
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy')


def versions() -> dict[str, str]:
  """Returns the versions of Python and of the packages whose release may move a metric."""
  installed = {name: metadata.version(name) for name in PACKAGES}
  return {'python': platform.python_version(), 'lesion_jax': lesion_jax.__version__, **installed}


def hardware() -> dict[str, Any]:
  """Returns what the computation runs on."""
  import jax

  devices = jax.devices()
  return {'device': devices[0].device_kind, 'devices': len(devices), 'cpus': len(os.sched_getaffinity(0))}


def peak_memory() -> dict[str, Any]:
  """Returns the most that was held since this process began: on the accelerator where there is one, else by the whole
  process."""
  import jax

  stats = jax.local_devices()[0].memory_stats() or {}
  if 'peak_bytes_in_use' in stats:
    return {'bytes': int(stats['peak_bytes_in_use']), 'of': 'accelerator'}
  return {'bytes': process_peak(), 'of': 'process'}


def process_peak() -> int:
  """Returns the most bytes of memory that this process held since its program began. On Linux not by `getrusage`: what it
  says begins with what the parent held when it started this one."""
  with contextlib.suppress(OSError):
    held = re.search(r'^VmHWM:\s*(\d+) kB$', pathlib.Path('/proc/self/status').read_text('utf-8'), re.MULTILINE)
    if held:
      return int(held[1]) * 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


def save(path: pathlib.Path, result: Mapping[str, Any]) -> None:
  """Writes a result whole or not at all, with the schema's number. Long lists of numbers take one line."""
  lines = [f'  {json.dumps(key)}: {_value(value)}' for key, value in ({'schema': SCHEMA} | dict(result)).items()]
  with whole(path) as fresh:
    fresh.write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')


def _value(value: Any) -> str:
  text = json.dumps(value, allow_nan=False, indent=2)
  return json.dumps(value) if len(text.splitlines()) > 400 else text.replace('\n', '\n  ')
