"""lesion_jax.main with shallow networks, and with an end at a chosen step:

  python tests/tiny_main.py --config=tests/tiny_config.py --workdir=DIR --data_dir=DIR [--die=SIGKILL --die_after=STEPS]
"""

import os
import signal

from absl import app, flags
from tiny import TINY_MODELS

from lesion_jax import main, models
from lesion_jax.command import parse_flags
from lesion_jax.report.run import TEST_COUNTS, write_figures

_DIE = flags.DEFINE_enum('die', None, ['SIGKILL', 'SIGTERM'], 'Signal that the process sends to itself.')
_DIE_AFTER = flags.DEFINE_integer('die_after', 1, 'After so many steps, those of both stages counted.')


class Doomed(main.Interrupt):
  """Asked after each step whether to stop, it sends the signal when its time has come."""

  steps = 0

  def __call__(self):
    self.steps += 1
    if _DIE.value and self.steps == _DIE_AFTER.value:
      os.kill(os.getpid(), getattr(signal, _DIE.value))
    return super().__call__()


if __name__ == '__main__':
  models.MODELS = TINY_MODELS
  main.Interrupt = Doomed
  # Pictures take longer than the training.
  main.write_run = lambda directory, evaluation, annotated, *unused: write_figures(
      directory, evaluation, annotated, counts_name=TEST_COUNTS)
  app.run(main.main, flags_parser=parse_flags)
