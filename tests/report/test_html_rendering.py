"""The page in a real browser: what is switched is seen, nothing complains, and nothing is asked for."""

from __future__ import annotations

import batch
import chromium
import numpy as np
import pytest
from batch import MILD, RICH

from lesion_jax.report.html import write_report
from lesion_jax.report.overlay import COLORS

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason='there is neither chromium nor google-chrome')
EVIL = '<img src=x onerror="window.injected=1"><script>window.injected=2</script>'
SEEN = '[...document.querySelectorAll({!r})].filter((e) => e.checkVisibility())'
SHOWN = SEEN.format('article') + '.map((e) => e.dataset.number).join()'
WINDOW = 'document.querySelector(".view svg").viewBox.baseVal'


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
  with chromium.start(tmp_path_factory.mktemp('browser')) as started:
    yield started


@pytest.fixture(scope='module')
def address(tmp_path_factory):
  out = tmp_path_factory.mktemp('batch')
  entries = [batch.write(out, RICH), batch.failed(f'{EVIL}.jpg', EVIL),
             batch.write(out, MILD, file=f'eyes/{EVIL}.png', provenance={'note': EVIL}, grade=4)]
  write_report(out / 'report.html', entries)
  return (out / 'report.html').as_uri()


def colored(picture, key, tolerance=40):
  """How many pixels of uint8 [H, W, 3] have the colour of a lesion's outline."""
  return int((np.abs(picture.astype(int) - COLORS[key]).max(-1) <= tolerance).sum())


def test_the_page_opens_without_a_complaint_and_asks_for_nothing(browser, address):
  browser.open(address)
  assert browser.complaints() == [] and browser.requests() == [address]
  assert browser.evaluate(SHOWN) == '1'
  assert browser.evaluate('window.injected') is None
  assert EVIL in browser.evaluate('document.body.innerText')


def test_switching_a_lesion_off_takes_its_outlines_away_and_no_others(browser, address):
  before = browser.open(address).look('.view')
  assert all(colored(before, key) > 50 for key in ('MA', 'iHE', 'HaEx', 'CWS'))
  browser.click('input[data-lesion=iHE]')
  after = browser.look('.view')
  assert colored(after, 'iHE') == 0
  for key in ('MA', 'HaEx', 'CWS'):
    assert colored(after, key) >= colored(before, key) > 50
  assert browser.evaluate('location.hash') == '#photo=1&lesions=MA,HaEx,CWS'
  browser.click('input[data-lesion=iHE]')
  np.testing.assert_array_equal(browser.look('.view'), before)
  assert browser.complaints() == []


def test_all_can_be_hidden_and_shown(browser, address):
  before = browser.open(address).look('.view')
  browser.click('button[data-all="0"]')
  assert not any(colored(browser.look('.view'), key) for key in ('MA', 'iHE', 'HaEx'))
  browser.click('button[data-all="1"]')
  np.testing.assert_array_equal(browser.look('.view'), before)


def test_the_address_says_what_is_seen(browser, address):
  picture = browser.open(f'{address}#photo=1&lesions=HaEx').look('.view')
  assert colored(picture, 'HaEx') > 50 and not colored(picture, 'MA') and not colored(picture, 'iHE')
  filled = browser.open(f'{address}#photo=1&lesions=HaEx&fill=100').look('.view')
  assert colored(filled, 'HaEx') > 1.2 * colored(picture, 'HaEx')
  browser.open(f'{address}#photo=3')
  assert browser.evaluate(SHOWN) == '3'


