"""The service on a socket, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import uvicorn

from lesion_jax.serve.app import make_app
from lesion_jax.serve.connection import protocol
from lesion_jax.serve.private import private_folder
from lesion_jax.serve.settings import Settings
from lesion_jax.serve.supervisor import Supervisor
from lesion_jax.serve.telemetry import Handler, Log, Metrics

BACKLOG = 128
LARGEST_HEADERS = 32 << 10  # bytes of the headers of a request


class Unusable(Exception):
  """The service cannot begin, or cannot go on; the message says why."""


def serve(settings: Settings, log: Log | None = None) -> None:
  """Serves until the process is told to end (SIGINT or SIGTERM).

  Args:
    settings: all of it.
    log: where lines of JSON go; None: standard error.

  Raises:
    Unusable: the address is taken, the network cannot be used, or the worker ends again and again.
  """
  log = log or Log()
  listening = listen(settings)
  address = f'http://{_shown(listening)}'
  with private_folder() as folder, listening:
    asyncio.run(_serve(settings, log, listening, folder, address))


async def _serve(settings: Settings, log: Log, listening: socket.socket, folder: Any, address: str) -> None:
  metrics = Metrics()
  supervisor = Supervisor(settings, folder, log, metrics)
  app = make_app(settings, supervisor, log, metrics, lambda: log('listening', address=address))
  server = make_server(app, settings)
  _quiet(log)

  async def watch() -> None:
    await supervisor.ended.wait()
    server.should_exit = True

  watching = asyncio.create_task(watch())
  try:
    await server.serve([listening])
  finally:
    watching.cancel()
    log('ended')
  if supervisor.failure:
    raise Unusable(supervisor.failure)


def make_server(app: Any, settings: Settings) -> uvicorn.Server:
  """Returns what speaks HTTP for an ASGI application."""
  return uvicorn.Server(uvicorn.Config(
      app, http=protocol(settings), ws='none', lifespan='on', loop='asyncio', log_config=None, access_log=False, proxy_headers=False,
      server_header=False, timeout_keep_alive=round(settings.keep_seconds), timeout_graceful_shutdown=round(settings.stop_seconds),
      backlog=BACKLOG, h11_max_incomplete_event_size=LARGEST_HEADERS))


def listen(settings: Settings) -> socket.socket:
  """Returns a socket at the address. Raises Unusable where there is none."""
  family = socket.AF_INET6 if ':' in settings.host else socket.AF_INET
  try:
    return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
  except OSError as error:
    raise Unusable(f'--host {settings.host} --port {settings.port}: {error.strerror or error}; name another port (0: any that is free)'
                   ) from error


def _shown(listening: socket.socket) -> str:
  host, port = listening.getsockname()[:2]
  return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def _quiet(log: Log) -> None:
  """What libraries say goes to the log, as `Handler` says it; but what the reader of forms says, which is of their bytes."""
  root = logging.getLogger()
  root.handlers = [Handler(log)]
  for name in ('uvicorn', 'uvicorn.error', 'asyncio'):
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.WARNING)
  logging.getLogger('python_multipart').setLevel(logging.CRITICAL + 1)
