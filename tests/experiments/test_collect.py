"""Results are read whole or refused with the file and the way out; metrics over seeds are means."""

from __future__ import annotations

import io
import json
import statistics
import zipfile

import numpy as np
import pytest
from invented import make_memory, make_result

from experiments.collect import (
    NO_INTERVAL, NOT_COMPUTED, ROWS, Metric, metric, load, load_memories, title, without_dual)
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import bootstrap, intervals, report, totals


def test_results_come_back_in_the_order_of_the_tables(folder):
  made = [make_result(key, seed) for key in ('multitask', 'fcn_8s', 'unet', 'patch_fcn_32s') for seed in (2, 0)]
  found = load(folder(made))
  assert [(result['row'], result['seed']) for result in found] == [
      (key, seed) for key in ('patch_fcn_32s', 'fcn_8s', 'unet', 'multitask') for seed in (0, 2)]
  assert found[2] == json.loads(json.dumps(make_result('fcn_8s', 0)))


def test_memories_lie_in_the_same_folder_and_are_read_apart(folder):
  path = folder([make_result('fcn_8s'), make_memory('multitask'), make_memory('fcn_8s')])
  assert [result['row'] for result in load(path)] == ['fcn_8s']
  assert [result['system'] for result in load_memories(path)] == ['fcn_8s', 'multitask']


def test_a_preset_without_results_is_said(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'nothing of this preset .*--preset=small'):
    load(tmp_path / 'small')
  (tmp_path / 'small').mkdir()
  assert load(tmp_path / 'small') == []


@pytest.mark.parametrize(('name', 'change', 'message'), [
    ('fcn_8s-0', lambda text: text[:300], r'fcn_8s-0\.json is damaged .*remove it and measure again'),
    ('fcn_8s-0', lambda text: text.replace('61.2', 'NaN'), 'NaN is not JSON'),
    ('fcn_8s-0', lambda text: '[1, 2]', "has schema 'list'"),
    ('fcn_8s-0', lambda text: text.replace('"schema": 1', '"schema": 9'), 'has schema 9, this version reads 1'),
    ('fcn_8s-0', lambda text: text.replace('"steps"', '"stairs"'), 'lacks steps'),
    ('fcn_8s-0', lambda text: text.replace('"intervals"', '"others"'), 'lacks intervals in its report'),
    ('fcn_8s-0', lambda text: text.replace('"small", "seed"', '"paper", "seed"'), "preset is 'paper' where .* 'small'"),
    ('fcn_8s-1', lambda text: text, "row and seed is 'fcn_8s-0' where .* 'fcn_8s-1'"),
    ('fcn_7s-0', lambda text: text.replace('"row": "fcn_8s"', '"row": "fcn_7s"'), "'fcn_7s', which no table has"),
    ('notes', lambda text: '{"schema": 1}', r'notes\.json lacks row, title'),
])
def test_a_damaged_or_foreign_file_is_named(folder, name, change, message):
  path = folder([])
  (path / f'{name}.json').write_text(change(json.dumps(make_result('fcn_8s'))))
  with pytest.raises(ValueError, match=message):
    load(path)


def test_replicates_of_different_lengths_are_refused(folder):
  result = make_result('fcn_8s')
  result['replicates']['mean_pixel_f1'].pop()
  with pytest.raises(ValueError, match='replicates of different lengths'):
    load(folder([result]))


def test_a_lesion_that_no_photograph_has_is_in_no_mean_of_a_result_of_before(folder):
  result = make_result('unet')
  result['report']['positive_images']['FiP'] = 0
  scores = result['report']['pixel_f1']
  scores['lesions']['FiP'] = 0.0  # for one false pixel
  found, = load(folder([result]))
  others = [value for key, value in scores['lesions'].items() if key != 'FiP']
  assert metric([found], 'pixel_f1').value == pytest.approx(statistics.fmean(others))
  assert metric([found], 'pixel_f1', 'FiP').value is None
  assert 'FiP' in metric([found], 'pixel_f1').reason


def _cut(place):
  place.write_bytes(place.read_bytes()[:200])


def _open_bracket(place):
  array = io.BytesIO()
  np.save(array, np.zeros((120, 8)))
  with zipfile.ZipFile(place, 'w') as archive:  # whose own sums are right
    archive.writestr('pixel_tp.npy', array.getvalue().replace(b'(120, 8)', b'(120, 8 '))


@pytest.mark.parametrize('damage', [_cut, _open_bracket, lambda place: place.write_bytes(b'')])
def test_damaged_counts_are_named(folder, damage):
  path = folder([make_result('unet')])
  np.savez(path / 'unet-0.npz', pixel_tp=np.zeros((120, 8)), annotated=np.array(LESION_KEYS))
  damage(path / 'unet-0.npz')
  with pytest.raises(ValueError, match=r'unet-0\.npz does not hold the counts of an evaluation'):
    load(path)


def test_counts_that_do_not_say_which_lesions_were_evaluated_are_refused(folder):
  path = folder([make_result('unet')])
  np.savez(path / 'unet-0.npz', pixel_tp=np.zeros((120, 8)))
  with pytest.raises(ValueError, match=r'unet-0\.npz does not say which lesions were evaluated'):
    load(path)


