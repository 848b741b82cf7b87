"""Photographs by HTTP: `lesion-jax serve`, for one person in a browser, or for programs behind a proxy.

Two processes. The one in front speaks HTTP, holds what waits, and neither decodes a photograph nor imports JAX; the other one,
the worker, reads photographs and asks the network. Whatever a file does to a decoder, the front goes on: it says 503 to those
who waited for the worker, and starts another.

  settings     what both are told
  frames       how they speak to each other, through the worker's standard input and output
  private      the folder in which the worker writes what it sends, and which is gone afterwards
  engine       the worker's inside: reading, batches, one thread a device, records and pictures
  worker       the worker's process
  supervisor   the front's side of it: start, time-outs, restart
  upload       what a caller sends, in memory alone
  guard        who may ask: addresses, origins, tokens
  connection   how long a connection may take
  app          the routes
  pages        the page for a person, the page about the interface, and its OpenAPI document
  telemetry    metrics, and logs as lines of JSON
  server       all of it, on a socket
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {'Settings': 'settings', 'Work': 'settings', 'serve': 'server'}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
  # On first use: what the worker imports is heavy, and what the front imports is an extra.
  if name in _PLACES:
    return getattr(importlib.import_module(f'lesion_jax.serve.{_PLACES[name]}'), name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return [*globals(), *__all__]
