"""Where curves of a run go beside its CSV: TensorBoard's files, MLflow, or whatever fills the same small interface.

A tracker is made by a function of a `Place` and has two methods. To add one's own, put it into TRACKERS and name it in
the key `track` of a stage:

    from lesion_jax.train.trackers import TRACKERS

    class Printed:
      def __init__(self, place):
        self._name = place.directory.name

      def scalars(self, step, values):
        print(self._name, step, values)

      def close(self):
        pass

    TRACKERS['printed'] = Printed

Whatever a tracker raises is said once, and training continues.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

MLFLOW_RUN = 'mlflow.json'  # in the folder of a stage: which run of MLflow it is


@dataclasses.dataclass(frozen=True)
class Place:
  """What a tracker is told.

  Attributes:
    directory: of the stage; what is kept on disk goes into it.
    title: what the stage is called.
    start: steps done before; a run that resumes may give the metrics of later ones again.
  """

  directory: pathlib.Path
  title: str
  start: int


class Tracker(Protocol):
  """Takes the metrics of a run."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Takes metrics by name, 'train/loss' or 'validation/criterion', of one step."""

  def close(self) -> None:
    """Is told that nothing more comes."""


class TensorBoard:
  """TensorBoard's event files, in the folder `tensorboard` of the stage."""

  def __init__(self, place: Place):
    from lesion_jax.train.events import Events  # imported here: slow, and only a training run needs it

    self._events = Events(place.directory / 'tensorboard', place.start)

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds a number to each curve."""
    for name, value in values.items():
      self._events.scalar(step, name, value)
    self._events.flush()

  def close(self) -> None:
    """Flushes and closes the file."""
    self._events.close()


class MLflow:
  """A run of MLflow (the extra `mlflow`): in files in the folder `mlflow` of the stage, or where MLFLOW_TRACKING_URI
  says. The experiment is named by MLFLOW_EXPERIMENT_NAME, else 'lesion_jax'. A stage that resumes continues its run
  of MLflow.

  Raises:
    ValueError: MLflow is not installed.
  """

  def __init__(self, place: Place):
    require_mlflow()
    import mlflow

    self._metric = mlflow.entities.Metric
    uri = os.environ.get('MLFLOW_TRACKING_URI') or (place.directory / 'mlflow').absolute().as_uri()
    self._client = mlflow.MlflowClient(tracking_uri=uri)
    kept = place.directory / MLFLOW_RUN
    self._run = self._earlier(kept, uri) if place.start else None
    if self._run is None:
      name = os.environ.get('MLFLOW_EXPERIMENT_NAME') or 'lesion_jax'
      found = self._client.get_experiment_by_name(name)
      number = found.experiment_id if found else self._client.create_experiment(name)
      self._run = self._client.create_run(number, run_name=place.title or place.directory.name).info.run_id
      kept.write_text(json.dumps({'uri': uri, 'run': self._run}), 'utf-8')

  def _earlier(self, kept: pathlib.Path, uri: str) -> str | None:
    """The run that the stage began, where it is still there."""
    try:
      found = json.loads(kept.read_text('utf-8'))
      if found['uri'] != uri:
        return None
      self._client.get_run(found['run'])
      self._client.update_run(found['run'], 'RUNNING')
      return found['run']
    except Exception:  # noqa: BLE001 (whatever MLflow raises for a run that is not there: it begins another)
      return None

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Logs the metrics of one step at once."""
    now = int(1000 * time.time())
    self._client.log_batch(self._run, metrics=[self._metric(name, value, now, step) for name, value in values.items()])

  def close(self) -> None:
    """Marks the run as finished."""
    self._client.set_terminated(self._run)


TRACKERS: dict[str, Callable[[Place], Tracker]] = {'tensorboard': TensorBoard, 'mlflow': MLflow}


def check_trackers(names: Any) -> tuple[str, ...]:
  """Returns the names of trackers, checked.

  Raises:
    ValueError: there is none of that name, or it needs what is not installed.
  """
  names = (names,) if isinstance(names, str) else tuple(names)
  if strange := [name for name in names if name not in TRACKERS]:
    raise ValueError(f'track={names}: there is no {", ".join(map(str, strange))}; choose of {", ".join(TRACKERS)}')
  if 'mlflow' in names:
    require_mlflow()
  return names


def require_mlflow() -> None:
  """Raises ValueError where MLflow is not installed."""
  try:
    import mlflow  # noqa: F401
  except ImportError as error:
    raise ValueError("track has 'mlflow', which needs MLflow: pip install 'lesion_jax[mlflow]'") from error
