"""Trains, evaluates and leaves a model: python -m lesion_jax.main --config=multitask --workdir=runs/demo"""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import jax
from absl import app, flags, logging

from lesion_jax.extras import MissingExtra, needs

try:
  from lesion_jax import stages
except MissingExtra as missing:
  if __name__ != '__main__':
    raise
  print(f'error: {missing}; training needs more than prediction does', file=sys.stderr)
  sys.exit(2)

from lesion_jax import machine, runtime
from lesion_jax.command import one_line_errors, parse_flags
from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import examples, present_in
from lesion_jax.locking import locked
from lesion_jax.metrics.presence import Rule
from lesion_jax.places import home
from lesion_jax.predict.step import make_predict_fn
from lesion_jax.report.card import landmark_card, model_card
from lesion_jax.report.files import write_whole
from lesion_jax.report.run import write_run
from lesion_jax.report.terminal import format_report
from lesion_jax.showing import escaping
from lesion_jax.stages.parts import Network
from lesion_jax.train.interrupt import Interrupt, Interrupted
from lesion_jax.train.loop import OtherRun
from lesion_jax.train.parallel import Devices
from lesion_jax.train.workdir import claim_workdir
from lesion_jax.weights.bundle import save_bundle

with needs('train'):
  from ml_collections import ConfigDict, config_flags

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file('config', None, 'Configuration file, or a preset by name, with :ARGUMENT for the data.')
flags.DEFINE_multi_string('import', [], 'Modules to import first, for the networks, losses and data sets that they register.')
flags.DEFINE_string('workdir', 'runs/multitask', 'Where the run is kept; the same command resumes it.')
flags.DEFINE_string('data_dir', 'runs/data', 'Where preprocessed datasets are kept.')
flags.DEFINE_string('coordinator', None, 'Several processes: host:port of the first one.')
flags.DEFINE_integer('processes', None, 'Several processes: how many.')
flags.DEFINE_integer('process', None, 'Several processes: which one this is, from 0.')
flags.mark_flag_as_required('config')
for _flag in ('workdir', 'data_dir'):
  flags.register_validator(_flag, bool, message='it is empty (a variable that is not set?); write . for the folder that you are in')

STOPPED = 75  # exit status after SIGTERM: EX_TEMPFAIL, run the same command again


def run(config: ConfigDict, workdir: pathlib.Path, data_dir: str, should_stop: Interrupt) -> int:
  """Runs the stages of a configuration, alone in `workdir`; returns the exit status."""
  workdir = home(workdir)  # a shell leaves the '~' of --workdir=~/runs as it is
  with contextlib.ExitStack() as held:
    if jax.process_index() == 0:
      with one_line_errors(OSError):
        held.enter_context(locked(workdir, 'a training'))
    return _run(config, workdir, data_dir, should_stop)