def test_outlines_lie_where_the_lesions_are(browser, address):
  picture = browser.open(f'{address}#photo=1&lesions=HaEx&fill=100', width=1280).look('.view')
  truth = (batch.sample(RICH).truth >> 2) & 1
  rows, columns = ((np.arange(size) * batch.SIZE) // size for size in picture.shape[:2])
  truth = truth[rows][:, columns] > 0
  drawn = np.abs(picture.astype(int) - COLORS['HaEx']).max(-1) <= 40
  assert (drawn & truth).sum() / (drawn | truth).sum() > 0.6  # the line lies half outside, and the lesions are small


def test_a_microaneurysm_fills_the_view_when_it_is_looked_at(browser, address):
  rows, columns = np.nonzero(batch.sample(MILD).truth & 1)
  view = f'{columns[0] - 6},{rows[0] - 6},{14}'
  near = browser.open(f'{address}#photo=3&view={view}').look('.view')
  far = browser.open(f'{address}#photo=3').look('.view')
  lines = np.argwhere(np.abs(near.astype(int) - COLORS['MA']).max(-1) <= 40)
  height, width = np.ptp(lines, axis=0)
  assert min(height, width) > 60  # the outline of one of them, pixels of the screen
  # The line is as thin as before.
  assert len(lines) < 3 * 2 * (height + width) and colored(far, 'MA') > 50


def test_attention_and_quadrants_lie_over_the_photograph(browser, address):
  plain = browser.open(f'{address}#photo=1&lesions=').look('.view').astype(int)
  attention = browser.open(f'{address}#photo=1&lesions=&attention=100').look('.view').astype(int)
  middle = tuple(length // 2 for length in attention.shape[:2])
  assert np.abs(attention[middle] - (34, 143, 140)).max() < 12  # 0.45 of the ramp, which goes from 0 to 1 in every photograph
  assert attention[20, 20].max() < 12 and attention[-20, -20].max() < 12, 'nothing lies over the black border'
  browser.open(f'{address}#photo=1&lesions=').click('input[data-cross]')
  assert browser.evaluate('location.hash') == '#photo=1&lesions=&cross=1'
  cross = browser.look('.view').astype(int)
  changed = np.argwhere(np.abs(cross - plain).max(-1) > 40)
  center = np.array(plain.shape[:2]) / 2
  assert len(changed) > 200 and (np.abs(changed - center).min(axis=1) < 6).all()


def test_the_keyboard_does_everything(browser, address):
  browser.open(f'{address}#photo=1')
  browser.evaluate('document.querySelector("#photographs .view").focus()')
  browser.press('+')
  assert browser.evaluate(f'{WINDOW}.width') == pytest.approx(batch.SIZE / 1.5)
  left = browser.evaluate(f'{WINDOW}.x')
  browser.press('ArrowRight')
  assert browser.evaluate(f'{WINDOW}.x') > left
  assert 'view=' in browser.evaluate('location.hash')
  browser.press('0')
  assert browser.evaluate('location.hash') == '#photo=1'
  browser.evaluate('document.querySelector("article input[data-lesion=MA]").focus()')
  browser.press(' ')
  assert browser.evaluate('location.hash') == '#photo=1&lesions=iHE,HaEx,CWS'
  browser.evaluate('document.querySelector("article .step").focus()')
  browser.press('Enter')
  assert browser.evaluate(f'new Promise((done) => setTimeout(() => done({SHOWN}), 50))') == '3'
  assert browser.evaluate('document.activeElement.id') == 'title-3'
  assert browser.evaluate('location.hash') == '#photo=3&lesions=iHE,HaEx,CWS'  # what is switched stays


def test_a_slider_fills_the_outlines(browser, address):
  thin = browser.open(f'{address}#photo=1&lesions=HaEx').look('.view')
  browser.evaluate('document.querySelector("article input[data-set=fill]").focus()')
  browser.press('End')
  assert browser.evaluate('location.hash') == '#photo=1&lesions=HaEx&fill=100'
  assert colored(browser.look('.view'), 'HaEx') > 1.2 * colored(thin, 'HaEx')


def test_everything_that_can_be_switched_has_a_name(browser, address):
  browser.open(address)
  nodes = browser.call('Accessibility.getFullAXTree')['nodes']
  of = lambda *roles: [node.get('name', {}).get('value', '') for node in nodes
                       if node.get('role', {}).get('value') in roles and not node.get('ignored')]
  names = of('checkbox', 'slider', 'button', 'link', 'region', 'image')
  assert len(names) > 15 and all(names)
  assert 'MA microaneurysm' in of('checkbox') and 'Zoom in' in of('button') and 'Attention' in of('slider')


def test_the_policy_stops_what_a_page_could_ask_for(browser, address):
  browser.open(address)
  found = browser.evaluate('''(async () => {
    const broken = [];
    addEventListener('securitypolicyviolation', (event) => broken.push(event.effectiveDirective));
    await fetch('https://example.org/').catch(() => 0);
    document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}));
    document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.injected = 3'}));
    for (let tries = 0; tries < 100 && broken.length < 3; tries++) await new Promise((done) => setTimeout(done, 20));
    return [broken.sort().join(), window.injected];
  })()''')
  assert found == ['connect-src,img-src,script-src-elem', None]


@pytest.mark.parametrize('width', [320, 360, 768, 1000, 1440])
def test_the_page_fits_its_window(browser, address, width):
  browser.open(f'{address}#photo=1', width=width)
  browser.evaluate('document.querySelectorAll("details").forEach((item) => item.open = true)')
  assert browser.evaluate('document.documentElement.scrollWidth') <= width
  assert browser.look('.view').shape[1] > 0.4 * width


def test_dark_windows_get_a_dark_page(browser, address):
  shade = lambda **options: browser.open(address, **options).look()[4, 4].mean()
  assert shade(dark=True) < 60 and shade() > 200


def test_paper_gets_all_photographs_and_no_switches(browser, address):
  browser.open(address, media='print', dark=True)
  assert browser.evaluate(SHOWN) == '1,3'
  assert browser.evaluate(SEEN.format('input, button') + '.length') == 0
  assert browser.look()[4, 4].mean() > 200
