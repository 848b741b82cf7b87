"""What is called present in whole photographs, healthy eyes above all: against plain loops."""

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import full_report, evaluate_healthy, evaluate_images, part_of, totals
from lesion_jax.metrics import PAPER_RULE, Rule
from lesion_jax.metrics.summary import NOT_ANNOTATED, NOT_LEARNED

SCORED = ('MA', 'iHE', 'CWS')
COLUMNS = [LESION_KEYS.index(key) for key in SCORED]
N, R, SEED = 50, 60, 3
RULE = Rule('top500', np.linspace(0.3, 0.6, 8))


@pytest.fixture(scope='module')
def counts():
  rng = np.random.default_rng(5)
  annotated = (rng.random((N, 8)) < 0.8) & np.isin(np.arange(8), COLUMNS)
  present = annotated & (rng.random((N, 8)) < 0.4)
  present[:, LESION_KEYS.index('CWS')] = annotated[:, LESION_KEYS.index('CWS')]  # in every photograph
  scores = rng.random((N, 8)).astype(np.float32)
  maximum = np.sqrt(scores)
  called = maximum >= 0.5
  found = {'image_tp': present & called, 'image_fp': annotated & ~present & called, 'image_fn': present & ~called,
           'image_tn': annotated & ~present & ~called}
  return {name: value.astype(np.int64) for name, value in found.items()} | {
      'presence_scores': scores, 'maximum_scores': maximum, 'lesion_probabilities': maximum,
      'grade': rng.integers(-1, 5, N), 'patient': np.array([f'p{i}' for i in rng.integers(0, 20, N)]),
      'called_pixels': rng.integers(0, 500, (N, 8)), 'known_pixels': rng.integers(800, 1000, (N, 8))}


def draws(patients):
  """The rows of each resample, patient by patient."""
  names = np.unique(patients)
  generator = np.random.Generator(np.random.Philox([SEED, len(names)]))
  return [np.concatenate([np.flatnonzero(patients == names[i]) for i in generator.integers(len(names), size=len(names))])
          for _ in range(R)]


def test_figures_of_images_are_scikit_learns_at_the_rule_and_at_eq_1(counts):
  found = evaluate_images(counts, SCORED, RULE, resamples=R, seed=SEED)
  annotated = sum(counts[f'image_{kind}'] for kind in ('tp', 'fp', 'fn', 'tn')) > 0
  truth = counts['image_tp'] + counts['image_fn'] > 0
  for part, called in (('figures', counts['presence_scores'] > RULE.thresholds), ('maximum', counts['maximum_scores'] >= 0.5)):
    for key, j in zip(SCORED, COLUMNS, strict=True):
      rows = annotated[:, j]
      t, p = truth[rows, j], called[rows, j]
      figures = {name: found[part][name]['lesions'][key] for name in ('f1', 'sensitivity', 'specificity')}
      assert figures['f1'] == pytest.approx(f1_score(t, p))
      assert figures['sensitivity'] == pytest.approx(recall_score(t, p))
      assert figures['specificity'] == (None if t.all() else pytest.approx(recall_score(~t, ~p)))
  assert found['figures']['specificity']['undefined'] == {'CWS': 'every photograph has it'} | dict.fromkeys(
      (key for key in LESION_KEYS if key not in SCORED), NOT_ANNOTATED)
  means = [value for value in found['figures']['f1']['lesions'].values() if value is not None]
  assert found['figures']['f1']['mean'] == pytest.approx(np.mean(means))
  assert (found['rule'], found['thresholds']['MA']) == ('top500', pytest.approx(0.3))


def test_intervals_draw_patients_with_all_their_photographs(counts):
  found = evaluate_images(counts, SCORED, RULE, resamples=R, seed=SEED)
  called = counts['presence_scores'] > RULE.thresholds
  truth = (counts['image_tp'] + counts['image_fn'])[:, 0] > 0
  values = []
  for rows in draws(counts['patient']):
    rows = rows[truth[rows]]
    values.append(called[rows, 0].mean())
  assert found['figures']['sensitivity']['intervals']['MA'] == pytest.approx(np.quantile(values, [0.025, 0.975]))


