"""`experiments.idrid` at a preset, for as many steps as the time allows: a training that a borrowed machine does not finish is
lost with it, as a checkpoint of this network is too large to be brought back.

  python -m experiments.borrowed.lesions --seconds=560 --network=DIR --source_dir=DIR --pretrained=FILE --preset=gpu
  python -m experiments.borrowed.lesions --test --source_dir=DIR --preset=gpu

The first measures a step, chooses the length by it, trains, and leaves the network in 8 bits; the second evaluates the test set.
All other flags are those of `experiments.idrid`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from experiments import idrid, record
from experiments.borrowed import probe
from experiments.borrowed.parts import TRAINED
from lesion_jax import runtime
from lesion_jax.cli import ship

PROBED = {'gpu': 40, 'rehearsal': 4}  # steps that are measured
RESERVE = {'gpu': 90.0, 'rehearsal': 15.0}  # seconds for choosing thresholds, the training's own report and the bundle
SLACK = 1.15  # steps take longer beside validations and checkpoints
FEWEST, UNIT = {'gpu': 500, 'rehearsal': 4}, {'gpu': 100, 'rehearsal': 4}


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, or evaluates what is trained; returns the exit status."""
  started = time.perf_counter()
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--seconds', type=float, default=0, help='that there are, from now on')
  parser.add_argument('--network', type=pathlib.Path, help='where the network is left, in 8 bits')
  parser.add_argument('--test', action='store_true', help='evaluate the test set')
  own, others = parser.parse_known_args(argv)
  runtime.use_cache()
  options = idrid.parse(others)
  path = options.workdir / TRAINED
  if own.test:
    return idrid.main([*others, f'--steps={json.loads(path.read_text("utf-8"))["steps"]}'])
  chosen = options.workdir / f'chosen-{options.preset}.json'
  if not (chosen.exists() and any(options.workdir.glob('*/*/checkpoints/[0-9]*'))):  # else it was stopped, and goes on
    measured = probe.measure(idrid.configure(options), options.data_dir, PROBED[options.preset])
    left = own.seconds - (time.perf_counter() - started)
    record.save(chosen, measured | {'left': left, 'steps': choose(options.preset, measured['seconds']['mean'], left)})
  about: dict[str, Any] = json.loads(chosen.read_text('utf-8'))
  print(f'{about["steps"]} steps, of {about["seconds"]["mean"]:.3f} s as measured before', flush=True)
  options.steps = about['steps']
  if status := idrid.train(options):
    return status
  ship.ship(idrid.place(options) / idrid.STAGE / 'bundle', own.network / idrid.title(options), 'int8')
  record.save(path, about | {'title': idrid.title(options)})
  return 0


def choose(preset: str, seconds: float, left: float) -> int:
  """Returns how many steps a training can have, at most those of the preset.

  Raises:
    SystemExit: there is no time for a training that is worth it.
  """
  most = idrid.preset_of.get_config(preset).segment.max_steps
  possible = int((left - RESERVE[preset]) / (SLACK * seconds)) // UNIT[preset] * UNIT[preset]
  if possible < FEWEST[preset]:
    raise SystemExit(f'{left:.0f} s are left and a step takes {seconds:.2f} s: that makes {max(possible, 0)} steps, and fewer than '
                     f'{FEWEST[preset]} teach nothing; give this part a whole run')
  return min(most, possible)


if __name__ == '__main__':
  sys.exit(main())
