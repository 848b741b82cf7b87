"""A claim of the paper holds, is reversed or stays undecided by the paired difference over resampled photographs."""

from __future__ import annotations

import numpy as np
import pytest
from invented import RESAMPLES, make_result
from scipy import stats

from experiments import collect, record
from experiments.claims import CLAIMS, Claim
from experiments.collect import ROWS, at_half, paper_metric
from experiments.orderings import (
    HOLDS, NOT_CLAIMED, NOT_DUAL, NOT_PAIRED, NOT_REFUTED, NOT_RUN, REVERSED, UNDECIDED, VERDICTS, headlines, interval, markdown, verdict, verdicts)
from lesion_jax.core import LESION_KEYS

ALL = [claim for claims in CLAIMS.values() for claim in claims]
GRADING = Claim('multitask', 'abn_grader', 'kappa', '')
LIKENESS = Claim('lesion_net_16s', 'lesion_net_16s_dice', 'pixel_f1', '', closer_than='lesion_net_16s_focal')


def graded(key, kappa, replicates, seed=0):
  """A result with that kappa and those replicates."""
  result = make_result(key, seed)
  result['report']['kappa']['value'] = kappa
  result['replicates']['kappa'] = list(replicates)
  return result


class TestClaims:

  @pytest.mark.parametrize('claim', ALL, ids=lambda claim: f'{claim.better}-{claim.worse}-{claim.metric}')
  def test_the_papers_own_tables_bear_every_claim_out(self, claim):
    assert set(claim.rows) <= set(ROWS)
    assert len({ROWS[key].table for key in claim.rows}) == 1
    printed = [paper_metric(key, claim.metric) for key in claim.rows]
    if None in printed:
      assert 'multitask_joint' in claim.rows
    else:
      better, worse, *third = printed
      assert (abs(third[0] - worse) > abs(better - worse)) if third else better > worse

  def test_no_claim_stands_twice(self):
    assert len({(claim.rows, claim.metric) for claim in ALL}) == len(ALL)

  def test_every_row_of_table_three_is_claimed_about(self):
    assert {row.key for row in ROWS.values() if row.table == 3} <= {key for claim in ALL for key in claim.rows}


