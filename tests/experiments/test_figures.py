"""The pictures show every system and lesion they have, the small lesions first, and false alarms in red."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import oracle
import pytest
from invented import make_result
from PIL import Image

from experiments import figures
from experiments.rows import TABLE2
from lesion_jax import models
from lesion_jax.core import LESION_KEYS, lesion_bits
from lesion_jax.report.page import FALSE_ALARM, FALSE_ALARM_LINE, MISSED, PLAIN
from lesion_jax.weights.bundle import save_bundle

SEGMENTERS = [row.key for row in TABLE2 if 'pixel_f1' in row.paper]


@pytest.fixture
def drawn(monkeypatch):
  """The matplotlib figures that were drawn."""
  kept = []
  make = figures._figure

  def keep(*args, **options):
    kept.append(make(*args, **options))
    return kept[-1]

  monkeypatch.setattr(figures, '_figure', keep)
  return kept


def example(identity='one', grade=0, boxes=(), annotated=LESION_KEYS):
  """A retina of the oracle with drawn lesions, all of them annotated as {key: box}."""
  lesions = np.zeros((oracle.SIZE, oracle.SIZE), np.uint8)
  for key, (x0, y0, x1, y1) in dict(boxes).items():
    lesions[y0:y1 + 1, x0:x1 + 1] |= np.uint8(lesion_bits([key]))
  color = {'MA': oracle.GREEN, 'HaEx': oracle.BLUE}
  image = oracle.photograph(oracle.SIZE, oracle.SIZE, grade, (32, 32), 30,
                            [(color[key], box) for key, box in dict(boxes).items() if key in color])
  return {'image': image, 'lesions': lesions, 'ignore': np.zeros_like(lesions), 'id': identity, 'grade': grade,
          'annotated': np.uint8(lesion_bits(list(annotated)))}


class TestFig5:

  def test_a_bar_for_each_system_and_lesion_from_small_to_large(self, drawn, results, tmp_path):
    figures.fig5(results, tmp_path / 'fig5.png')
    upper, lower = drawn[0].axes
    names = [label.get_text() for axes in (upper, lower) for label in axes.get_xticklabels()]
    assert names == ['MA\n6 px', 'CWS\n45 px', 'iHE\n60 px', 'HaEx\n120 px', 'NV\n300 px', 'FiP\n700 px',
                     'pHE\n1,200 px', 'vHE\n3,000 px']
    assert len(upper.patches) == len(lower.patches) == 4 * len(SEGMENTERS)
    bars = {container.get_label(): [bar.get_height() for bar in container] for container in lower.containers}
    report = next(result for result in results if result['row'] == 'danet')['report']
    assert bars['DANet'] == [report['pixel_f1']['lesions'][key] for key in ('NV', 'FiP', 'pHE', 'vHE')]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [
        row.title for row in TABLE2 if row.key in SEGMENTERS]
    with Image.open(tmp_path / 'fig5.png') as picture:
      assert picture.width > 2000 and picture.format == 'PNG'

  def test_every_segmenter_of_table_two_has_its_own_color(self):
    assert set(figures.COLORS) == set(SEGMENTERS)
    assert len(set(figures.COLORS.values())) == len(SEGMENTERS)

  def test_what_is_not_there_is_left_out_and_what_is_undefined_is_crossed(self, drawn, tmp_path):
    reasons = dict.fromkeys(('vHE', 'pHE', 'NV', 'FiP'), 'not annotated')
    made = [make_result('fcn_8s', missing=reasons), make_result('unet', missing=reasons | {'MA': 'none'})]
    for result in made:
      for counts in (result['report']['positive_images'], result['report']['positive_pixels']):
        for key in reasons:
          del counts[key]
    figures.fig5(made, tmp_path / 'fig5.png')
    axes, = drawn[0].axes
    assert [label.get_text().partition('\n')[0] for label in axes.get_xticklabels()] == ['MA', 'CWS', 'iHE', 'HaEx']
    crosses = [len(line.get_xdata()) for line in axes.lines]
    assert crosses == [0, 1]

  def test_a_lesion_that_no_photograph_has_has_no_size(self):
    report = {'positive_images': {'MA': 4, 'NV': 0}, 'positive_pixels': {'MA': 10, 'NV': 0}}
    assert figures.average_sizes(report) == {'MA': 2.5}

  def test_without_a_segmenter_there_is_nothing_to_draw(self, tmp_path):
    with pytest.raises(ValueError, match=r'run python -m experiments\.table2 first'):
      figures.fig5([make_result('abn_classifier'), make_result('multitask')], tmp_path / 'fig5.png')


class TestPrecisionRecall:

  def result(self, key, seed, precision):
    made = make_result(key, seed)
    lesions = dict.fromkeys(('iHE', 'CWS'))
    made['report']['precision_recall'] = {'recall': [0.0, 0.5, 1.0], 'precision': lesions | {'MA': precision},
                                          'prevalence': {'MA': 0.1, 'iHE': 0.0, 'CWS': 0.2}}
    made['report']['aupr'] = {'mean': 0.25 + seed / 4, 'lesions': {}, 'undefined': {}}
    return made

  def test_a_line_for_each_system_is_the_mean_over_its_seeds(self, drawn, tmp_path):
    made = [self.result('fcn_8s', 0, [1.0, 0.5, 0.1]), self.result('fcn_8s', 1, [0.0, 0.5, 0.3]),
            self.result('lesion_net_8s', 0, [0.9, 0.8, 0.2]), make_result('unet')]
    figures.precision_recall(made, tmp_path / 'curves.png')
    axes, = drawn[0].axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines if not line.get_label().startswith('_')}
    assert lines == {'FCN-8s  0.375': [0.5, 0.5, 0.2], 'Lesion-Net-8s  0.250': [0.9, 0.8, 0.2]}
    assert axes.get_title() == 'MA'
    assert [0.1, 0.1] in [list(line.get_ydata()) for line in axes.lines]  # chance
    assert (tmp_path / 'curves.png').exists()

  def test_a_seed_of_before_that_has_none_is_left_out(self, drawn, tmp_path):
    figures.precision_recall([make_result('fcn_8s', 0), self.result('fcn_8s', 1, [0.0, 0.5, 0.3])], tmp_path / 'curves.png')
    assert [0.0, 0.5, 0.3] in [list(line.get_ydata()) for line in drawn[0].axes[0].lines]

  def test_lines_are_dark_enough_and_apart(self):
    colors = {key: figures.line_color(key) for key in figures.COLORS}
    assert all(color @ np.array([0.2126, 0.7152, 0.0722]) < 0.61 for color in map(np.array, colors.values()))
    solid = [tuple(np.round(color, 2)) for key, color in colors.items() if key not in figures.OTHER_LOSSES]
    assert len(set(solid)) == len(solid) and len(set(figures.OTHER_LOSSES.values())) == len(figures.OTHER_LOSSES)

  def test_results_of_before_have_none(self, tmp_path):
    assert not figures.has_curves([make_result('fcn_8s')])
    with pytest.raises(ValueError, match='no result has precision'):
      figures.precision_recall([make_result('fcn_8s')], tmp_path / 'curves.png')


class TestChoose:

  def test_lesions_and_grades_that_were_not_shown_go_first(self):
    boxes = lambda *keys: {key: (5 * i, 0, 5 * i + 2, 2) for i, key in enumerate(keys)}
    source = [example('plain', 0), example('three', 2, boxes('MA', 'iHE', 'HaEx')),
              example('again', 2, boxes('MA', 'iHE', 'HaEx')), example('new', 4, boxes('NV', 'MA'))]
    names = lambda count: [each['id'] for each in figures.choose(source, count)]
    assert names(1) == ['three']
    assert names(2) == ['new', 'three']
    assert names(3) == ['new', 'three', 'plain']
    assert names(9) == ['new', 'three', 'again', 'plain']

  def test_it_looks_no_further_than_it_says(self, monkeypatch):
    monkeypatch.setattr(figures, 'SEARCHED', 1)
    assert [each['id'] for each in figures.choose([example('first'), example('second', 4)], 5)] == ['first']


class TestFig4:

  @pytest.fixture
  def panels(self, monkeypatch):
    """(headline, words) of every panel that was drawn."""
    seen = []
    draw = figures.draw_panel

    def keep(drawing, panel, corner, **options):
      seen.append((panel, corner))
      draw(drawing, panel, corner, **options)

    monkeypatch.setattr(figures, 'draw_panel', keep)
    return seen

  @pytest.fixture
  def bundles(self, tmp_path, monkeypatch):
    """Two systems: one finds lesions and grades, the other only grades."""
    monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
    monkeypatch.setitem(models.MODELS, 'grader', functools.partial(oracle.Oracle, heads=('grades',)))
    paths = {}
    for title, name in (('Both', 'oracle'), ('Grader', 'grader')):
      paths[title] = tmp_path / name
      save_bundle(paths[title], config=oracle.oracle_config(model={'name': name}), card='',
                  variables={'params': {'gain': np.float32(1)}})
    return paths

  def test_a_line_a_photograph_and_a_column_a_system(self, bundles, panels, tmp_path):
    right = example('right', 3, {'MA': (20, 20, 24, 24)})
    wrong = example('wrong', 1, {'HaEx': (30, 30, 36, 36), 'CWS': (10, 30, 14, 34)})
    wrong['lesions'] &= np.uint8(lesion_bits(['CWS']))  # the exudate that the oracle sees is not annotated
    figures.fig4(bundles, [wrong, right], tmp_path / 'fig4.png')
    assert len(panels) == 2 * 4
    told = {}
    for panel, (left, bottom) in panels:
      told.setdefault(round(left, 3), {})[-bottom] = panel
    photographs, truths, both, grader = ([column[line] for line in sorted(column)] for column in told.values())
    assert [panel.headline for panel in photographs] == ['right', 'wrong']
    assert [(panel.headline, panel.words) for panel in truths] == [('DR3', [('MA', PLAIN)]), ('DR1', [('CWS', PLAIN)])]
    assert [panel.headline for panel in both] == ['DR3  (1.00)', 'DR1  (1.00)']
    assert [panel.words for panel in both] == [
        [('MA', PLAIN)], [('+HaEx', FALSE_ALARM), ('\N{MINUS SIGN}CWS', MISSED)]]
    assert (both[1].image[33, 29] == FALSE_ALARM_LINE).all()
    assert all(panel.image is None and panel.bars['DR3'] == pytest.approx(hit, abs=1e-3)
               for panel, hit in zip(grader, (1, 0), strict=True))
    with Image.open(tmp_path / 'fig4.png') as picture:
      wide, high = picture.size
    line = figures.HEADLINE + figures.SIDE + figures.WORDS
    assert wide == pytest.approx(figures.DPI * (2 * figures.MARGIN + 4 * figures.SIDE + 3 * figures.GAP), abs=2)
    assert high == pytest.approx(figures.DPI * (figures.HEADER + figures.LEGEND + 2 * line), abs=2)

  def test_a_column_is_titled(self, drawn, tmp_path):
    one = example()
    panel = figures.describe(one | {'maps': None})[0]
    figures.draw_grid([one], {'FCN-8s': [dataclasses.replace(panel, words=[('MA', PLAIN)] * 8)]}, tmp_path / 'grid.png',
                      'two networks')
    assert [text.get_text() for text in drawn[0].texts] == [
        'photograph', 'annotation', 'FCN-8s', 'red outline: false alarm. two networks']

  @pytest.mark.parametrize('examples, columns', [([], {'FCN-8s': []}), ([example()], {})])
  def test_a_grid_needs_photographs_and_systems(self, tmp_path, examples, columns):
    with pytest.raises(ValueError, match='needs photographs and systems'):
      figures.draw_grid(examples, columns, tmp_path / 'grid.png')

  def test_a_picture_knows_of_which_networks_it_is(self, bundles, tmp_path):
    assert figures.caption_of(tmp_path / 'fig4.png') is None
    figures.fig4(bundles, [example()], tmp_path / 'fig4.png', caption='networks a, b')
    assert figures.caption_of(tmp_path / 'fig4.png') == 'networks a, b'
