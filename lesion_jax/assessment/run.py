"""All of an evaluation, from the name of a network to the files."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from lesion_jax.assessment.checks import check
from lesion_jax.assessment.job import FILES
from lesion_jax.assessment.settings import Path
from lesion_jax.data.progress import Progress, silent
from lesion_jax.evaluate import Evaluation
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.evaluate.interval import check_draws
from lesion_jax.photograph.files import is_junk
from lesion_jax.predict.predictor import Predictor


def evaluate(
    models: Path | Predictor | Sequence[Path], data: Path, *, out: Path | None = None, pictures: bool = True, resamples: int = RESAMPLES,
    seed: int = SEED, progress: Progress = silent, **settings: Any,
) -> Evaluation:
  """Evaluates a network, or several as one, on a data set.

  Args:
    models: bundles, directories or zip archives, or names of networks in this package; or a predictor of `load`, with its
      thresholds, rule, windows and test-time augmentation.
    data: name of the data set, of `data.registry.DATASETS`; or, as a `pathlib.Path`, a folder of one's own
      (docs/own-data.md).
    out: the folder into which report.json, counts.npz and the pictures go, in the place of an earlier evaluation; None
      writes nothing.
    pictures: draw the pictures too.
    resamples: of the bootstrap, for the intervals.
    seed: of the bootstrap.
    progress: called as photographs are prepared, where they were not, and then as they are evaluated: with how many are
      done and how many there are.
    **settings: of `Settings`.

  Returns:
    The report, with 'evaluated', what was evaluated and how, of `Job.describe`; and the counts of each photograph.

  Raises:
    FileNotFoundError, OSError, ValueError: of `check`; there are no resamples or the seed is below 0; and `out` holds something
      else than an evaluation, or cannot be written.
    FloatingPointError: the network outputs something that is not a number.
  """
  check_draws(resamples=resamples, seed=seed)
  if out is not None:
    require_free(out)
  job = check(models, data, progress=progress, **settings)
  if out is not None:
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is known before, not after
  found = job.evaluate(resamples=resamples, seed=seed, progress=progress)
  found = found._replace(report={'evaluated': job.describe()} | found.report)
  if out is not None:
    job.write(out, found, pictures=pictures)
  return found


def require_free(out: Path) -> None:
  """Raises ValueError where `out` holds something else than an earlier evaluation, which would be overwritten."""
  path = pathlib.Path(out)
  if not path.exists():
    return
  if not path.is_dir():
    raise ValueError(f'out={path} is a file; give a directory')
  if others := sorted({item.name for item in path.iterdir() if not is_junk(item)} - set(FILES)):
    raise ValueError(f'out={path} holds something else than an evaluation ({", ".join(others[:3])}); give another '
                     'directory, so that no file is overwritten')
