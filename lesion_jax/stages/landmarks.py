"""The stage of the landmarks: optic disc and fovea. What it trains with, resumes by and guards is that of every stage."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
from clu import parameter_overview

from lesion_jax.core import LANDMARKS
from lesion_jax.data.pipeline import eval_batches
from lesion_jax.evaluate import Evaluation, image_counts
from lesion_jax.evaluate.landmarks import Moved, landmark_report, make_locate_step
from lesion_jax.evaluate.totals import Counts
from lesion_jax.metrics.landmarks import DISC_DIAMETER, NEARNESS
from lesion_jax.stages import leaks
from lesion_jax.stages.stage import Stage, dealing_of, likeness_of, parts_of
from lesion_jax.train.parallel import AXIS
from lesion_jax.weights.bundle import Bundle

FOUND = 0.5  # of the confidence, from which a landmark is said to be found: more likely near that place than not


@dataclasses.dataclass(frozen=True, eq=False)
class LandmarkStage(Stage):
  """See `Stage`; it judges places, not lesions."""

  @property
  def annotated(self) -> tuple[str, ...]:
    """Of lesions none."""
    return ()

  @property
  def scored(self) -> tuple[str, ...]:
    """Likewise."""
    return ()

  def judge(self, result: Mapping[str, Any]) -> tuple[float | None, dict[str, float | None]]:
    """Nearness, and the mean errors in disc diameters."""
    errors = {f'{name}_error': found['error']['value'] for name, found in result['landmarks'].items() if found['images']}
    return result[NEARNESS], errors

  def evaluate(self, variables: dict[str, Any], split: str, chosen: Mapping[str, Any] | None = None) -> Evaluation:
    """How near the places of a split are found; where it is 'test', also whether landmarks that are moved out of the picture
    are said not to be there. The threshold is FOUND or the finished bundle's."""
    source = self.dataset.source(split)
    counts = self._count(variables, source)
    moved = [self._count(variables, Moved(source, number)) for number in range(len(LANDMARKS))] if split == 'test' else []
    threshold = (chosen or {}).get('found', FOUND)
    return Evaluation(landmark_report(counts, self.config.data.size, threshold, moved=moved), counts)

  def choose(self, variables: dict[str, Any]) -> dict[str, Any]:
    """The threshold of a finished bundle."""
    del variables
    return {'found': self.network.bundle.config['found']} if self.network.bundle else {}

  def bundle(
      self, variables: dict[str, Any], result: dict[str, Any], *, best_step: int, chosen: Mapping[str, Any] | None = None,
  ) -> Bundle:
    """The weights, and in the configuration all that is needed to use them."""
    data = self.dataset
    selected = {key: value for key, value in result.get('selection', {}).items() if key == 'criterion'}
    return Bundle({
        'model': self.network.fields,
        'landmarks': list(LANDMARKS),
        'disc_diameter': DISC_DIAMETER,
        'found': (chosen or {}).get('found', FOUND),
        'preprocessing': {'size': self.config.data.size, 'crop': data.crop},
        'provenance': {**self.provenance, 'parameters': int(parameter_overview.count_parameters(variables['params'])),
                       'best_step': best_step, **selected},
        'data': {'name': data.name, 'citation': data.citation, 'licence': data.licence, 'lengths': data.lengths,
                 'description': data.description, **dealing_of(data), **parts_of(data), 'leaks': self.leaks,
                 **({'before': dict(self.before.data)} if self.before.data else {})},
        'metrics': result,
        **likeness_of(data, []),
    }, variables, photographs=leaks.union([leaks.photographs(data), self.before.photographs]))

  def _count(self, variables: dict[str, Any], source: Any) -> Counts:
    batches = eval_batches(source, batch_size=self.config.eval_batch_size, shard_index=jax.process_index(),
                           shard_count=jax.process_count())
    step = self._step
    return image_counts(lambda variables, batch: step(variables, self.devices.shard(batch)), self.devices.replicate(variables), batches)

  @functools.cached_property
  def _step(self) -> Callable[..., Any]:
    return self.devices.evaluate(make_locate_step(self.model.apply, axis_name=AXIS))
