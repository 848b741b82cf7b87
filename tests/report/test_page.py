"""The page of examples says what was right, what was a false alarm and what was missed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lesion_jax.core import LESION_KEYS, lesion_bits, lesion_index
from lesion_jax.report.overlay import COLORS
from lesion_jax.report.page import FALSE_ALARM, FALSE_ALARM_LINE, MISSED, PLAIN, describe, overlay_page


def predict(example, boxes, *, annotated=LESION_KEYS, ignore=()):
  """The example with a prediction of those boxes."""
  maps = np.zeros((64, 64, 8), np.float32)
  for key, (top, bottom, left, right) in boxes.items():
    maps[top:bottom, left:right, lesion_index(key)] = 0.9
  return example | {'maps': maps, 'lesion_probabilities': maps.max((0, 1)),
                    'annotated': np.uint8(lesion_bits(annotated)),
                    'ignore': np.full((64, 64), lesion_bits(ignore), np.uint8)}


def test_a_false_alarm_is_red_and_a_missed_lesion_grey(example, make_truth):
  example |= {'lesions': make_truth({'MA': (5, 9, 5, 9), 'HaEx': (20, 30, 20, 30)}), 'grade': 2}
  photograph, truth, predicted = describe(predict(example, {'MA': (5, 9, 5, 9), 'NV': (40, 50, 40, 50)}))
  assert (photograph.headline, truth.headline, predicted.headline) == (
      example['id'], 'annotated  DR2', f'predicted  DR{example["grade_probabilities"].argmax()}  (1.00)')
  assert truth.words == [('MA', PLAIN), ('HaEx', PLAIN)]
  assert predicted.words == [('MA', PLAIN), ('\N{MINUS SIGN}HaEx', MISSED), ('+NV', FALSE_ALARM)]


@pytest.mark.parametrize('red', [True, False])
def test_the_outline_of_a_false_alarm_is_red_where_that_is_asked_for(example, make_truth, red):
  example |= {'lesions': make_truth({'MA': (5, 9, 5, 9)})}
  found = predict(example, {'MA': (20, 24, 20, 24), 'NV': (40, 50, 40, 50), 'FiP': (30, 35, 50, 55)}, ignore=['FiP'])
  image = describe(found, red_lines=red)[2].image
  line = lambda y, x: tuple(int(value) for value in image[y, x])
  assert line(45, 39) == (FALSE_ALARM_LINE if red else COLORS['NV'])
  assert line(22, 19) == COLORS['MA']  # in another place, but the photograph has microaneurysms
  assert line(32, 49) == COLORS['FiP']  # not scored


def test_lesions_that_are_not_annotated_are_not_shown(example, make_truth):
  example |= {'lesions': make_truth({'MA': (5, 9, 5, 9)})}
  boxes = {'MA': (5, 9, 5, 9), 'NV': (40, 50, 40, 50)}
  _, _, predicted = describe(predict(example, boxes, annotated=['MA', 'iHE']))
  assert predicted.words == [('MA', PLAIN)]
  _, _, everything = describe(predict(example, boxes))
  assert (predicted.image[40:50, 30:60] == example['image'][40:50, 30:60]).all()
  assert (everything.image[40:50, 30:60] != example['image'][40:50, 30:60]).any()


def test_what_a_rule_does_not_call_present_is_not_drawn_and_counts_as_missed(example, make_truth):
  example |= {'lesions': make_truth({'MA': (5, 9, 5, 9)})}
  found = predict(example, {'MA': (5, 9, 5, 9), 'NV': (40, 50, 40, 50)})
  _, _, predicted = describe(found | {'present': np.isin(LESION_KEYS, ['NV'])})
  assert predicted.words == [('\N{MINUS SIGN}MA', MISSED), ('+NV', FALSE_ALARM)]
  assert (predicted.image[:20, :20] == example['image'][:20, :20]).all()
  assert (predicted.image[40:50, 30:60] != example['image'][40:50, 30:60]).any()


def test_without_annotation_there_is_no_verdict(example, make_truth):
  found = predict(example | {'lesions': make_truth({}), 'grade': -1}, {'NV': (40, 50, 40, 50)}, annotated=[])
  _, truth, predicted = describe(found)
  assert truth.headline == 'annotated  grade unknown'
  assert truth.words == [('lesions are not annotated', MISSED)]
  assert predicted.words == [('NV', PLAIN)]


def test_what_must_not_be_scored_is_no_false_alarm(example, make_truth):
  found = predict(example | {'lesions': make_truth({})}, {'NV': (40, 50, 40, 50)}, ignore=['NV'])
  assert describe(found)[2].words == [('NV', PLAIN)]


def test_networks_without_maps_get_bars(example):
  grader = example | {'maps': None, 'lesion_probabilities': None}
  panel = describe(grader)[2]
  assert panel.image is None and panel.words == []
  assert list(panel.bars) == ['DR0', 'DR1', 'DR2', 'DR3', 'DR4']
  classifier = example | {'maps': None, 'grade_probabilities': None}
  assert tuple(describe(classifier)[2].bars) == LESION_KEYS


def test_two_examples_share_a_line(example, tmp_path):
  sizes = []
  for count in (1, 2, 3):
    overlay_page([example | {'maps': None}] * count, tmp_path / 'page.png', title='three examples')
    with Image.open(tmp_path / 'page.png') as page:
      sizes.append(page.size)
  one, two, three = sizes
  assert (two[0], two[1]) == (2 * one[0], one[1])
  assert three[0] == two[0] and three[1] > 1.5 * two[1]


def test_a_page_needs_an_example(tmp_path):
  with pytest.raises(ValueError, match='at least one example'):
    overlay_page([], tmp_path / 'page.png')


@pytest.mark.parametrize('annotated,said', [
    (LESION_KEYS, 'no lesion'), (['iHE', 'HaEx', 'CWS'], 'no iHE, HaEx, CWS'), (LESION_KEYS[:7], 'no lesion (FiP not annotated)')])
def test_where_nothing_is_found_it_is_said_of_what_was_annotated(example, make_truth, annotated, said):
  """As in an eye of DR1 whose microaneurysms nobody outlined."""
  _, truth, predicted = describe(predict(example | {'lesions': make_truth({}), 'grade': 1}, {'NV': (0, 0, 0, 0)}, annotated=annotated))
  assert truth.words == predicted.words == [(said, PLAIN)]
