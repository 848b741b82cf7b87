"""Grades of real photographs: trains graders on IDRiD's part B around the frozen lesion network of `experiments.idrid`,
evaluates them on its official test set, writes a page.

  python -m experiments.grades --source_dir=DIR --pretrained=inception_v3.safetensors --lesion=runs/idrid/cpu_long-0/segment/bundle
  python -m experiments.grades --source_dir=DIR --pretrained=FILE --lesion=BUNDLE --systems=conv,conv-frozen
  python -m experiments.grades --source_dir=DIR --pretrained=FILE --systems=plain --folds=5
  python -m experiments.grades --render

DIR holds both 'A. Segmentation' and 'B. Disease Grading'. A multi-task network is evaluated on the test sets of both at
once: its lesions on part A, its grades on part B, and all three tasks on the photographs of part A that are in part B
too. Each system is a run of the stage `grade` of `configs/idrid.py`, and resumes where it was stopped; what is finished
is not run again. The first system is the one that is looked at photograph by photograph: it predicts the test set as
`lesion-jax predict` does, the grade by rule from the lesions found is put beside its own, and its worst mistakes are
drawn. With --folds a system without a lesion network is cross-validated on the training part instead (the lesion
network has learned from healthy eyes of all folds), which says how much harder the test part is. Photographs from which
a system or its lesion network learned are excluded from validation and test.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from configs import idrid as preset_of
from experiments import folds, grades_page, record
from experiments.collect import read_counts
from experiments.presets import differing, portable
from experiments.worker import weights
from lesion_jax import main as program
from lesion_jax import runtime
from lesion_jax.cli import main as command
from lesion_jax.clinical.record import read_record
from lesion_jax.core import GRADE_KEYS, UNKNOWN_GRADE
from lesion_jax.data.asked import copy_outputs
from lesion_jax.data.registry import load_dataset
from lesion_jax.evaluate import agreement, referral
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.metrics import expected_grade
from lesion_jax.report.run import REPORT, TEST_COUNTS
from lesion_jax.stages.datasets import join_places
from lesion_jax.train.interrupt import Interrupt
from lesion_jax.weights.bundle import load_bundle

RESULTS = pathlib.Path(__file__).parent / 'results' / 'idrid_grades'
STAGE = 'grade'
MASKED, GRADED = 'idrid', 'idrid_grading'
WHOLE = ('grading/encoder/*',)  # what 'frozen' freezes
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    'conv': {'title': 'multi-task network, convolutional attention (Eq. 7)'},
    'conv-frozen': {'title': 'the same, encoder frozen', 'freeze': WHOLE},
    'cw_maxpool': {'title': 'multi-task network, CW-MaxPool (Eq. 6)', 'model': {'attention': 'cw_maxpool'}},
    'concat': {'title': 'Lesion-Concat', 'model': {'name': 'lesion_concat'}},
    'plain': {'title': 'Inception-v3, no lesions', 'model': {'name': 'inception_v3_grader'}},
    'plain-frozen': {'title': 'the same, encoder frozen', 'model': {'name': 'inception_v3_grader'}, 'freeze': WHOLE},
    'conv-leaks': {'title': 'control: Eq. 7, photographs that leak kept', 'data': {'leaks': 'keep'}},
}
WORST = 10
ALONE = 'plain'  # how the names of systems without a lesion network begin


def main(argv: Sequence[str] | None = None) -> int:
  """Runs what is missing and writes the page; returns the exit status."""
  options = parse(argv)
  if options.folds and not options.render:
    runtime.use_cache()
    for fold in [each for system in options.systems for each in plan(options, system)]:
      is_measured(*fold)  # all of them before anything is trained
    for system in options.systems:
      if status := cross_validate(options, system):
        return status
  elif not options.render:
    runtime.use_cache()
    for system in options.systems:
      if status := train(options, system):
        return status
      evaluate_test(options, system)
    look(options, options.systems[0])
  for path in grades_page.write(options.results):
    print(path)
  return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Returns the flags."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--source_dir', type=pathlib.Path, help='IDRiD, part B')
  parser.add_argument('--lesion', type=pathlib.Path, help='bundle of the lesion network')
  parser.add_argument('--pretrained', default='', help='Inception-v3 weights of ImageNet to start from')
  parser.add_argument('--systems', type=lambda text: text.split(','), default=['conv'],
                      help=f'by commas, of {", ".join(SYSTEMS)} (default: conv)')
  parser.add_argument('--folds', type=int, default=0, help='cross-validate on the training part, in so many folds')
  parser.add_argument('--preset', default='cpu', choices=preset_of.PRESETS)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/idrid_grades'), help='of the runs')
  parser.add_argument('--data_dir', type=pathlib.Path, default=pathlib.Path('runs/data'), help='of preprocessed data')
  parser.add_argument('--results', type=pathlib.Path, default=RESULTS, help='of the JSON and the page')
  parser.add_argument('--render', action='store_true', help='run nothing: write the page of the results that are there')
  options = parser.parse_args(argv)
  if unknown := [name for name in options.systems if name not in SYSTEMS]:
    parser.error(f'--systems: {", ".join(unknown)} is none of {", ".join(SYSTEMS)}')
  if options.folds != 0 and options.folds < 2:
    parser.error(f'--folds={options.folds}: at least 2, of which each is tested once, or 0 for none')
  if options.folds and (around := [name for name in options.systems if not name.startswith(ALONE)]):
    parser.error(f'--folds: {", ".join(around)} is built around a lesion network, which learned from healthy eyes of every fold; '
                 f'cross-validate {" or ".join(name for name in SYSTEMS if name.startswith(ALONE))}')
  if options.folds and (before := preset_of.GOES_ON.get(options.preset)):
    parser.error(f'--folds: --preset={options.preset} goes on from the network of {before}, which learned from photographs of every fold; '
                 f'cross-validate --preset={before}')
  if not options.render and not (options.source_dir and (options.lesion or options.folds)):
    parser.error('--source_dir=DIR, the folder with "B. Disease Grading", and --lesion=BUNDLE, of experiments.idrid, are needed')
  return options


def place(options: argparse.Namespace, system: str) -> pathlib.Path:
  """Returns the folder of a system's run."""
  return options.workdir / f'{system}-{options.preset}-{options.seed}'


