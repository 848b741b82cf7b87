"""What the service says over HTTP, whatever its network: routes, limits, refusals, and what becomes of a worker that ends."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import signal
import threading
import time
import zipfile

import jsonschema
import pytest

TOKEN = 'a-token-of-more-than-sixteen'
PREDICT = '/v1/predict'
RAW = {'content-type': 'image/png'}


def error_of(response, status):
  """The sentence of a refusal."""
  assert response.status_code == status, response.text
  assert response.headers['content-type'] == 'application/json' and set(response.json()) == {'error'}
  said = response.json()['error']
  assert said and 'Traceback' not in said and not re.search(r'\w+Error\b|/\w+/\w+\.py', said)
  return said


class TestAnswers:

  def test_bytes_as_they_are_and_a_form_give_the_same_record(self, stand_in):
    client, data = stand_in().wait().client, b'a photograph'
    raw = client.post(PREDICT, content=data, headers=RAW)
    form = client.post(PREDICT, files={'photograph': ('eye.png', data)})
    digest = hashlib.sha256(data).hexdigest()
    assert raw.json() == {'file': 'photograph', 'digest': digest} and form.json() == {'file': 'eye.png', 'digest': digest}

  def test_files_come_in_base64_or_as_an_archive(self, stand_in):
    client = stand_in().wait().client
    found = client.post(f'{PREDICT}?include=masks', content=b'x', headers=RAW).json()
    assert found['result']['file'] == 'photograph' and base64.b64decode(found['files']['MA.png']) == b'PNG'
    packed = client.post(f'{PREDICT}?include=all', content=b'x', headers=RAW | {'accept': 'application/zip'})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
      assert archive.read('MA.png') == b'PNG' and json.loads(archive.read('result.json')) == found['result']

  def test_one_photograph_that_cannot_be_read_stands_in_the_report_with_its_reason(self, stand_in):
    client = stand_in().wait().client
    page = client.post('/v1/report', files=[('a', ('1.png', b'one')), ('a', ('2.png', b'refuse')), ('a', ('3.png', b'three'))])
    assert page.headers['content-type'].startswith('text/html') and page.json() == [
        {'name': '1.png', 'files': ['MA.png']}, {'name': '2.png', 'error': 'it is no photograph'}, {'name': '3.png', 'files': ['MA.png']}]

  @pytest.mark.parametrize('path', ['/healthz', '/readyz', '/metrics', '/v1/model', '/openapi.json', '/docs', '/'])
  def test_every_address_answers_get_and_head_and_nothing_is_cached_or_framed(self, stand_in, path):
    client = stand_in().wait().client
    found, head = client.get(path), client.head(path)
    assert found.status_code == head.status_code == 200 and found.content and not head.content
    assert found.headers['cache-control'] == 'no-store' and "frame-ancestors 'none'" in found.headers['content-security-policy']
    assert not [name for name in found.headers if name.startswith('access-control')]

  def test_metrics_count_what_was_done(self, stand_in):
    service = stand_in().wait()
    for data in (b'x', b'y', b'refuse'):
      service.client.post(PREDICT, content=data, headers=RAW)
    text = service.client.get('/metrics').text
    assert 'lesion_jax_photographs_total{outcome="done"} 2.0' in text and 'lesion_jax_photographs_total{outcome="refused"} 1.0' in text
    assert 'lesion_jax_requests_total{route="/v1/predict",status="422"} 1.0' in text and 'lesion_jax_ready 1.0' in text


class TestRefusals:

  @pytest.mark.parametrize(('request_of', 'status', 'words'), [
      ({'content': b'', 'headers': RAW}, 400, 'empty'),
      ({'content': b'refuse', 'headers': RAW}, 422, 'no photograph'),
      ({'content': b'fail', 'headers': RAW}, 500, 'not fit for use'),
      ({'content': b'x' * 2000, 'headers': RAW}, 413, '2,000'),
      ({'content': b'x', 'headers': RAW | {'content-encoding': 'gzip'}}, 415, 'packed'),
      ({'data': {'photograph': 'x'}}, 415, 'without files'),
      ({'files': {'a': ('a', b'x'), 'b': ('b', b'y')}}, 400, 'more than 1 file'),
      ({'files': {'a': ('a', b'')}}, 400, 'empty'),
      ({'files': {'a': (None, b'x')}}, 400, 'no file'),
      ({'content': b'x', 'headers': {'content-type': 'multipart/form-data'}}, 400, 'boundary'),
      ({'content': b'x', 'headers': {'content-type': 'multipart/form-data; boundary=b'}}, 400, 'broken'),
      ({'content': b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nhalf', 'headers': {
          'content-type': 'multipart/form-data; boundary=b'}}, 400, 'cut off'),
      ({'content': b'x', 'headers': RAW, 'params': {'include': 'maps'}}, 400, 'choose of masks'),
      ({'content': b'x', 'headers': RAW, 'params': {'token': 'secret'}}, 400, 'no option'),
  ])
  def test_each_is_a_sentence(self, stand_in, request_of, status, words):
    client = stand_in(body_bytes=1000, report_bytes=1000).wait().client
    assert words in error_of(client.post(PREDICT, **request_of), status)

  def test_a_body_whose_length_is_not_said_is_stopped_at_the_limit(self, stand_in):
    client = stand_in(body_bytes=1000, report_bytes=1000).wait().client
    pieces = (b'x' * 1000 for _ in range(200))
    assert 'more than' in error_of(client.post(PREDICT, content=pieces, headers=RAW), 413)

  def test_other_addresses_and_methods(self, stand_in):
    client = stand_in().client
    assert '/docs' in error_of(client.get('/v1/predict/'), 404) and '/docs' in error_of(client.get('/../etc/passwd'), 404)
    refused = client.get(PREDICT)
    assert '/docs' in error_of(refused, 405) and refused.headers['allow'] == 'POST'
    assert client.options(PREDICT).status_code == 405

  def test_a_browsers_form_gets_a_page_that_escapes_what_it_shows(self, stand_in):
    client = stand_in().wait().client
    page = client.post(f'{PREDICT}?include=<script>', content=b'x', headers=RAW | {'accept': 'text/html,*/*'})
    assert page.status_code == 400 and '&lt;script&gt;' in page.text and '<script>' not in page.text

  def test_a_mistake_of_the_service_says_nothing_of_itself(self, stand_in, monkeypatch):
    service = stand_in().wait()

    def broken(*arguments, **keys):
      raise KeyError('Doe^Jane')

    monkeypatch.setattr('lesion_jax.serve.pages.front', broken)
    assert 'Doe' not in error_of(service.client.get('/', headers={'accept': '*/*'}), 500)
    assert 'Doe' not in json.dumps(service.log()) and any('KeyError at ' in line.get('cause', '') for line in service.log())


class TestLog:

  def test_it_has_neither_names_nor_paths_nor_tokens(self, stand_in):
    service = stand_in(token=TOKEN).wait()
    known = {'authorization': f'Bearer {TOKEN}'}
    service.client.post(f'{PREDICT}?include=SECRET', files={'SECRET': ('SECRET^Jane.png', b'refuse')}, headers=known)
    service.client.post(PREDICT, files={'SECRET': ('SECRET^Jane.png', b'fail SECRET')}, headers=known | {'x-patient': 'SECRET'})
    service.client.get('/patients/SECRET?name=SECRET', headers=known)
    service.client.request('SECRET', '/')
    lines = service.log()
    assert 'SECRET' not in json.dumps(lines) and TOKEN not in json.dumps(lines)
    assert [line['route'] for line in lines if line['event'] == 'request'] == [PREDICT, PREDICT, 'other', 'other']
    assert all(line['id'] for line in lines if line['event'] == 'request')
    assert 'so says a library' in [line.get('text') for line in lines]

  def test_an_answer_has_the_number_of_its_line(self, stand_in):
    service = stand_in().wait()
    number = service.client.post(PREDICT, content=b'x', headers=RAW).headers['x-request-id']
    assert [line['status'] for line in service.log() if line.get('id') == number] == [200]


class TestToken:

  @pytest.mark.parametrize('given', [None, '', 'Bearer', 'Bearer wrong', f'bearer{TOKEN}', f'Basic {TOKEN}', 'Basic !', f'Digest {TOKEN}',
                                     f'Bearer {TOKEN}x', f'Bearer {TOKEN[:-1]}'])
  def test_without_it_nothing_is_done(self, stand_in, given):
    client = stand_in(token=TOKEN).client
    for path in ('/', '/v1/model', '/metrics', '/docs', '/openapi.json'):
      refused = client.get(path, headers={} if given is None else {'authorization': given})
      assert 'token' in error_of(refused, 401) and 'Basic' in refused.headers['www-authenticate']
    assert client.get('/healthz').status_code == 200

  @pytest.mark.parametrize('given', [f'Bearer {TOKEN}', f'bearer {TOKEN}',
                                     'Basic ' + base64.b64encode(f'anybody:{TOKEN}'.encode()).decode()])
  def test_with_it(self, stand_in, given):
    client = stand_in(token=TOKEN).wait().client
    assert client.post(PREDICT, content=b'x', headers=RAW | {'authorization': given}).status_code == 200


class TestWorker:

  def test_before_it_is_ready_callers_are_told_when_to_come_again(self, stand_in):
    service = stand_in()
    refused = service.client.post(PREDICT, content=b'x', headers=RAW)
    if refused.status_code == 503:  # the stand-in is quick
      assert 'not ready' in error_of(refused, 503) and refused.headers['retry-after'] == '5'
    assert service.client.get('/healthz').status_code == 200

  def test_one_that_ends_is_said_and_started_anew_and_leaves_nothing(self, stand_in):
    service = stand_in().wait()
    first = service.supervisor.process
    refused = service.client.post(PREDICT, content=b'die', headers=RAW)
    assert 'ended' in error_of(refused, 503) and refused.headers['retry-after'] == '5'
    service.wait()
    assert service.client.post(PREDICT, content=b'x', headers=RAW).status_code == 200
    assert service.supervisor.process != first and not list(service.folder.iterdir())
    assert service.count('worker_restarts_total') == 1 and {'status': 7, 'lost': 1}.items() <= next(
        line for line in service.log() if line['event'] == 'worker ended').items()

  def test_what_waits_in_front_of_it_goes_to_the_next_one(self, stand_in):
    service = stand_in().wait()
    found = {}
    post = lambda number, data: found.update({number: service.client.post(PREDICT, content=data, headers=RAW)})
    threads = [threading.Thread(target=post, args=(number, data)) for number, data in enumerate(
        [b'hang'] * 3 + [b'slow 0.5'])]  # four at once
    [thread.start() for thread in threads]
    while service.count('queue_photographs') < 4:
      time.sleep(0.01)
    time.sleep(0.1)
    later = [threading.Thread(target=post, args=(number, b'waited %d' % number)) for number in (4, 5)]
    [thread.start() for thread in later]
    while service.count('queue_photographs') < 6:
      time.sleep(0.01)
    os.kill(service.supervisor.process, signal.SIGKILL)
    [thread.join(30) for thread in threads + later]
    assert [found[number].status_code for number in range(6)] == [503] * 4 + [200] * 2
    assert found[4].json()['digest'] == hashlib.sha256(b'waited 4').hexdigest()

  def test_one_that_never_answers_is_killed(self, stand_in):
    service = stand_in(wait_seconds=0.4).wait()
    first = service.supervisor.process
    assert 'no answer within' in error_of(service.client.post(PREDICT, content=b'hang', headers=RAW), 503)
    end = time.monotonic() + 20
    while service.supervisor.process == first or not service.supervisor.ready:
      assert time.monotonic() < end
      time.sleep(0.05)
    assert 'worker killed' in [line['event'] for line in service.log()]

  @pytest.mark.parametrize('behaviour', ['unusable', 'once'])
  def test_one_that_cannot_begin_is_given_up(self, stand_in, tmp_path, monkeypatch, behaviour):
    monkeypatch.setattr('lesion_jax.serve.supervisor.PAUSES', (0.01, 0.01))
    service = stand_in(behaviour if behaviour == 'unusable' else f'once {tmp_path / "mark"}')
    if behaviour == 'once':  # it begins once, and never again
      service.wait()
      service.client.post(PREDICT, content=b'die', headers=RAW)
    end = time.monotonic() + 20
    while not service.supervisor.failure:
      assert time.monotonic() < end
      time.sleep(0.02)
    assert ('no such network' in service.supervisor.failure) == (behaviour == 'unusable')
    assert 'given up' in [line['event'] for line in service.log()]
    assert error_of(service.client.post(PREDICT, content=b'x', headers=RAW), 503)


class TestQueue:

  def test_beyond_it_callers_are_told_to_come_again(self, stand_in):
    service = stand_in(queue=2).wait()
    threads = [threading.Thread(target=service.client.post, args=(PREDICT,), kwargs={'content': b'slow 1', 'headers': RAW}) for _ in range(2)]
    [thread.start() for thread in threads]
    while service.count('queue_photographs') < 2:
      time.sleep(0.01)
    refused = service.client.post(PREDICT, content=b'x', headers=RAW)
    assert 'waiting or at work' in error_of(refused, 503) and int(refused.headers['retry-after']) > 0
    [thread.join() for thread in threads]
    assert service.client.post(PREDICT, content=b'x', headers=RAW).status_code == 200 and service.count('queue_photographs') == 0

  def test_bytes_for_all_are_bounded(self, stand_in):
    service = stand_in(body_bytes=1000, report_bytes=100_000, held_bytes=100_000).wait()
    thread = threading.Thread(target=service.client.post, args=(PREDICT,), kwargs={'content': b'slow 1', 'headers': RAW})
    thread.start()
    while service.count('held_bytes') == 0:
      time.sleep(0.01)
    large = service.client.post('/v1/report', content=b'x' * 99_999, headers=RAW)
    assert 'holds as much' in error_of(large, 503)
    thread.join()
    assert service.count('held_bytes') == 0


class TestPages:

  @pytest.mark.parametrize('path', ['/', '/docs'])
  def test_they_ask_nobody_for_anything(self, stand_in, path):
    page = stand_in().wait().client.get(path)
    assert not re.search(r'(src|href)="(?!/)(?!#)', page.text) and 'url(' not in page.text and '@import' not in page.text
    assert page.headers['content-security-policy'].startswith("default-src 'none'") and 'unsafe' not in page.headers['content-security-policy']
    assert 'Not a medical device' in page.text

  def test_the_document_names_every_route_and_is_sound(self, stand_in):
    service = stand_in().wait()
    document = service.client.get('/openapi.json').json()
    assert set(document['paths']) == {route.path for route in service.app.routes}
    schema = {'$ref': '#/components/schemas/Result', **document}
    jsonschema.Draft202012Validator.check_schema(document['components']['schemas']['Result'])
    with pytest.raises(jsonschema.ValidationError):
      jsonschema.validate({'schema_version': 4}, schema)
    references = re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(document))
    for reference in references:
      part = document
      for key in reference.split('/'):
        part = part[key]
