"""Connections that take too long, are too many, or speak no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time

import pytest

pytest.importorskip('uvicorn')
from lesion_jax.serve import connection
from lesion_jax.serve.server import listen, make_server
from lesion_jax.serve.settings import Settings

LARGE = 30_000_000  # bytes: more than a socket keeps
REQUEST = b'GET /%s HTTP/1.1\r\nHost: x\r\n\r\n'


async def app(scope, receive, send):
  """Answers with its path, '/large' with much, '/wait' after the whole body."""
  if scope['type'] == 'lifespan':
    while (await receive())['type'] != 'lifespan.shutdown':
      await send({'type': 'lifespan.startup.complete'})
    return await send({'type': 'lifespan.shutdown.complete'})
  while (await receive()).get('more_body'):
    pass
  body = b'x' * LARGE if scope['path'] == '/large' else scope['path'].encode()
  await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'%d' % len(body))]})
  await send({'type': 'http.response.body', 'body': body})


@pytest.fixture
def serve(monkeypatch):
  """`serve(**settings) -> (connect, server)`; `connect(bytes) -> socket` that has sent them."""
  monkeypatch.setattr(connection, 'LOOK', 0.1)
  with contextlib.ExitStack() as stack:

    def start(**changes):
      settings = Settings(port=0, **changes)
      listening = stack.enter_context(listen(settings))
      server = make_server(app, settings)
      thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
      thread.start()
      while not server.started:
        time.sleep(0.01)
      stack.callback(thread.join, 20)
      stack.callback(setattr, server, 'should_exit', True)

      def connect(data=b''):
        opened = stack.enter_context(socket.create_connection(listening.getsockname(), timeout=10))
        opened.sendall(data)
        return opened

      return connect, server

    yield start


def everything(connection):
  """All that comes until the other side closes."""
  data = b''
  with contextlib.suppress(ConnectionError):
    while piece := connection.recv(1 << 20):
      data += piece
  return data


def path_of(connection):
  """The path with which `app` answers; the connection stays."""
  data = b''
  while not (found := re.search(rb'content-length: (\d+)\r\n\r\n(.*)$', data, re.DOTALL)) or len(found[2]) < int(found[1]):
    piece = connection.recv(4096)
    assert piece, data
    data += piece
  return found[2].decode()


def sentence(data, status):
  head, _, body = data.partition(b'\r\n\r\n')
  assert head.startswith(b'HTTP/1.1 %d ' % status) and b'connection: close' in head
  assert b'content-length: %d' % len(body) in head
  return json.loads(body)['error']


def test_two_requests_on_one_connection(serve):
  connect, _ = serve()
  connection = connect(REQUEST % b'one')
  assert path_of(connection) == '/one'
  connection.sendall(REQUEST % b'two')
  assert path_of(connection) == '/two'


@pytest.mark.parametrize('data', [b'GET / HT', b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + b'y' * 500])
def test_headers_that_do_not_come_are_not_waited_for(serve, data):
  connect, server = serve(header_seconds=0.5)
  start = time.monotonic()
  assert 'within 0.5 seconds' in sentence(everything(connect(data)), 408) and time.monotonic() - start < 8
  assert not server.server_state.connections


def test_headers_that_come_drop_by_drop_are_not_waited_for_either(serve):
  connect, _ = serve(header_seconds=0.5)
  connection, start = connect(b'GET / HTTP/1.1\r\nX: '), time.monotonic()
  with contextlib.suppress(ConnectionError):
    while time.monotonic() - start < 8:
      connection.sendall(b'y')
      time.sleep(0.1)
  assert time.monotonic() - start < 8


def test_a_connection_that_says_nothing_is_closed_without_a_word(serve):
  connect, _ = serve(header_seconds=0.5)
  assert everything(connect()) == b''


def test_an_answer_that_nobody_takes_is_dropped(serve):
  connect, server = serve(send_seconds=0.5)
  connection = connect(REQUEST % b'large')
  end = time.monotonic() + 10
  time.sleep(0.2)
  while server.server_state.connections:
    assert time.monotonic() < end
    time.sleep(0.05)
  assert len(everything(connection)) < LARGE


def test_one_that_is_taken_comes_whole(serve):
  connect, _ = serve()
  assert len(everything(connect((REQUEST % b'large').replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n')))) > LARGE


def test_one_that_is_taken_slowly_comes_whole_too(serve):
  connect, server = serve(send_seconds=1)
  for ending in (b'\r\nConnection: close\r\n\r\n', b'\r\n\r\n'):
    connection, start, data = connect((REQUEST % b'large').replace(b'\r\n\r\n', ending)), time.monotonic(), 0
    while data < LARGE and (piece := connection.recv(1 << 20)):
      data += len(piece)
      time.sleep(0.1)
    assert data > LARGE and time.monotonic() - start > 2


def test_beyond_their_number_connections_are_turned_away(serve):
  connect, server = serve(connections=2)
  waiting = [connect(REQUEST % b'one') for _ in range(2)]
  assert all(path_of(each) == '/one' for each in waiting)
  assert 'as many connections' in sentence(everything(connect(REQUEST % b'three')), 503)
  waiting[0].close()
  end = time.monotonic() + 5
  while len(server.server_state.connections) > 1:
    assert time.monotonic() < end
    time.sleep(0.02)
  assert path_of(connect(REQUEST % b'four')) == '/four'


@pytest.mark.parametrize('data', [
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', b'EHLO x\r\n\r\n', b'GET / HTTP/1.1\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n', b'GET / HTTP/1.1\r\nHost: x\r\nX: ' + b'y' * 400_000 + b'\r\n\r\n',
    b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n'])
def test_what_is_no_http_gets_a_sentence(serve, data):
  connect, _ = serve()
  assert 'no HTTP' in sentence(everything(connect(data)), 400)


def test_broken_pieces_of_a_body_end_the_connection(serve):
  connect, _ = serve()
  data = everything(connect(b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'))
  assert not data or sentence(data, 400)
  assert path_of(connect(REQUEST % b'one')) == '/one'
