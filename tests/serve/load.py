"""Latency of the service beside that of the bare predictor, for docs/serve.md. As a program:

  python tests/serve/load.py --model BUNDLE --number 200 --at-once 1 16 -- PHOTOGRAPH...

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


def bare(bundle, files):
  """Latencies and records without the service."""
  from lesion_jax.bulk import Options
  from lesion_jax.bulk.options import identify, load_predictor
  from lesion_jax.clinical.record import Network, Run, describe
  from lesion_jax.photograph.prepare import prepare
  from lesion_jax.report.result_folder import FIELD_SIDE

  options = Options([bundle] if bundle else ())
  predictor = load_predictor(options)
  network, model, latencies, records = Network.of(predictor.config), identify(options.models), Latencies(), []
  predictor(np.zeros((predictor.size, predictor.size, 3), np.uint8), crop=False)
  begin = time.monotonic()
  for data in files:
    start = time.monotonic()
    square = prepare(data, predictor.size, crop=predictor.crop, view=FIELD_SIDE)
    records.append(json.dumps(describe(predictor(square), network, file='photograph', run=Run('', model, {}))))
    latencies.append(time.monotonic() - start)
  latencies.wall = time.monotonic() - begin
  return latencies, list(map(json.loads, records))


def through(address, files, at_once):
  """Latencies and answers of the service, asked for so many at once."""
  latencies = Latencies()
  limits = httpx.Limits(max_connections=at_once)
  with httpx.Client(base_url=address, timeout=600, limits=limits) as client, concurrent.futures.ThreadPoolExecutor(at_once) as pool:

    def ask(data):
      start = time.monotonic()
      answer = client.post('/v1/predict', content=data, headers={'content-type': 'application/octet-stream'})
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
  parser.add_argument('--at-once', type=int, nargs='+', default=[1, 16])
  parser.add_argument('photographs', nargs='+', type=pathlib.Path)
  arguments = parser.parse_args()
  for module in arguments.modules:
    __import__(module)
  contents = [path.read_bytes() for path in arguments.photographs]
  files = [contents[number % len(contents)] for number in range(arguments.number)]
  show = lambda name, found: print(f'{name:24} p50 {found.percentile(50):8.3f} s   p95 {found.percentile(95):8.3f} s   '
                                   f'{len(found) / found.wall:6.2f} a second   x {found.percentile(50) / first.percentile(50):.2f} '
                                   f'{found.percentile(95) / first.percentile(95):.2f}', flush=True)
  first, _ = bare(arguments.model, files)
  show('bare', first)
  options = [*(['--model', arguments.model] if arguments.model else []), *(word for module in arguments.modules for word in ('--import', module))]
  with service(*options) as address:
    for at_once in arguments.at_once:
      found, answers = through(address, files, at_once)
      assert all(answer.status_code == 200 for answer in answers), {answer.status_code for answer in answers}
      show(f'service, {at_once} at once', found)


if __name__ == '__main__':
  os.environ.setdefault('JAX_PLATFORMS', 'cpu')
  main()
