"""Lesions of real photographs: trains on IDRiD, chooses on validation, evaluates the official test set once, writes a
page.

  python -m experiments.idrid --source_dir=DIR --pretrained=inception_v3.safetensors --results=runs/idrid_results
  python -m experiments.idrid --source_dir=DIR --pretrained=FILE --preset=gpu --seed=1
  python -m experiments.idrid --source_dir=DIR --pretrained=FILE --preset=gpu --steps=4000
  python -m experiments.idrid --source_dir=DIR --pretrained=FILE --without_negatives
  python -m experiments.idrid --render

DIR holds IDRiD's 'A. Segmentation' and 'B. Disease Grading'. Without --results they go to those that are committed, where the result of
another network is not replaced. The run is `configs/idrid.py` of the preset. Stopped at any point
(SIGTERM, Ctrl-C, kill), the same command resumes: training from its last checkpoint, and of the metrics that are
counted afterwards those that are there already stay. Each evaluation of the test set is written down with its date and
its reason, and a second one of the same network needs `--reason`. `--without_negatives` is the control: the same network
and schedule without part B's healthy eyes, and evaluated by a rule for presence that is chosen on the same validation
photographs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import idrid as preset_of
from experiments import folds, idrid_page, record
from experiments.collect import read_counts
from lesion_jax import main as program
from lesion_jax import runtime
from lesion_jax.cli.options import positive
from lesion_jax.core import LESION_KEYS, REFERABLE_GRADE, UNKNOWN_GRADE, Prediction
from lesion_jax.cpu import arranged
from lesion_jax.data.mixture import Mixture
from lesion_jax.data.native import NativeSource
from lesion_jax.data.dataset import Dataset, Subset
from lesion_jax.data.registry import load_dataset
from lesion_jax.data.sampler import Joined
from lesion_jax.evaluate import (
    choose, full_report, evaluate_healthy, native_counts, native_report, scored_lesions)
from lesion_jax.evaluate.bootstrap import RESAMPLES, SEED
from lesion_jax.metrics.presence import Rule, presence_scores
from lesion_jax.models import get_model
from lesion_jax.models.forward import forward
from lesion_jax.photograph.fingerprint import twins
from lesion_jax.predict.tta import augmented
from lesion_jax.report.run import TEST_COUNTS
from lesion_jax.stages import leaks, make_counter
from lesion_jax.stages.datasets import join_places
from lesion_jax.train.interrupt import Interrupt
from lesion_jax.train.logs import read_scalars
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import Bundle, load_bundle

RESULTS = pathlib.Path(__file__).parent / 'results' / 'idrid_lesions'
STAGE = 'segment'
BLUR = 1140 / 1440  # of part B's photographs, whose fields are of 1,140 pixels, to those of part A as prepared
TILE, TILES = 448, 60  # of the control of sharpness at most, and how many


def main(argv: Sequence[str] | None = None) -> int:
  """Runs what is missing and writes the page; returns the exit status."""
  options = parse(argv)
  if not options.render:
    require_place(options)
    runtime.use_cache()
    if status := train(options):
      return status
    evaluate_test(options)
  for path in idrid_page.write(options.results):
    print(path)
  return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Returns the flags."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--source_dir', type=pathlib.Path, help='IDRiD, both parts')
  parser.add_argument('--pretrained', default='', help='Inception-v3 weights of ImageNet to start from')
  parser.add_argument('--preset', default='cpu', choices=preset_of.PRESETS)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--steps', type=positive, help="of the training instead of the preset's; warm-up, validations and checkpoints in "
                      'proportion')
  parser.add_argument('--without_negatives', action='store_true', help='the control that learns from part A alone')
  parser.add_argument('--workdir', type=pathlib.Path, default=pathlib.Path('runs/idrid'), help='of the runs')
  parser.add_argument('--data_dir', type=pathlib.Path, default=pathlib.Path('runs/data'), help='of preprocessed data')
  parser.add_argument('--results', type=pathlib.Path, default=RESULTS, help='of the JSON and the page')
  parser.add_argument('--reason', default='', help='why the test set is evaluated once more')
  parser.add_argument('--render', action='store_true', help='run nothing: write the page of the results that are there')
  options = parser.parse_args(argv)
  if not options.render and not options.source_dir:
    parser.error('--source_dir=DIR is missing: the folder with "A. Segmentation" and "B. Disease Grading"')
  return options


def place(options: argparse.Namespace) -> pathlib.Path:
  """Returns the run's folder."""
  return options.workdir / title(options)