def configure(options: argparse.Namespace, system: str) -> ConfigDict:
  """Returns the configuration of a system's run."""
  config, changes = preset_of.get_config(options.preset), SYSTEMS[system]
  config.seed, config.stages = options.seed, (STAGE,)
  grade = config.grade
  if before := goes_on(options):
    grade.pretrained, grade.init = '', str(place(before, system) / STAGE / 'bundle')
  else:
    grade.pretrained = options.pretrained
  grade.data.update(changes.get('data', {}))
  grade.model.update(changes.get('model', {}))
  if 'freeze' in changes:  # nothing of the encoder is left to train at another rate
    grade.encoder_lr_factor = 1.0
  if grade.model.name == 'inception_v3_grader':  # sees what the grading branch sees
    grade.data.update(name=GRADED, source_dir=str(options.source_dir), weights=(), size=grade.model.grading_size, ask_once=False)
    grade.model.update(grading_size=0)
    grade.freeze = [pattern.removeprefix('grading/') for pattern in changes.get('freeze', grade.freeze)]
  else:
    grade.data.source_dir = join_places([options.source_dir] * 2)
    config.segment.bundle = str(options.lesion)
    grade.freeze = changes.get('freeze', grade.freeze)
  return config


def goes_on(options: argparse.Namespace) -> argparse.Namespace | None:
  """Returns the options of the run from whose network this preset goes on; None where it starts from ImageNet's
  weights."""
  before = preset_of.GOES_ON.get(options.preset)
  return argparse.Namespace(**vars(options) | {'preset': before}) if before else None


def train(options: argparse.Namespace, system: str) -> int:
  """Trains a system and evaluates it on the test set; does nothing where that was done. A preset that continues from
  another trains that one before. What the lesion network said of the training photographs is taken from another
  system's run. Returns the exit status of `lesion_jax.main`."""
  directory = place(options, system)
  if folds.has_tested(directory, (STAGE,)):
    require_lesion(options, directory)
    return 0
  if (before := goes_on(options)) and (status := train(before, system)):
    return status
  for kept in sorted(options.workdir.glob(f'*/{STAGE}/found*.npz')):
    copy_outputs(kept, directory / STAGE / kept.name)
  print(f'{system}: {SYSTEMS[system]["title"]}, in {directory}', flush=True)
  with Interrupt() as should_stop:
    return program.run(configure(options, system), directory, str(options.data_dir), should_stop)


