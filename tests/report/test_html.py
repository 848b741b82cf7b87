"""The page of a batch as text: complete, escaped, and closed to everything outside of it."""

from __future__ import annotations

import base64
import configparser
import datetime
import hashlib
import html.parser
import io
import pathlib
import re

import batch
import pytest
from batch import HEALTHY, MILD, RICH
from PIL import Image

from lesion_jax.report import html as report_html
from lesion_jax.report.html import write_report
from lesion_jax.report.table import SKIPPED, Entry

NOW = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)
VOID = {'meta', 'link', 'img', 'input', 'br'}


class Page(html.parser.HTMLParser):
  """The elements of a page, (name, attributes), and its text; complains where tags do not match."""

  def __init__(self, text):
    super().__init__()
    self.elements, self.text, self._open = [], [], []
    self.feed(text)
    assert not self._open, self._open

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self._open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)

  def of(self, tag):
    return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def make_page(tmp_path):
  def make(*entries):
    write_report(tmp_path / 'report.html', entries, now=NOW)
    return (tmp_path / 'report.html').read_text('utf-8')

  return make


def test_every_photograph_has_a_row_and_those_that_are_done_an_article(make_page, tmp_path):
  page = Page(make_page(batch.write(tmp_path, RICH), batch.failed(), batch.write(tmp_path, MILD)))
  assert [article['id'] for article in page.of('article')] == ['photo=1', 'photo=3']
  text = ' '.join(page.text)
  for said in ('3 photographs, 1 of them could not be done', 'it is no image', 'DR3', 'severe non-proliferative',
               'Over 20 intraretinal hemorrhages in each of 4 quadrants', 'multitask', 'For research use only. Not a medical device.',
               '2026-01-02 03:04 UTC'):
    assert said in text, said


def test_text_from_outside_is_escaped_everywhere(make_page, tmp_path):
  evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
  text = make_page(batch.write(tmp_path, RICH, file=f'{evil}.png', folder='evil', provenance={evil: evil},
                               data={'name': evil}, model={'name': evil}), batch.failed(evil, f'{evil} is broken'))
  page = Page(text)
  assert [script.get('type') for script in page.of('script')] == ['application/json', None] and evil not in text
  assert not any(name.startswith('on') for _, attributes in page.elements for name in attributes)
  assert f'{evil}.png' in ' '.join(page.text)


def test_nothing_but_the_pages_own_script_and_style_may_run_and_nothing_may_load(make_page, tmp_path):
  text = make_page(batch.write(tmp_path, RICH))
  policy = next(meta['content'] for meta in Page(text).of('meta') if 'http-equiv' in meta)
  digest = lambda tag: base64.b64encode(hashlib.sha256(
      re.search(f'<{tag}>(.*?)</{tag}>', text, re.DOTALL)[1].encode()).digest()).decode()
  assert policy == (f"default-src 'none'; img-src data:; style-src 'sha256-{digest('style')}'; "
                    f"script-src 'sha256-{digest('script')}'; base-uri 'none'; form-action 'none'")


def test_every_address_is_in_the_page(make_page, tmp_path):
  page = Page(make_page(batch.write(tmp_path, RICH), batch.write(tmp_path, MILD)))
  addresses = [attributes[name] for _, attributes in page.elements for name in ('href', 'src') if name in attributes]
  assert len(addresses) > 10 and all(address.startswith(('#', 'data:')) for address in addresses)
  assert not any('style' in attributes for _, attributes in page.elements)
  assert 'url(' not in report_html.read('report.css') and '@import' not in report_html.read('report.css')


def test_what_is_switched_has_a_label_and_what_is_seen_a_text(make_page, tmp_path):
  page = Page(make_page(batch.write(tmp_path, RICH)))
  switches = [attributes['data-lesion'] for attributes in page.of('input') if 'data-lesion' in attributes]
  assert switches == ['MA', 'iHE', 'HaEx', 'CWS']
  pictures = [attributes for attributes in page.of('svg') if attributes.get('role') == 'img']
  assert 'microaneurysm' in pictures[0]['aria-label'] and 'eyes/0.png' in pictures[0]['aria-label']
  assert all('aria-hidden' in attributes or 'role' in attributes for attributes in page.of('svg'))
  assert all('alt' in attributes for attributes in page.of('img'))


def test_outlines_lie_over_the_photograph_in_its_own_pixels(make_page, tmp_path):
  page = Page(make_page(batch.write(tmp_path, RICH)))
  picture = next(attributes for attributes in page.of('svg') if attributes.get('role') == 'img')
  assert picture['viewbox'] == f'0 0 {batch.SIZE} {batch.SIZE}'
  assert [attributes['data-lesion'] for attributes in page.of('g')] == ['MA', 'iHE', 'HaEx', 'CWS']


