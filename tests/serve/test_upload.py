"""Forms and bytes in memory: however they are cut into pieces, and whatever is wrong with them."""

from __future__ import annotations

import asyncio
import tempfile

import pytest

pytest.importorskip('starlette')
from starlette.requests import ClientDisconnect, Request

from lesion_jax.serve import upload
from lesion_jax.serve.settings import Settings
from lesion_jax.serve.telemetry import Metrics
from lesion_jax.serve.upload import Gate, Refusal, clean

FORM = (b'--xyz\r\nContent-Disposition: form-data; name="a"; filename="eye 1.png"\r\nContent-Type: image/png\r\n\r\n'
        b'\x89PNG\r\n--xy\r\n--xyZ\r\n\r\n--xyz\r\nContent-Disposition: form-data; name="empty"; filename=""\r\n\r\n\r\n'
        b'--xyz\r\ncontent-disposition: FORM-DATA; name="b"; filename="b\xc3\xa4.dcm"\r\n\r\nDICM\r\n--xyz--\r\n')
WITHIN = [upload.Photograph('eye 1.png', b'\x89PNG\r\n--xy\r\n--xyZ\r\n'), upload.Photograph('bä.dcm', b'DICM')]


def take(pieces, *, kind='multipart/form-data; boundary=xyz', most=10_000, photographs=5, pause=0.0, end=True, seconds=5.0):
  """What `read` gives of a body that comes in these pieces."""
  waiting = [*({'type': 'http.request', 'body': piece, 'more_body': True} for piece in pieces),
             {'type': 'http.request', 'body': b'', 'more_body': False} if end else {'type': 'http.disconnect'}]

  async def receive():
    await asyncio.sleep(pause)
    return waiting.pop(0)

  request = Request({'type': 'http', 'method': 'POST', 'headers': [(b'content-type', kind.encode())]}, receive)
  return asyncio.run(upload.read(request, Settings(body_seconds=seconds), most, photographs, Metrics()))


