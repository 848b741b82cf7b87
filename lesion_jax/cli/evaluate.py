"""`lesion-jax evaluate`: the paper's metrics of a bundle on a data set, with intervals, calibration and pictures."""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
from typing import Any

from lesion_jax.cli import options
from lesion_jax.places import home, real

SPLITS, ALL = ('train', 'validation', 'test'), 'all'  # as `data` has them, which is slow to import

EVALUATE = '''\
Measures a network on a data set. Prints pixel F1, IoU, image F1 and AUPR of each lesion, which lesions are called present
in photographs and above all in healthy eyes, quadratic weighted kappa, accuracy, and sensitivity and specificity of
referable DR, with 95 % intervals over the patients, and how far the probabilities can be taken at their word. Writes
into the folder of --out:

  report.json             all of it, and what was evaluated how
  counts.npz              true and false positives and probabilities of each photograph, for paired comparisons
  precision_recall.png    precision against recall of the pixels of each lesion, with the AUPR
  calibration.png         reliability curves of pixels, of lesions in photographs, and of grades
  confusion.png           annotated against predicted grades
  examples.png            a few photographs, annotation and prediction side by side

With --at native, maps are brought back to each photograph's own pixels and compared with the raw dataset's own masks there:
pixel F1 and AUPR of lesions, at whatever size the network works.

Evaluated are the lesions that the network learned and the data annotate. Photographs are prepared once, at the network's
size, and kept in the folder of --prepared; a raw dataset is never written to.'''
EXAMPLES = '''\
examples:
  lesion-jax evaluate --model runs/demo/grade/bundle --data synthetic --option count=1000
  lesion-jax evaluate --model bundle --data idrid --source IDRiD --split test --out metrics
  lesion-jax evaluate --model bundle --data retinal_lesions --source DIR --split all    (the paper's own test set)
  lesion-jax evaluate --model bundle --model other --tta flips --data idrid --source IDRiD --at native

exit status: 0, or 1 where the network gave no numbers or the results could not be written, or 2 where nothing could be
done.'''


# The library's name of an argument -> the option, where a message names it.
FLAGS = {'source_dir': '--source', 'data_dir': '--prepared', 'out': '--out', 'leaks': '--leaks', 'at': '--at',
         'batch_size': '--batch-size', 'regions': '--regions', 'thresholds': '--threshold', 'other_crop': '--other-crop'}


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  evaluate = commands.add_parser(
      'evaluate', help='metrics of a network on a data set', description=EVALUATE, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  evaluate.add_argument('--model', required=True, type=pathlib.Path, action='append', metavar='BUNDLE',
                        help=f'{options.NETWORK}; given several times, the probabilities of all are averaged')
  evaluate.add_argument('--data', required=True, metavar='NAME',
                        help='data set; docs/datasets.md lists them, and so does a name that there is not')
  evaluate.add_argument('--source', '--data-dir', dest='data_dir', type=pathlib.Path, metavar='DIR',
                        help='the raw dataset as its authors lay it out; synthetic has none')
  evaluate.add_argument('--split', default='test', choices=(*SPLITS, ALL),
                        help='default test; all: every photograph, for a network that learned elsewhere')
  evaluate.add_argument('--only', type=pathlib.Path, metavar='FILE',
                        help='evaluate only these photographs of the split: a file of ids, one a line')
  evaluate.add_argument('--without', type=pathlib.Path, metavar='FILE',
                        help='exclude these photographs: a file of ids, one a line')
  evaluate.add_argument('--leaks', choices=['refuse', 'leave-out', 'keep'], default='refuse',
                        help='where photographs are among those from which the network learned, known by a fingerprint '
                        'whatever their names, sizes and compression: refuse (default; only a note for the splits train, '
                        'validation and all of a data set from which it did learn), leave them out, or keep them')
  evaluate.add_argument('--at', default='network', choices=['network', 'native'],
                        help="where maps and masks are compared: at the network's size (default), or in the "
                        "photographs' own pixels, which takes the raw dataset again and some seconds a photograph")
  evaluate.add_argument('--tta', choices=['flips', 'dihedral'],
                        help='average over 4 mirrored, or 8 mirrored and turned copies of each photograph')
  evaluate.add_argument('--window', type=options.window, metavar='N',
                        help=options.WINDOW)
  evaluate.add_argument('--option', action='append', default=[], type=options.data_option, metavar='KEY=N',
                        help='of the data set, can be repeated: count and seed of synthetic, images_dir of maples_dr, '
                        'scale, values and indices of folder (what its numbers mean); '
                        'and split=hash or stratified, split_seed, folds and fold where the split is ours')
  evaluate.add_argument('--prepared', default=pathlib.Path('runs/data'), type=pathlib.Path, metavar='DIR',
                        help='where preprocessed datasets are kept (default runs/data, as in training)')
  evaluate.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        help='where the results go (default: beside the first bundle, or here for a network of this '
                        'package, BUNDLE-NAME-SPLIT, with -native behind it where that is asked for)')
  evaluate.add_argument('--batch-size', type=options.positive, metavar='N',
                        help='photographs in one pass, over all devices (default 8, as in training)')
  evaluate.add_argument('--threshold', type=options.thresholds, default={}, metavar='T',
                        help='probability from which a pixel counts as a lesion, and by Eq. 1 a lesion as present: a '
                        "number for all, or by lesion as in MA=0.3,iHE=0.5 (default: the model's own)")
  evaluate.add_argument('--rule', choices=['bundle', 'maximum'], default='bundle',
                        help="by which lesions are called present in a photograph: the model's own rule (default bundle), "
                        'or its most probable pixel, Eq. 1 of the paper; metrics by Eq. 1 at 0.5 stand beside it')
  evaluate.add_argument('--resamples', default=argparse.SUPPRESS, type=options.positive, metavar='N',
                        help='of the bootstrap, for the intervals (default 1000)')
  evaluate.add_argument('--seed', default=argparse.SUPPRESS, type=options.natural, metavar='N',
                        help='of the bootstrap (default 2020)')
  evaluate.add_argument('--other-crop', action='store_true',
                        help='evaluate on squares although the network learned from fields of view')
  evaluate.add_argument('--regions', action='store_true',
                        help='metrics by region too, not by pixel: F1 by connected region, false positives a photograph, and FROC; '
                        'a second pass over the photographs')
  evaluate.add_argument('--no-pictures', action='store_true', help='write no PNG')
  evaluate.set_defaults(run=_evaluate, parser=evaluate)


