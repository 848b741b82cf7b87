"""Where grade and lesions of a record leave a question open: a grade that is nearly another, and lesions that say another thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lesion_jax.clinical.evidence import CONTRADICTED, UNSUPPORTED
from lesion_jax.clinical.look import SECOND, UNLIKE, look
from lesion_jax.core import LESION_KEYS
from lesion_jax.weights.origin import SENTENCES

MARGIN = 0.1  # where a bundle does not say how well its probabilities are calibrated (our choice)


def margin_of(config: Mapping[str, Any]) -> dict[str, Any] | None:
  """What the bundle's own evaluation says of the probabilities of its grades, {'value', 'images'}: by how much that of the likeliest
  grade is off on average (the expected calibration error, ECE, with the temperature where it has one), and on how many
  test images. None where it does not say, or its metrics are not those of a report.

  Two grades whose probabilities are nearer to each other than that cannot be told apart by them: `is_unsure`.
  """
  metrics, tempered = config.get('metrics', {}), 'grades' in config.get('temperatures', {})
  try:
    found = metrics.get('tempered' if tempered else 'calibration')['grade']['ece']
    images = sum(map(sum, metrics.get('confusion', ())))
    return {'value': round(float(found), 6), 'images': int(images)} if 0 <= found <= 1 else None
  except (AttributeError, KeyError, TypeError, ValueError):
    return None


def top_two(record: Mapping[str, Any]) -> tuple[tuple[str, float], tuple[str, float]]:
  """The likeliest grade and the next, (key, probability) each, of a record that has a grade."""
  first, second, *_ = sorted(record['grade']['probabilities'].items(), key=lambda item: -item[1])
  return first, second


def margin(record: Mapping[str, Any]) -> float:
  """Below which difference of the two likeliest grades a record is unsure: `margin_of` its network, or MARGIN."""
  return (record['grade'].get('margin') or {'value': MARGIN})['value']


def is_unsure(record: Mapping[str, Any]) -> bool:
  """Whether the two likeliest grades of a record are nearer to each other than `margin`; False without a grade."""
  if not record['grade']:
    return False
  (_, first), (_, second) = top_two(record)
  return first - second < margin(record)


def disagrees(record: Mapping[str, Any]) -> bool:
  """Whether grade and lesions of a record disagree: Table I contradicts the grade, nothing of what it names for it was found, or one
  of both is referable and the other is not."""
  verdict = record['evidence'] and record['evidence']['verdict']
  return verdict in (CONTRADICTED, UNSUPPORTED) or SECOND in look(record)['reasons']


def is_doubtful(record: Mapping[str, Any]) -> bool:
  """Whether nothing that the network says of a photograph should look like a confirmation: it learned from synthetic data alone,
  wholly or in a part, or the photograph is unlike those that it learned from."""
  return UNLIKE in look(record)['reasons'] or any(note in SENTENCES for note in record['notes'])


def lesions_evaluated(record: Mapping[str, Any]) -> list[str]:
  """Keys of the lesions that a record speaks of, in the order of LESIONS."""
  return [key for key in LESION_KEYS if key in (record['lesions'] or {})]
