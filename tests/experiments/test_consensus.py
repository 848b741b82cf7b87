"""The experiment on consensus: what it counts, and that its page and the documentation say what was measured."""

import json
import pathlib

import numpy as np
import pytest

from experiments import consensus
from lesion_jax.annotation.agreement import Ballot
from lesion_jax.core import LESION_KEYS

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / 'experiments' / 'results' / 'consensus'
CHOICES = {'one': 5, 'three': 10, 'five': 1}


@pytest.fixture(scope='module')
def committed():
  return json.loads((RESULTS / 'consensus.json').read_text('utf-8'))


def photograph(truth, marked, hit, grades=(2, 2, 3, 2, 1)):
  """Of one lesion, MA: pixels of the truth, and of every choice of annotators the same numbers."""
  row = lambda value, name: np.array([[value[name], *[0] * 7]] * CHOICES[name])
  votes = {'one': list(grades), 'three': [2] * 9 + [None], 'five': [2]}
  return consensus.Photograph(
      np.array([truth, *[0] * 7]), {name: row(marked, name) for name in CHOICES},
      {name: row(hit, name) for name in CHOICES}, 2, votes, Ballot(tuple('abcde'), grades, np.zeros((5, 5, 8), int)))


def test_metrics_of_photographs_whose_metrics_are_known():
  shown = photograph(10, {'one': 30, 'three': 20, 'five': 10}, {'one': 10, 'three': 10, 'five': 10})
  healthy = photograph(0, {'one': 20, 'three': 0, 'five': 0}, {'one': 0, 'three': 0, 'five': 0})
  found = consensus.summarize([shown, shown, healthy], seed=0)
  lesion = found['lesions']['MA']
  assert lesion['photographs'] == 2
  assert [lesion[name]['dice'] for name in CHOICES] == pytest.approx([20 / 40, 20 / 30, 1])
  assert [lesion[name]['pooled_dice'] for name in CHOICES] == pytest.approx([40 / 100, 40 / 60, 1])
  assert [lesion[name]['area'] for name in CHOICES] == pytest.approx([3, 2, 1])
  assert lesion['three']['gain'] == pytest.approx(1 / 6) and lesion['three']['interval'] == pytest.approx([1 / 6] * 2)
  assert found['lesions']['NV'] == {'photographs': 0}
  assert found['grades']['one'] == pytest.approx({'accuracy': 0.6, 'undecided': 0})
  assert found['grades']['three'] == pytest.approx({'accuracy': 1, 'undecided': 0.1})


def test_where_there_is_nowhere_a_majority_an_accuracy_is_undefined_and_the_page_says_so(committed):
  torn = photograph(10, dict.fromkeys(CHOICES, 10), dict.fromkeys(CHOICES, 10))
  torn = torn._replace(grades=torn.grades | {'five': [None]})
  found = consensus.summarize([torn], seed=0)
  assert found['grades']['five'] == {'accuracy': None, 'undecided': 1}
  json.dumps(found, allow_nan=False)
  assert '| five | - | 1.000 |' in consensus.markdown(committed | {'panel': committed['panel'] | {'grades': found['grades']}})


@pytest.mark.parametrize('arguments', [['--count=0'], ['--size=-1']])
def test_numbers_of_which_nothing_comes_are_refused_before_anything_is_drawn(arguments):
  with pytest.raises(SystemExit) as stop:
    consensus.main(arguments)
  assert stop.value.code == 2


def test_a_run_writes_its_metrics_and_its_page(tmp_path, capsys):
  assert consensus.main(['--count=8', '--size=96', f'--out={tmp_path}']) == 0
  result = json.loads((tmp_path / 'consensus.json').read_text())
  assert set(result['panel']['lesions']) == set(LESION_KEYS) and result['versions']['lesion_jax']
  assert (tmp_path / 'consensus.md').read_text() == consensus.markdown(result)
  assert 'One annotator, three, five' in capsys.readouterr().out


def test_a_faultless_panel_overlooks_nothing():
  styles = [consensus.draw_style(0, n)._replace(**consensus.FAULTLESS) for n in range(5)]
  found = [consensus.annotate(0, index, 128, styles) for index in range(6)]
  assert any(part.truth.any() for part in found)
  for part in found:
    assert (part.marked['five'][0][part.truth > 0] > 0).all() and not part.marked['one'][:, part.truth == 0].any()


def test_the_committed_page_is_of_the_committed_metrics(committed):
  assert (RESULTS / 'consensus.md').read_text('utf-8') == consensus.markdown(committed)


@pytest.mark.parametrize('key', LESION_KEYS)
def test_three_annotators_were_better_than_the_mean_single_one(committed, key):
  three = committed['panel']['lesions'][key]['three']
  assert three['gain'] > 0 and three['interval'][0] > 0


def test_the_documentation_says_what_was_measured(committed):
  text = (ROOT / 'docs' / 'annotation.md').read_text('utf-8')
  for name, title in (('one', 'one annotator'), ('three', 'consensus of three'), ('five', 'consensus of five')):
    metrics = ' | '.join(f'{committed["panel"]["lesions"][key][name]["dice"]:.3f}' for key in LESION_KEYS)
    assert f'| {title} | {metrics} |' in text
  accuracies = [f'{committed["panel"]["grades"][name]["accuracy"]:.3f}' for name in ('one', 'three', 'five')]
  assert '{}, {} and {} are right'.format(*accuracies) in text
  undecided = [f'{100 * committed["panel"]["grades"][name]["undecided"]:.1f} %' for name in ('three', 'five')]
  assert '{} and {} of the votes'.format(*undecided) in text and f'{committed["count"]} images' in text