def test_metrics_are_computed_again_from_the_counts_beside_a_result(folder):
  rng = np.random.default_rng(0)
  counts = {f'{level}_{kind}': rng.integers(1, 9, (120, 8)) for level in ('pixel', 'image')
            for kind in ('tp', 'fp', 'fn', 'tn') if (level, kind) != ('pixel', 'tn')}
  counts |= {'patient': np.repeat(np.arange(60), 2).astype(str), 'id': np.arange(120).astype(str)}
  path = folder([make_result('unet')])
  np.savez_compressed(path / 'unet-0.npz', **counts, annotated=np.array(LESION_KEYS))
  found, = load(path)
  expected = bootstrap(counts, LESION_KEYS)
  np.testing.assert_allclose(found['replicates']['mean_pixel_f1'], expected['mean_pixel_f1'], atol=1e-5)
  assert found['report']['pixel_f1'] == report(totals(counts), LESION_KEYS)['pixel_f1']
  assert found['report']['intervals']['patients'] == 60
  assert found['report']['intervals']['pixel_f1'] == intervals(expected)['pixel_f1']
  np.savez_compressed(path / 'unet-0.npz', **{name: value[:7] for name, value in counts.items()},
                      annotated=np.array(LESION_KEYS))
  with pytest.raises(ValueError, match='is not of the 120 test photographs'):
    load(path)


def test_the_memory_of_another_system_is_refused(folder):
  with pytest.raises(ValueError, match=r"'unet'; Table IV has fcn_8s, .*multitask"):
    load_memories(folder([make_memory('unet')]))


def test_a_metric_of_one_seed_is_that_of_its_report():
  result = make_result('fcn_8s', move=0.1)
  scores, intervals = result['report']['pixel_f1'], result['report']['intervals']['pixel_f1']
  assert metric([result], 'pixel_f1') == Metric(scores['mean'], None, tuple(intervals['mean']), None)
  assert metric([result], 'pixel_f1', 'NV') == Metric(
      scores['lesions']['NV'], None, tuple(intervals['lesions']['NV']), None)


def test_a_metric_of_several_seeds_is_their_mean_with_the_mean_of_their_ends():
  results = [make_result('multitask', seed, move=move) for seed, move in enumerate((-0.1, 0.0, 0.04))]
  kappas = [result['report']['kappa']['value'] for result in results]
  found = metric(results, 'kappa')
  assert found.value == pytest.approx(sum(kappas) / 3)
  assert found.spread == pytest.approx(statistics.stdev(kappas))
  assert found.interval == pytest.approx((sum(kappas) / 3 - 0.02, sum(kappas) / 3 + 0.02))


def test_what_is_undefined_keeps_its_reason():
  missing, whole = make_result('unet', 0, missing={'pHE': 'none'}), make_result('unet', 1)
  assert metric([missing], 'pixel_f1', 'pHE') == Metric(None, None, None, 'none')
  found = metric([missing, whole], 'pixel_f1', 'pHE')
  assert (found.value, found.spread, found.reason) == (
      pytest.approx(whole['report']['pixel_f1']['lesions']['pHE']), None, 'seed 0: none')
  assert metric([missing], 'pixel_f1').reason == 'without pHE, undefined'
  assert metric([whole], 'kappa').reason == NOT_COMPUTED
  assert metric([], 'kappa') is None


def test_a_mean_says_nothing_of_lesions_that_the_data_do_not_annotate():
  assert metric([make_result('unet', missing={'pHE': 'not annotated'})], 'pixel_f1').reason is None


def test_a_metric_without_interval_says_so():
  result = make_result('inception_v3')
  result['report']['intervals']['kappa'] = None
  assert metric([result], 'kappa')[2:] == (None, NO_INTERVAL)


def test_a_row_named_after_a_resolution_tells_the_one_that_it_had():
  assert title('inception_v3_224', [make_result('inception_v3_224')]) == 'Inception-v3 (224 x 224), here 32 x 32'
  assert title('inception_v3_224', [make_result('inception_v3_224', size=224)]) == 'Inception-v3 (224 x 224)'
  assert title('inception_v3_224', []) == 'Inception-v3 (224 x 224)'
  assert title('fcn_8s', [make_result('fcn_8s')]) == ROWS['fcn_8s'].title


def test_a_row_of_the_dual_loss_says_where_its_network_never_saw_it():
  of = lambda seed, phase: make_result('lesion_net_32s', seed) | {'report': {'selection': {'phase': phase}}}
  assert title('lesion_net_32s', [of(0, 'dual'), of(1, 'dual')]) == 'Lesion-Net-32s'
  assert title('lesion_net_32s', [of(0, 'segmentation')]) == 'Lesion-Net-32s, Dice alone'
  assert title('lesion_net_32s', [of(0, 'dual'), of(1, 'segmentation')]) == 'Lesion-Net-32s, Dice alone with seed 1'
  dice = make_result('lesion_net_16s_dice')
  assert title('lesion_net_16s_dice', [dice]) == ROWS['lesion_net_16s_dice'].title


@pytest.mark.parametrize(('best', 'alone'), [(75, True), (150, False)])
def test_of_a_result_of_before_the_step_says_it(best, alone):
  """At smoke the loss changes after step 75; what was best by then was returned all the same."""
  stage = {'validate_every': 75, 'milestones': [1], 'patience': 4, 'pretrained': ''}
  result = make_result('lesion_net_32s', best_step=best, config={'segment': stage})
  assert without_dual(result) is alone
  assert not without_dual(make_result('unet', best_step=best, config={'segment': stage}))
