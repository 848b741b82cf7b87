"""Counts over images, batches and devices equal scikit-learn's evaluation of the same predictions."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, average_precision_score, cohen_kappa_score, confusion_matrix, f1_score
from tiny import random_batch

from lesion_jax.core import LESION_KEYS, Outputs, unpack_bits
from lesion_jax.data.pipeline import eval_batches
from lesion_jax.evaluate import at_half, criterion, examples, headline, image_counts, make_count_step, part_of, report, totals
from lesion_jax.evaluate.totals import NAMES, PROBABILITIES
from lesion_jax.metrics.summary import FALSE_ALARMS, NOT_ANNOTATED, NOT_LEARNED
from lesion_jax.train.parallel import AXIS, Devices

LENGTH = 11  # of the split: the second batch of 8 has 5 rows of padding


def apply(variables, images, *, train):
  """A network whose outputs are exact whatever the split of the batch: sums of integers."""
  assert not train
  pixels = images.astype(jnp.int32)
  grades = pixels.sum(axis=(1, 2))[..., :1] * jnp.array([1, 2, 3, 5, 7]) % 11
  maps = (pixels[..., :1] * jnp.arange(1, 9) + pixels[..., 1:2]) % 256 - 128
  maps = maps.astype(jnp.float32) / 32 + variables['bias']
  return Outputs(maps=maps, lesions=maps.max(axis=(1, 2)), grades=grades.astype(jnp.float32))


def predict(variables, images):
  return apply(variables, images, train=False).probabilities()


def split(length=LENGTH, annotated=0b11111111):
  rows = random_batch(5, length)
  rows['weight'][:] = 1
  rows['annotated'][:] = annotated
  return [{key: value[i] for key, value in rows.items() if key != 'row'} | {'id': f'image-{i}', 'patient': f'{i}'}
          for i in range(length)]


VARIABLES = {'bias': np.float32(0.25)}


def count_images(source, devices, *, batch_size=8, **options):
  mapped = devices.evaluate(make_count_step(predict, histograms=True, axis_name=AXIS, **options))
  batches = eval_batches(source, batch_size=batch_size, threads=0)
  return image_counts(lambda variables, batch: mapped(variables, devices.shard(batch)),
                      devices.replicate(VARIABLES), batches)


def count(*args, **options):
  return totals(count_images(*args, **options))


@pytest.fixture(scope='module')
def source():
  return split()


@pytest.fixture(scope='module')
def per_image(source):
  return count_images(source, Devices(jax.devices()[:1]))


@pytest.fixture(scope='module')
def counts(per_image):
  return totals(per_image)


@pytest.fixture(scope='module')
def truth(source):
  """Scores, truth and mask of all pixels, [LENGTH, S, S, 8], and the grades."""
  images = np.stack([example['image'] for example in source])
  found = apply(VARIABLES, jnp.asarray(images), train=False).probabilities()
  lesions = unpack_bits(np.stack([example['lesions'] for example in source]))
  scored = ~unpack_bits(np.stack([example['ignore'] for example in source]))
  grade = np.array([example['grade'] for example in source])
  return np.asarray(found.maps), lesions, scored, np.asarray(found.grades).argmax(-1), grade


def test_pixel_and_image_f1_are_scikit_learns(counts, truth):
  scores, lesions, scored, _, _ = truth
  found = report(counts, LESION_KEYS)
  for j, key in enumerate(LESION_KEYS):
    p, t, m = scores[..., j] >= 0.5, lesions[..., j], scored[..., j]
    assert found['pixel_f1']['lesions'][key] == pytest.approx(f1_score(t[m], p[m]))
    image = (p & m).any((1, 2)), (t & m).any((1, 2))
    assert found['image_f1']['lesions'][key] == pytest.approx(f1_score(image[1], image[0]))
  assert found['pixel_f1']['mean'] == pytest.approx(np.mean(list(found['pixel_f1']['lesions'].values())))


def test_aupr_is_scikit_learns_within_its_bounds(counts, truth):
  scores, lesions, scored, _, _ = truth
  found = report(counts, LESION_KEYS)['aupr']
  for j, key in enumerate(LESION_KEYS):
    m = scored[..., j]
    exact = average_precision_score(lesions[..., j][m], scores[..., j][m])
    low, high = found['bounds'][key]
    assert low - 1e-9 <= exact <= high + 1e-9
    assert found['lesions'][key] == pytest.approx(exact, abs=5e-3)


def test_kappa_accuracy_and_confusion_are_scikit_learns_over_the_known_grades(counts, truth):
  *_, predicted, grade = truth
  known = grade >= 0
  assert 0 < known.sum() < LENGTH
  predicted, grade = predicted[known], grade[known]
  found = report(counts, LESION_KEYS)
  assert found['confusion'] == confusion_matrix(grade, predicted, labels=range(5)).tolist()
  assert found['kappa']['value'] == pytest.approx(cohen_kappa_score(grade, predicted, weights='quadratic'))
  assert found['accuracy']['value'] == pytest.approx(accuracy_score(grade, predicted))
  referable = found['referable']['sensitivity']['value']
  assert referable == pytest.approx(np.mean(predicted[grade >= 2] >= 2))


@pytest.mark.parametrize(('devices', 'batch_size'), [(4, 8), (2, 4), (1, 11), (1, 16)])
def test_neither_devices_nor_batches_nor_padding_change_a_count_of_an_image(source, per_image, devices, batch_size):
  other = count_images(source, Devices(jax.devices()[:devices]), batch_size=batch_size)
  assert per_image.keys() == other.keys()
  for name, value in per_image.items():
    assert value.dtype == np.float32 if name in PROBABILITIES else value.dtype.kind == 'U' if name in NAMES else \
        value.dtype == np.int64
    np.testing.assert_array_equal(other[name], value, err_msg=name)


def test_images_are_counted_one_by_one_in_the_order_of_the_split(per_image, truth):
  scores, lesions, scored, predicted, grade = truth
  positive, present = (scores >= 0.5) & scored, lesions & scored
  assert {value.shape for name, value in per_image.items() if name not in ('histogram', *PROBABILITIES)} == {
      (LENGTH,), (LENGTH, 8), (LENGTH, 5, 5)}
  np.testing.assert_array_equal(per_image['pixel_tp'], (positive & present).sum((1, 2)))
  np.testing.assert_array_equal(per_image['pixel_fp'], (positive & ~present).sum((1, 2)))
  np.testing.assert_array_equal(per_image['pixel_fn'], (~positive & present).sum((1, 2)))
  np.testing.assert_array_equal(per_image['image_tp'], (positive.any((1, 2)) & present.any((1, 2))))
  for matrix, p, g in zip(per_image['confusion'], predicted, grade, strict=True):
    np.testing.assert_array_equal(matrix, np.zeros((5, 5)) if g < 0 else np.outer(np.arange(5) == g, np.arange(5) == p))


def test_images_keep_their_names_and_their_true_grades(per_image, truth):
  assert per_image['id'].tolist() == [f'image-{i}' for i in range(LENGTH)]
  assert per_image['patient'].tolist() == [f'{i}' for i in range(LENGTH)]
  np.testing.assert_array_equal(per_image['grade'], truth[4])


def test_presence_is_judged_by_all_pixels_that_are_not_to_be_ignored_annotated_or_not(truth):
  scores, _, known, _, _ = truth
  found = count_images(split(annotated=0b1), Devices(jax.devices()[:2]), thresholds=np.linspace(0.2, 0.9, 8, dtype='f4'))
  for i, j in np.ndindex(LENGTH, 8):
    values = scores[i, ..., j][known[i, ..., j]]
    assert found['presence_scores'][i, j] == pytest.approx(expit(logit(np.sort(values.astype(float))[-10:]).mean()), abs=1e-6)
    assert found['maximum_scores'][i, j] == values.max()
    assert found['called_pixels'][i, j] == (values >= np.linspace(0.2, 0.9, 8, dtype='f4')[j]).sum()
    assert found['known_pixels'][i, j] == len(values)
  assert not found['lesion_probabilities'][:, 1:].any(), 'the figures of lesions are of what is annotated'


def test_counts_at_other_thresholds_tell_those_at_half(per_image):
  other = count_images(split(), Devices(jax.devices()[:2]), thresholds=np.linspace(0.2, 1, 8, dtype='f4'))
  assert (other['pixel_tp'] != per_image['pixel_tp']).any() and (other['image_tp'] != per_image['image_tp']).any()
  found = at_half(other)
  for level in ('pixel', 'image'):
    for kind in ('tp', 'fp', 'fn'):
      np.testing.assert_array_equal(found[f'{level}_{kind}'], per_image[f'{level}_{kind}'])
  np.testing.assert_array_equal(found['image_tn'], per_image['image_tn'])
  assert at_half({name: value for name, value in other.items() if not name.endswith('_at_half')}) is None, 'pixels were not counted there'
  assert at_half({'confusion': other['confusion']}) is None


def test_the_probabilities_of_images_are_those_of_their_scored_pixels(per_image, truth):
  scores, _, scored, predicted, _ = truth
  np.testing.assert_array_equal(per_image['lesion_probabilities'], np.where(scored, scores, 0).max((1, 2)))
  assert per_image['grade_probabilities'].shape == (LENGTH, 5)
  np.testing.assert_array_equal(per_image['grade_probabilities'].argmax(1), predicted)
  # By them an image is judged.
  positive = per_image['image_tp'] + per_image['image_fp']
  np.testing.assert_array_equal(per_image['lesion_probabilities'] >= 0.5, positive)


def test_the_histograms_of_images_are_kept_where_they_are_asked_for(source, per_image, truth):
  devices = Devices(jax.devices()[:2])
  mapped = devices.evaluate(make_count_step(predict, histograms=True, axis_name=AXIS))
  kept = image_counts(lambda variables, batch: mapped(variables, devices.shard(batch)), devices.replicate(VARIABLES),
                      eval_batches(source, batch_size=8, threads=0), keep_histograms=True)
  histograms = kept.pop('histograms')
  assert (len(histograms), histograms.dtype) == (LENGTH, np.int32)
  np.testing.assert_array_equal(histograms.sum(0), per_image['histogram'])
  np.testing.assert_array_equal(histograms.sum((1, 3)), truth[2].sum((1, 2)))
  assert kept.keys() == per_image.keys() and totals(kept | {'histograms': histograms}).keys() == totals(kept).keys()
  first, rest = (totals(part_of(kept | {'histograms': histograms}, rows)) for rows in (slice(0, 3), slice(3, None)))
  assert not {'patient', 'id'} & totals(kept).keys()
  for name, whole in totals(kept).items():  # parts add up, and each is counted by itself
    np.testing.assert_array_equal(first[name] + rest[name], whole, err_msg=name)
  np.testing.assert_array_equal(first['histogram'], histograms[:3].sum(0))
  assert 'histogram' not in part_of(kept, slice(0, 3)), 'it cannot be told apart'


def test_the_rows_that_several_processes_share_out_come_back_in_order(source, per_image):
  """Two processes hold the even and the odd rows of a batch, one after the other."""
  step, batches = jax.jit(make_count_step(predict)), eval_batches(source, batch_size=12, threads=0)
  shared_out = np.r_[0:12:2, 1:12:2]

  def shuffled(variables, batch):
    return step(variables, {key: value[shared_out] for key, value in batch.items() if value.dtype.kind != 'U'})

  other = image_counts(shuffled, VARIABLES, batches)
  for name, value in other.items():
    np.testing.assert_array_equal(value, per_image[name], err_msg=name)


def test_every_scored_pixel_counts_once(counts, truth):
  scored = truth[2]
  np.testing.assert_array_equal(counts['histogram'].sum((0, 2)), scored.sum((0, 1, 2)))
  images = sum(counts[f'image_{kind}'] for kind in ('tp', 'fp', 'fn', 'tn', 'undecided'))
  np.testing.assert_array_equal(images, np.full(8, LENGTH))


def test_positives_are_counted_by_image_and_by_pixel(counts, truth):
  _, lesions, scored, _, _ = truth
  found, present = report(counts, LESION_KEYS[:3]), (lesions & scored)[..., :3]
  assert found['positive_pixels'] == dict(zip(LESION_KEYS, present.sum((0, 1, 2)).tolist(), strict=False))
  assert found['positive_images'] == dict(zip(LESION_KEYS, present.any((1, 2)).sum(0).tolist(), strict=False))


def test_a_threshold_can_be_given_for_each_lesion(source, truth):
  scores, lesions, scored, _, _ = truth
  thresholds = np.linspace(0.2, 0.9, 8).astype(np.float32)
  counts = count(source, Devices(jax.devices()[:1]), thresholds=thresholds)
  np.testing.assert_array_equal(counts['pixel_tp'], ((scores >= thresholds) & lesions & scored).sum((0, 1, 2)))


def test_lesions_that_are_not_annotated_are_said_and_count_nowhere():
  counts = count(split(annotated=0b00001111), Devices(jax.devices()[:1]))
  found = report(counts, LESION_KEYS[:4])
  for figure in ('pixel_f1', 'image_f1', 'aupr', 'aupr_11'):
    assert found[figure]['undefined'] == dict.fromkeys(LESION_KEYS[4:], NOT_ANNOTATED)
    assert all(found[figure]['lesions'][key] is None for key in LESION_KEYS[4:])
    assert found[figure]['mean'] == pytest.approx(np.mean([found[figure]['lesions'][key] for key in LESION_KEYS[:4]]))
  assert counts['histogram'][:, 4:].sum() == 0


def test_lesions_that_were_not_learned_are_said_and_move_no_mean(counts):
  found, known = report(counts, LESION_KEYS[:6], LESION_KEYS[2:]), report(counts, LESION_KEYS[2:6])
  for figure in ('pixel_f1', 'image_f1', 'aupr', 'aupr_11'):
    assert found[figure]['undefined'] == {
        'MA': NOT_LEARNED, 'iHE': NOT_LEARNED, 'NV': NOT_ANNOTATED, 'FiP': NOT_ANNOTATED}
    assert (found[figure]['mean'], found[figure]['lesions']) == (known[figure]['mean'], known[figure]['lesions'])
  assert found['positive_images'] == known['positive_images']
  with pytest.raises(ValueError, match="unknown lesion 'hemorrhage'"):
    report(counts, LESION_KEYS, ('hemorrhage',))


def test_a_set_without_lesions_or_grades_has_reasons_instead_of_figures():
  source = [example | {'grade': np.int32(-1)} for example in split(annotated=0)]
  found = report(count(source, Devices(jax.devices()[:1])), ())
  assert headline(found) == {'mean_pixel_f1': None, 'mean_image_f1': None, 'mean_aupr': None, 'kappa': None}
  assert 'no image has a known grade' in found['kappa']['reason']
  assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_report_is_json(counts):
  found = report(counts, LESION_KEYS)
  assert json.loads(json.dumps(found, allow_nan=False)) == found
  assert headline(found).keys() == {'mean_pixel_f1', 'mean_image_f1', 'mean_aupr', 'kappa'}


def test_a_report_has_what_the_network_computes_and_no_more(counts):
  grading = {'confusion': counts['confusion']}
  assert report(grading, ()).keys() == {'kappa', 'accuracy', 'referable', 'confusion'}
  lesions = {name: value for name, value in counts.items() if name not in ('confusion', 'histogram')}
  assert report(lesions, LESION_KEYS).keys() == {
      'pixel_f1', 'pixel_iou', 'image_f1', 'positive_images', 'positive_pixels', 'undecided_images'}
  classifier = {name: value for name, value in lesions.items() if name.startswith('image')}
  assert report(classifier, LESION_KEYS).keys() == {'image_f1', 'positive_images', 'undecided_images'}


def test_models_are_compared_by_the_lesions_that_occur():
  """A false alarm for a lesion that nobody has moves neither the mean nor the criterion, and is told."""
  counts = {f'image_{kind}': np.zeros(8, int) for kind in ('tp', 'fp', 'fn', 'tn')}
  counts['image_tp'][0], counts['image_fp'][3] = 2, 1
  found = report(counts, LESION_KEYS)
  assert (criterion(found, 'image_f1'), headline(found)['mean_image_f1']) == (1.0, 1.0)
  assert found['image_f1']['lesions']['CWS'] is None
  assert found['image_f1']['undefined']['CWS'] == FALSE_ALARMS != found['image_f1']['undefined']['HaEx']
  assert criterion({'kappa': {'value': 0.25}}, 'kappa') == 0.25


def test_sums_are_int64():
  big = np.full(8, 2**31 - 1, np.int32)
  step = {'real': np.ones(1, bool), 'pixel_tp': big[None], 'histogram': big[None]}
  total = totals(image_counts(lambda *unused: dict(step), None, range(3)))
  for name in ('pixel_tp', 'histogram'):
    np.testing.assert_array_equal(total[name], np.full(8, 3 * (2**31 - 1)))


def test_nothing_to_evaluate_is_an_error():
  with pytest.raises(ValueError, match='no batch came'):
    image_counts(lambda *unused: {}, None, [])


def test_examples_are_a_few_of_each_grade_with_what_the_network_says(source):
  shown = examples(predict, VARIABLES, source, per_grade=1)
  grades = [int(example['grade']) for example in shown]
  assert grades == sorted(grades, reverse=True)
  assert {grade for grade in grades if grade >= 0} == {int(example['grade']) for example in source} - {-1}
  assert all(grades.count(grade) == 1 for grade in set(grades) - {-1})
  for example in shown:
    assert example['maps'].shape == (32, 32, 8) and example['maps'].dtype == np.float32
    assert example['lesion_probabilities'].shape == (8,)
    assert example['grade_probabilities'].sum() == pytest.approx(1)


def test_for_examples_the_weights_go_to_the_device_once_and_the_network_is_called_as_it_is(source):
  given = []

  def look(variables, images):
    given.append(variables['bias'])
    return predict(variables, images)

  shown = examples(look, VARIABLES, source, per_grade=1)
  assert len(given) == len(shown) > 1 and isinstance(given[0], jax.Array) and all(each is given[0] for each in given)


class Counted(list):
  """Counts how many examples are read."""

  read = 0

  def __getitem__(self, index):
    self.read += 1
    return super().__getitem__(index)


@pytest.mark.parametrize('grades, read', [(range(5), 10), ([-1], 10), (range(4), 50)])
def test_no_example_is_read_once_there_are_enough(source, grades, read):
  rows = Counted(source[0] | {'grade': np.int32(grades[i % len(grades)])} for i in range(50))
  shown = examples(predict, VARIABLES, rows, per_grade=2)
  assert rows.read == read
  assert len(shown) == (8 if len(grades) == 4 else 10)