def title(options: argparse.Namespace) -> str:
  """Returns what the run is called in the names of its files."""
  return (f'{options.preset}-{options.seed}' + (f'-{options.steps}' if options.steps else '') +
          ('-without' if options.without_negatives else ''))


def result_of(options: argparse.Namespace) -> pathlib.Path:
  """Returns where the result of the run is written."""
  return options.results / f'{title(options)}.json'


def require_place(options: argparse.Namespace) -> None:
  """Ends the program before anything is trained where the result of another network lies: it would not be replaced."""
  if result_of(options).exists() and not folds.has_tested(place(options), (STAGE,)):
    raise SystemExit(f'{result_of(options)} is of a network that is not in {place(options)}; give another --results to train and evaluate '
                     'one, or remove it')


def train(options: argparse.Namespace) -> int:
  """Trains, chooses thresholds on validation, evaluates the test set at the network's size, and leaves a bundle; does
  nothing where that was done. A preset that continues from another trains that one before. Returns the exit status of
  `lesion_jax.main`."""
  if folds.has_tested(place(options), (STAGE,)):
    return 0
  before = None
  if options.preset in preset_of.GOES_ON:
    before = argparse.Namespace(**vars(options) | {'preset': preset_of.GOES_ON[options.preset]})
    if status := train(before):
      return status
  with Interrupt() as should_stop:
    return program.run(configure(options, before), place(options), str(options.data_dir), should_stop)


def configure(options: argparse.Namespace, before: argparse.Namespace | None = None) -> ConfigDict:
  """Returns the configuration of the run, that continues from the one `before` where there is one."""
  config = preset_of.get_config(options.preset)
  config.seed, segment = options.seed, config.segment
  segment.data.source_dir = join_places([options.source_dir] * 2)
  segment.pretrained = '' if before else options.pretrained
  segment.init = str(place(before) / STAGE / 'bundle') if before else ''
  if options.steps:
    for key in ('warm_up', 'validate_every', 'save_every'):
      segment[key] = max(1, round(segment[key] * options.steps / segment.max_steps))
    segment.max_steps = options.steps
  if options.without_negatives:
    segment.data.update(name='idrid', source_dir=str(options.source_dir), weights=(), aside=0.0)
  return config


def evaluate_test(options: argparse.Namespace) -> None:
  """Counts what the run itself did not, part by part, and writes the result."""
  directory = place(options) / STAGE
  bundle = load_bundle(directory / 'bundle')
  path = result_of(options)
  result = json.loads(path.read_text('utf-8')) if path.exists() else {}
  if result.get('weights') not in (None, bundle.digest):
    raise SystemExit(f'{path} is of another network ({result["weights"][:8]}, here {bundle.digest[:8]}); remove it to evaluate '
                     'this one, or give another --results')
  size = bundle.config['preprocessing']['size']
  part_a, part_b = (load_dataset(name, data_dir=options.data_dir, size=size, source_dir=options.source_dir)
                    for name in ('idrid', 'idrid_grading'))
  report = json.loads((directory / 'report.json').read_text('utf-8'))
  result |= describe(options, bundle, directory, report)
  rule, about = presence_rule(options, bundle, part_a, part_b)
  result['presence'] = about
  steps: dict[str, Callable[[], dict[str, Any]]] = {
      'network': lambda: report.get('data_sets', {}).get('idrid', report),
      'grades': lambda: by_grade(
          bundle, part_a, part_b, rule, None if options.without_negatives else directory / TEST_COUNTS),
      'tta': lambda: with_tta(bundle, part_a),
      'native': lambda: at_native(bundle, part_a),
      'sharpness': lambda: sharpness(bundle, part_a, part_b),
  }
  if options.without_negatives:  # the control answers one question
    steps = {name: steps[name] for name in ('network', 'grades')}
  evaluations = result.setdefault('test_evaluations', [])
  for name, count in steps.items():
    if name in result and not options.reason:
      continue
    start = time.perf_counter()
    result[name] = count()
    evaluations.append({'what': name, 'date': datetime.date.today().isoformat(),
                        'reason': options.reason or 'first evaluation of this network',
                        'seconds': round(time.perf_counter() - start, 1)})
    record.save(path, result)
    print(f'{name}: {evaluations[-1]["seconds"]} s', flush=True)
  idrid_page.draw(options.results, title(options), bundle, part_a, part_b, directory, rule,
                  result['grades']['called_healthy'])


