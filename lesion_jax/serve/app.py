"""The routes, and what is around each of them: the guard, the log, the metrics, and sentences in the place of tracebacks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import io
import json
import math
import pathlib
import time
import traceback
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lesion_jax.serve import frames, pages, upload
from lesion_jax.serve.guard import CHALLENGE, Guard
from lesion_jax.serve.settings import INCLUDES, Settings
from lesion_jax.serve.supervisor import Supervisor, Unavailable
from lesion_jax.serve.telemetry import Log, Metrics
from lesion_jax.serve.upload import Gate, Photograph, Refusal

BROKEN = 'something went wrong inside of the service, which is a mistake of its own; its log says where'
ZIP = 'application/zip'
# Of a body that is not wanted, so much is read all the same, as most clients listen only when they have sent everything.
LINGERING_BYTES, LINGERING_SECONDS = 16 << 20, 2.0
HEADERS = {
    'x-content-type-options': 'nosniff', 'cache-control': 'no-store', 'cross-origin-resource-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin', 'referrer-policy': 'same-origin', 'x-frame-options': 'DENY'}
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
STATUSES = {'refused': 422, 'failed': 500}
UNAVAILABLE = 503
GONE = 499  # in log and metrics: the caller left


class Service:
  """What the routes do.

  Args:
    settings: of the service.
    supervisor: of the worker.
    log: lines of JSON.
    metrics: what is counted.
  """

  def __init__(self, settings: Settings, supervisor: Supervisor, log: Log, metrics: Metrics) -> None:
    self.settings, self.supervisor, self.log, self.metrics = settings, supervisor, log, metrics
    self.gate = Gate(settings, metrics)

  async def predict(self, request: Request) -> Response:
    """POST /v1/predict."""
    include = _include(request)
    self._require_ready()
    self.gate.look(1)
    most = self.settings.body_bytes + (64 << 10)  # what a form takes around the photograph
    with self.gate.bytes(upload.announced(request, most)):
      photograph, = await upload.read(request, self.settings, most, 1, self.metrics)
      self._check_size(photograph)
      with self.gate.photographs(1):
        answer = await _while_there(request, self._ask(photograph, include))
    if answer.header['status'] != 'done':
      raise Refusal(STATUSES[answer.header['status']], answer.header['status'], answer.header['error'])
    record, *files = answer.blobs
    if not include:
      return Response(record, media_type='application/json')
    named = dict(zip(answer.header['files'], files, strict=True))
    if ZIP in request.headers.get('accept', ''):
      return Response(_zip({'result.json': record, **named}), media_type=ZIP, headers={
          'content-disposition': 'attachment; filename="result.zip"'})
    encoded = json.dumps({name: base64.b64encode(data).decode('ascii') for name, data in named.items()})
    return Response(b'{"result": ' + record + b', "files": ' + encoded.encode() + b'}', media_type='application/json')

  async def report(self, request: Request) -> Response:
    """POST /v1/report."""
    if request.query_params:
      raise Refusal(400, 'query', 'a report takes no options in its address')
    self._require_ready()
    self.gate.look(1)
    most = self.settings.report_bytes
    with self.gate.bytes(upload.announced(request, most)):
      photographs = await upload.read(request, self.settings, most, self.settings.photographs, self.metrics)
      with self.gate.photographs(len(photographs)):
        page = await _while_there(request, self._report(photographs))
    if page.header['status'] != 'done':
      raise Refusal(500, page.header['status'], page.header['error'])
    return HTMLResponse(page.blobs[0], headers={
        'content-disposition': 'inline; filename="report.html"', 'content-security-policy': pages.REPORT_POLICY})

  async def healthz(self, request: Request) -> Response:
    """GET /healthz."""
    del request
    return JSONResponse({'status': 'ok'})

  async def readyz(self, request: Request) -> Response:
    """GET /readyz."""
    del request
    self._require_ready()
    return JSONResponse({'status': 'ready'})

  async def model(self, request: Request) -> Response:
    """GET /v1/model."""
    del request
    if not self.supervisor.model:
      self._require_ready()
    return JSONResponse(self.supervisor.model)

  async def show_metrics(self, request: Request) -> Response:
    """GET /metrics."""
    del request
    text, kind = self.metrics.text(self.supervisor.process)
    return Response(text, headers={'content-type': kind})

  async def page(self, request: Request) -> Response:
    """GET /."""
    del request
    text, policy = pages.front(self.settings, self.supervisor.model, ready=self.supervisor.ready)
    return HTMLResponse(text, headers={'content-security-policy': policy})

  async def docs(self, request: Request) -> Response:
    """GET /docs."""
    del request
    text, policy = pages.interface(self.settings)
    return HTMLResponse(text, headers={'content-security-policy': policy})

  async def openapi(self, request: Request) -> Response:
    """GET /openapi.json."""
    del request
    return JSONResponse(pages.openapi(self.settings))

  def _require_ready(self) -> None:
    self.gate.pause = float(self.supervisor.model.get('seconds_a_photograph', self.gate.pause))
    if not self.supervisor.ready:
      raise Refusal(UNAVAILABLE, 'not ready', 'the service is not ready: the network is being loaded; ask again', 5)

  def _check_size(self, photograph: Photograph) -> None:
    if len(photograph.data) > self.settings.body_bytes:
      raise Refusal(413, 'large', f'the photograph has {len(photograph.data):,} bytes, more than the {self.settings.body_bytes:,} that '
                    'are taken')

  async def _ask(self, photograph: Photograph, include: Sequence[str], patience: int = 1) -> frames.Frame:
    answer = await self.supervisor.ask({'op': 'predict', 'name': photograph.name, 'include': list(include)}, [photograph.data], patience)
    header = answer.header
    self.metrics.photographs.labels(header['status']).inc()
    for step, seconds in header.get('seconds', {}).items():
      self.metrics.step_seconds.labels(step).observe(seconds)
    if header.get('batch'):
      self.metrics.batch.observe(header['batch'])
    if header.get('cause'):
      self.log('failed', 'error', cause=header['cause'])
    return answer

  async def _report(self, photographs: list[Photograph]) -> frames.Frame:
    """The page of photographs, each predicted for itself: one that cannot be done stands in it with its reason."""

    async def one(photograph: Photograph) -> frames.Frame:
      try:
        self._check_size(photograph)
        return await self._ask(photograph, ['all'], len(photographs))
      except (Refusal, Unavailable) as error:
        return frames.Frame({'status': 'failed', 'error': str(error)}, [])

    answers = await asyncio.gather(*map(one, photographs))
    done = lambda answer: answer.header['status'] == 'done'
    told = [{'name': photograph.name} | ({'files': answer.header['files']} if done(answer) else {'error': answer.header['error']})
            for photograph, answer in zip(photographs, answers, strict=True)]
    return await self.supervisor.ask({'op': 'report', 'photographs': told},
                                     [blob for answer in answers if done(answer) for blob in answer.blobs])


def _include(request: Request) -> tuple[str, ...]:
  """What is asked for besides the record.

  Raises:
    Refusal: there is no such thing, or no such option.
  """
  if unknown := set(request.query_params) - {'include'}:
    raise Refusal(400, 'query', f'there is no option {", ".join(sorted(unknown))[:60]!r}; there is include')
  asked = [word for value in request.query_params.getlist('include') for word in value.split(',') if word]
  if unknown := [word for word in asked if word not in (*INCLUDES, 'all')]:
    raise Refusal(400, 'query', f'include={unknown[0][:60]!r}: choose of {", ".join(INCLUDES)}, or all')
  return tuple(dict.fromkeys(asked))


def _zip(files: dict[str, bytes]) -> bytes:
  """An archive; the pictures in it are packed already."""
  data = io.BytesIO()
  with zipfile.ZipFile(data, 'w', zipfile.ZIP_STORED) as archive:
    for name, content in files.items():
      archive.writestr(name, content)
  return data.getvalue()


async def _while_there(request: Request, work: Any) -> frames.Frame:
  """Waits for an answer as long as the caller does. Raises ClientDisconnect where it left."""
  working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
  try:
    await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
      raise ClientDisconnect()
    return working.result()
  finally:
    for task in (working, leaving):
      task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
      await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
  while (await request.receive())['type'] != 'http.disconnect':
    pass


class Watch:
  """Around all routes: the guard before, the log and the metrics behind, and no traceback to anybody.

  Args:
    app: of Starlette.
    service: whose requests these are.
    guard: who may ask.
  """

  def __init__(self, app: ASGIApp, service: Service, guard: Guard) -> None:
    self.app, self.service, self.guard = app, service, guard

  async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
    """Serves a request."""
    if scope['type'] != 'http':
      return await self.app(scope, receive, send)
    exchange = _Exchange(scope, receive, send)
    try:
      headers = {key.decode('latin-1'): value.decode('latin-1') for key, value in scope['headers']}
      self.guard.check(scope['method'], scope['path'], headers)
      await self.app(scope, exchange.receive, exchange.send)
    except ClientDisconnect:
      exchange.status = GONE
    except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets a sentence)
      await self._excuse(error, exchange)
    finally:
      self._note(exchange)
    return None

  async def _excuse(self, error: Exception, exchange: _Exchange) -> None:
    if isinstance(error, Unavailable):
      error = Refusal(UNAVAILABLE, 'worker', str(error), error.after)
    if isinstance(error, Refusal):
      self.service.metrics.refused.labels(error.why).inc()
    else:
      frame = traceback.extract_tb(error.__traceback__)[-1]
      self.service.log('failed', 'error', id=exchange.id,
                       cause=f'{type(error).__name__} at {pathlib.Path(frame.filename).name}:{frame.lineno}')
      error = Refusal(500, 'broken', BROKEN)
    if exchange.status:
      return  # the answer has begun
    response = said(error, exchange.scope)
    await response(exchange.scope, exchange.receive, exchange.send)

  def _note(self, exchange: _Exchange) -> None:
    endpoint = exchange.scope.get('endpoint')
    route = ROUTES.get(getattr(endpoint, '__name__', ''), 'other')
    seconds = time.monotonic() - exchange.since
    self.service.metrics.requests.labels(route, str(exchange.status)).inc()
    self.service.metrics.request_seconds.labels(route).observe(seconds)
    if route not in QUIET or exchange.status not in (200, UNAVAILABLE):
      client = exchange.scope.get('client')
      self.service.log('request', id=exchange.id, method=exchange.scope['method'] if exchange.scope['method'] in METHODS else 'other',
                       route=route, status=exchange.status, seconds=round(seconds, 4), received=exchange.received, sent=exchange.sent,
                       client=client[0] if client else None)


class _Exchange:
  """A request and its answer, as far as they are."""

  def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
    self.scope, self._receive, self._send = scope, receive, send
    self.id, self.since = uuid.uuid4().hex[:12], time.monotonic()
    self.status = self.received = self.sent = 0
    headers = dict(scope['headers'])
    self._more = b'transfer-encoding' in headers or headers.get(b'content-length', b'0') != b'0'
    self._expecting = b'expect' in headers
    self._doubtful = b'content-length' in headers and b'transfer-encoding' in headers

  async def receive(self) -> Message:
    message = await self._receive()
    if message['type'] == 'http.request':
      self.received += len(message.get('body', b''))
      self._more, self._expecting = message.get('more_body', False), False
    return message

  async def send(self, message: Message) -> None:
    if message['type'] == 'http.response.start':
      self.status = message['status']
      headers = {key.decode('latin-1').lower(): value.decode('latin-1') for key, value in message.get('headers', [])}
      added = HEADERS | {'content-security-policy': POLICY, 'x-request-id': self.id} | headers
      if self._doubtful or self._more and not await self._discard():
        added['connection'] = 'close'
      message = {**message, 'headers': [(key.encode('latin-1'), value.encode('latin-1')) for key, value in added.items()]}
    else:
      self.sent += len(message.get('body', b''))
    await self._send(message)

  async def _discard(self) -> bool:
    """Reads the rest of a body that nobody wants, as far as that is soon done; returns whether it was."""
    if self._expecting:  # it waits to be asked for it
      return False
    left = self.received + LINGERING_BYTES
    with contextlib.suppress(TimeoutError):
      async with asyncio.timeout(LINGERING_SECONDS):
        while self._more and self.received < left:
          if (await self.receive())['type'] == 'http.disconnect':
            break
    return not self._more


def said(refusal: Refusal, scope: Scope) -> Response:
  """Returns the answer to a request that is not done: a sentence in JSON, or a small page where a browser's form asked."""
  headers = {} if refusal.after is None else {'retry-after': str(math.ceil(max(refusal.after, 1)))}
  if refusal.status == 401:
    headers['www-authenticate'] = CHALLENGE
  accepted = dict(scope['headers']).get(b'accept', b'').decode('latin-1')
  if accepted.lstrip().startswith('text/html'):
    text, policy = pages.refusal(refusal.status, html.escape(str(refusal)))
    return HTMLResponse(text, refusal.status, headers | {'content-security-policy': policy})
  return JSONResponse({'error': str(refusal)}, refusal.status, headers)


