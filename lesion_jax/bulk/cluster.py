"""The same run on the workers of a Ray cluster.

The table of photographs goes out, entries of results.csv come back; photographs and results do not travel: every
machine reads and writes them itself, in folders that all of them share. A photograph that was lost with its worker is
done again by another one, which writes the same folder again, whole.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lesion_jax import machine
from lesion_jax.bulk.options import Options, Refused, load_predictor
from lesion_jax.bulk.run import Numbered, Stopped, predict_entries
from lesion_jax.clinical.record import Run
from lesion_jax.photograph.threads import limited
from lesion_jax.report.table import Entry

CHUNK = 16  # photographs that a worker is given at once, and that are done again where it is lost
STOPPED = -1  # in the place of a number: the text beside it says why a worker stopped


def require(options: Options) -> Any:
  """Imports Ray, where it is there and the options fit it.

  It is told before it is imported not to report to its makers and, for a cluster of its own, to stay on this machine:
  on Linux it takes the address of the network for that of the loopback unless told to do as on macOS and Windows.

  Raises:
    Refused: it is not installed, or a worker cannot do what is asked.
  """
  os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
  if 'RAY_ADDRESS' not in os.environ:
    os.environ['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] = '0'
  try:
    import ray
    import ray.data  # not imported by the one above
  except ImportError as error:
    raise Refused('engine', " ray needs Ray: pip install 'lesion_jax[ray]'") from error
  if ':' in str(options.device):
    raise Refused('device', f' {options.device}: a worker of --engine ray sees one device alone; give cpu or gpu')
  return ray


def predict_on(
    ray: Any, waiting: Iterator[Numbered], out: pathlib.Path, options: Options, workers: int | None,
    entries: dict[int, Entry], advance: Callable[[], None],
) -> None:
  """Runs `run.predict_entries` on workers. Joins the cluster that RAY_ADDRESS names; without one, it starts its own on
  this machine, which nobody else can reach.

  Args:
    ray: of `require`.
    waiting: what is to be predicted.
    out: the folder of all results.
    options: how.
    workers: how many; None: one for each GPU, or each machine.
    entries: where each is put, by its place in the input.
    advance: called whenever one was put there.

  Raises:
    Refused: the network cannot be used so.
    Stopped: as `run.predict_entries`; or the cluster failed.
  """
  # The user's mistakes are found here; on a CPU, for a worker may need the whole of the GPU.
  load_predictor(dataclasses.replace(options, device='cpu'))
  _start(ray, workers)
  try:
    todo = list(waiting)
    advance()
    for number, text in _answers(ray, todo, out, options, workers):
      if number == STOPPED:
        raise Stopped(json.loads(text))
      entries[number] = unpack(text)[1]
      advance()
    if missing := sum(number not in entries for number, _ in todo):
      raise Stopped(f'stopped, as the Ray cluster said nothing of {missing} photographs')
  except ray.exceptions.RayError as error:
    raise Stopped(f'stopped, as the Ray cluster failed: {_last_line(error)}') from error
  finally:
    ray.shutdown()


class Worker:
  """Holds one predictor; called with rows of photographs that wait, it gives rows of their entries. Made and called by
  Ray."""

  def __init__(self, folder: str, out: str, options: Options):
    os.chdir(folder)  # paths are as the user wrote them
    self._out, self._options, self._predictor = pathlib.Path(out), options, load_predictor(options)

  def __call__(self, rows: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    entries: dict[int, Entry] = {}
    try:
      with limited(self._options.threads, self._options.memory, self._options.seconds):
        predict_entries(self._predictor, map(unpack, rows['entry']), self._out, self._options, entries, lambda: None)
    except Stopped as error:  # as a value: what is raised here Ray would wrap, and its other workers continue
      return {'number': [STOPPED], 'entry': [json.dumps(str(error))]}
    return {'number': list(entries), 'entry': [pack(item) for item in entries.items()]}


def pack(item: Numbered) -> str:
  """Returns a photograph of the run as text that travels."""
  number, entry = item
  return json.dumps([number, dataclasses.asdict(entry)])


def unpack(text: str) -> Numbered:
  """Returns the inverse of `pack`."""
  number, fields = json.loads(text)
  return number, Entry(**fields | {'run': Run(**fields['run'])})


def _start(ray: Any, workers: int | None) -> None:
  """Joins or starts a cluster, and has it say nothing that is no mistake."""
  if address := os.environ.get('RAY_ADDRESS'):
    ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
  else:
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING, _node_ip_address='127.0.0.1',
             num_cpus=max(machine.processors(), workers or 1))
  logging.getLogger('ray.data').setLevel(logging.WARNING)
  context = ray.data.DataContext.get_current()
  context.enable_progress_bars = False


def _answers(
    ray: Any, todo: list[Numbered], out: pathlib.Path, options: Options, workers: int | None,
) -> Iterator[tuple[int, str]]:
  """What the workers say of each photograph, in any order: its number and its packed entry."""
  on_cpu = str(options.device).startswith('cpu') or options.backend == 'onnxruntime'
  gpus = 0 if on_cpu else int(ray.cluster_resources().get('GPU', 0))
  workers = workers or gpus or sum(node['Alive'] for node in ray.nodes())
  chunk = max(CHUNK, options.batch_size)
  dataset = ray.data.from_items([{'entry': pack(item)} for item in todo],
                                override_num_blocks=max(1, -(-len(todo) // chunk)))
  found = dataset.map_batches(
      Worker, fn_constructor_args=(os.getcwd(), str(out), options), batch_size=None,
      compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1, num_gpus=1 if gpus else None)
  for row in found.iter_rows():
    yield int(row['number']), row['entry']


def _last_line(error: Exception) -> str:
  lines = str(error).strip().splitlines()
  return lines[-1] if lines else type(error).__name__
