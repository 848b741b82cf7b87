"""What a browser gets: the page for one person, the page about the interface, and the OpenAPI document that it is made of.

No page asks anything of anybody else: style and script are in it, and its policy names them by their digests.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import importlib.resources
import json
import string
from collections.abc import Iterable, Mapping
from typing import Any

import lesion_jax
from lesion_jax.serve.settings import INCLUDES, Settings

# Beside the report's own policy, which names its script and style.
REPORT_POLICY = "connect-src 'none'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
RESULT = 'Result'  # the schema's name in the document
RESEARCH = 'For research only. Not a medical device: nothing here may decide about a patient.'
TYPES = ('image/jpeg', 'image/png', 'image/tiff', 'application/dicom', 'application/octet-stream')


def front(settings: Settings, model: Mapping[str, Any], *, ready: bool) -> tuple[str, str]:
  """Returns the page on which photographs are dropped, and its policy.

  Args:
    settings: of the service.
    model: of `Supervisor`.
    ready: whether photographs are taken.
  """
  style, script = _read('front.css'), _read('front.js')
  banner = ''.join(f'<p class="banner" role="alert">{html.escape(each)}</p>' for each in model.get('warnings', ()))
  waiting = '' if ready else '<p class="note" role="status">The network is being loaded. Reload this page in a moment.</p>'
  network = (f'Network <strong>{html.escape(model["name"])}</strong>, {html.escape(str(model["data"] or "of data that it does not name"))}; '
             f'lesions {html.escape(", ".join(model["annotated"]))}' if model else '')
  return _filled('front.html', style=style, script=script, banner=banner, waiting=waiting, network=network, research=RESEARCH,
                 version=lesion_jax.__version__, most=settings.photographs, megabytes=settings.body_bytes >> 20,
                 total=settings.report_bytes >> 20, body_bytes=settings.body_bytes, report_bytes=settings.report_bytes,
                 seconds=model.get('seconds_a_photograph', 1.0)), _policy(style, script, form="'self'")


def refusal(status: int, said: str) -> tuple[str, str]:
  """Returns a page with one sentence, and its policy. `said` is HTML that is escaped already."""
  style = _read('front.css')
  return _filled('refusal.html', style=style, status=status, said=said), _policy(style)


def interface(settings: Settings) -> tuple[str, str]:
  """Returns the page about the interface, and its policy."""
  style, document = _read('front.css'), openapi(settings)
  parts = []
  for path, methods in document['paths'].items():
    for method, what in methods.items():
      rows = [(f'?{each["name"]}=', each['description']) for each in what.get('parameters', ()) if each['in'] == 'query']
      rows += [('body', f'{", ".join(what["requestBody"]["content"])}. {what["requestBody"]["description"]}')] if (
          'requestBody' in what) else []
      rows += [(status, f'{each["description"]}{_kinds(each)}') for status, each in what['responses'].items()]
      parts.append(f'<section class="card"><h2><code>{method.upper()} {path}</code></h2><p>{html.escape(what["summary"])}</p>'
                   f'{_table(rows)}</section>')
  return _filled('interface.html', style=style, research=RESEARCH, version=lesion_jax.__version__, parts='\n'.join(parts),
                 example=html.escape(EXAMPLE)), _policy(style)


EXAMPLE = '''\
curl -F photograph=@eye.jpg http://127.0.0.1:8000/v1/predict
curl --data-binary @eye.dcm -H 'Content-Type: application/dicom' 'http://127.0.0.1:8000/v1/predict?include=masks,overlay'
curl -F photograph=@eye.jpg -H 'Accept: application/zip' 'http://127.0.0.1:8000/v1/predict?include=all' -o result.zip'''


@functools.cache
def openapi(settings: Settings) -> dict[str, Any]:
  """Returns the OpenAPI 3.1 document."""
  return {
      'openapi': '3.1.0',
      'info': {'title': 'lesion_jax', 'version': lesion_jax.__version__, 'summary': 'Retinal lesions and grade of diabetic retinopathy.',
               'description': RESEARCH, 'license': {'name': 'Apache-2.0', 'identifier': 'Apache-2.0'}},
      'servers': [{'url': '/'}],
      'paths': {
          '/v1/predict': {'post': _predict(settings)}, '/v1/report': {'post': _report(settings)},
          '/v1/model': {'get': _get('The network: what it finds, from which thresholds, its digest, and its card (Markdown).', 'object')},
          '/healthz': {'get': _get('The service runs. Takes no token.', 'object', ready=False)},
          '/readyz': {'get': _get('The network is loaded and has answered: photographs are taken. Takes no token.', 'object')},
          '/metrics': {'get': _get('Metrics for Prometheus.', 'text/plain', ready=False)},
          '/openapi.json': {'get': _get('This document.', 'object', ready=False)},
          '/docs': {'get': _get('This page.', 'text/html', ready=False)},
          '/': {'get': _get('A page for one person: drop photographs, get the report.', 'text/html', ready=False)}},
      'components': {
          'schemas': {
              'Error': {'type': 'object', 'properties': {'error': {'type': 'string', 'description': 'A sentence: what is wrong, and what to do.'}},
                        'required': ['error']},
              'ResultWithFiles': {'type': 'object', 'required': ['result', 'files'], 'properties': {
                  'result': {'$ref': f'#/components/schemas/{RESULT}'},
                  'files': {'type': 'object', 'description': 'Files by name, in base64.', 'additionalProperties': {
                      'type': 'string', 'contentEncoding': 'base64'}}}},
              RESULT: _schema()},
          'securitySchemes': {'token': {'type': 'http', 'scheme': 'bearer'}, 'password': {'type': 'http', 'scheme': 'basic'}}},
      'security': [{}] if settings.token is None else [{'token': []}, {'password': []}],
  }


def _predict(settings: Settings) -> dict[str, Any]:
  result = lambda name: {'schema': {'$ref': f'#/components/schemas/{name}'}}
  return {
      'operationId': 'predict', 'summary': 'Predicts one photograph. Nothing of it is kept.',
      'parameters': [{'name': 'include', 'in': 'query', 'required': False, 'explode': False, 'style': 'form', 'schema': {
          'type': 'array', 'items': {'enum': [*INCLUDES, 'all']}},
                      'description': f'What comes besides the record: {", ".join(INCLUDES)}, or all, with commas between. The answer is then '
                      '{"result", "files"} with files in base64, or with the header Accept: application/zip an archive.'}],
      'requestBody': {'required': True, 'description': f'JPEG, PNG, TIFF, DICOM or another format that is read: as a form with one file, or its '
                      f'bytes as they are. At most {settings.body_bytes:,} bytes and {settings.work.pixels:,} pixels.', 'content': {
                          'multipart/form-data': {'schema': {'type': 'object', 'properties': {
                              'photograph': {'type': 'string', 'format': 'binary'}}}},
                          **{kind: {} for kind in TYPES}}},
      'responses': {'200': {'description': 'The record, as result.json of `lesion-jax predict`.', 'content': {
          'application/json': {'schema': {'anyOf': [result(RESULT)['schema'], result('ResultWithFiles')['schema']]}}, 'application/zip': {}}},
                    **_errors(400, 401, 403, 408, 413, 415, 421, 422, 500, 503)}}


def _report(settings: Settings) -> dict[str, Any]:
  return {
      'operationId': 'report', 'summary': 'Predicts several photographs and gives the report, one page that needs no other file.',
      'requestBody': {'required': True, 'description': f'A form with files: at most {settings.photographs} photographs and '
                      f'{settings.report_bytes:,} bytes. One that cannot be read stands in the report with its reason.', 'content': {
                          'multipart/form-data': {'schema': {'type': 'object', 'properties': {
                              'photographs': {'type': 'array', 'items': {'type': 'string', 'format': 'binary'}}}}}}},
      'responses': {'200': {'description': 'The report.', 'content': {'text/html': {}}},
                    **_errors(400, 401, 403, 408, 413, 415, 421, 500, 503)}}


def _get(summary: str, kind: str, *, ready: bool = True) -> dict[str, Any]:
  content = {'application/json': {'schema': {'type': 'object'}}} if kind == 'object' else {kind: {}}
  return {'summary': summary, 'responses': {'200': {'description': 'So it is.', 'content': content}, **_errors(*([503] if ready else []))}}


ERRORS = {
    400: 'The request is not as it has to be.', 401: 'The token is missing or wrong.', 403: 'It comes from a page of another site.',
    408: 'The body came too slowly.', 413: 'It is too large.', 415: 'It is packed, or a form without files.',
    421: 'The service is not known by that name.', 422: 'It is no photograph that can be read; the sentence says why.',
    500: 'A mistake of the service.', 503: 'Too much to do, or not ready; Retry-After says in how many seconds to ask again.'}


def _errors(*statuses: int) -> dict[str, Any]:
  return {str(status): {'description': ERRORS[status], 'content': {'application/json': {'schema': {
      '$ref': '#/components/schemas/Error'}}}, **({'headers': {'Retry-After': {'schema': {'type': 'integer'}}}} if status == 503 else {})}
          for status in statuses}


def _schema() -> Any:
  """The schema of records; what it refers to is in itself, wherever it stands."""
  text = (importlib.resources.files('lesion_jax.clinical') / 'result.schema.json').read_text('utf-8')
  return json.loads(text.replace('"#/$defs/', f'"#/components/schemas/{RESULT}/$defs/'))


def _kinds(response: Mapping[str, Any]) -> str:
  return f' ({", ".join(response["content"])})'


def _table(rows: Iterable[tuple[str, str]]) -> str:
  cells = ''.join(f'<tr><th scope="row"><code>{html.escape(name)}</code></th><td>{html.escape(text)}</td></tr>' for name, text in rows)
  return f'<table>{cells}</table>'


def _filled(name: str, **values: object) -> str:
  return string.Template(_read(name)).substitute(values)


@functools.cache
def _read(name: str) -> str:
  return (importlib.resources.files('lesion_jax.serve') / 'templates' / name).read_text('utf-8')


def _policy(style: str, script: str = '', form: str = "'none'") -> str:
  digest = lambda text: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
  scripts = digest(script) if script else "'none'"
  return (f"default-src 'none'; style-src {digest(style)}; script-src {scripts}; "
          f"form-action {form}; base-uri 'none'; frame-ancestors 'none'")