def test_a_false_alarm_for_a_lesion_that_nobody_has_moves_no_mean(counts):
  """In no resample either: F1 needs a photograph with the lesion, whatever the network says."""
  cell = lambda kind: counts[f'image_{kind}'].copy()
  changed = counts | {f'image_{kind}': cell(kind) for kind in ('tp', 'fp', 'fn', 'tn')}
  nobody, rare = COLUMNS[:2]
  for kind in ('tp', 'fp', 'fn', 'tn'):
    changed[f'image_{kind}'][:, [nobody, rare]] = kind == 'tn'
  changed['image_tn'][0, rare], changed['image_tp'][0, rare] = 0, 1
  loud, silent = (changed | {'presence_scores': np.where(np.arange(8) == nobody, score, counts['presence_scores']).astype(np.float32)}
                  for score in (1, 0))
  found, quiet = (evaluate_images(each, SCORED, RULE, resamples=R, seed=SEED)['figures']['f1'] for each in (loud, silent))
  assert found['mean'] == quiet['mean'] == np.mean([found['lesions'][key] for key in SCORED[1:]])
  assert found['undefined'][SCORED[0]] == 'no positive in the ground truth, yet some predicted'
  assert quiet['undefined'][SCORED[0]] == 'no positive in the ground truth and none predicted'
  assert found['intervals'][SCORED[0]] is quiet['intervals'][SCORED[0]] is None
  sure = changed | {'presence_scores': np.where(np.arange(8) == rare, 1, counts['presence_scores']).astype(np.float32)}
  low, _ = evaluate_images(sure, SCORED, RULE, resamples=R, seed=SEED)['figures']['f1']['intervals'][SCORED[1]]
  drawn = [(rows == 0).sum() for rows in draws(counts['patient'])]
  assert 0 in drawn and low == pytest.approx(np.quantile(
      [2 * tp / (tp + len(rows)) for tp, rows in zip(drawn, draws(counts['patient']), strict=True) if tp], 0.025))


def test_healthy_eyes_are_counted_by_grade_whether_lesions_are_annotated_there_or_not(counts):
  found = evaluate_healthy(counts, SCORED, RULE, resamples=R, seed=SEED)
  rows = counts['grade'] == 0
  called = (counts['presence_scores'] > RULE.thresholds)[rows][:, COLUMNS]
  group = found['graded']
  assert (group['images'], group['patients']) == (rows.sum(), len(set(counts['patient'][rows])))
  assert group['any']['value'] == pytest.approx(called.any(1).mean())
  assert [share['value'] for share in group['lesions'].values()] == pytest.approx(called.mean(0))
  patients = counts['patient'][rows]
  drawn = [called[each].any(axis=1).mean() for each in draws(patients)]
  assert group['any']['interval'] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
  paper = (counts['maximum_scores'] >= 0.5)[rows][:, COLUMNS]
  assert group['maximum']['any'] == pytest.approx(paper.any(1).mean())
  sick = counts['grade'] >= 2
  expected = (counts['presence_scores'] > RULE.thresholds)[sick][:, COLUMNS].any(1).mean()
  assert found['referable']['any']['value'] == pytest.approx(expected) and 'area' not in found['referable']


def test_separation_is_the_area_under_roc_of_the_lesion_furthest_above_its_threshold(counts):
  found = evaluate_healthy(counts, SCORED, RULE, resamples=R, seed=SEED)['separation']
  rows = (counts['grade'] == 0) | (counts['grade'] >= 2)
  logit = lambda p: np.log(p) - np.log1p(-p)
  far = (logit(counts['presence_scores'].astype(float)) - logit(RULE.thresholds))[rows][:, COLUMNS].max(1)
  sick, patients = counts['grade'][rows] >= 2, counts['patient'][rows]
  assert found['value'] == pytest.approx(roc_auc_score(sick, far))
  values = [roc_auc_score(sick[each], far[each]) for each in draws(patients) if 0 < sick[each].sum() < len(each)]
  assert found['interval'] == pytest.approx(np.quantile(values, [0.025, 0.975]))
  assert evaluate_healthy(counts | {'grade': np.zeros(N, int)}, SCORED, RULE, resamples=R, seed=SEED)['separation'] is None


