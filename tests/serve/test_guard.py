"""Who may ask: names of the service, pages of other sites, tokens."""

from __future__ import annotations

import base64
import os

import pytest

from lesion_jax.serve.settings import Settings, read_token

pytest.importorskip('starlette')
from lesion_jax.serve.guard import Guard
from lesion_jax.serve.upload import Refusal

TOKEN = 'a-token-of-more-than-sixteen'
REMOTE = {'host': '0.0.0.0', 'allow_remote': True, 'token': TOKEN}
BEARER = {'authorization': f'Bearer {TOKEN}'}


def status(settings, headers, method='POST', path='/v1/predict'):
  try:
    Guard(Settings(**settings)).check(method, path, headers)
  except Refusal as error:
    return error.status
  return 200


@pytest.mark.parametrize(('host', 'expected'), [
    ('127.0.0.1', 200), ('127.0.0.1:8000', 200), ('localhost:8000', 200), ('LOCALHOST', 200), ('[::1]:8000', 200), ('[::1]', 200),
    ('evil.example', 421), ('evil.example:8000', 421), ('127.0.0.1.evil.example', 421), ('localhost.evil.example:8000', 421), ('', 421),
    ('127.0.0.2', 421), ('evil.example#127.0.0.1', 421), ('127.0.0.1@evil.example', 421), ('[::1', 200), ('[evil]:1', 421)])
def test_a_name_that_leads_here_is_not_enough(host, expected):
  assert status({}, {'host': host}) == expected


@pytest.mark.parametrize(('origin', 'expected'), [
    ('http://127.0.0.1:8000', 200), ('HTTP://127.0.0.1:8000', 200),
    ('http://127.0.0.1:3000', 403), ('http://localhost:8000', 403), ('http://127.0.0.1', 403), ('null', 403), ('', 403),
    ('http://evil.example', 403), ('http://evil.example:8000', 403), ('http://127.0.0.1:8000.evil.example', 403),
    ('file://', 403), ('chrome-extension://abc', 403), ('http://evil@127.0.0.1:8000', 403), ('http://127.0.0.1:8000/x', 403),
    ('http://[', 403)])
def test_a_page_of_another_origin_is_refused(origin, expected):
  assert status({}, {'host': '127.0.0.1:8000', 'origin': origin}) == expected


@pytest.mark.parametrize(('method', 'fetch', 'expected'), [
    ('GET', ('cross-site', 'no-cors', 'image'), 403), ('GET', ('same-site', 'cors', 'empty'), 403), ('POST', ('cross-site', 'navigate', 'document'), 403),
    ('GET', ('cross-site', 'navigate', 'iframe'), 403), ('GET', ('cross-site', 'navigate', 'document'), 200), ('GET', ('none', 'navigate', 'document'), 200),
    ('POST', ('same-origin', 'navigate', 'document'), 200)])
def test_what_a_browser_says_of_where_a_request_comes_from(method, fetch, expected):
  headers = dict(zip(('sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest'), fetch, strict=True))
  assert status({}, {'host': '127.0.0.1', **headers}, method, '/') == expected


def test_a_request_whose_end_is_said_twice_is_refused():
  assert status({}, {'host': '127.0.0.1', 'content-length': '5', 'transfer-encoding': 'chunked'}) == 400


class TestBehindAProxy:

  def test_the_name_of_the_proxy_is_allowed_and_its_scheme_may_be_another(self):
    settings = REMOTE | {'hosts': ('eyes.example.org',)}
    assert status(settings, {'host': 'eyes.example.org', 'origin': 'https://eyes.example.org', **BEARER}) == 200
    assert status(settings, {'host': 'eyes.example.org:443', 'origin': 'https://eyes.example.org', **BEARER}) == 200
    assert status(settings, {'host': 'eyes.example.org', 'origin': 'https://evil.example.org', **BEARER}) == 403
    assert status(settings, {'host': 'evil.example', **BEARER}) == 421

  def test_an_origin_that_was_given_counts_where_the_proxy_asks_by_another_name(self):
    settings = {'hosts': ('eyes.example.org', )}
    assert status(settings, {'host': '127.0.0.1:8000', 'origin': 'https://eyes.example.org'}) == 200

  @pytest.mark.parametrize('name', ['https://eyes.example.org', '*', '*.example.org', 'eyes.example.org/', '', 'a b', 'a,b'])
  def test_what_no_caller_sends_as_a_host_is_no_name(self, name):
    with pytest.raises(ValueError, match='write eyes.example.org'):
      Settings(hosts=(name,))

  def test_without_names_any_is_right_but_no_page_of_another_site(self):
    assert status(REMOTE, {'host': '10.0.0.7:8000', **BEARER}) == 200
    assert status(REMOTE, {'host': '10.0.0.7:8000', 'origin': 'http://evil.example', **BEARER}) == 403


class TestTokens:

  @pytest.mark.parametrize(('given', 'expected'), [
      ({}, 401), (BEARER, 200), ({'authorization': 'Bearer wrong'}, 401),
      ({'authorization': 'Basic ' + base64.b64encode(b'x:' + TOKEN.encode()).decode()}, 200),
      ({'authorization': 'Basic ' + base64.b64encode(b'\xff\xfe').decode()}, 401), ({'authorization': 'Bearer \xe4\udc80'}, 401)])
  def test_they_are_asked_for_on_every_address_but_health(self, given, expected):
    settings = {'token': TOKEN}
    assert status(settings, {'host': '127.0.0.1', **given}) == expected
    assert status(settings, {'host': '127.0.0.1', **given}, 'GET', '/readyz') == 200
    assert status(settings, {'host': '127.0.0.1', **given}, 'GET', '/readyz/') == expected

  def test_an_address_for_others_needs_a_flag_and_one(self):
    with pytest.raises(ValueError, match='--allow-remote'):
      Settings(host='0.0.0.0', token=TOKEN)
    with pytest.raises(ValueError, match='--token-file'):
      Settings(host='::', allow_remote=True)
    assert Settings(host='::1').is_local and Settings(host='127.3.2.1').is_local and not Settings(**REMOTE).is_local

  @pytest.mark.parametrize(('token', 'words'), [('short', '5 characters'), ('with space in the middle', 'spaces'), ('x' * 5000, '5000'), ('ä' * 20, 'ASCII')])
  def test_one_that_is_none(self, token, words):
    with pytest.raises(ValueError, match=words):
      Settings(token=token)

  def test_it_comes_from_a_file_or_the_environment_which_no_child_inherits(self, tmp_path, monkeypatch):
    (tmp_path / 'token').write_text(f'{TOKEN}\n')
    monkeypatch.setenv('LESION_JAX_TOKEN', f'{TOKEN}-of-the-environment')
    assert read_token(tmp_path / 'token') == TOKEN and 'LESION_JAX_TOKEN' not in os.environ
    monkeypatch.setenv('LESION_JAX_TOKEN', f'{TOKEN}-of-the-environment')
    assert read_token(None) == f'{TOKEN}-of-the-environment' and read_token(None) is None
    with pytest.raises(ValueError, match='No such file'):
      read_token(tmp_path / 'nothing')
    with pytest.raises(ValueError, match='token-file'):
      read_token(tmp_path)

  def test_it_is_in_no_text_of_the_settings(self):
    assert TOKEN not in repr(Settings(token=TOKEN))