class TestVerdict:

  @pytest.mark.parametrize('phase', ['segmentation', 'dual'])
  def test_nothing_follows_of_the_dual_loss_from_a_network_that_never_saw_it(self, phase):
    claim = Claim('lesion_net_16s', 'lesion_net_16s_dice', 'image_f1', '')
    results = [make_result(key) for key in claim.rows]
    results[0]['report']['selection'] = {'criterion': 'pixel_image_f1', 'value': 0.5, 'step': 75, 'phase': phase}
    results[1]['report']['selection'] = {'criterion': 'pixel_f1', 'value': 0.5, 'step': 75}  # Dice is all it has
    found = verdict(claim, results)
    assert (found.verdict == NOT_DUAL) == (phase == 'segmentation') == (found.interval is None)
    assert found.difference is not None

  def test_pairing_finds_what_two_intervals_would_not(self):
    rng = np.random.default_rng(0)
    luck, step = rng.normal(0.7, 0.05, RESAMPLES), rng.normal(0.01, 0.002, RESAMPLES)
    better, worse = graded('multitask', 0.71, luck + step), graded('abn_grader', 0.7, luck)
    assert verdict(GRADING, [better, worse]).verdict == HOLDS
    assert verdict(GRADING, [better, graded('abn_grader', 0.7, rng.permutation(luck))]).verdict == UNDECIDED

  def test_the_interval_is_of_the_differences(self):
    differences = np.random.default_rng(1).normal(0.03, 0.01, RESAMPLES)
    found = verdict(GRADING, [graded('multitask', 0.75, 0.5 + differences),
                              graded('abn_grader', 0.71, np.full(RESAMPLES, 0.5))])
    assert found.interval == pytest.approx(np.percentile(differences, [2.5, 97.5]))
    assert (found.difference, found.paper) == (pytest.approx(0.04), pytest.approx(0.803 - 0.797))
    assert found.seeds == (0,)

  @pytest.mark.parametrize(('move', 'expected'), [(0.02, HOLDS), (-0.02, REVERSED), (0.0, UNDECIDED)])
  def test_above_below_and_around_zero(self, move, expected):
    noise = np.random.default_rng(2).normal(0, 0.003, RESAMPLES)
    made = [graded('multitask', 0.7 + move, 0.7 + move + noise), graded('abn_grader', 0.7, np.full(RESAMPLES, 0.7))]
    assert verdict(GRADING, made).verdict == expected

  def test_without_both_rows_or_a_common_seed_it_was_not_run(self):
    found = verdict(GRADING, [make_result('multitask')])
    assert (found.verdict, found.difference, found.interval, found.seeds) == (NOT_RUN, None, None, ())
    assert found.paper == pytest.approx(0.006)
    assert verdict(GRADING, [make_result('multitask', 0), make_result('abn_grader', 1)]).verdict == NOT_RUN

  def test_only_seeds_that_both_have_count(self):
    flat = lambda value: np.full(RESAMPLES, value)
    made = [graded('multitask', 0.9, flat(0.9), 0), graded('multitask', 0.6, flat(0.6), 1),
            graded('abn_grader', 0.5, flat(0.5), 1), graded('abn_grader', 0.1, flat(0.1), 2)]
    found = verdict(GRADING, made)
    assert found.seeds == (1,)
    assert (found.difference, found.interval) == (pytest.approx(0.1), pytest.approx((0.1, 0.1)))

  def test_seeds_that_disagree_widen_the_interval(self):
    """Where the photographs add nothing it is Student's interval of the seeds' differences."""
    moves = (0.03, 0.01, 0.02)
    made = [graded('multitask', 0.70 + d, np.full(RESAMPLES, 0.70 + d), seed) for seed, d in enumerate(moves)]
    made += [graded('abn_grader', 0.70, np.full(RESAMPLES, 0.70), seed) for seed in range(3)]
    found = verdict(GRADING, made)
    assert found.difference == pytest.approx(0.02)
    assert found.interval == pytest.approx(stats.t.interval(0.95, 2, 0.02, 0.01 / np.sqrt(3)))
    assert found.verdict == UNDECIDED  # though all three seeds are on one side

  def test_both_rows_take_the_same_seeds_in_a_resample(self):
    """A seed that is bad for both says nothing about which is better."""
    made = [graded(key, level + d, np.full(RESAMPLES, level + d), seed)
            for key, d in (('multitask', 0.01), ('abn_grader', 0.0)) for seed, level in enumerate((0.5, 0.6, 0.9))]
    assert verdict(GRADING, made).interval == pytest.approx((0.01, 0.01))

  @pytest.mark.parametrize('seeds', [2, 3, 5])
  @pytest.mark.parametrize('photographs', [0.0, 0.5, 2.0])
  def test_equal_systems_are_seldom_told_apart(self, seeds, photographs):
    """Chance of the photographs, the same for all seeds, in units of that of the seeds."""
    rng = np.random.default_rng(seeds)
    trials, resamples = 1000, 200
    luck = photographs * rng.normal(size=(trials, 1))
    found = luck + rng.normal(size=(trials, seeds))
    replicates = found[..., None] + photographs * rng.normal(size=(trials, 1, resamples))
    ends = [interval(*trial, 0.95) for trial in zip(found, replicates, strict=True)]
    wrong = np.mean([not low <= 0 <= high for low, high in ends])
    assert wrong < (0.11 if seeds == 2 else 0.075) and (wrong > 0.03 or photographs)

  def test_a_claim_of_likeness_compares_two_distances(self):
    paper = [ROWS[key].paper['pixel_f1']['mean'] for key in LIKENESS.rows]
    made = [make_result(key) for key in LIKENESS.rows]
    found = verdict(LIKENESS, made)
    assert found.paper == pytest.approx(abs(paper[2] - paper[1]) - abs(paper[0] - paper[1]))
    assert found.difference == pytest.approx(found.paper, abs=2e-3)
    assert found.verdict == HOLDS
    made[0] = make_result('lesion_net_16s', move=-0.3)  # now further from Dice than Focal is
    assert verdict(LIKENESS, made).verdict == REVERSED
    assert verdict(LIKENESS, made[:2]).verdict == NOT_RUN

  def test_resamples_in_which_a_metric_is_undefined_are_left_out_unless_they_are_most(self):
    made = [graded('multitask', 0.8, [0.8] * RESAMPLES), graded('abn_grader', 0.7, [None] + [0.7] * (RESAMPLES - 1))]
    assert verdict(GRADING, made).interval == pytest.approx((0.1, 0.1))
    made[1]['replicates']['kappa'][:RESAMPLES * 3 // 4] = [None] * (RESAMPLES * 3 // 4)
    found = verdict(GRADING, made)
    assert (found.interval, found.verdict, found.difference) == (None, UNDECIDED, pytest.approx(0.1))

  def test_an_undefined_metric_has_no_difference(self):
    made = [graded('multitask', None, [None] * RESAMPLES), graded('abn_grader', 0.7, [0.7] * RESAMPLES)]
    made[0]['report']['kappa']['reason'] = 'no image has a known grade'
    found = verdict(GRADING, made)
    assert (found.difference, found.interval, found.verdict) == (None, None, UNDECIDED)

  def test_resampled_photographs_and_patients_are_not_paired(self):
    made = [make_result('multitask'), make_result('abn_grader')]
    made[0]['report']['intervals']['patients'] = 77
    found = verdict(GRADING, made)
    assert (found.verdict, found.interval, found.difference) == (NOT_PAIRED, None, pytest.approx(0.006))
    made[1]['report']['intervals']['patients'] = 77
    assert verdict(GRADING, made).interval is not None

  def test_rows_that_were_tested_on_different_photographs_are_compared_on_those_they_share(self):
    rng = np.random.default_rng(0)
    truth, right = rng.integers(0, 5, 40), rng.random(40) < 0.5

    def tested(key, photographs, wrong):
      counts = {'confusion': np.eye(5, dtype=np.int64)[truth, :, None] * np.eye(5, dtype=np.int64)[np.where(wrong, 0, truth)][:, None],
                'id': np.array([f'{one:02}' for one in range(40)]), 'patient': np.array([f'p{one // 2}' for one in range(40)])}
      counts = {name: value[photographs] for name, value in counts.items()}
      return make_result(key, counts=(counts, []), test_images=len(photographs))

    def kappa(photographs, wrong):
      graded = np.where(wrong, 0, truth)[photographs]
      chance = np.subtract.outer(truth[photographs], graded) ** 2
      return 1 - np.mean((truth[photographs] - graded) ** 2) / chance.mean()

    fewer, wrong = np.arange(39, 2, -1), right & (np.arange(40) > 20)
    found = verdict(GRADING, [tested('multitask', fewer, wrong), tested('abn_grader', np.arange(40), right)])
    assert found.photographs == 37
    assert found.difference == pytest.approx(kappa(fewer, wrong) - kappa(fewer, right)) and found.interval[0] < found.difference

  @pytest.mark.parametrize('change', [{'test_images': 99}, {'data': 'idrid'}, {'replicates': {'kappa': [0.5]}},
                                      {'versions': {'numpy': '2.0.0'}}])
  def test_what_is_not_paired_is_refused(self, change):
    with pytest.raises(ValueError, match='multitask, abn_grader cannot be paired'):
      verdict(GRADING, [make_result('multitask'), make_result('abn_grader', **change)])


FOUR = dict.fromkeys(LESION_KEYS[4:], 'not annotated in this data set')  # are evaluated, the others not


class TestFewerLesions:
  """The paper's means are of eight lesions; those of four other ones would be held against nothing."""

  def of(self, *keys, **changes):
    return [make_result(key, missing=FOUR, **changes) for key in keys]

  def test_the_papers_difference_is_of_the_same_lesions(self):
    claim = Claim('lesion_net_16s', 'fcn_32s', 'pixel_f1', 'better')
    found = verdict(claim, self.of(*claim.rows))
    assert found.paper == pytest.approx(np.mean([.377, .612, .740, .565]) - np.mean([.327, .592, .728, .528]))
    assert verdict(claim, [make_result(key) for key in claim.rows]).paper == pytest.approx(0.591 - 0.571)

  @pytest.mark.parametrize('run', [True, False])
  def test_what_the_papers_figures_of_them_do_not_say_is_not_claimed(self, run):
    """Of all eight 8s is ahead of 4s by 0.011, of these it is behind by 0.005."""
    claim = Claim('lesion_net_8s', 'lesion_net_4s', 'pixel_f1', 'the peak is obtained by 8s')
    results = self.of(*claim.rows) if run else self.of('unet')
    found = verdict(claim, results)
    assert found.verdict == NOT_CLAIMED and found.paper == pytest.approx(-0.00475) and (found.difference is not None) == run
    assert 'not claimed 1' in markdown(results).split('. ')[0] or 'Not claimed: ' in markdown(results)
    assert verdict(claim, [make_result(key) for key in claim.rows]).verdict != NOT_CLAIMED

  def test_what_the_paper_says_of_others_is_not_claimed(self):
    claim, = (claim for claim in ALL if 'over-designed' in claim.words)
    assert verdict(claim, self.of(*claim.rows)).verdict == NOT_CLAIMED
    assert verdict(claim, [make_result(key) for key in claim.rows]).verdict == HOLDS

  def test_it_says_by_which_lesion_a_mean_differs(self):
    claim = Claim('lesion_net_16s', 'lesion_net_16s_dice', 'image_f1', '')
    results = [self.of('lesion_net_16s')[0], self.of('lesion_net_16s_dice')[0]]
    results[1]['report']['image_f1']['lesions']['MA'] = 0.0
    found = verdict(claim, results).by_lesion
    assert list(found) == list(LESION_KEYS[:4]) and found['MA'] == pytest.approx(0.902) and found['iHE'] == pytest.approx(0.022)
    assert '(MA +0.902, iHE +0.022, ' in headlines(results)

  def test_the_best_lengths_of_the_paper_are_those_over_them(self):
    assert 'of MA, iHE, HaEx, CWS they are 4s and 2s.' in headlines(self.of('lesion_net_16s', 'lesion_net_8s'))
    assert "by the paper's figures they are 8s and 16s." in headlines([make_result(key) for key in ('lesion_net_16s', 'lesion_net_8s')])

  def test_lengths_are_ranked_by_the_seeds_that_all_have(self):
    lucky = [make_result('lesion_net_16s', 0), make_result('lesion_net_16s', 1, move=0.2), make_result('lesion_net_8s', 0)]
    assert '8s has the largest pixel F1, ahead of 16s by +0.012' in headlines(lucky)
    assert 'lengths' not in headlines([make_result('lesion_net_16s', 1), make_result('lesion_net_8s', 0)])


class TestMarkdown:

  def test_each_claim_is_a_line_with_the_papers_difference_beside_ours(self, results):
    text = markdown(results)
    assert text.count('\n| ') - 2 * len(CLAIMS) == len(ALL)
    line = next(line for line in text.splitlines() if line.startswith('| Lesion-Net-16s > Lesion-Net-16s (Dice): '))
    _, metric, paper, ours, p, outcome, lesions = (cell.strip() for cell in line.strip('|').split('|'))
    assert (metric, paper, p, outcome) == ('image F1', '+0.032', '', 'holds')
    assert ours.startswith('+0.03') and '[+0.0' in ours
    assert lesions.startswith('MA +0.003, iHE +0.022, HaEx +0.015, ')

  def test_it_counts_the_verdicts(self, results):
    found = [each.verdict for group in verdicts(results).values() for each in group]
    told = ', '.join(f'{name} {found.count(name)}' for name in VERDICTS if name in found)
    assert f"Of the paper's {len(ALL)} claims: {told}." in markdown(results)

  def test_every_heading_has_the_command_for_its_rows(self, results):
    for part in markdown(results).split('\n### ')[1:]:
      heading = part.partition('\n')[0]
      command = part.strip().splitlines()[-1]
      assert command.startswith('`python -m experiments.table') and command.endswith('--seeds=0`')
      assert all(key in command for claim in CLAIMS[heading] for key in claim.rows)

  def test_what_was_not_run_and_what_the_paper_does_not_print_stay_empty(self, results):
    text = markdown([result for result in results if result['row'] != 'unet'])
    line = '| Lesion-Net-16s > U-Net: *Lesion-Net outperforms the baselines* | pixel F1 | +0.021 | – |  | not run |  |'
    assert line in text
    assert '*training both branches: no improvement in DR grading* | kappa |  | ' in text
    assert f'not run {len(ALL)}' in markdown([])

  def test_it_says_what_the_intervals_cover(self, results):
    assert 'with another seed either verdict may turn' in markdown(results)
    several = markdown([make_result(key, seed) for key in ROWS for seed in (0, 1)])
    assert 'about one in twenty' in several and 'another seed' not in several
    assert "not the paper's" in several
    some = markdown([make_result(key, seed) for key in ('lesion_net_16s', 'lesion_net_16s_dice', 'lesion_net_8s') for seed in (0, 1)][:-1])
    line = next(line for line in some.splitlines() if line.startswith('| Lesion-Net-16s > Lesion-Net-16s (Dice): '))
    assert ', 2 seeds |' in line
    assert '(1 of 3)' in some and 'about one in twenty' in some and 'another seed' in some

  def test_a_check_of_the_programs_says_that_it_ranks_nothing(self, results):
    said = 'The results rank nothing'
    assert said not in markdown(results)
    assert said in markdown([result | {'preset': 'smoke'} for result in results])


@pytest.mark.parametrize(('gain', 'expected'), [(0.05, REVERSED), (0.0, NOT_REFUTED), (-0.05, HOLDS)])
def test_a_claim_of_no_gain_is_not_refuted_unless_something_is_gained(gain, expected):
  claim = Claim('multitask_joint', 'multitask', 'kappa', '', denied=True)
  noise = np.random.default_rng(0).normal(0, 0.001, RESAMPLES)
  results = [graded('multitask_joint', 0.7 + gain, 0.7 + gain + noise), graded('multitask', 0.7, [0.7] * RESAMPLES)]
  assert verdict(claim, results).verdict == expected


class TestHeadlines:

  def test_the_first_sentences_say_what_was_asked(self):
    made = [make_result('lesion_net_16s', move=0.1), make_result('lesion_net_16s_dice'), make_result('lesion_net_8s', move=0.001),
            make_result('multitask', move=0.1), make_result('multitask_cw_maxpool')]
    loss, lengths, attention, tally = (line.removeprefix('- ') for line in headlines(made).splitlines())
    assert loss.startswith('With the dual loss instead of Dice alone Lesion-Net-16s has an image F1 that differs by +0.1')
    assert '16s has the largest pixel F1, ahead of 8s by +0.0' in lengths and '(3 of the five lengths not run yet)' in lengths
    assert attention.startswith('Attention by convolution (Eq. 7) has a kappa that differs from that of CW-MaxPool by +0.1')
    assert tally.startswith(f"Of the paper's {len(ALL)} claims: holds ")
    assert markdown(made).splitlines()[2].startswith('- With the dual loss')

  def test_what_is_reversed_is_named(self):
    made = [make_result('lesion_net_16s'), make_result('lesion_net_16s_wce', move=0.5)]
    assert 'Reversed: Lesion-Net-16s > Lesion-Net-16s (WCE) in pixel F1 (\N{MINUS SIGN}0.2' in headlines(made)

  def test_what_decides_nothing_says_so(self):
    made = [make_result('lesion_net_16s', noise=0.05), make_result('lesion_net_16s_dice', move=0.02, noise=0.05)]
    assert '(undecided)' in headlines(made)

  def test_a_check_of_the_programs_has_none(self):
    made = [make_result(key, preset='smoke') for key in ('lesion_net_16s', 'lesion_net_16s_dice')]
    assert headlines(made) == headlines([]) == ''


@pytest.fixture(scope='module')
def loaded(tmp_path_factory):
  """Two networks that say the same but for their scale: one is right from 0.5 on, of the other 0.2 is the best threshold."""
  folder = tmp_path_factory.mktemp('results') / 'idrid'
  folder.mkdir()
  rng = np.random.default_rng(0)
  there = rng.random((40, 8)) < 0.5
  scores = np.where(there, 0.7, 0.3) + rng.normal(0, 0.1, (40, 8))
  for key, scale in (('lesion_net_16s', 1.0), ('lesion_net_16s_dice', 0.4)):
    probabilities = (scale * scores).astype(np.float32)
    right, half = probabilities >= 0.5 * scale, probabilities >= 0.5
    counts = {'lesion_probabilities': probabilities, 'grade': np.zeros(40, np.int64)}
    for level, called, end in (('image', right, ''), ('pixel', right, ''), ('pixel', half, '_at_half')):
      for kind, found in (('tp', called & there), ('fp', called & ~there), ('fn', ~called & there), ('tn', ~called & ~there)):
        counts[f'{level}_{kind}{end}'] = found.astype(np.int64)
    names = np.array([f'{number}' for number in range(40)])
    np.savez(folder / f'{key}-0.npz', annotated=np.array(LESION_KEYS), id=names, patient=names, **counts)
    made = make_result(key, preset='idrid', data='idrid', test_images=40, config={'segment': {'pretrained': '', 'thresholds': 'validation'}})
    record.save(folder / f'{key}-0.json', made)
  return collect.load(folder)


class TestAtHalf:

  def test_claims_are_held_against_both_thresholds(self, loaded):
    claim = Claim('lesion_net_16s', 'lesion_net_16s_dice', 'image_f1', '')
    chosen, half = verdict(claim, loaded), verdict(claim, at_half(loaded))
    assert (chosen.verdict, chosen.difference) == (UNDECIDED, 0) and half.verdict == HOLDS and half.difference > 0.8 and half.p < 0.01
    line = next(line for line in markdown(loaded).splitlines() if line.startswith('| Lesion-Net-16s, here 128 x 128 > Lesion-Net-16s (Dice)'))
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    assert half.p < 0.001 and cells[4:6] == ['< 0.001', HOLDS] and cells[7:9] == ['1.000', UNDECIDED]
    assert cells[9].startswith(f'MA +{half.by_lesion["MA"]:.3f}, ')
    said = headlines(loaded)
    assert 'an image F1 at 0.5, as in the paper, that differs by +0.' in said
    assert f"Of the paper's {len(ALL)} claims, with F1 at 0.5: holds 1, not run {len(ALL) - 1}." in said
    assert f'with F1 at thresholds from validation: undecided 1, not run {len(ALL) - 1}.' in said

  def test_it_is_what_is_called_from_half_on(self, loaded):
    probabilities = loaded[1]['counts'][0]['lesion_probabilities']
    counts, _ = at_half(loaded)[1]['counts']
    np.testing.assert_array_equal(counts['image_tp'] + counts['image_fp'], probabilities >= 0.5)
    np.testing.assert_array_equal(counts['pixel_fp'], counts['pixel_fp_at_half'])

  def test_it_is_of_all_or_of_none(self, loaded):
    assert len(at_half(loaded)) == 2 and not at_half([loaded[0], make_result('unet', preset='idrid')])