def test_the_area_is_of_what_is_shown(counts):
  group = evaluate_healthy(counts, SCORED, RULE, resamples=R, seed=SEED)['graded']
  rows = counts['grade'] == 0
  shown = np.where(counts['presence_scores'] > RULE.thresholds, counts['called_pixels'], 0)[rows][:, COLUMNS]
  share = shown / counts['known_pixels'][rows][:, COLUMNS]
  for found, pixels, shares in ((group['area']['any'], shown.sum(1), share.sum(1)),
                                (group['area']['lesions']['iHE'], shown[:, 1], share[:, 1])):
    for each, values in (('pixels', pixels), ('share', shares)):
      assert found[each] == pytest.approx(
          {'mean': values.mean(), 'median': np.median(values), 'p95': np.quantile(values, 0.95)})


def test_photographs_annotated_without_any_lesion_are_a_group_of_their_own(counts):
  changed = counts | {name: value.copy() for name, value in counts.items() if name.startswith('image_')}
  for kind in ('tp', 'fp', 'fn', 'tn'):
    changed[f'image_{kind}'][:4] = kind == 'tn'
  changed['image_tn'][3, 0] = 0  # not annotated for MA
  group = evaluate_healthy(changed, SCORED, RULE, resamples=R, seed=SEED)['annotated']
  called = (counts['presence_scores'] > RULE.thresholds)[:3][:, COLUMNS]
  assert (group['images'], group['any']['value']) == (3, pytest.approx(called.any(1).mean()))


def test_empty_groups_say_why(counts):
  found = evaluate_healthy(counts | {'grade': np.full(N, -1)}, SCORED, RULE, resamples=R, seed=SEED)
  assert found['graded'] == {'images': 0, 'reason': 'no photograph is graded'} == found['referable']
  found = evaluate_healthy(counts | {'grade': np.full(N, 1)}, SCORED, RULE, resamples=R, seed=SEED)
  assert found['graded']['reason'] == 'no photograph is graded DR0'
  assert found['annotated'] == {'images': 0, 'reason': 'no photograph is annotated with none of the lesions'}


def test_without_patients_every_image_is_one(counts):
  alone = {name: value for name, value in counts.items() if name != 'patient'}
  each = evaluate_healthy(counts | {'patient': np.arange(N).astype(str)}, SCORED, RULE, resamples=R, seed=SEED)
  assert evaluate_healthy(alone, SCORED, RULE, resamples=R, seed=SEED)['graded']['patients'] == each['graded']['patients']


def test_a_report_has_both_and_says_what_was_not_learned(counts):
  found = full_report(counts, SCORED, ('MA', 'CWS', 'NV'), resamples=R, rule=RULE)
  assert json.loads(json.dumps(found, allow_nan=False)) == found
  assert found['healthy']['lesions'] == ['MA', 'CWS']
  assert found['presence']['figures']['f1']['undefined']['iHE'] == NOT_LEARNED
  assert found['presence']['rule'] == 'top500'
  assert full_report(counts, SCORED, resamples=R)['presence']['rule'] == PAPER_RULE.name


def test_healthy_eyes_of_a_data_set_that_annotates_no_lesion_are_judged_all_the_same(counts):
  found = full_report(counts | {'confusion': np.zeros((N, 5, 5), int)}, (), ('MA', 'CWS'), resamples=R, rule=RULE)
  assert 'presence' not in found and found['healthy']['graded']['images'] == (counts['grade'] == 0).sum()
  assert found['healthy']['lesions'] == ['MA', 'CWS']


def test_names_and_scores_are_in_no_sum_and_in_every_part(counts):
  assert not set(totals(counts)) & {'patient', 'grade', 'presence_scores', 'maximum_scores', 'known_pixels'}
  assert part_of(counts, slice(3, 7))['patient'].tolist() == counts['patient'][3:7].tolist()