def _evaluate(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from lesion_jax import assessment, runtime
  from lesion_jax.data.progress import progress_bar
  from lesion_jax.report.terminal import format_report

  runtime.set_up()
  out = arguments.out or _beside(arguments)
  try:
    assessment.require_free(out)
    job = assessment.check(arguments.model, arguments.data, **_settings(arguments))
    out.mkdir(parents=True, exist_ok=True)
  except (OSError, ValueError) as error:
    parser.error(options.in_flags(error, FLAGS))
  print(job.title, *job.notes, sep='\n- ', flush=True)
  bootstrap = {name: value for name, value in vars(arguments).items() if name in ('resamples', 'seed')}
  try:
    with progress_bar() as bar:
      found = job.evaluate(progress=bar, **bootstrap)
  except FloatingPointError as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print('\n' + format_report(found.report, job.title), flush=True)
  try:
    evaluated = job.describe() | {'command': _command(arguments)}
    names = job.write(out, found._replace(report={'evaluated': evaluated} | found.report), pictures=not arguments.no_pictures)
  except OSError as error:
    print(f'error: the results could not be written to {out}: {error}', file=sys.stderr)
    return 1
  print(f'\n{", ".join(names)} are in {out}')
  return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
  """What the options say of `assessment.Settings`."""
  return {'source_dir': arguments.data_dir, 'data_dir': arguments.prepared, 'options': dict(arguments.option),
          'thresholds': arguments.threshold,
          **{name: getattr(arguments, name) for name in ('split', 'only', 'without', 'leaks', 'at', 'tta', 'window',
                                                         'batch_size', 'rule', 'other_crop', 'regions')}}


def _beside(arguments: argparse.Namespace) -> pathlib.Path:
  """Where the results go by default."""
  # The name of a packaged network stays one, and results go to the current folder, not among the files of the package.
  bundles = [real(home(model)) for model in arguments.model]
  name = '+'.join(bundle.stem if bundle.suffix == '.zip' else bundle.name for bundle in bundles)
  chosen = [f'{word}-{path.stem}' for word in ('only', 'without') if (path := getattr(arguments, word))]
  chosen += [] if arguments.at == 'network' else [arguments.at]
  return bundles[0].with_name('-'.join([name, arguments.data, arguments.split, *chosen]).replace('/', '-'))


def _command(arguments: argparse.Namespace) -> str:
  """The command again, with what differs from the defaults."""
  words = ['lesion-jax', 'evaluate']
  for name, value in vars(arguments).items():
    flag = '--source' if name == 'data_dir' else '--' + name.replace('_', '-')
    if name in ('run', 'parser') or arguments.parser.get_default(name) == value:
      continue
    if isinstance(value, dict):
      words += [flag, ','.join(f'{key}={each}' for key, each in value.items())]
    elif isinstance(value, list):
      given = [str(one) if isinstance(one, str | pathlib.Path) else '{}={}'.format(*one) for one in value]
      words += [word for one in given for word in (flag, one)]
    else:
      words += [flag] if value is True else [flag, str(value)]
  return shlex.join(words)