def require_lesion(options: argparse.Namespace, directory: pathlib.Path) -> None:
  """Ends the program where a finished run is around another lesion network than --lesion."""
  around = pathlib.Path(json.loads((directory / 'config.json').read_text('utf-8'))['segment']['bundle'] or options.lesion)
  if around.exists() and weights(around) != weights(options.lesion):
    raise SystemExit(f'{directory} is around the lesion network {around}, not {options.lesion}; give that one as --lesion, or another '
                     '--workdir and --results')


def cross_validate(options: argparse.Namespace, system: str) -> int:
  """Trains a system once a fold of the training part, and writes the results of all its photographs together, each by the
  network that did not learn from it. Folds that are measured lie with the results, so that they can be measured on several
  machines. Returns the exit status of `lesion_jax.main`."""
  directory = folder_of_folds(options, system)
  print(f'{system}: {SYSTEMS[system]["title"]}, {options.folds} folds in {directory}', flush=True)
  parts = plan(options, system)
  for chosen, run, kept in parts:
    if is_measured(chosen, run, kept):
      continue
    if not folds.is_finished(chosen, run):
      with Interrupt() as should_stop:
        if status := program.run(chosen, run, str(options.data_dir), should_stop):
          return status
    (kept / STAGE).mkdir(parents=True, exist_ok=True)
    for name in (REPORT, TEST_COUNTS):
      shutil.copyfile(run / STAGE / name, kept / STAGE / name)
    record.save(kept / 'config.json', {'config': portable(chosen, run), 'versions': record.versions(), 'hardware': record.hardware()})
  measured = [kept for _, _, kept in parts]
  found = folds.sum_up((STAGE,), measured)['stages'][STAGE]
  each = [read_counts(kept / STAGE / TEST_COUNTS)[0] for kept in measured]
  counts = {name: np.concatenate([one[name] for one in each]) for name in ('grade', 'grade_probabilities', 'patient')}
  record.save(options.results / f'{directory.name}.json', {
      'system': system, 'title': SYSTEMS[system]['title'], 'preset': options.preset, 'seed': options.seed,
      'folds': options.folds, 'images': found['images'], 'kappa': found['figures']['kappa'],
      'together': {key: found['together'][key] for key in ('kappa', 'accuracy', 'confusion', 'intervals')},
      'referral': referral(counts, resamples=RESAMPLES, seed=SEED),
      'versions': record.versions(), 'hardware': record.hardware()})
  return 0


def folder_of_folds(options: argparse.Namespace, system: str) -> pathlib.Path:
  """Returns the folder of a system's runs, one a fold."""
  return options.workdir / f'{place(options, system).name}{grades_page.FOLDS}'


def plan(options: argparse.Namespace, system: str) -> list[tuple[ConfigDict, pathlib.Path, pathlib.Path]]:
  """Returns of each fold the configuration, the folder of its run, and where what is measured of it is kept."""
  directory, config = folder_of_folds(options, system), configure(options, system)
  return [(folds.fold_of(config, options.folds, fold), directory / f'fold-{fold}',
           options.results / directory.name / f'{fold}-of-{options.folds}') for fold in range(options.folds)]


def is_measured(chosen: ConfigDict, run: pathlib.Path, kept: pathlib.Path) -> bool:
  """Returns whether a fold is measured; ends the program where it was with other settings."""
  if not (kept / 'config.json').exists():
    return False
  before = json.loads((kept / 'config.json').read_text('utf-8'))['config']
  if differences := differing(before, json.loads(json.dumps(portable(chosen, run)))):
    raise SystemExit(f'{kept} was measured with other settings: {", ".join(differences)}; remove it, or give it another --results')
  return True


