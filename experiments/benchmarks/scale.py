"""Training on 1, 2, 4 and 8 simulated devices and on two processes: the same numbers, what is sent, and times.

What 8 and 64 GPUs would reach is worked out on paper, see `at_best`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import record
from experiments.benchmarks import scale_page
from experiments.benchmarks.workers import hear, worker

RESULTS = pathlib.Path(__file__).parents[1] / 'results' / 'benchmark'
TOLERANCE = 1e-5
MODULE = 'experiments.benchmarks.scale_worker'


class Cluster(NamedTuple):
  """What is assumed of GPUs, none of it measured here.

  Attributes:
    flops: FLOP/s that a training step reaches on one: 40% of the 989e12 that NVIDIA's data sheet gives for dense
      bfloat16 on an H100 SXM.
    node: GPUs in one machine.
    inside: bytes/s that each sends within it: 80% of the 450e9 of NVLink 4, one way.
    between: bytes/s that each sends to other machines: 80% of the 50e9 of one 400 Gbit/s adapter a GPU.
    latency: seconds for one message of the ring.
    batch: photographs on each GPU in a step.
  """

  flops: float = 0.4 * 989e12
  node: int = 8
  inside: float = 0.8 * 450e9
  between: float = 0.8 * 50e9
  latency: float = 10e-6
  batch: int = 8


def add(commands: Any) -> None:
  """Adds the program to the sub-parsers `commands`."""
  parser = commands.add_parser('scale', help=__doc__.splitlines()[0], description=__doc__)
  parser.add_argument('--devices', type=int, nargs='+', default=[1, 2, 4, 8], help='simulated (default 1 2 4 8)')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS)
  parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
  """Measures, and writes scale.json and scale.md; returns 1 where the numbers depend on the devices."""
  with tempfile.TemporaryDirectory() as folder:
    rows = [take_steps(pathlib.Path(folder) / f'{count}.npz', devices=count) for count in arguments.devices]
    rows.append(take_steps(pathlib.Path(folder) / 'two.npz', devices=1, processes=2))
    for row in rows:
      row['loss_difference'] = abs(row['loss'] / rows[0]['loss'] - 1)
      row['gradient_difference'] = difference(rows[0]['gradient'], row['gradient'])
  for row in rows:
    del row['gradient']
  with worker(MODULE, 'traffic', environment=simulated(2)) as process:
    traffic = hear(process)
  sent = sum(one['bytes'] for one in traffic['norms']['by device']['all_reduces'])
  paper = [at_best(gpus, sent, traffic['flops'], Cluster()) for gpus in (1, 8, 64)]
  result = {
      'benchmark': 'scale', 'rows': rows, 'traffic': traffic, 'assumed': Cluster()._asdict(), 'paper': paper,
      'reading_cpu_ms': reading_time(RESULTS / 'input.json'),
      'versions': record.versions(), 'hardware': record.hardware(),
      'command': ' '.join(['python -m experiments.benchmark', *sys.argv[1:]])}
  record.save(arguments.out / 'scale.json', result)
  page = scale_page.render(result)
  (arguments.out / 'scale.md').write_text(page, encoding='utf-8')
  print(page)
  apart = [row for row in rows if max(row['loss_difference'], row['gradient_difference']) > TOLERANCE]
  for row in apart:
    print(f'{row["devices"]} devices in {row["processes"]} processes: the loss differs by '
          f'{row["loss_difference"]:.1e}, the gradient by {row["gradient_difference"]:.1e}', file=sys.stderr)
  return 1 if apart else 0


def simulated(devices: int) -> dict[str, str]:
  """The environment of a process with so many devices."""
  return {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}'}


def take_steps(gradient: pathlib.Path, *, devices: int, processes: int = 1) -> dict[str, Any]:
  """What the worker says, or the first of several, with so many devices each; and its gradient."""
  common = ['steps', '--gradient', gradient]
  if processes == 1:
    with worker(MODULE, *common, environment=simulated(devices)) as process:
      return hear(process) | {'gradient': read(gradient)}
  with socket.socket() as found:
    found.bind(('127.0.0.1', 0))
    port = found.getsockname()[1]
  common += ['--coordinator', f'127.0.0.1:{port}', '--processes', processes, '--process']
  with worker(MODULE, *common, 0, environment=simulated(devices)) as first, \
      worker(MODULE, *common, 1, environment=simulated(devices)) as second:
    hear(second)
    return hear(first) | {'gradient': read(gradient)}


def read(path: pathlib.Path) -> list[np.ndarray]:
  """The arrays of an .npz file, in order."""
  with np.load(path, allow_pickle=False) as file:
    return [file[name] for name in file.files]


def difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
  """The largest difference of two lists of arrays, each as a part of the largest entry of its array."""
  return max(float(np.abs(a - b).max() / max(np.abs(a).max(), np.finfo(np.float32).tiny))
             for a, b in zip(one, other, strict=True))


def reading_time(path: pathlib.Path) -> float | None:
  """CPU milliseconds in which our reader reads one photograph, as `input` measured; None without its result."""
  if not path.exists():
    return None
  return max(row['cpu_ms'] for row in json.loads(path.read_text(encoding='utf-8'))['rows'] if 'ours' in row['reader'])


def at_best(gpus: int, sent: int, flops: float, cluster: Cluster) -> dict[str, Any]:
  """A step with `cluster.batch` photographs on each of so many GPUs, which send when they have computed.

  In a ring, each of n sends 2 (n - 1) / n times the bytes, in 2 (n - 1) messages, at the rate of its slowest link.
  Sending while computing, which XLA does on GPUs, would do better; waiting for data or for the slowest GPU, worse.

  Args:
    gpus: n.
    sent: bytes that are reduced in a step.
    flops: of one photograph.
    cluster: what is assumed.
  """
  compute = cluster.batch * flops / cluster.flops
  rate = cluster.inside if gpus <= cluster.node else cluster.between
  send = 2 * (gpus - 1) / gpus * sent / rate + 2 * (gpus - 1) * cluster.latency
  return {'gpus': gpus, 'compute': compute, 'send': send, 'images_per_second': gpus * cluster.batch / (compute + send),
          'efficiency': compute / (compute + send)}
