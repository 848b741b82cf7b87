"""The worker's inside: photographs are read on threads, asked about in batches on one thread a device, and written on threads.

Each photograph is a job of its own from its bytes to its answer. Nothing is kept between two of them.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import hashlib
import io
import json
import pathlib
import queue
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

import lesion_jax
from lesion_jax import machine, runtime
from lesion_jax.bulk.options import Options, identify, load_predictor
from lesion_jax.bulk.run import READING, network_of
from lesion_jax.clinical.findings import Smallest
from lesion_jax.clinical.patients import by_name
from lesion_jax.clinical.record import Run, describe
from lesion_jax.core import LESION_KEYS
from lesion_jax.photograph.prepare import prepare
from lesion_jax.photograph.square import PhotographPrediction, Square
from lesion_jax.photograph.threads import allowed_threads, limited, room
from lesion_jax.report.card import model_card
from lesion_jax.report.html import write_report
from lesion_jax.report.result_folder import ATTENTION, FIELD, FIELD_SIDE, OUTLINES, OVERLAY, PACKED, write_result
from lesion_jax.report.table import PREDICTED, Entry
from lesion_jax.serve.settings import Work
from lesion_jax.weights.origin import is_synthetic, synthetic_note

DONE, REFUSED, FAILED = 'done', 'refused', 'failed'
BATCH = 8  # photographs, on an accelerator (our choice)
FILES = {'masks': (PACKED, *(f'{key}.png' for key in LESION_KEYS)), 'outlines': (OUTLINES,), 'overlay': (OVERLAY,),
         'field': (FIELD,), 'attention': (ATTENTION,)}  # by what `include` calls them
BROKEN = 'something went wrong inside of the service, which is a mistake of its own; its log says where'
NAME = 'the photograph'  # as messages call what came as bytes
CAUSES = 3  # places in the code that the log gets of a mistake


class Answer(NamedTuple):
  """What comes of a job.

  Attributes:
    header: 'status' DONE, with 'files', the names of the blobs; or REFUSED or FAILED, with 'error', a sentence for the caller;
      of mistakes 'cause' for the log, without anything of the photograph. Of a photograph 'seconds' by what took them and
      'batch', with how many others it went.
    blobs: of a photograph its record, and the files; of a report the page.
  """

  header: dict[str, Any]
  blobs: list[bytes]


@dataclasses.dataclass(eq=False)
class Job:
  """A photograph on its way."""

  data: bytes
  name: str
  include: Sequence[str]
  answer: Callable[[Answer], None]
  square: Square | None = None
  digest: str = ''
  batch: int = 0
  seconds: dict[str, float] = dataclasses.field(default_factory=dict)
  since: float = dataclasses.field(default_factory=time.monotonic)

  def lap(self, name: str) -> None:
    """Writes down what took the time since the last call."""
    now = time.monotonic()
    self.seconds[name], self.since = round(now - self.since, 6), now


class Engine:
  """Networks on their devices, and the threads around them.

  Args:
    work: how.
    folder: where pictures lie while they are made.

  Raises:
    bulk.Refused: there is no such network, or it does not fit the options.
  """

  def __init__(self, work: Work, folder: pathlib.Path) -> None:
    self.work, self.folder = work, folder
    self.options = _options(work)
    self.model, self.recorded = identify(self.options.models), self.options.recorded()
    on_cpu = runtime.devices()[0].platform == 'cpu' or self.options.backend == 'onnxruntime'
    devices = work.devices or ((self.options.device,) if on_cpu else tuple(
        f'{each.platform}:{number}' for number, each in enumerate(jax.local_devices())))
    self.predictors = [load_predictor(dataclasses.replace(self.options, device=device)) for device in devices]
    self.devices = [device or 'cpu' for device in devices]
    self.batch_size = work.batch_size or (1 if all(device.startswith('cpu') for device in self.devices) else BATCH)
    self.predictor, self.network = self.predictors[0], network_of(self.predictors[0], self.options)
    with self._limits():
      threads = max(1, min(allowed_threads(), room(READING)))
    self._readers = concurrent.futures.ThreadPoolExecutor(threads, 'reading')
    self._writers = concurrent.futures.ThreadPoolExecutor(threads, 'writing')
    self._squares: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    self._asking = [threading.Thread(target=self._ask, args=(predictor,), name=f'device {device}', daemon=True)
                    for predictor, device in zip(self.predictors, self.devices, strict=True)]
    for thread in self._asking:
      thread.start()
    # So many at once keep reading, devices and writing at work; more would only wait here instead of in front.
    self.at_once = threads + 2 * self.batch_size * len(self.devices)

  def close(self) -> None:
    """Ends the threads, after what has begun."""
    self._readers.shutdown()
    for _ in self._asking:
      self._squares.put(None)
    for thread in self._asking:
      thread.join()
    self._writers.shutdown()

  def predict(self, data: bytes, name: str, include: Sequence[str], answer: Callable[[Answer], None]) -> None:
    """Begins a photograph.

    Args:
      data: its file.
      name: under which its record has it.
      include: names of FILES that are to come with the record; ('all',) for everything that a report needs.
      answer: is called with the answer, on another thread, once.
    """
    self._readers.submit(self._read, Job(data, name, tuple(include), answer))

  def report(self, photographs: Sequence[Mapping[str, Any]], blobs: Sequence[bytes], answer: Callable[[Answer], None]) -> None:
    """Begins a page of photographs that were predicted.

    Args:
      photographs: {'name', 'files'} each, or {'name', 'error'} of those that could not be taken.
      blobs: of each with files its record, and these.
      answer: as of `predict`; of its answer the blob is the page.
    """
    self._writers.submit(self._answered, answer, lambda: self._report(photographs, blobs))

  def describe(self) -> dict[str, Any]:
    """Returns what the service says of its network; plain JSON."""
    config = self.predictor.config
    said = synthetic_note(config)
    return {
        'name': config['model']['name'], 'lesion_jax': lesion_jax.__version__, 'digest': self.model,
        'weights': [member.digest for member in self.predictor.members], 'size': self.predictor.size,
        'annotated': list(config['annotated']), 'lesions': list(config['lesions']), 'grades': list(config['grades']),
        'thresholds': {key: float(config['thresholds'][key]) for key in config['annotated']},
        'rule': self.network.rule.name, 'options': self.recorded, 'data': config.get('data', {}).get('name'),
        'provenance': config.get('provenance', {}), 'synthetic': is_synthetic(config), 'warnings': [said] if said else [],
        'notes': list(self.network.notes), 'devices': self.devices, 'batch_size': self.batch_size, 'card': model_card(config)}

  def warm_up(self) -> float:
    """Compiles every program and takes a photograph all the way, on each device; returns the seconds of a second one.

    Raises:
      RuntimeError: it could not; the message says why.
    """
    data, blank = _retina(self.predictor.size), np.zeros((self.predictor.size, self.predictor.size, 3), np.uint8)
    for predictor in self.predictors:
      for rows in {1, self.batch_size}:
        predictor(np.stack([blank] * rows), batch_size=rows, crop=False)
    for _ in range(2):
      found: queue.SimpleQueue[Answer] = queue.SimpleQueue()
      start = time.monotonic()
      self.predict(data, NAME, ('all',), found.put)
      answer = found.get()
      seconds = time.monotonic() - start
      if answer.header['status'] == DONE:
        self.report([{'name': NAME, 'files': answer.header['files']}], answer.blobs, found.put)
        answer = found.get()
      if answer.header['status'] != DONE:
        raise RuntimeError(f'the network does not answer: {answer.header["error"]} {answer.header.get("cause", "")}'.strip())
    return seconds

  @contextlib.contextmanager
  def _limits(self) -> Iterator[None]:
    with limited(self.work.threads, self.work.memory, self.work.seconds, self.work.pixels):
      yield

  def _read(self, job: Job) -> None:
    job.lap('queue')
    try:
      with self._limits():
        crop = self.predictor.crop if self.options.crop is None else self.options.crop
        job.square = prepare(job.data, self.predictor.size, crop=crop, name=NAME, view=FIELD_SIDE)
      job.digest, job.data = hashlib.sha256(job.data).hexdigest(), b''
    except ValueError as error:
      job.answer(_refused(str(error)))
    except Exception as error:  # noqa: BLE001 (the caller gets a sentence, the log the place)
      job.answer(_failed(error))
    else:
      job.lap('read')
      self._squares.put(job)
    finally:
      machine.return_memory()

  def _ask(self, predictor: Any) -> None:
    """A device's thread."""
    while (first := self._squares.get()) is not None:
      jobs, end, last = [first], time.monotonic() + self.work.batch_wait, False
      while len(jobs) < self.batch_size:
        try:
          job = self._squares.get(timeout=max(end - time.monotonic(), 0))
        except queue.Empty:
          break
        if job is None:
          last = True
          break
        jobs.append(job)
      self._ask_about(predictor, jobs)
      if last:
        return

  def _ask_about(self, predictor: Any, jobs: list[Job]) -> None:
    for job in jobs:
      job.lap('wait')
    try:
      found = self._forward(predictor, [job.square for job in jobs])
    except Exception as error:  # noqa: BLE001
      if len(jobs) == 1:
        return jobs[0].answer(_failed(error))
      for job in jobs:  # one among them may be the cause
        self._ask_about(predictor, [job])
      return None
    for job, one in zip(jobs, found, strict=True):
      job.batch = len(jobs)
      job.lap('network')
      self._writers.submit(self._answered, job.answer, lambda job=job, one=one: self._finish(job, one))
    return None

  def _forward(self, predictor: Any, squares: list[Square]) -> list[PhotographPrediction]:
    with limited(1):
      return list(predictor.stream(squares, batch_size=1 if len(squares) == 1 else self.batch_size))

  def _finish(self, job: Job, found: PhotographPrediction) -> Answer:
    record = describe(found, self.network, file=job.name, run=Run(job.digest, self.model, self.recorded), whose=_whose(job.name))
    record, blobs = {**record, 'files': []}, []
    if job.include:
      with self._limits(), tempfile.TemporaryDirectory(dir=self.folder) as folder:
        written = write_result(folder, found, record)
        names = {name for what in job.include for name in FILES.get(what, written['files'])}
        record = written | {'files': [name for name in written['files'] if name in names]}
        blobs = [(pathlib.Path(folder) / name).read_bytes() for name in record['files']]
    job.lap('write')
    text = json.dumps(record, allow_nan=False).encode()
    return Answer({'status': DONE, 'files': record['files'], 'seconds': job.seconds, 'batch': job.batch}, [text, *blobs])

  def _report(self, photographs: Sequence[Mapping[str, Any]], blobs: Sequence[bytes]) -> Answer:
    entries, waiting = [], collections.deque(blobs)
    with self._limits(), tempfile.TemporaryDirectory(dir=self.folder) as path:
      out = pathlib.Path(path)
      for number, each in enumerate(photographs, 1):
        entry = Entry(each['name'], str(number), PREDICTED)
        if 'error' in each:
          entries.append(dataclasses.replace(entry.failed(each['error']), whose=_whose(each['name'])))
          continue
        record, folder = json.loads(waiting.popleft()), out / entry.folder
        folder.mkdir()
        for name in each['files']:
          (folder / name).write_bytes(waiting.popleft())
        entries.append(dataclasses.replace(entry, record=record))
      write_report(out / 'report.html', entries, now=datetime.datetime.now(datetime.UTC))
      page = (out / 'report.html').read_bytes()
    return Answer({'status': DONE, 'files': []}, [page])

  def _answered(self, answer: Callable[[Answer], None], make: Callable[[], Answer]) -> None:
    try:
      made = make()
    except Exception as error:  # noqa: BLE001
      made = _failed(error)
    answer(made)
    del made
    machine.return_memory()


