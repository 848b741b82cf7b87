"""The synthetic data set: photographs drawn by lesion_jax.data.synthetic, to learn from where there is no release."""

from __future__ import annotations

import dataclasses

import tensorflow_datasets as tfds

from lesion_jax.core import LESION_KEYS
from lesion_jax.data import synthetic
from lesion_jax.data.builders.base import LesionBuilder, LesionConfig, Record, Release
from lesion_jax.data.splits import labels_of
from lesion_jax.data.synthetic.grading import draw_grade, eye_of


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticConfig(LesionConfig):
  """Needs no `source_dir`.

  Attributes:
    seed: another seed is another data set.
    count: number of photographs in all splits together.
  """

  seed: int = 0
  count: int = 1200

  def origin(self) -> str:
    """Seed and count."""
    if self.source_dir is not None:
      raise ValueError(f'source_dir={self.source_dir}: the synthetic data set is drawn, not read; leave it out')
    if self.seed < 0 or self.count < 1:
      raise ValueError(f'seed={self.seed}, count={self.count}: a seed is at least 0 and a count at least 1')
    return f'seed{self.seed}-count{self.count}'


class Synthetic(LesionBuilder):
  """Split by patient, 70/10/20; a stratified split spreads the drawn grades."""

  VERSION = tfds.core.Version('1.1.0')
  RELEASE_NOTES = {'1.1.0': 'With an index of the photographs.', '1.0.0': 'First version.'}
  SPLIT = 'hash'
  CROPPED = False
  CONFIG = SyntheticConfig
  ANNOTATED = LESION_KEYS
  DESCRIPTION = (
      'Fundus photographs drawn procedurally, with all eight lesions, imprecise annotation as an ophthalmologist would '
      'draw it, and grades by Table I of the paper. Good for tests and for watching a network learn; a figure measured '
      'on it says nothing about patients.')
  CITATION = ''
  HOMEPAGE = ''
  LICENCE = 'Apache-2.0'

  def release(self) -> Release:
    """Nothing is on disk: the items are the numbers of the photographs."""
    config, numbers = self.builder_config, range(self.builder_config.count)
    patients = [str(eye_of(index).patient) for index in numbers]
    # What is drawn, not what the annotators make of it: that is known when the photograph is.
    labels = [labels_of(grade=draw_grade(config.seed, index)) for index in numbers] if config.split != 'hash' else None
    return Release(config.dealing.deal(numbers, patients, labels), {})

  def read(self, item: int) -> Record:
    """Draws photograph number `item`."""
    config = self.builder_config
    sample = synthetic.generate(seed=config.seed, index=item, size=config.size)
    return Record(sample.image, sample.lesions, sample.ignore, sample.id, sample.patient, sample.grade)
