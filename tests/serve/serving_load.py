"""Latency of the service beside that of the bare predictor, for docs/serve.md. As a program:

  python tests/serve/serving_load.py --model BUNDLE --number 200 --at-once 16 -- PHOTOGRAPH...

The bare predictor reads a photograph from its bytes, predicts it and makes its record in one process, one after the other.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import httpx
import numpy as np


class Latencies(list):
  """Seconds of single answers; `wall` seconds of all."""

  wall = 0.0

  def percentile(self, per_cent):
    """Seconds below which so many lie."""
    return float(np.percentile(self, per_cent))


class Bare:
  """The predictor without the service: `bare(data) -> record`."""

  def __init__(self, bundle):
    from lesion_jax.bulk import Options
    from lesion_jax.bulk.options import identify, load_predictor
    from lesion_jax.clinical.record import Network

    options = Options([bundle] if bundle else ())
    self._predictor = load_predictor(options)
    self._network, self._model = Network.of(self._predictor.config), identify(options.models)
    self._predictor(np.zeros((self._predictor.size, self._predictor.size, 3), np.uint8), crop=False)

  def __call__(self, data):
    from lesion_jax.clinical.record import Run, describe
    from lesion_jax.photograph.prepare import prepare
    from lesion_jax.report.result_folder import FIELD_SIDE

    square = prepare(data, self._predictor.size, crop=self._predictor.crop, view=FIELD_SIDE)
    record = describe(self._predictor(square), self._network, file='photograph', run=Run('', self._model, {}))
    return json.loads(json.dumps(record))


def bare(bundle, files):
  """The records of files."""
  return list(map(Bare(bundle), files))


def in_turns(address, predictor, files):
  """Latencies of the bare predictor and of the service, one photograph after the other by each, so that whatever else the machine
  does meets both alike."""
  found = Latencies(), Latencies()
  with httpx.Client(base_url=address, timeout=600) as client:
    for data in files:
      for latencies, ask in zip(found, (predictor, lambda data: _ask(client, data)), strict=True):
        start = time.monotonic()
        ask(data)
        latencies.append(time.monotonic() - start)
  for latencies in found:
    latencies.wall = sum(latencies)
  return found


def _ask(client, data):
  return client.post('/v1/predict', content=data, headers={'content-type': 'application/octet-stream'})


def through(address, files, at_once):
  """Latencies and answers of the service, asked for so many at once."""
  latencies = Latencies()
  limits = httpx.Limits(max_connections=at_once)
  with httpx.Client(base_url=address, timeout=600, limits=limits) as client, concurrent.futures.ThreadPoolExecutor(at_once) as pool:

    def ask(data):
      start = time.monotonic()
      answer = _ask(client, data)
      latencies.append(time.monotonic() - start)
      return answer

    begin = time.monotonic()
    answers = list(pool.map(ask, files))
    latencies.wall = time.monotonic() - begin
  return latencies, answers


@contextlib.contextmanager
def service(*options):
  """The address of a service in other processes, ready."""
  with tempfile.TemporaryDirectory() as folder:
    log = pathlib.Path(folder) / 'log'
    with log.open('w') as file:
      process = subprocess.Popen([sys.executable, '-m', 'lesion_jax.cli', 'serve', '--port', '0', *options], stderr=file)
    try:
      while True:
        lines = {line['event']: line for line in map(json.loads, log.read_text().splitlines())}
        if process.poll() is not None:
          raise RuntimeError(log.read_text())
        if 'ready' in lines:
          break
        time.sleep(0.1)
      yield lines['listening']['address']
    finally:
      process.terminate()
      process.wait()


def main():
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--model')
  parser.add_argument('--import', dest='modules', action='append', default=[])
  parser.add_argument('--number', type=int, default=200)
  parser.add_argument('--at-once', type=int, nargs='+', default=[16])
  parser.add_argument('photographs', nargs='+', type=pathlib.Path)
  arguments = parser.parse_args()
  for module in arguments.modules:
    __import__(module)
  contents = [path.read_bytes() for path in arguments.photographs]
  files = [contents[number % len(contents)] for number in range(arguments.number)]
  show = lambda name, found: print(f'{name:24} p50 {found.percentile(50):8.3f} s   p95 {found.percentile(95):8.3f} s   '
                                   f'{len(found) / found.wall:6.2f} a second   x {found.percentile(50) / first.percentile(50):.2f} '
                                   f'{found.percentile(95) / first.percentile(95):.2f}', flush=True)
  options = [*(['--model', arguments.model] if arguments.model else []), *(word for module in arguments.modules for word in ('--import', module))]
  with service(*options) as address:
    first, second = in_turns(address, Bare(arguments.model), files)
    show('bare', first)
    show('service, in turns', second)
    for at_once in arguments.at_once:
      found, answers = through(address, files, at_once)
      assert all(answer.status_code == 200 for answer in answers), {answer.status_code for answer in answers}
      show(f'service, {at_once} at once', found)


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  main()
