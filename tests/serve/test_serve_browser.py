"""The page for one person in headless Chromium, and what pages of other sites can do with a service on this machine: nothing."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import pathlib
import threading

import oracle
import pytest
import serving_load
from PIL import Image

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings('default')]
# Tries what a page can: a form's request, a readable one, one with a token's header, a picture, a frame.
FOREIGN = '''<!doctype html><title>foreign</title><iframe src="SERVICE/"></iframe><script>
const data = new Blob([new Uint8Array(PHOTOGRAPH)], {type: 'image/png'});
const form = new FormData(); form.append('photograph', data, 'x.png');
const tried = async (name, options) => { try { const a = await fetch('SERVICE' + name, options); return a.type + ' ' + a.status; } catch (e) { return 'refused'; } };
const picture = (name) => new Promise((done) => { const i = new Image(); i.onload = () => done('seen'); i.onerror = () => done('refused'); i.src = 'SERVICE' + name; });
window.result = Promise.all([tried('/v1/model'), tried('/v1/predict', {method: 'POST', body: form}), tried('/v1/predict', {method: 'POST', body: form, mode: 'no-cors'}),
  tried('/v1/predict', {method: 'POST', body: data, headers: {authorization: 'Bearer x'}}), tried('/metrics', {mode: 'no-cors'}), picture('/')]);
</script>'''


@pytest.fixture(scope='module')
def address(oracle_bundle):
  here = pathlib.Path(__file__).parent
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('PYTHONPATH', f'{here.parents[1]}:{here.parent}:{here}')
    with serving_load.service('--model', str(oracle_bundle), '--import', 'serving_oracle', '--device', 'cpu', '--photographs', '3') as address:
      yield address


@pytest.fixture
def page(browser):
  """A page that keeps what it asked for and what its console said."""
  with contextlib.closing(browser.new_page()) as page:
    page.asked, page.said = [], []
    page.on('request', lambda request: page.asked.append(request.url))
    page.on('console', lambda message: page.said.append(message.text))
    page.on('pageerror', lambda error: page.said.append(str(error)))
    yield page


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('photographs')
  for grade in range(4):
    Image.fromarray(oracle.photograph(grade=grade, lesions=[(oracle.GREEN, (150, 100, 170, 120))])).save(folder / f'eye {grade}.png')
  (folder / 'note.txt').write_text('no photograph')
  return folder


def test_photographs_become_the_report(page, address, photographs):
  page.goto(address)
  page.set_input_files('#files', [photographs / 'eye 1.png', photographs / 'eye 3.png', photographs / 'note.txt'])
  assert page.locator('#list li').count() == 3
  page.click('#go')
  page.wait_for_url('**/v1/report')
  text = page.inner_text('body')
  assert 'eye 1.png' in text and 'eye 3.png' in text and 'note.txt' in text and 'it is no image' in text
  assert 'DR1' in text and 'DR3' in text
  assert {url for url in page.asked if not url.startswith(('data:', 'blob:'))} == {f'{address}/', f'{address}/v1/report'} and not page.said
  page.go_back()
  assert page.is_enabled('#go')


def test_dropped_ones_too_and_too_many_are_said(page, address, photographs):
  page.goto(address)
  drop = '''(names) => { const data = new DataTransfer(); for (const name of names) data.items.add(new File(['x'], name));
    document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); }'''
  page.evaluate(drop, ['a.png', '<img src=x onerror=alert(1)>.png'])
  assert page.locator('#list li').all_inner_texts() == ['a.png, 1 kB', '<img src=x onerror=alert(1)>.png, 1 kB']
  page.evaluate(drop, list('abcd'))
  assert 'a report takes 3' in page.inner_text('#said')
  page.click('#go')
  assert page.url == f'{address}/' and not page.said
  page.click('#clear')
  page.wait_for_function("document.querySelectorAll('#list li').length === 0 && !document.getElementById('said').textContent")


def test_a_refusal_is_a_page_with_a_way_back(page, address, photographs):
  page.goto(address)
  page.evaluate("document.getElementById('files').removeAttribute('required')")
  page.click('#go')
  page.wait_for_url('**/v1/report')
  assert 'no file' in page.inner_text('main')
  page.click('a')
  assert page.url == f'{address}/'


@pytest.mark.parametrize('path', ['/', '/docs'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_they_are_accessible_and_fit_a_phone(page, address, path, scheme):
  axe = pytest.importorskip('axe_playwright_python.sync_playwright')
  page.emulate_media(color_scheme=scheme)
  page.set_viewport_size({'width': 390, 'height': 800})
  page.goto(f'{address}{path}')
  found = axe.Axe().run(page)
  assert found.violations_count == 0, found.generate_report()
  assert page.evaluate('document.documentElement.scrollWidth') <= 390
  assert not page.said and {url for url in page.asked if not url.startswith('data:')} == {f'{address}{path}'}


def test_by_the_keyboard_alone(page, address, photographs):
  page.goto(address)
  page.keyboard.press('Tab')
  assert page.evaluate('document.activeElement.id') == 'files'
  page.set_input_files('#files', photographs / 'eye 2.png')
  page.keyboard.press('Tab')
  assert page.evaluate('document.activeElement.id') == 'go'
  page.keyboard.press('Enter')
  page.wait_for_url('**/v1/report')
  assert 'DR2' in page.inner_text('body')


def test_a_page_of_another_site_can_do_nothing(page, address, tmp_path):
  file = io.BytesIO()
  Image.fromarray(oracle.photograph()).save(file, 'PNG')
  text = FOREIGN.replace('SERVICE', address).replace('PHOTOGRAPH', str(list(file.getvalue())))
  (tmp_path / 'index.html').write_text(text)
  handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
  handler.log_message = lambda *arguments: None
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as foreign:
    threading.Thread(target=foreign.serve_forever, daemon=True).start()
    statuses = {}
    page.on('response', lambda response: statuses.update({(response.request.method, response.url): response.status}))
    page.goto(f'http://127.0.0.1:{foreign.server_port}/')
    found = page.evaluate('window.result')
    foreign.shutdown()
  assert found[:2] == ['refused'] * 2 and found[3] == 'refused' and found[5] == 'refused'
  assert all(each in ('refused', 'opaque 0') for each in found)
  ours = {key: status for key, status in statuses.items() if key[1].startswith(address)}
  assert ours and set(ours.values()) <= {403, 405}, ours
