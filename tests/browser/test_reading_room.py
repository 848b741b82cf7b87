"""The page as a clinician works with it: every key and control in a browser, and what is saved read back by the commands."""

from __future__ import annotations

import csv
import io
import json
import re

import batch
import numpy as np
import pytest
from PIL import Image

from lesion_jax.annotation.labels import Labels
from lesion_jax.annotation.reading import read_exports
from lesion_jax.clinical.record import present_lesions
from lesion_jax.clinical.unsure import disagrees, is_unsure
from lesion_jax.comparison import compare_predictions
from lesion_jax.photograph.crop import whole
from lesion_jax.photograph.field import Field
from lesion_jax.report import html, html_photograph
from lesion_jax.report.html import write_report
from lesion_jax.report.maps import Maps, write_maps
from lesion_jax.report.overlay import COLORS
from lesion_jax.report.table import write_table

pytestmark = pytest.mark.browser

OPEN = '#photographs > article:not([hidden])'


def shown(page):
  """The number of the photograph that is open."""
  return page.locator(OPEN).get_attribute('data-number')


def press(page, *keys):
  for key in keys:
    page.keyboard.press(key)
  page.evaluate('new Promise(requestAnimationFrame)')
  return page


def listed(page):
  """The numbers of the list, as it is sorted and filtered."""
  return [int(number) for number in page.evaluate('[...document.querySelectorAll(".item:not([hidden])")].map((item) => item.dataset.item)')]


def pixels(locator):
  with Image.open(io.BytesIO(locator.screenshot())) as image:
    return np.asarray(image.convert('RGB')).astype(int)


def colored(picture, key, tolerance=40):
  return int((np.abs(picture - COLORS[key]).max(-1) <= tolerance).sum())


def save(page, form):
  with page.expect_download() as download:
    page.click(f'[data-save={form}]')
  assert download.value.suggested_filename == f'readings.{form}'
  return download.value.path()


