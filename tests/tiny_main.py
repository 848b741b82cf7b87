"""lesion_jax.main with shallow networks, and with an end at a chosen step:

  python tests/tiny_main.py --config=tests/tiny_config.py --workdir=DIR --data_dir=DIR [--die=SIGKILL --die_after=STEPS]

or, with --watch, --die_changes and --die_delay, at a moment of `dying.die`.
"""

import os
import signal

from absl import app, flags
from dying import die
from tiny import TINY_MODELS

from lesion_jax import main, models
from lesion_jax.command import parse_flags
from lesion_jax.report.run import TEST_COUNTS, write_report

_DIE = flags.DEFINE_enum('die', None, ['SIGKILL', 'SIGTERM'], 'Signal that the process sends to itself.')
_DIE_AFTER = flags.DEFINE_integer('die_after', 1, 'After so many steps, those of both stages counted.')
_WATCH = flags.DEFINE_bool('watch', False, 'Count the files that are made, moved and removed, and write the pictures too.')
_DIE_CHANGES = flags.DEFINE_integer('die_changes', 0, 'SIGKILL after so many of them; 0: never.')
_DIE_DELAY = flags.DEFINE_float('die_delay', 0, 'So many milliseconds later.')


def start(argv):
  if _WATCH.value:
    die(_DIE_CHANGES.value, _DIE_DELAY.value, [flags.FLAGS.workdir, flags.FLAGS.data_dir])
  else:  # pictures take longer than the training
    main.write_run = lambda directory, evaluation, annotated, *unused: write_report(
        directory, evaluation, annotated, counts_name=TEST_COUNTS)
    main.examples = lambda *unused: []
  return main.main(argv)


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
  app.run(start, flags_parser=parse_flags)