def describe(
    options: argparse.Namespace, bundle: Bundle, directory: pathlib.Path, report: dict[str, Any]) -> dict[str, Any]:
  """Returns what the run was, ready for JSON."""
  series = read_scalars(directory / 'metrics.csv')
  steps, rates = series['train', 'images_per_second']
  validation = {name: dict(zip(map(str, at), values, strict=True)) for (split, name), (at, values) in series.items()
                if split == 'validation'}
  config = json.loads((place(options) / 'config.json').read_text('utf-8'))
  stage = config[STAGE]
  stage['data'] |= {'source_dir': ''}
  stage['pretrained'], stage['init'] = pathlib.Path(stage['pretrained']).name, '/'.join(pathlib.Path(stage['init']).parts[-3:])
  return {
      'command': ' '.join(['python -m experiments.idrid --source_dir=DIR',
                           f'--pretrained={pathlib.Path(options.pretrained).name or "FILE"}',
                           f'--preset={options.preset} --seed={options.seed}',
                           *([f'--steps={options.steps}'] if options.steps else []),
                           *(['--without_negatives'] if options.without_negatives else [])]),
      'weights': bundle.digest, 'config': {'seed': config['seed'], STAGE: stage}, 'steps': max(steps),
      'images_per_second': float(np.median(rates)), 'validation': validation, 'selection': report.get('selection'),
      'thresholds': bundle.config['thresholds'],
      'lengths': {part['name']: part['lengths'] for part in bundle.config['data'].get('parts', [bundle.config['data']])},
      'healthy': report.get('data_sets', {}).get('idrid_grading', {}).get('healthy'),
      'parameters': bundle.config['provenance']['parameters'],
      'versions': record.versions(), 'hardware': record.hardware()}


def _thresholds(bundle: Bundle) -> np.ndarray:
  return np.array([bundle.config['thresholds'][key] for key in LESION_KEYS], np.float32)


def _predict(bundle: Bundle) -> Callable[[Any, Any], Any]:
  return arranged(forward(get_model(**bundle.config['model'])))


def _count(bundle: Bundle, source: Any, *, tta: str | None = None) -> dict[str, np.ndarray]:
  count = make_counter(augmented(_predict(bundle), tta), Devices(), batch_size=len(jax.local_devices()),
                       thresholds=_thresholds(bundle))
  return count(bundle.variables, source, keep_histograms=True)


def with_tta(bundle: Bundle, part_a: Dataset) -> dict[str, Any]:
  """Evaluates the official test set, probabilities averaged over four mirrored copies of each photograph."""
  counts = _count(bundle, part_a.source('test'), tta='flips')
  return full_report(counts, part_a.annotated, bundle.config['annotated'], rule=Rule.of(bundle.config))


def presence_rule(
    options: argparse.Namespace, bundle: Bundle, part_a: Dataset, part_b: Dataset) -> tuple[Rule, dict[str, Any]]:
  """Returns the bundle's rule for presence, and what it says of it; of a network that saw no healthy eye, the rule that
  is chosen on those validation photographs, and idle ones of training, on which that of the others is."""
  if not options.without_negatives:
    return Rule.of(bundle.config), bundle.config['presence']
  data = preset_of.get_config(options.preset).segment.data
  negatives = part_b.with_negatives(tuple(bundle.config['annotated']), aside=data.aside)
  both = Mixture((part_a, negatives), ())
  counts, idle = _count(bundle, both.source('validation')), _count(bundle, Joined(leaks.idle(both)))
  found = choose(counts, scored_lesions(LESION_KEYS, bundle.config['annotated']),
                 sick=idle['presence_scores'][idle['grade'] >= REFERABLE_GRADE])
  return Rule.of(bundle.config | found), found['presence']


