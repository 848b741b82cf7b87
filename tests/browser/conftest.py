"""Pages of synthetic results in headless Chromium (the fixture `browser`)."""

from __future__ import annotations

import batch
import pytest

from lesion_jax.report.html import write_report
from lesion_jax.report.table import write_table


@pytest.fixture
def open_page(browser):
  """`open_page(path, fragment, **of the context)`: a page of its own, with nothing kept from others; at the end nothing was complained of
  and nothing asked for."""
  contexts, heard, asked, opened = [], [], [], []

  def start(path, fragment='', **options):
    context = browser.new_context(**{'viewport': {'width': 1440, 'height': 900}, **options})
    contexts.append(context)
    page = context.new_page()
    page.on('console', lambda message: heard.append(message.text))
    page.on('pageerror', lambda error: heard.append(str(error)))
    page.on('request', lambda request: asked.append(request.url))
    opened.append(path.as_uri())
    page.goto(path.as_uri() + fragment)
    return page

  yield start
  for context in contexts:
    context.close()
  assert heard == []
  assert {url.partition('#')[0] for url in asked if not url.startswith(('data:', 'blob:'))} <= set(opened)


@pytest.fixture(scope='module')
def study(tmp_path_factory):
  """(folder, entries): two eyes of patient 12, one photograph of nobody's, a file that failed; the network is unsure of the third."""
  out = tmp_path_factory.mktemp('study')
  data = {'data': {'name': 'idrid'}}
  unsure = batch.write(out, batch.MILD, file='eyes/alone.png', folder='alone', annotated=['MA', 'iHE', 'HaEx', 'CWS'], **data)
  probabilities = {'DR0': 0.1, 'DR1': 0.4, 'DR2': 0.35, 'DR3': 0.1, 'DR4': 0.05}
  entries = [batch.write(out, batch.RICH, file='eyes/12_left.png', folder='12_left', **data),
             batch.write(out, batch.HEALTHY, file='eyes/12_right.png', folder='12_right', **data), batch.failed(),
             batch.changed(unsure, 3, grade={'probabilities': probabilities})]
  write_table(out / 'results.csv', entries)
  write_report(out / 'report.html', entries)
  return out, entries