async def _of_http(request: Request, error: Exception) -> Response:
  """What Starlette refuses by itself."""
  known = {404: 'there is nothing here; /docs says what there is', 405: 'this address takes another method; /docs says which'}
  status = error.status_code if isinstance(error, HTTPException) else 500
  response = said(Refusal(status, 'http', known.get(status, 'this request cannot be done')), request.scope)
  for key, value in (getattr(error, 'headers', None) or {}).items():
    response.headers[key] = value
  return response


# The methods of Service by their addresses, as log and metrics name them.
ROUTES = {'predict': '/v1/predict', 'report': '/v1/report', 'healthz': '/healthz', 'readyz': '/readyz', 'model': '/v1/model',
          'show_metrics': '/metrics', 'page': '/', 'docs': '/docs', 'openapi': '/openapi.json'}
POSTED = ('predict', 'report')
QUIET = ('/healthz', '/readyz', '/metrics')  # asked every few seconds
METHODS = ('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH')


def make_app(settings: Settings, supervisor: Supervisor, log: Log, metrics: Metrics,
             begin: Callable[[], None] = lambda: None) -> Starlette:
  """Returns the service as an ASGI application.

  Args:
    settings: of the service.
    supervisor: of the worker; it is started and stopped with the application.
    log: lines of JSON.
    metrics: what is counted.
    begin: called once everything is started.
  """
  service = Service(settings, supervisor, log, metrics)

  @contextlib.asynccontextmanager
  async def lifespan(app: Starlette) -> AsyncIterator[None]:
    del app
    supervisor.start()
    begin()
    yield
    await supervisor.stop()

  routes = [Route(path, getattr(service, name), methods=['POST'] if name in POSTED else ['GET']) for name, path in ROUTES.items()]
  app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _of_http},
                  middleware=[Middleware(Watch, service=service, guard=Guard(settings))])
  app.router.redirect_slashes = False
  return app