def by_grade(bundle: Bundle, part_a: Dataset, part_b: Dataset, rule: Rule, kept: pathlib.Path | None) -> dict[str, Any]:
  """Returns which of part B's test photographs, graded DR0 to DR4, are called diseased. Those that are among part A's
  training and validation photographs as well are excluded.

  Args:
    kept: the run's own counts of these photographs, where it has evaluated them.
  """
  learned = np.concatenate([part_a.source(split).index.fingerprint for split in ('train', 'validation')])
  source = part_b.source('test')
  known = twins(source.index.fingerprint, learned)
  wanted = source.index.id[~known].tolist()
  if kept is None:
    counts = _count(bundle, Subset(source, np.flatnonzero(~known).tolist()))
  else:
    counts, _ = read_counts(kept)
    place = {str(name): row for row, name in enumerate(counts['id'])}
    rows = [place[name] for name in wanted]
    counts = {name: value[rows] for name, value in counts.items()}
  scored = scored_lesions(LESION_KEYS, bundle.config['annotated'])
  found = evaluate_healthy(counts, scored, rule, resamples=RESAMPLES, seed=SEED)
  called = rule.decide(counts['presence_scores'])[:, [LESION_KEYS.index(key) for key in scored]].any(axis=1)
  grades = {str(grade): {'images': int((counts['grade'] == grade).sum()),
                         'called': int(called[counts['grade'] == grade].sum())}
            for grade in np.unique(counts['grade']) if grade != UNKNOWN_GRADE}
  return found | {'left_out': source.index.id[known].tolist(), 'by_grade': grades,
                  'called_healthy': counts['id'][called & (counts['grade'] == 0)].tolist(),
                  'scores': {str(name): [round(float(x), 7) for x in row] for name, row in
                             zip(counts['id'], counts['presence_scores'], strict=True)}}


def at_native(bundle: Bundle, part_a: Dataset) -> dict[str, Any]:
  """Evaluates the official test set in the photographs' own pixels."""
  predict, variables = jax.jit(_predict(bundle)), jax.device_put(bundle.variables)
  source, learned = NativeSource(part_a, 'test'), bundle.config['annotated']
  counts = native_counts(lambda square: predict(variables, square[None]).maps[0],
                         (source[index] for index in range(len(source))),
                         size=bundle.config['preprocessing']['size'], lesions=scored_lesions(part_a.annotated, learned),
                         thresholds=_thresholds(bundle))
  return native_report(counts, part_a.annotated, learned)


def sharpness(bundle: Bundle, part_a: Dataset, part_b: Dataset) -> dict[str, Any]:
  """Runs a control: does the network read the blur of part B's smaller photographs as 'nothing there'?

  Tiles of part A's validation photographs in which no lesion is annotated, as they are and as soft as part B's are, and
  tiles of healthy eyes of part B's validation photographs. Of each the score of the rule for presence.
  """
  from PIL import Image  # needed here alone

  rng, side = np.random.default_rng(0), min(TILE, TILE * part_a.size // 1440)
  soft = round(side * BLUR)

  def tiles(source: Any, count: int) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for _ in range(50 * count):
      example = source[int(rng.integers(len(source)))]
      size = example['image'].shape[0]
      top, left = rng.integers(size // 8, size - size // 8 - side, 2)
      window = slice(top, top + side), slice(left, left + side)
      if not example['lesions'][window].any() and (example['image'][window].max(-1) > 12).mean() > 0.95:
        found.append(example['image'][window])
      if len(found) == count:
        break
    return found

  def blurred(tile: np.ndarray) -> np.ndarray:
    small = Image.fromarray(tile).resize((soft, soft), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))

  predict, variables = jax.jit(_predict(bundle)), jax.device_put(bundle.variables)
  columns = [LESION_KEYS.index(key) for key in bundle.config['annotated']]

  def scores(images: list[np.ndarray]) -> dict[str, list[float]]:
    rows = []
    for image in images:
      rows.append(presence_scores(Prediction(maps=np.asarray(predict(variables, image[None]).maps)))[0, columns])
    quartiles = np.quantile(rows, (0.25, 0.5, 0.75), axis=0)
    return {key: [round(float(x), 4) for x in quartiles[:, j]] for j, key in enumerate(bundle.config['annotated'])}

  healthy = part_b.with_negatives(tuple(bundle.config['annotated'])).source('validation')
  healthy = Subset(healthy, np.flatnonzero(healthy.index.grade == 0).tolist())
  clear = tiles(part_a.source('validation'), TILES)
  return {'tiles': len(clear), 'side': side, 'quartiles': {
      'part A, without lesions': scores(clear), 'the same, as soft as part B': scores([blurred(tile) for tile in clear]),
      'part B, healthy eyes': scores(tiles(healthy, TILES))}}


if __name__ == '__main__':
  sys.exit(main())
