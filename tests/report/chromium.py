"""A tiny client for a headless Chromium: the DevTools protocol over a pipe, no driver and no network needed."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

PROGRAM = shutil.which('chromium') or shutil.which('google-chrome')
FLAGS = ('--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run',
         '--remote-debugging-pipe', '--force-color-profile=srgb', '--disable-lcd-text',
         '--host-resolver-rules=MAP * ~NOTFOUND')
# Chromium reads commands from descriptor 3 and answers on 4.
LAUNCH = ('import fcntl, os, sys; r, w = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]); '
          'os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])')
PATIENCE = 60  # seconds
EVENTS = {'Runtime.exceptionThrown', 'Runtime.consoleAPICalled', 'Log.entryAdded', 'Network.requestWillBeSent',
          'Page.loadEventFired'}


class Browser:
  """One page of a browser."""

  def __init__(self, send, receive):
    self._send, self._receive, self._left, self._count = send, receive, b'', 0
    self.events = []
    target = self.call('Target.createTarget', url='about:blank')['targetId']
    self._session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
    for domain in ('Page', 'Runtime', 'Log', 'Network'):
      self.call(f'{domain}.enable')

  def call(self, method, **params):
    """The result of a command of the protocol."""
    self._count += 1
    session = {'sessionId': self._session} if hasattr(self, '_session') else {}
    self._send.write(json.dumps({'id': self._count, 'method': method, 'params': params, **session}).encode() + b'\0')
    self._send.flush()
    while (message := self._next()).get('id') != self._count:
      pass
    assert 'error' not in message, (method, message['error'])
    return message['result']

  def open(self, url, *, width=1280, height=900, media='screen', dark=False, touch=False):
    """Loads a page and waits for it."""
    self.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=touch)
    self.call('Emulation.setEmulatedMedia', media=media, features=[
        {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])
    for address in ('about:blank', url):  # a change of the fragment alone would not load
      self.events.clear()
      self.call('Page.navigate', url=address)
      while not any(event['method'] == 'Page.loadEventFired' for event in self.events):
        self._next()
    return self

  def evaluate(self, expression):
    """The JSON value of a JavaScript expression."""
    found = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
    assert 'exceptionDetails' not in found, found['exceptionDetails']
    return found['result'].get('value')

  def press(self, key):
    """Presses and releases a key."""
    text = {'text': key} if len(key) == 1 else {'text': '\r'} if key == 'Enter' else {}
    code = {'Tab': 9, 'Enter': 13, ' ': 32, 'End': 35, 'ArrowRight': 39, 'ArrowLeft': 37}.get(key, ord(key[0]))
    self.call('Input.dispatchKeyEvent', type='keyDown', key=key, windowsVirtualKeyCode=code, **text)
    self.call('Input.dispatchKeyEvent', type='keyUp', key=key, windowsVirtualKeyCode=code)

  def click(self, selector):
    """Clicks in the middle of the first element of a CSS selector that is seen."""
    x, y = self.evaluate(
        f'(() => {{const e = [...document.querySelectorAll({json.dumps(selector)})].find((e) => e.checkVisibility());'
        'e.scrollIntoView({block: "center"}); const b = e.getBoundingClientRect();'
        'return [b.x + b.width / 2, b.y + b.height / 2];})()')
    for kind in ('mousePressed', 'mouseReleased'):
      self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

  def look(self, selector=None, path=None):
    """The first element of a selector that is seen, or the whole page: uint8 [H, W, 3], also written to `path`."""
    find = 'document.documentElement' if selector is None else (
        f'[...document.querySelectorAll({json.dumps(selector)})].find((e) => e.checkVisibility())')
    x, y, width, height = self.evaluate(f'(() => {{const b = {find}.getBoundingClientRect();'
                                        'return [b.x + scrollX, b.y + scrollY, b.width, b.height];})()')
    data = base64.b64decode(self.call('Page.captureScreenshot', captureBeyondViewport=True, clip={
        'x': x, 'y': y, 'width': width, 'height': height, 'scale': 1})['data'])
    if path:
      pathlib.Path(path).write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
      return np.asarray(image.convert('RGB'))

  def complaints(self):
    """What the page's console holds: errors, warnings, refused loads."""
    kinds = ('Runtime.exceptionThrown', 'Runtime.consoleAPICalled', 'Log.entryAdded')
    return [event['params'] for event in self.events if event['method'] in kinds]

  def requests(self):
    """Addresses that the page asked for, but for what lies in the page itself."""
    urls = [event['params']['request']['url'] for event in self.events
            if event['method'] == 'Network.requestWillBeSent']
    return [url for url in urls if not url.startswith('data:')]

  def _next(self):
    while b'\0' not in self._left:
      ready, _, _ = select.select([self._receive], [], [], PATIENCE)
      assert ready, f'the browser has not answered for {PATIENCE} seconds'
      data = self._receive.read(1 << 20)
      assert data, 'the browser has ended'
      self._left += data
    message, _, self._left = self._left.partition(b'\0')
    found = json.loads(message)
    if found.get('method') in EVENTS:
      self.events.append(found)
    return found


@contextlib.contextmanager
def start(folder):
  """A browser that keeps its files in `folder`."""
  (read_commands, commands), (answers, write_answers) = os.pipe(), os.pipe()
  process = subprocess.Popen(
      [sys.executable, '-c', LAUNCH, str(read_commands), str(write_answers), PROGRAM, *FLAGS,
       f'--user-data-dir={folder}'],
      pass_fds=(read_commands, write_answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  os.close(read_commands)
  os.close(write_answers)
  try:
    with open(commands, 'wb') as send, open(answers, 'rb', buffering=0) as receive:
      yield Browser(send, receive)
  finally:
    process.kill()
    process.wait()