def evaluate_test(options: argparse.Namespace, system: str) -> None:
  """Writes down the counts of each photograph of the test set, and then what the run says of it: where that is there, both are."""
  directory = place(options, system) / STAGE
  bundle = load_bundle(directory / 'bundle')
  whole = json.loads((directory / 'report.json').read_text('utf-8'))
  of = whole.get('data_sets', {GRADED: whole})
  report = of[GRADED]
  path = options.results / f'{directory.parent.name}.json'
  before = json.loads(path.read_text('utf-8')) if path.exists() else {}
  if before.get('weights') == bundle.digest and grades_page.has_counts(path, before):
    return
  size = bundle.config['preprocessing']['size']
  part_b = load_dataset(GRADED, data_dir=options.data_dir, size=size, source_dir=options.source_dir)
  counts, annotated = read_counts(directory / TEST_COUNTS)
  rows = np.isin(counts['id'], part_b.source('test').index.id)
  grades_page.save_counts(path, bundle.digest, {name: value[rows] for name, value in counts.items()}, annotated)
  config = json.loads((directory.parent / 'config.json').read_text('utf-8'))[STAGE]
  config['data'] |= {'source_dir': ''}
  config['pretrained'], config['init'] = (
      pathlib.Path(config['pretrained']).name, '/'.join(pathlib.Path(config['init']).parts[-3:]))
  record.save(path, {
      'system': system, 'title': SYSTEMS[system]['title'], 'preset': options.preset, 'seed': options.seed,
      'weights': bundle.digest, 'lesion': load_bundle(options.lesion).digest, 'config': config,
      'lengths': bundle.config['data']['lengths'], 'leaks': bundle.config['data'].get('leaks'),
      'parameters': bundle.config['provenance']['parameters'], 'selection': whole.get('selection'),
      **({'lesions': {key: of[MASKED][key] for key in ('aupr', 'pixel_f1', 'image_f1', 'presence', 'positive_images', 'kappa', 'accuracy',
                                                       'confusion', 'intervals')}} if MASKED in of else {}),
      'report': {key: report[key] for key in ('kappa', 'accuracy', 'referable', 'confusion', 'intervals', 'referral',
                                              'at_cut_points', 'calibration', 'tempered') if key in report},
      'test_evaluations': [*before.get('test_evaluations', []),
                           {'weights': bundle.digest, 'date': datetime.date.today().isoformat()}],
      'versions': record.versions(), 'hardware': record.hardware()})


def look(options: argparse.Namespace, system: str) -> None:
  """Predicts the test photographs one by one as users do, and writes how the grade by rule agrees, and the worst mistakes."""
  directory = place(options, system)
  path = options.results / f'{directory.name}.json'
  result = json.loads(path.read_text('utf-8'))
  if 'agreement' in result:
    return
  bundle = load_bundle(directory / STAGE / 'bundle')
  counts = grades_page.read_own_counts(path, result)
  names, truth = counts['id'].tolist(), counts['grade']
  folder = options.source_dir / 'B. Disease Grading' / '1. Original Images' / 'b. Testing Set'
  out = directory / 'predicted'
  fresh, start = not out.exists(), time.perf_counter()
  status = command(['predict', *(str(folder / f'{name}.jpg') for name in names), '--model', str(directory / STAGE / 'bundle'),
                    '--out', str(out), '--quiet'])
  if status:
    raise SystemExit(f'lesion-jax predict ended with status {status}')
  if fresh:
    result['predict'] = {'seconds': (time.perf_counter() - start) / len(names)}
  records = [read_record(out / name) for name in names]
  network = np.array([each['grade']['value'] for each in records])
  rule = np.array([_ruled(each) for each in records])
  expected = expected_grade(counts['grade_probabilities'])
  error = np.where(truth == UNKNOWN_GRADE, 0, np.abs(expected - truth))
  worst = [{'id': names[row], 'truth': GRADE_KEYS[truth[row]], 'predicted': records[row]['grade']['key'],
            'probabilities': records[row]['grade']['probabilities'], 'expected': round(float(expected[row]), 2),
            'present': [key for key, state in records[row]['states'].items() if state == 'present'],
            'look': records[row]['look']} for row in np.argsort(-error, kind='stable')[:WORST]]
  part_b = load_dataset(GRADED, data_dir=options.data_dir, size=bundle.config['preprocessing']['size'],
                        source_dir=options.source_dir)
  grades_page.draw_worst(options.results / f'{directory.name}-worst.jpg', bundle, part_b, [each['id'] for each in worst])
  record.save(path, result | {'agreement': agreement(truth, rule, network), 'worst': worst})  # last: where it is there, all is done


def _ruled(each: Mapping[str, Any]) -> int:
  """The grade by rule of a record, UNKNOWN_GRADE where it gives none."""
  rule = each['look']['rule']
  return UNKNOWN_GRADE if rule is None else int(rule['grade'])


if __name__ == '__main__':
  sys.exit(main())
