"""`lesion-jax predict --engine ray`: the same run on the workers of a Ray cluster.

The table of tasks goes out, entries of results.csv come back; photographs and results do not travel: every machine reads
and writes them itself, in folders that all of them share. A task that was lost with its worker is done again by another
one and writes the same folder again, whole.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import numpy as np
import tqdm

from lesion_jax.cli.predict import build_predictor
from lesion_jax.cli.predict_files import Task
from lesion_jax.cli.predict_run import Batch, Stopped
from lesion_jax.report.record import Run
from lesion_jax.report.table import Entry

CHUNK = 16  # photographs that a worker is given at once, and that are done again where it is lost
NEEDED = ('model', 'threshold', 'crop', 'tta', 'dtype', 'device', 'backend', 'rule')  # options of which `build_predictor` makes one


def run(batch: Batch, tasks: Iterator[Task], arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
  """Like `batch.run`, on workers.

  Joins the cluster that RAY_ADDRESS names; without one, it starts its own on this machine, which nobody else can reach.

  Raises:
    Stopped: as `batch.run`; or the cluster failed.
  """
  try:
    ray = _import_ray()
  except ImportError:
    parser.error("--engine ray needs Ray: pip install 'lesion_jax[ray]'")
  if ':' in str(arguments.device):
    parser.error(f'--device {arguments.device}: a worker of --engine ray sees one device alone; give cpu or gpu')
  # Its mistakes are this user's, and are found here; on a CPU, for a worker may need the whole of the GPU.
  check = argparse.Namespace(**vars(arguments) | {'device': 'cpu'})

  def predict(todo: Iterator[Task]) -> None:
    build_predictor(check, parser)
    _start(ray, arguments)
    try:
      _collect(batch, _entries(ray, batch, list(todo), arguments))
    except ray.exceptions.RayError as error:
      raise Stopped(f'stopped, as the Ray cluster failed: {_last_line(error)}') from error
    finally:
      ray.shutdown()

  batch.run_with(tasks, predict)


class Worker:
  """Holds one predictor; called with rows of tasks, it gives rows of entries. Made and called by Ray."""

  def __init__(self, folder: str, options: Mapping[str, Any], batch: Batch):
    os.chdir(folder)  # paths are as the user wrote them
    self._batch, self._predictor = batch, build_predictor(argparse.Namespace(**options), _Raising())

  def __call__(self, rows: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    tasks = [_task_from(text) for text in rows['task']]
    batch = dataclasses.replace(self._batch, entries={}, quiet=True)
    try:
      batch.predict(self._predictor, iter(tasks))
    except Stopped as error:  # as a value: what is raised here Ray would wrap, and its other workers go on
      return {'number': [-1], 'entry': [json.dumps(str(error))]}
    entries = [json.dumps(dataclasses.asdict(entry)) for entry in batch.entries.values()]
    return {'number': list(batch.entries), 'entry': entries}


class _Raising:
  """In the place of the parser of the command line, which a worker does not have."""

  def error(self, message: str) -> NoReturn:
    raise ValueError(message)


def _import_ray() -> Any:
  """Ray, told before it is imported not to report to its makers and, for a cluster of its own, to stay on this machine:
  on Linux it takes the address of the network for that of the loopback unless it is told to do as on macOS and Windows."""
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
  if 'RAY_ADDRESS' not in os.environ:
    os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
  import ray
  import ray.data  # not imported by the one above

  return ray


def _start(ray: Any, arguments: argparse.Namespace) -> None:
  """Joins or starts a cluster, and has it say nothing that is no mistake."""
  if address := os.environ.get('RAY_ADDRESS'):
    ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
  else:
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING, _node_ip_address='127.0.0.1',
             num_cpus=max(os.cpu_count() or 1, arguments.workers or 1))
  logging.getLogger('ray.data').setLevel(logging.WARNING)
  context = ray.data.DataContext.get_current()
  context.enable_progress_bars = False


def _entries(ray: Any, batch: Batch, tasks: list[Task], arguments: argparse.Namespace) -> Iterator[tuple[int, Any]]:
  """What the workers say of each task, in any order: its number, and the fields of its entry."""
  on_cpu = str(arguments.device).startswith('cpu') or arguments.backend == 'onnxruntime'
  gpus = 0 if on_cpu else int(ray.cluster_resources().get('GPU', 0))
  workers = arguments.workers or gpus or sum(node['Alive'] for node in ray.nodes())
  options = {key: getattr(arguments, key) for key in NEEDED}
  chunk = max(CHUNK, arguments.batch_size)
  dataset = ray.data.from_items([{'task': _task_to(task)} for task in tasks],
                                override_num_blocks=max(1, -(-len(tasks) // chunk)))
  found = dataset.map_batches(
      Worker, fn_constructor_args=(os.getcwd(), options, dataclasses.replace(batch, entries={})),
      batch_size=None, compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1, num_gpus=1 if gpus else None)
  for row in found.iter_rows():
    yield int(row['number']), json.loads(row['entry'])


def _collect(batch: Batch, found: Iterator[tuple[int, Any]]) -> None:
  """Enters what the workers say. Raises Stopped where one says so."""
  with tqdm.tqdm(total=batch.total, initial=len(batch.entries), unit='photo', dynamic_ncols=True,
                 disable=True if batch.quiet else None) as bar:
    for number, entry in found:
      if number < 0:
        raise Stopped(entry)
      batch.entries[number] = Entry(**entry)
      bar.update(len(batch.entries) - bar.n)
  if missing := batch.total - len(batch.entries):
    raise Stopped(f'stopped, as the Ray cluster said nothing of {missing} photographs')


def _task_to(task: Task) -> str:
  return json.dumps([task.number, str(task.file), task.folder, dataclasses.asdict(task.run)])


def _task_from(text: str) -> Task:
  number, file, folder, run = json.loads(text)
  return Task(number, pathlib.Path(file), folder, Run(**run), None)


def _last_line(error: Exception) -> str:
  lines = str(error).strip().splitlines()
  return lines[-1] if lines else type(error).__name__
