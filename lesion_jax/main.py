"""Trains, evaluates and leaves a model:

  python -m lesion_jax.main --config=configs/multitask.py --workdir=runs/demo
"""

from __future__ import annotations

import json
import pathlib
import time

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from lesion_jax import build, runtime
from lesion_jax.command import one_line_errors, parse_flags
from lesion_jax.evaluate import examples
from lesion_jax.report.card import model_card
from lesion_jax.report.run import write_run
from lesion_jax.report.terminal import format_report
from lesion_jax.train.interrupt import Interrupt
from lesion_jax.train.loop import NonFiniteLoss
from lesion_jax.train.parallel import Devices
from lesion_jax.train.workdir import claim_workdir
from lesion_jax.weights.bundle import Bundle, save_bundle

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file('config', None, 'Configuration file, with :ARGUMENT for the data.')
flags.DEFINE_string('workdir', 'runs/multitask', 'Where the run is kept; the same command goes on with it.')
flags.DEFINE_string('data_dir', 'runs/data', 'Where prepared data sets are kept.')
flags.DEFINE_string('coordinator', None, 'Several processes: host:port of the first one.')
flags.DEFINE_integer('processes', None, 'Several processes: how many.')
flags.DEFINE_integer('process', None, 'Several processes: which one this is, from 0.')

flags.mark_flag_as_required('config')

STOPPED = 75  # exit status after SIGTERM: EX_TEMPFAIL, run the same command again


def run(config: ConfigDict, workdir: pathlib.Path, data_dir: str, should_stop: Interrupt) -> int:
  """Runs the stages of a configuration; returns the exit status."""
  say = print if jax.process_index() == 0 else lambda *args, **kwargs: None
  with one_line_errors(ValueError, OSError):  # before anything takes long
    for name in config.stages:
      say(f'{name}: data {config[name].data.name} {config[name].data.source_dir}', flush=True)
    devices, results = Devices(), {}
    bundles = build.check(config, devices)
    claim_workdir(workdir, config.to_dict())
    datasets = build.open_datasets(config, data_dir, devices)
  for name, dataset in datasets.items():
    start, finished = time.perf_counter(), bundles.get(name)
    stage = build.build_stage(config, name, dataset, workdir=workdir, devices=devices, lesion=bundles.get('segment'),
                              finished=finished)
    if finished:
      best_step, variables = finished.config['provenance']['best_step'], finished.variables
    else:
      with one_line_errors(NonFiniteLoss, status=1):
        fitted = stage.train(should_stop)
      if not fitted.finished:
        say(f'stopped at step {fitted.step} of {name} and saved; the same command goes on')
        return STOPPED
      best_step, variables = fitted.best_step, stage.variables(fitted.state)
    results[name] = stage.evaluate(variables, 'test')
    bundles[name] = bundle = Bundle(stage.bundle_config(results[name], best_step=best_step), variables)
    if jax.process_index() == 0:
      save_bundle(stage.directory / 'bundle', config=bundle.config, variables=variables, card=model_card(bundle.config))
      write_run(stage.directory, results[name], examples(stage.model, variables, dataset.source('test')))
    say(format_report(results[name], f'{name}: {dataset.name}, {dataset.lengths["test"]} test images'))
    say(f'{name} took {time.perf_counter() - start:.0f} s; bundle: {stage.directory / "bundle"}\n', flush=True)
  if jax.process_index() == 0:
    (workdir / 'metrics.json').write_text(json.dumps(results, indent=2))
  return 0


def main(argv: list[str]) -> int:
  del argv
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax reports every file at INFO
  with one_line_errors(ValueError):
    runtime.set_up(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
  with Interrupt() as should_stop:
    return run(FLAGS.config, pathlib.Path(FLAGS.workdir), FLAGS.data_dir, should_stop)


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