def _options(work: Work) -> Options:
  """As Python has them: JSON knows no tuples."""
  given = dict(work.options)
  if given.get('smallest') is not None:
    given['smallest'] = {key: Smallest(*each) for key, each in given['smallest'].items()}
  return Options(**given | {'models': tuple(given.get('models', ())), 'threads': work.threads, 'memory': work.memory})


def _whose(name: str) -> dict[str, Any] | None:
  """What a name says of patient and eye, as it stands in a record."""
  said = by_name(name)
  return said.to_json() if said else None


def _refused(said: str) -> Answer:
  return Answer({'status': REFUSED, 'error': said}, [])


def _failed(error: Exception) -> Answer:
  """For the caller a sentence, for the log what kind of mistake it was and where: what it says may name a patient."""
  known = isinstance(error, FloatingPointError)  # the network's weights; our own words
  places = [f'{pathlib.Path(frame.filename).name}:{frame.lineno}' for frame in traceback.extract_tb(error.__traceback__)]
  return Answer({'status': FAILED, 'error': str(error) if known else BROKEN,
                 'cause': f'{type(error).__name__} at {", ".join(places[-CAUSES:])}'}, [])


def _retina(size: int) -> bytes:
  """A drawn photograph, as a file."""
  from lesion_jax.data import synthetic

  file = io.BytesIO()
  Image.fromarray(synthetic.generate(seed=0, index=0, size=max(2 * size, 256)).image).save(file, 'PNG', compress_level=1)
  return file.getvalue()