@pytest.fixture(scope='module')
def with_maps(tmp_path_factory):
  out = tmp_path_factory.mktemp('maps')
  entry = batch.write(out, batch.RICH, annotated=['MA', 'HaEx'], data={'name': 'idrid'})
  ramp = np.tile(np.linspace(0, 1, batch.SIZE, dtype=np.float32), (batch.SIZE, 1))
  maps = np.repeat(ramp[..., None], 8, axis=-1)
  field = Field(np.ones((batch.SIZE, batch.SIZE), bool), batch.SIZE // 2, batch.SIZE // 2)
  names = write_maps(out / entry.folder, maps, field, whole(batch.SIZE, batch.SIZE), ['MA', 'HaEx'], Maps())
  about = {'format': 'npz', 'at': 'network', 'centre': {'row': 128, 'column': 128}, 'scores': {'MA': 1.0, 'HaEx': 1.0}, 'presence_follows': True}
  record = entry.record | {'maps': about, 'files': [*entry.record['files'], *names]}
  said = write_report(out / 'report.html', [batch.Entry(entry.file, entry.folder, entry.status, record)], maps=True)
  assert re.fullmatch(r'.*report\.html has [\d.]+ [kM]B, with the maps', said)
  return out


@pytest.fixture(scope='module')
def many(tmp_path_factory):
  """200 photographs whose grades, lesions and quality are drawn."""
  out, rng = tmp_path_factory.mktemp('many'), np.random.default_rng(5)
  kinds = [batch.write(out, index, data={'name': 'idrid'}) for index in (batch.RICH, batch.MILD, batch.HEALTHY)]
  entries = []
  for number in range(200):
    entry = kinds[rng.integers(3)]
    probabilities = dict(zip(('DR0', 'DR1', 'DR2', 'DR3', 'DR4'), np.round(rng.dirichlet(np.full(5, 0.3)), 6).tolist(), strict=True))
    key = max(probabilities, key=probabilities.get)
    grade = {'value': int(key[2]), 'key': key, 'referable': key >= 'DR2', 'probabilities': probabilities}
    reasons = ['blurred'] if rng.random() < 0.2 else []
    quality = entry.record['quality'] | {'reasons': reasons, 'gradable': not reasons}
    made = batch.changed(entry, number, grade=grade, quality=quality, file=f'study/{number // 2:03d}_{"OD" if number % 2 else "OS"}.png')
    made.record.pop('look')  # it follows from the others
    entries.append(made)
  write_report(out / 'report.html', entries)
  return out / 'report.html', entries


class TestKeys:

  def test_they_step_through_the_list_and_round_its_end(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    found = [shown(page)]
    for key in ('j', 'ArrowRight', 'j', 'k', 'ArrowLeft'):
      found.append(shown(press(page, key)))
    assert found == ['1', '2', '4', '1', '4', '2']  # 3 failed
    assert page.evaluate('document.activeElement.id') == 'title-2'

  def test_n_finds_the_next_that_is_unsure_or_referable(self, study, open_page):
    page = open_page(study[0] / 'report.html', '#photo=2')
    assert [shown(press(page, 'n')) for _ in range(3)] == ['4', '1', '4']

  def test_digits_switch_the_lesions(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    press(page, '1', '3')
    assert page.evaluate('location.hash') == '#photo=1&lesions=iHE,CWS'
    assert page.locator(f'{OPEN} g.lesion.MA').first.is_hidden() and page.locator(f'{OPEN} input[data-lesion=HaEx]').is_checked() is False
    press(page, '1', '3', '5')
    assert page.evaluate('location.hash') == '#photo=1'
    assert page.inner_text('#said') == 'vHE is outlined in no photograph.'

  def test_space_takes_the_outlines_away_as_long_as_it_is_held(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    view = page.locator(f'{OPEN} .view')
    before = colored(pixels(view), 'HaEx')
    page.keyboard.down(' ')
    assert colored(pixels(view), 'HaEx') == 0 < before
    page.keyboard.up(' ')
    page.locator('html:not(.blink)').wait_for()
    assert colored(pixels(view), 'HaEx') == before

  @pytest.mark.parametrize('what', ['[data-switch=red]', '[data-verdict=rejected]'])
  def test_after_a_click_the_space_bar_blinks_and_presses_nothing_again(self, study, open_page, what):
    page = open_page(study[0] / 'report.html')
    clicked = page.locator(f'{OPEN} {what}').first
    clicked.click()
    pressed = lambda: clicked.evaluate('(at) => at.checked ?? at.getAttribute("aria-pressed")')
    page.wait_for_function('document.activeElement === document.body')
    before = pressed()
    page.keyboard.down(' ')
    page.locator('html.blink').wait_for()
    page.keyboard.up(' ')
    assert pressed() == before

  @pytest.mark.parametrize('focused', [True, False])
  def test_zoom_whole_and_the_arrows_in_an_enlarged_picture(self, study, open_page, focused):
    page = open_page(study[0] / 'report.html')
    box = lambda: [float(number) for number in page.locator(f'{OPEN} .view svg').get_attribute('viewBox').split()]
    if focused:
      page.locator(f'{OPEN} .view').focus()
    press(page, '+')
    assert box()[2] == pytest.approx(batch.SIZE / 1.5)
    left = box()[0]
    press(page, 'ArrowRight')
    assert box()[0] > left and shown(page) == '1'
    press(page, '0', 'ArrowRight')
    assert shown(page) == '2'

  def test_those_of_the_view_are_switches_too(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    press(page, 'r', 'q', 's')
    for name in ('red', 'cross', 'plain'):
      assert page.locator(f'{OPEN} input[data-switch={name}]').is_checked()
    assert page.evaluate('location.hash') == '#photo=1&red=1&cross=1&plain=1'
    assert page.locator(f'{OPEN} path.cross').first.is_visible()
    press(page, 'r', 'q', 's')
    assert page.evaluate('location.hash') == '#photo=1'

  def test_in_a_field_of_text_they_are_letters(self, study, open_page):
    page = press(open_page(study[0] / 'report.html'), 'c')
    page.keyboard.type('jn1 r?')
    assert shown(page) == '1' and page.locator(f'{OPEN} textarea').input_value() == 'jn1 r?'
    press(page, 'Escape', 'j')
    assert shown(page) == '2'

  def test_grade_find_and_help_are_one_key_away(self, study, open_page):
    page = press(open_page(study[0] / 'report.html'), 'g')
    assert page.evaluate('document.activeElement.dataset.answer') == 'grade'
    press(page, '/')
    assert page.evaluate('document.activeElement.dataset.filter') == 'find'
    press(page, 'Escape', '?')
    assert page.locator('#help').is_visible()
    press(page, 'Escape')
    assert page.locator('#help').is_hidden()


class TestView:

  def test_the_wheel_and_a_double_click_enlarge_and_dragging_moves(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    svg = page.locator(f'{OPEN} .view svg')
    box = lambda: [float(number) for number in svg.get_attribute('viewBox').split()]
    svg.hover()
    page.mouse.wheel(0, -200)
    page.wait_for_url('**view=**')
    first = box()
    assert first[2] == pytest.approx(batch.SIZE * np.exp(-0.5), rel=0.01)
    page.mouse.down()
    place = svg.bounding_box()
    page.mouse.move(place['x'] + place['width'] * 0.4, place['y'] + place['height'] * 0.4)
    page.mouse.up()
    assert box()[0] > first[0] and box()[1] > first[1]
    page.mouse.wheel(0, 2000)
    page.wait_for_timeout(300)
    assert box()[2] == batch.SIZE
    svg.dblclick()
    assert box()[2] == pytest.approx(batch.SIZE / 2)

  def test_two_fingers_enlarge_the_picture(self, study, open_page):
    page = open_page(study[0] / 'report.html', has_touch=True, viewport={'width': 390, 'height': 844}, is_mobile=True)
    svg = page.locator(f'{OPEN} .view svg')
    svg.scroll_into_view_if_needed()
    place = svg.bounding_box()
    x, y = place['x'] + place['width'] / 2, place['y'] + place['height'] / 2
    session = page.context.new_cdp_session(page)
    touch = lambda kind, apart: session.send('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': [
        {'x': x - apart, 'y': y, 'id': 0}, {'x': x + apart, 'y': y, 'id': 1}] if apart else []})
    touch('touchStart', 20)
    for apart in (30, 40, 60):
      touch('touchMove', apart)
    touch('touchEnd', 0)
    assert float(svg.get_attribute('viewBox').split()[2]) < batch.SIZE / 2

  def test_red_free_is_the_green_channel_and_outlines_keep_their_colours(self, study, open_page):
    page = open_page(study[0] / 'report.html', '#photo=1&lesions=')
    seen = pixels(page.locator(f'{OPEN} .view'))
    press(page, 'r')
    red_free = pixels(page.locator(f'{OPEN} .view'))
    assert np.ptp(red_free, axis=-1).max() <= 2 < np.ptp(seen, axis=-1).max()
    expected = np.clip(1.6 * seen[..., 1] - 0.08 * 255, 0, 255)
    assert np.abs(red_free[..., 0] - expected).mean() < 3
    press(page, '3')
    assert colored(pixels(page.locator(f'{OPEN} .view')), 'HaEx') > 50

  def test_beside_it_stands_the_same_without_outlines_and_moves_with_it(self, study, open_page):
    page = press(open_page(study[0] / 'report.html'), 's')
    first, second = (page.locator(f'{OPEN} .view').nth(number) for number in (0, 1))
    assert colored(pixels(first), 'HaEx') > 50 and colored(pixels(second), 'HaEx') == 0
    press(page, '+')
    boxes = [view.locator('svg').get_attribute('viewBox') for view in (first, second)]
    assert boxes[0] == boxes[1] != f'0 0 {batch.SIZE} {batch.SIZE}'
    names = page.evaluate('[...document.querySelectorAll("[id]")].map((item) => item.id)')
    assert len(set(names)) == len(names)

  def test_both_eyes_stand_together_the_right_one_on_the_left(self, study, open_page):
    page = press(open_page(study[0] / 'report.html'), 'b')
    titles = page.locator(f'{OPEN} .pane-title').all_inner_texts()
    assert titles == ['Other: right eye (OD)', 'left eye (OS)']
    page.locator(f'{OPEN} a.fellow').click()
    assert shown(page) == '2' and page.locator(f'{OPEN} .pane-title').all_inner_texts() == ['right eye (OD)', 'Other: left eye (OS)']
    press(page, 'j')
    assert page.locator(f'{OPEN} .view').count() == 1, 'nobody knows of another eye'

  def test_nothing_is_drawn_outside_the_field_of_view(self, study, open_page):
    page = open_page(study[0] / 'report.html', '#photo=1&attention=100')
    view = page.locator(f'{OPEN} .view')
    # An outline that runs round the whole square, and one inside.
    page.evaluate(f'''document.querySelector('{OPEN} g.lesion.HaEx path').setAttribute('d', 'M0 0h{batch.SIZE}v{batch.SIZE}h-{batch.SIZE}z')''')
    seen = pixels(view)
    side = seen.shape[0]
    corner = slice(8, side // 10)  # behind the round corners of the box
    assert seen[corner, corner].max() < 40
    assert seen[side // 2, side // 2].max() > 100


class TestMaps:

  def test_a_slider_fills_what_would_be_in_the_mask_and_says_its_area(self, with_maps, open_page):
    page = open_page(with_maps / 'report.html', '#photo=1&lesions=')
    view, slider = page.locator(f'{OPEN} .view'), page.locator(f'{OPEN} input[data-cut=HaEx]')
    before = pixels(view)
    slider.fill('192')
    after = pixels(view)
    filled = np.abs(after - before).max(-1) > 30
    side = filled.shape[1]
    inside = slice(side // 3, 2 * side // 3)  # where the photograph is no black border
    assert filled[inside, int(0.78 * side):int(0.85 * side)].mean() > 0.9 and not filled[inside, :int(0.73 * side)].any()
    assert page.locator(f'{OPEN} input[data-cut=HaEx] + output').inner_text() == 'from 0.75: 25 % of the field'
    page.click(f'{OPEN} [data-uncut]')
    np.testing.assert_array_equal(pixels(view), before)

  def test_without_them_there_are_no_sliders(self, study, open_page):
    assert open_page(study[0] / 'report.html').locator('[data-cut]').count() == 0


class TestList:

  @pytest.mark.parametrize('control, value, fits', [
      ('grade', '3', lambda record: record['grade']['value'] == 3),
      ('grade', '2+', lambda record: record['grade']['referable']),
      ('lesion', 'CWS', lambda record: 'CWS' in present_lesions(record)),
      ('lesion', 'none', lambda record: not present_lesions(record)),
      ('quality', 'blurred', lambda record: record['quality']['reasons'] == ['blurred']),
      ('quality', 'good', lambda record: not record['quality']['reasons']),
      ('only', 'unsure', is_unsure), ('only', 'disagrees', disagrees),
      ('only', 'referable', lambda record: record['grade']['referable']),
  ])
  def test_filters_leave_what_fits(self, many, open_page, control, value, fits):
    page = open_page(many[0])
    if control == 'only':
      page.check(f'[data-only={value}]')
    else:
      page.select_option(f'[data-filter={control}]', value)
    expected = [number for number, entry in enumerate(many[1], 1) if fits(entry.record)]
    assert listed(page) == expected and 0 < len(expected) < 200
    assert page.inner_text('#listed') == f'{len(expected)} of 200 photographs fit'
    assert shown(page) == str(expected[0])
    page.reload()
    assert listed(page) == expected, 'the address keeps it'

  def test_a_file_that_failed_is_one_that_a_person_looks_at(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    page.check('[data-only=look]')
    assert 3 in listed(page) and 'a person looks' in page.locator('[data-item="3"]').inner_text()

  def test_filters_hold_together_and_words_find_patients(self, many, open_page):
    page = open_page(many[0])
    page.fill('[data-filter=find]', '04')
    page.check('[data-only=referable]')
    expected = [number for number, entry in enumerate(many[1], 1) if '04' in entry.file and entry.record['grade']['referable']]
    assert listed(page) == expected and expected

  @pytest.mark.parametrize('order, key', [
      ('grade', lambda entry: (-entry.record['grade']['value'], -max(entry.record['grade']['probabilities'].values()))),
      ('sure', lambda entry: max(entry.record['grade']['probabilities'].values())),
      ('area', lambda entry: -sum(entry.record['lesions'][key]['found']['share'] for key in present_lesions(entry.record))),
      ('patient', lambda entry: (entry.file[:9], entry.file[10:12] != 'OD')),  # the right eye first
  ])
  def test_it_is_sorted_and_steps_follow_it(self, many, open_page, order, key):
    page = open_page(many[0])
    page.select_option('[data-filter=sort]', order)
    expected = sorted(range(1, 201), key=lambda number: (key(many[1][number - 1]), number))
    assert listed(page) == expected
    page.locator('.item a').first.click()
    press(page, 'j')
    assert shown(page) == str(expected[1])

  def test_what_is_read_can_be_left_out(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    page.check(f'{OPEN} [data-answer=grade][value="2"]')
    page.check('[data-only=open]')
    assert 1 not in listed(page) and shown(page) == '2'


class TestReadings:

  def answer(self, page):
    """Photograph 1: DR3, MA right, HaEx wrong, with a comment. Photograph 2: not gradable. Photograph 4: DR1."""
    page.check(f'{OPEN} [data-answer=grade][value="3"]')
    page.locator(f'{OPEN} h2').click()
    press(page, 'Shift+1', 'Shift+3', 'Shift+3')
    page.fill(f'{OPEN} textarea', '=1+1, "really"\nsecond line; \N{MICRO SIGN}')
    press(page, 'Escape', 'j')
    page.check(f'{OPEN} [data-answer=grade][value=ungradable]')
    page.locator(f'{OPEN} h2').click()
    press(page, 'j')
    page.check(f'{OPEN} [data-answer=grade][value="1"]')
    page.fill('#reader', 'Dr. No')

  def test_they_are_kept_and_shown(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    self.answer(page)
    page.reload()
    press(page, 'k')
    page.goto((study[0] / 'report.html').as_uri() + '#photo=1')
    assert page.locator(f'{OPEN} [data-answer=grade][value="3"]').is_checked()
    pressed = page.locator(f'{OPEN} [aria-pressed=true]').evaluate_all('(all) => all.map((item) => item.ariaLabel)')
    assert pressed == ['MA is right', 'HaEx is wrong']
    assert page.inner_text('#kept').startswith('3 of 4 photographs read.')
    assert page.locator('[data-answered="1"]').inner_text() == '✓ DR3'
    page.click(f'{OPEN} [data-ungrade]')
    page.fill(f'{OPEN} textarea', '')
    page.locator(f'{OPEN} h2').click()
    press(page, 'Shift+1', 'Shift+1', 'Shift+3')
    assert page.inner_text('#kept').startswith('2 of 4 photographs read.')

  def test_a_saved_table_is_read_by_compare(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    self.answer(page)
    path = save(page, 'csv')
    with path.open(newline='', encoding='utf-8') as file:
      rows = {row['file']: row for row in csv.DictReader(file)}
    assert rows['eyes/12_left.png'] | {'reader': 'Dr. No', 'patient': '12', 'eye': 'left', 'MA answer': 'accepted', 'HaEx answer': 'rejected',
                                       'comment': '\'=1+1, "really" second line; µ'} == rows['eyes/12_left.png']
    assert (rows['eyes/12_right.png']['grade'], rows['eyes/12_right.png']['gradable']) == ('', 'no')
    found = compare_predictions(study[0], path, resamples=20)
    truth = {'eyes/12_left.png': 'DR3', 'eyes/alone.png': 'DR1'}
    predicted = {entry.file: entry.record['grade']['key'] for entry in study[1] if entry.record}
    assert found['images'] == 2 and found['not_graded'] == ['eyes/12_right.png', 'broken.jpg']
    assert {row['file']: row['graded'] for row in found['different']} == {
        file: key for file, key in truth.items() if predicted[file] != key}

  def test_saved_json_is_read_by_compare_and_by_consensus(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    self.answer(page)
    path = save(page, 'json')
    table = save(page, 'csv')
    assert compare_predictions(study[0], path, resamples=20)['confusion'] == compare_predictions(study[0], table, resamples=20)['confusion']
    annotations = {each.photograph: each for each in read_exports([('', path)], Labels()).annotations}
    assert annotations['12_left.png'].grade == 3 and annotations['12_left.png'].annotator == 'Dr. No'
    drawn = [shape.lesion for shape in annotations['12_left.png'].shapes]
    assert set(drawn) == {'MA'} and len(drawn) == study[1][0].record['lesions']['MA']['found']['regions']
    assert annotations['12_right.png'].grade is None and not annotations['12_right.png'].shapes
    assert json.loads(path.read_text())[0]['data']['lesions'] == {'MA': 'accepted', 'HaEx': 'rejected'}

  def test_two_tabs_take_nothing_from_each_other(self, study, open_page):
    first = open_page(study[0] / 'report.html')
    second = first.context.new_page()
    second.goto(first.url)
    first.check(f'{OPEN} [data-answer=grade][value="3"]')
    second.wait_for_function('document.querySelector(`[data-answered="1"]`).textContent')
    assert second.locator(f'{OPEN} [data-answer=grade][value="3"]').is_checked() and second.inner_text('#kept').startswith('1 of 4')
    second.evaluate('addEventListener("storage", (event) => event.stopImmediatePropagation(), true)')
    first.locator(f'{OPEN} h2').click()
    press(first, 'Shift+1')
    second.fill(f'{OPEN} textarea', 'of the second')
    press(first, 'Shift+3')
    stored = json.loads(first.evaluate('localStorage.getItem("lesion_jax reading " + DATA.photographs[0].sha)'.replace(
        'DATA', 'JSON.parse(document.getElementById("data").textContent)')))
    assert stored == {'grade': '3', 'comment': 'of the second', 'lesions': {'MA': 'accepted', 'HaEx': 'accepted'}}
    with save(second, 'csv').open(newline='', encoding='utf-8') as file:
      row, = csv.DictReader(file)
    assert (row['grade'], row['comment'], row['HaEx answer']) == ('3', 'of the second', 'accepted')

  def test_what_others_left_in_the_browser_is_not_taken_for_an_answer(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    sha = study[1][0].record['run']['photograph']
    page.evaluate('''(sha) => localStorage.setItem('lesion_jax reading ' + sha, '{"grade": "<b>", "lesions": {"XX": "accepted", "MA": 7}}')''', sha)
    page.reload()
    assert page.inner_text('#kept').startswith('0 of 4 photographs read.')


class TestPaper:

  def test_a_sheet_a_patient(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    page.check(f'{OPEN} [data-answer=grade][value="3"]')
    whole_page = page.pdf(prefer_css_page_size=True)
    assert sheets(whole_page) == 2 + 2  # the list, a sheet for both eyes, one for the other photograph, and about the page
    assert page.locator('.sheet').count() == 0 and shown(page) == '1', 'afterwards all is as it was'
    page.check('[data-only=unsure]')
    assert sheets(page.pdf(prefer_css_page_size=True)) == 2 + 1  # what the list shows

  def test_what_is_on_it(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    page.check(f'{OPEN} [data-answer=grade][value="3"]')
    page.emulate_media(media='print')
    page.evaluate('dispatchEvent(new Event("beforeprint"))')
    both = page.locator('.sheet').first
    assert both.locator('.facts').inner_text() == page.locator('header .facts').inner_text()
    assert both.locator('article').evaluate_all('(all) => all.map((item) => item.dataset.number)') == ['2', '1']  # the right eye first
    text = both.inner_text()
    assert 'Patient 12' in text and 'Your reading: DR3' in text
    assert page.locator('input:visible, button:visible, select:visible, textarea:visible').count() == 0

  def test_of_a_large_page_all_that_the_list_shows_is_printed(self, study, open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(html, 'STORED', 2)
    write_report(study[0] / 'stored.html', study[1])
    page = open_page(study[0] / 'stored.html')
    assert page.locator('article').count() == 1
    assert sheets(page.pdf(prefer_css_page_size=True)) == 4
    assert [shown(press(page, key)) for key in 'jj'] == ['2', '4']


def sheets(pdf):
  """How many pages a PDF has."""
  return len(re.findall(rb'/Type\s*/Page\b(?!s)', pdf))


class TestForAll:

  @pytest.mark.parametrize('keys', ['', 's', '?', 'b'])
  @pytest.mark.parametrize('scheme, width', [('light', 1440), ('dark', 1440), ('light', 390)])
  def test_axe_finds_nothing(self, study, open_page, scheme, width, keys):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright', reason='axe-playwright-python is not installed (extra browser)')
    page = press(open_page(study[0] / 'report.html', color_scheme=scheme, viewport={'width': width, 'height': 900}), *keys)
    found = axe.Axe().run(page).response['violations']
    assert [(each['id'], [node['target'] for node in each['nodes']]) for each in found] == []

  @pytest.mark.parametrize('keys', ['', 's', 'b'])
  @pytest.mark.parametrize('width', [390, 768, 1100, 1920, 3840])
  def test_it_fits_from_a_phone_to_a_wall(self, study, open_page, width, keys):
    page = press(open_page(study[0] / 'report.html', viewport={'width': width, 'height': 900 if width < 3000 else 2160}), *keys)
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert page.evaluate(f"""(() => {{
      const card = document.querySelector('{OPEN}').getBoundingClientRect();
      return [...document.querySelectorAll('{OPEN} :is(p, td, th, button, label)')].filter((item) => !item.closest('.scroll'))
        .filter((item) => item.getBoundingClientRect().right > card.right).map((item) => item.textContent);}})()""") == []
    assert page.evaluate('Number.parseFloat(getComputedStyle(document.body).fontSize)') >= 16

  def test_fingers_find_what_they_press(self, study, open_page):
    page = open_page(study[0] / 'report.html', has_touch=True, viewport={'width': 390, 'height': 844}, is_mobile=True)
    small = page.evaluate("""() => [...document.querySelectorAll(':is(button, input, select, textarea, summary, a):not(p a)')]
        .filter((item) => item.offsetParent).map((item) => [item.outerHTML, item.getBoundingClientRect()])
        .filter(([_, {width, height}]) => Math.min(width, height) < 24).map(([html]) => html)""")
    assert small == [], 'WCAG 2.2, 2.5.8: 24 pixels'

  def test_everything_can_be_reached_by_tab(self, study, open_page):
    page = open_page(study[0] / 'report.html')
    reached = set()
    for _ in range(120):
      page.keyboard.press('Tab')
      reached.add(page.evaluate('''(() => {const e = document.activeElement;
        return e.dataset.filter || e.dataset.only || e.dataset.save || e.dataset.switch || e.dataset.set || e.dataset.answer || e.dataset.verdict || e.id || e.className;})()'''))
    assert reached >= {'find', 'grade', 'sort', 'unsure', 'overview', 'reader', 'csv', 'json', 'red', 'plain', 'fill', 'attention', 'comment',
                       'accepted', 'rejected'}


def test_two_thousand_photographs_open_within_three_seconds(open_page, browser, tmp_path, monkeypatch):
  kinds = [batch.write(tmp_path, index, data={'name': 'idrid'}) for index in (batch.RICH, batch.MILD, batch.HEALTHY)]
  made, picture = {}, html_photograph.picture

  def once(number, file, record, folder, side, **options):  # the same pictures again and again, not made anew
    return made.setdefault(folder, picture(number, file, record, folder, side, **options) if folder not in made else None)

  monkeypatch.setattr(html_photograph, 'picture', once)
  entries = [batch.changed(kinds[number % 3], number, file=f'study/{number // 2:04d}_{"OD" if number % 2 else "OS"}.png') for number in range(2000)]
  write_report(tmp_path / 'report.html', entries)
  page = open_page(tmp_path / 'report.html')
  loaded, = page.evaluate('performance.getEntriesByType("navigation").map((entry) => entry.loadEventEnd)')
  assert 0 < loaded < 3000
  assert page.locator('article').count() == 1 and page.locator('.item').count() == 2000
  assert 0 < page.locator('.item img[src]').count() < 200, 'thumbnails load as they come into view'
  assert [shown(press(page, key)) for key in 'jk'] == ['2', '1']
  page.locator('.item a').last.scroll_into_view_if_needed()
  page.locator('.item a').last.click()
  assert shown(page) == '2000' and page.locator('article').count() == 3


def test_table_and_page_speak_of_the_same_photographs(study):
  write_table(study[0] / 'again.csv', study[1])
  with (study[0] / 'again.csv').open(newline='') as file:
    assert [row['unsure'] for row in csv.DictReader(file)] == ['no', 'no', '', 'yes']