@pytest.mark.parametrize('heads, there, missing', [
    (('grades',), 'This network does not look for lesions', 'Regions and area by quadrant'),
    (('maps', 'lesions'), 'This network does not grade', 'no diabetic retinopathy'),
    (('lesions',), 'microaneurysm', 'Regions and area by quadrant'),
])
def test_networks_with_fewer_heads_have_their_page(make_page, tmp_path, heads, there, missing):
  text = ' '.join(Page(make_page(batch.write(tmp_path, RICH, heads=heads))).text)
  article = text[text.index('eyes/0.png'):text.index('About this page')]
  assert there in article and missing not in article


def test_a_folder_whose_picture_is_gone_is_said(make_page, tmp_path):
  entry = batch.write(tmp_path, MILD)
  (tmp_path / entry.folder / 'field.jpg').unlink()
  assert 'The picture cannot be shown' in make_page(entry)


@pytest.mark.parametrize('name', ['attention.png', 'field.jpg', 'outlines.svg'])
def test_a_folder_whose_picture_is_damaged_is_said_and_the_others_stand_in_the_page(make_page, tmp_path, name):
  entries = [batch.write(tmp_path, index) for index in (MILD, HEALTHY)]
  path = tmp_path / entries[0].folder / name
  data, place = path.read_bytes(), max(path.read_bytes().find(b'IDAT'), 4)
  path.write_bytes(data[:place - 4] + bytes([0, 0, 0, 4]) + data[place:])  # of a PNG the length of its data
  text = make_page(*entries)
  assert text.count('The picture cannot be shown') == 1 and text.count('<article') == 2


def test_where_not_all_were_predicted_alike_the_page_says_of_which_its_thresholds_are(make_page, tmp_path):
  entries = [batch.write(tmp_path, index) for index in (RICH, MILD, HEALTHY)]
  assert 'of the first photograph' not in make_page(*entries)
  entries[2].record['run']['options'] = {'threshold': {'MA': 0.3}}
  assert 'So it is of the first photograph; 1 photograph was predicted by another network or with other options' in make_page(*entries)


def test_results_of_an_earlier_run_are_read_from_their_folders(make_page, tmp_path):
  entry = batch.write(tmp_path, HEALTHY)
  text = make_page(Entry(entry.file, entry.folder, SKIPPED, entry.record))
  assert 'of an earlier run' in text and 'no lesion found, as in DR0' in text


def test_of_a_large_batch_the_first_have_pictures_and_all_have_rows(make_page, tmp_path, monkeypatch):
  monkeypatch.setattr(report_html, 'MAX_PICTURES', 2)
  entries = [batch.write(tmp_path, index) for index in (RICH, MILD, HEALTHY)]
  page = Page(make_page(*entries))
  assert len(page.of('article')) == 2
  assert [attributes['href'] for attributes in page.of('a') if 'data-number' in attributes] == [
      '#photo=1', '#photo=2', '#photo=2', '#photo=1']  # two rows, next, previous
  assert 'those of the other 1 are in their folders' in ' '.join(' '.join(page.text).split())


@pytest.mark.parametrize('count, side', [(1, 256), (2, 64)])
def test_pictures_are_smaller_in_larger_batches(make_page, tmp_path, monkeypatch, count, side):
  monkeypatch.setattr(report_html, 'SIDES', ((1, 2048), (2, 64)))
  page = Page(make_page(*[batch.write(tmp_path, index) for index in range(count)]))
  data = next(attributes['href'] for attributes in page.of('image') if attributes['class'] == 'photo')
  with Image.open(io.BytesIO(base64.b64decode(data.partition(',')[2]))) as image:
    assert image.size == (side, side)


def test_a_batch_of_nothing_but_failures_has_a_page(make_page):
  assert 'it is no image' in ' '.join(Page(make_page(batch.failed())).text)


def test_everything_beside_the_code_is_installed_with_it():
  root = pathlib.Path(__file__).parents[2]
  setup = configparser.ConfigParser()
  setup.read(root / 'setup.cfg', 'utf-8')
  installed = {file for package, patterns in setup['options.package_data'].items() for pattern in patterns.split()
               for file in (root / package.replace('.', '/')).glob(pattern)}
  beside = {path for path in (root / 'lesion_jax').rglob('*')
            if path.is_file() and path.suffix != '.py' and '__pycache__' not in path.parts}
  assert beside and beside <= installed