def _run(config: ConfigDict, workdir: pathlib.Path, data_dir: str, should_stop: Interrupt) -> int:
  first = jax.process_index() == 0
  say = print if first else lambda *args, **kwargs: None
  at_once = getattr(should_stop, 'at_once', contextlib.nullcontext)  # where there is no step to finish
  with at_once(), one_line_errors(ValueError, OSError):  # before anything takes long
    devices, results = Devices(), {}
    networks, notes = _check(config, devices, workdir, say)
    bundles = stages.finished(networks)
    with _naming_keys(config):
      datasets = stages.open_datasets(config, data_dir, devices, bundles)
  for name, dataset in datasets.items():
    start, lost = time.perf_counter(), ''
    stage = stages.build_stage(config, name, dataset, networks[name], workdir=workdir, devices=devices, bundles=bundles)
    leaks = stages.leak_notes(stage.leaks)
    for note in leaks:
      say(f'NOTE: {name}: {note}', flush=True)
    if not (bundle := bundles.get(name)):
      with one_line_errors(FloatingPointError, OtherRun, OSError, status=1):
        trained = stage.train(should_stop)
      lost = trained.lost
      if not trained.finished and not lost:
        say(f'stopped at step {trained.step} of {name} and saved; the same command resumes it')
        return STOPPED
      if not trained.finished:
        return _fail(f'stopped at step {trained.step} of {name}: {lost}; make room, and the same command resumes it')
    with at_once(), _writing(name, stage.directory), one_line_errors(FloatingPointError, status=1):
      variables = bundle.variables if bundle else stage.variables(trained.state)
      chosen = stage.choose(variables)
      evaluation = stage.evaluate(variables, 'test', chosen)
      selection = bundle.config.get('metrics', {}).get('selection') if bundle else stage.selection(trained)
      if selection:
        evaluation = evaluation._replace(report={**evaluation.report, 'selection': selection})
      if said := [*([notes[name]] if name in notes else []), *leaks]:
        evaluation = evaluation._replace(report=evaluation.report | {'notes': said})
      results[name] = evaluation.report
      bundle = bundles[name] = bundle or stage.bundle(variables, results[name], best_step=trained.best_step, chosen=chosen)
      if first:
        save_bundle(stage.directory / 'bundle', config=bundle.config, variables=variables,
                    card=(landmark_card if name == stages.LANDMARKS else model_card)(bundle.config), photographs=bundle.photographs)
        if name == stages.LANDMARKS:
          write_run(stage.directory, evaluation, (), ())
        else:
          rule = Rule.of(bundle.config)
          shown = [example | {'present': present_in(example, rule)}
                   for example in examples(make_predict_fn(stage.model), variables, dataset.source('test'))]
          write_run(stage.directory, evaluation, stage.scored, shown,
                    [bundle.config['thresholds'][key] for key in LESION_KEYS])
        write_whole(workdir / 'metrics.json', json.dumps(results, indent=2))
    say(format_report(results[name], f'{name}: {dataset.name}, {dataset.lengths["test"]} test images'))
    say(f'{name} took {time.perf_counter() - start:.0f} s; bundle: {stage.directory / "bundle"}\n', flush=True)
    if lost:
      return _fail(f'{name}: {lost}, and is what the bundle holds. Remove {stage.directory / "checkpoints"} to train again, '
                   f'or continue with it by --config.{name}.bundle={stage.directory / "bundle"} and another --workdir')
  return 0


def _check(
    config: ConfigDict, devices: Devices, workdir: pathlib.Path, say: Callable[..., None],
) -> tuple[dict[str, Network], dict[str, str]]:
  """Checks the configuration and takes the workdir; says what will be trained from what.

  Returns:
    The network of each stage, and the notes that its results carry.
  """
  stages.check_values(config)
  asked = stages.stages(config)
  notes = {name: note for name, stage in asked.items() if (note := stages.start_note(name, stage))}
  for note in notes.values():
    say(f'NOTE: {note}', flush=True)
  for name, stage in asked.items():
    say(f'{name}: data {stage.data.name} {stage.data.source_dir}', flush=True)
  networks = stages.check(config, devices)
  for name, stage in asked.items():
    if loaded := stages.loaded_note(stage):
      say(f'{name}: {loaded}', flush=True)
  now = config.to_dict()
  for key, (before, after) in claim_workdir(workdir, now, stages.differing, stages.may_differ(workdir, now)).items():
    why = 'the run resumes' if key.endswith('.max_steps') else 'no step depends on it'
    say(f'NOTE: {key} was {before!r} and is {after!r} from here on; {why}', flush=True)
  return networks, notes


@contextlib.contextmanager
def _naming_keys(config: ConfigDict) -> Iterator[None]:
  """Says of a raw dataset whose folder is not given by which keys it is."""
  try:
    yield
  except ValueError as error:
    keys = [f'--config.{name}.data.source_dir=DIR' for name, stage in stages.stages(config).items()
            if not stage.data.source_dir and stage.data.name != 'synthetic']
    if not str(error).startswith('source_dir is missing') or not keys:
      raise
    raise ValueError(f'{error}: {" and ".join(keys)}') from error


@contextlib.contextmanager
def _writing(name: str, directory: pathlib.Path) -> Iterator[None]:
  """Ends the program with a line and status 1 where results cannot be written."""
  try:
    yield
  except OSError as error:
    sys.exit(_fail(f'the results of {name} could not be written to {directory} ({error}); make room, and the same '
                   'command resumes from the last checkpoint'))


def _fail(message: str) -> int:
  print(f'error: {message}', file=sys.stderr, flush=True)
  return 1


def main(unused_argv: list[str]) -> int:
  if not FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax reports every file at INFO
  machine.keep_memory()
  with escaping():
    with one_line_errors(ValueError):
      runtime.set_up(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
    try:
      with Interrupt() as should_stop:
        return run(FLAGS.config, pathlib.Path(FLAGS.workdir), FLAGS.data_dir, should_stop)
    except Interrupted:
      print('stopped; the same command resumes it', flush=True)
      return STOPPED


if __name__ == '__main__':
  app.run(main, flags_parser=parse_flags)
