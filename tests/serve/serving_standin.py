"""In the place of the worker: answers by what the photograph says, without a network. As a program it is the worker's process."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import sys
import threading
import time

from lesion_jax.serve import frames
from lesion_jax.serve.worker import Sender

MODEL = {'name': 'standin', 'digest': 'd' * 64, 'devices': ['cpu'], 'seconds_a_photograph': 0.01, 'warnings': [], 'data': 'nothing',
         'annotated': ['MA']}


def answer(sender, message, folder):
  header, (data, *_) = message.header, [*message.blobs, b'']
  number, kind = header['id'], data.partition(b' ')[0]
  if header['op'] == 'report':
    page = json.dumps(header['photographs']).encode()
    return sender.send({'id': number, 'status': 'done', 'files': []}, [page])
  if kind == b'die':
    (folder / 'left').write_bytes(data)
    os._exit(7)
  if kind == b'hang':
    return None
  if kind == b'refuse':
    return sender.send({'id': number, 'status': 'refused', 'error': 'it is no photograph'})
  if kind == b'fail':
    return sender.send({'id': number, 'status': 'failed', 'error': 'the network is not fit for use', 'cause': 'KeyError at engine.py:1'})
  if kind == b'slow':
    time.sleep(float(data.split()[1]))
  record = json.dumps({'file': header['name'], 'digest': hashlib.sha256(data).hexdigest()}).encode()
  files = ['MA.png'] if header['include'] else []
  return sender.send({'id': number, 'status': 'done', 'files': files, 'seconds': {'read': 0.1}, 'batch': 1}, [record, *[b'PNG'] * len(files)])


def main(behaviour):
  source, sender = os.fdopen(os.dup(0), 'rb'), Sender(os.fdopen(os.dup(1), 'wb'))
  folder = pathlib.Path(frames.read(source).header['folder'])
  if behaviour == 'unusable':
    sender.send({'event': 'failed', 'error': 'there is no such network'})
    os._exit(2)
  if behaviour.startswith('once ') and pathlib.Path(behaviour[5:]).exists():
    os._exit(3)
  if behaviour.startswith('once '):
    pathlib.Path(behaviour[5:]).touch()
  print('so says a library', file=sys.stderr, flush=True)
  sender.send({'event': 'ready', 'at_once': 4, 'model': MODEL})
  while (message := frames.read(source)) is not None:
    threading.Thread(target=answer, args=(sender, message, folder), daemon=True).start()
  os._exit(0)


if __name__ == '__main__':
  main(sys.argv[1])