@pytest.mark.parametrize('size', [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_the_same_however_it_is_cut(size):
  assert take([FORM[start:start + size] for start in range(0, len(FORM), size)]) == WITHIN


def test_nothing_is_written_anywhere(tmp_path, monkeypatch):
  def refuse(*arguments, **keys):
    raise AssertionError('a temporary file')

  for name in ('TemporaryFile', 'NamedTemporaryFile', 'SpooledTemporaryFile', 'mkstemp'):
    monkeypatch.setattr(tempfile, name, refuse)
  large = b'x' * 3_000_000
  form = FORM.replace(b'DICM', large)
  assert take([form[start:start + 65536] for start in range(0, len(form), 65536)], most=1 << 23)[1].data == large


@pytest.mark.parametrize(('change', 'words'), [
    (lambda form: form[:-10], 'cut off'), (lambda form: form[:60], 'cut off'), (lambda form: form[5:], 'broken'),
    (lambda form: form.replace(b'; filename="b\xc3\xa4.dcm"', b''), 'no file'), (lambda form: b'--xyz--\r\n', 'no file'),
    (lambda form: form.replace(b'Content-Type', b'X' * 9000), 'broken'), (lambda form: form.replace(b'Content-Type', b'X: y\r\n' * 20 + b'A'), 'broken'),
    (lambda form: form.replace(b'\r\nDICM\r\n', b'\r\n\r\n'), 'empty')])
def test_a_form_that_is_none(change, words):
  with pytest.raises(Refusal, match=words) as error:
    take([change(FORM)])
  assert error.value.status == 400


@pytest.mark.parametrize(('disposition', 'name'), [
    (b"filename*=utf-8''%C3%A4_left.jpg", 'ä_left.jpg'), (b"filename*=UTF-8'de'..%2F%2e%2e%2fa%0A%E2%80%AEb.jpg", 'ab.jpg'),
    (b"filename=\"x.jpg\"; filename*=utf-8''%C3%A4.jpg", 'x.jpg'), (b"filename*=utf-8''%FF", '\ufffd')])
def test_names_of_other_letters_in_the_form_of_rfc_8187(disposition, name):
  form = FORM.replace(b'filename="eye 1.png"', disposition)
  assert take([form])[0] == (name, WITHIN[0].data)


def test_fields_without_a_file_are_counted():
  empty = b'--xyz\r\nContent-Disposition: form-data; name="a"; filename=""\r\n\r\n\r\n'
  assert take([empty * 10 + FORM]) == WITHIN
  with pytest.raises(Refusal, match='too many'):
    take([empty * 100 + FORM])


def test_every_end_before_the_last_boundary_is_refused():
  for end in range(len(FORM) - len('--\r\n')):
    with pytest.raises(Refusal):
      take([FORM[:end]])


def test_noise_of_any_kind_is_refused(rng):
  for _ in range(200):
    data = bytearray(FORM)
    for place in rng.integers(0, len(data), 4):
      data[place] = rng.integers(256)
    try:
      found = take([bytes(data)])
    except Refusal as error:
      assert error.status == 400
    else:
      assert all(each.data and each.name == clean(each.name) for each in found)


def test_limits():
  with pytest.raises(Refusal, match='more than 1 file'):
    take([FORM], photographs=1)
  with pytest.raises(Refusal, match='more than the 100 bytes') as error:
    take([b'x' * 60] * 2, kind='image/png', most=100)
  assert error.value.status == 413
  with pytest.raises(Refusal, match='within 0.1 seconds') as error:
    take([b'x'] * 50, kind='image/png', pause=0.02, seconds=0.1)
  assert error.value.status == 408
  with pytest.raises(ClientDisconnect):
    take([b'half'], kind='image/png', end=False)


@pytest.mark.parametrize('pieces', [6, 50])
def test_who_sends_too_much_is_heard_out_a_while_and_nothing_is_kept(pieces, monkeypatch):
  written, seen = [], []
  monkeypatch.setattr(upload._Plain, 'write', lambda self, piece: written.append(piece))
  metrics = Metrics()
  monkeypatch.setattr(metrics.received, 'inc', seen.append)
  monkeypatch.setattr('test_upload.Metrics', lambda: metrics)
  with pytest.raises(Refusal, match='more than the 100 bytes') as error:
    take([b'x' * 60] * pieces, kind='image/png', most=100)
  assert error.value.status == 413 and len(written) == 1
  assert sum(seen) == min(60 * pieces, 420)  # to the end, or a piece beyond OVERFLOW times what is taken


@pytest.mark.parametrize(('given', 'shown'), [
    ('eye.png', 'eye.png'), ('/patients/Doe/eye.png', 'eye.png'), (r'C:\patients\eye.png', 'eye.png'), ('../../etc/passwd', 'passwd'),
    ('a\r\nSet-Cookie: b', 'aSet-Cookie: b'), ('a\u202egnp.exe', 'agnp.exe'), ('', 'photograph'), ('..', 'photograph'), ('x/', 'photograph'),
    ('\x00\x07', 'photograph'), ('é' * 300, 'é' * 200), ('<b>.png', '<b>.png')])
def test_names(given, shown):
  assert clean(given) == shown


@pytest.mark.parametrize(('headers', 'status', 'size'), [
    ({}, 200, 500), ({'content-length': '20'}, 200, 20), ({'content-length': '501'}, 413, 0), ({'content-length': '-1'}, 400, 0),
    ({'content-length': '9' * 400}, 413, 0), ({'content-encoding': 'gzip'}, 415, 0), ({'content-encoding': 'identity'}, 200, 500)])
def test_what_is_announced(headers, status, size):
  request = Request({'type': 'http', 'headers': [(key.encode(), value.encode()) for key, value in headers.items()]})
  if status == 200:
    assert upload.announced(request, 500) == size
  else:
    with pytest.raises(Refusal) as error:
      upload.announced(request, 500)
    assert error.value.status == status


def test_the_gate_gives_back_what_it_took_and_lets_one_large_report_in_alone():
  gate = Gate(Settings(queue=3, held_bytes=1 << 30), Metrics())
  with gate.photographs(5):
    with pytest.raises(Refusal, match='5 photographs'), gate.photographs(1):
      pass
  for _ in range(3):
    with pytest.raises(KeyError), gate.photographs(3), gate.bytes(1 << 30):
      raise KeyError
  with gate.photographs(2), gate.photographs(1), pytest.raises(Refusal):
    gate.look(1)
