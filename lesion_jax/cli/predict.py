"""`lesion-jax predict`: files per photograph, one table and one page of all."""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from lesion_jax import pretrained
from lesion_jax.cli import options
from lesion_jax.cli.predict_files import REPORT, SUFFIXES, TABLE, find_photographs, make_tasks

PREDICT = f'''\
Reads photographs, finds the field of view in each, and writes for each into DIR:

  <name>/result.json    grade, probabilities, counts and areas by lesion and quadrant, what Table I of the paper says to
                        them, and whether a person should look; described by lesion_jax/report/result.schema.json
  <name>/field.jpg      the square that the network looked at, at most 2048 pixels
  <name>/attention.png  where a network with attention looked: its map over that square, black least, white most
and of networks with lesion maps
  <name>/overlay.png    the field of view with the lesions outlined
  <name>/<lesion>.png   a mask in the photograph's own pixels, 0 or 255, of each lesion that is present
  <name>/lesions.png    all masks in one: bit 0 is MA, then iHE, HaEx, CWS, vHE, pHE, NV, FiP
  <name>/outlines.svg   their outlines, in the photograph's own pixels

and for all of them {TABLE} and {REPORT}, one page that needs no other file and no network. It shows pictures of the
first 200 photographs, and lists the others.

A photograph that cannot be read, or whose results cannot be written, does not stop the others. What an earlier run with
the same photograph, model and options has written is not predicted again.

Of folders, every file is taken whose name ends in {' '.join(SUFFIXES)},
and DICOM files whose name has no ending.'''
EXAMPLES = '''\
examples:
  lesion-jax predict photograph.jpg --out results    (with the network of this package, where it has one)
  lesion-jax predict left.jpg right.jpg --model runs/demo/grade/bundle --out results
  lesion-jax predict photographs/ --model bundle --out results --batch-size 8    (on a GPU)
  lesion-jax predict 'clinic/**/*_OD.dcm' --model bundle --out results --threshold MA=0.3,iHE=0.6

exit status: 0, or 1 where a photograph failed, or 2 where nothing could be done, or 130 where you interrupted it; run
the same command again to go on.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  predict = commands.add_parser(
      'predict', help='lesions and grade of photographs', description=PREDICT, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  predict.add_argument('files', nargs='+', type=pathlib.Path, metavar='FILE',
                       help='a photograph, a folder that is searched with all folders in it, or a pattern in quotes; '
                            '** in a pattern is any number of folders')
  predict.add_argument('--model', type=pathlib.Path, action='append', metavar='BUNDLE',
                       help=f'{options.NETWORK}; given several times, the probabilities of all are averaged (default: the '
                            'default network of this package, where it has one)')
  predict.add_argument('--out', required=True, type=pathlib.Path, metavar='DIR',
                       help='where the results go; made where it does not exist')
  predict.add_argument('--batch-size', type=options.positive, default=1, metavar='N',
                       help='photographs in one pass (default 1, right on a CPU; try 8 on a GPU)')
  predict.add_argument('--threshold', type=options.thresholds, default={}, metavar='T',
                       help='probability from which a pixel is in the mask of a lesion, and by Eq. 1 a lesion present: a '
                            "number for all, or by lesion as in MA=0.3,iHE=0.5 (default: the model's own, by lesion)")
  predict.add_argument('--rule', choices=['bundle', 'maximum'], default='bundle',
                       help="by which lesions are called present: the model's own rule, chosen on healthy eyes where it "
                            'says so (default bundle), or its most probable pixel, Eq. 1 of the paper')
  predict.add_argument('--crop', action=argparse.BooleanOptionalAction,
                       help='look for the field of view in every photograph; or in none, as they are squares around it '
                            'already (default: as the network was trained; if that was on squares, square photographs '
                            'are only resized)')
  predict.add_argument('--tta', choices=['flips', 'dihedral'],
                       help='average over 4 mirrored, or 8 mirrored and turned copies of each photograph, at 4 and 8 '
                            'times the time')
  predict.add_argument('--window', type=options.window, metavar='N', help=options.WINDOW)
  predict.add_argument('--dtype', choices=['float32', 'bfloat16'],
                       help="in which the network computes (default: the model's own; bfloat16 pays on GPUs alone)")
  predict.add_argument('--device', metavar='D', help="where: cpu, gpu, cuda:1 (default: JAX's own choice)")
  predict.add_argument('--engine', choices=['local', 'ray'], default='local',
                       help='what runs it: this process, or the workers of a Ray cluster, each with its own network; '
                            'needs the extra `ray`, see docs/predict.md (default local)')
  predict.add_argument('--workers', type=options.positive, metavar='N',
                       help='of --engine ray (default: one a GPU; without GPUs, one a machine)')
  predict.add_argument('--backend', choices=['jax', 'onnxruntime'], default='jax',
                       help='what computes (default jax); onnxruntime is faster on a CPU, for one network without --tta; '
                            'its graph is made the first time, which takes a minute')
  predict.add_argument('--overwrite', action='store_true', help='predict also what an earlier run has done')
  predict.add_argument('--quiet', action='store_true', help='say only what went wrong')
  predict.set_defaults(run=_predict, parser=predict)


def identify(models: Sequence[pathlib.Path]) -> str:
  """What tells bundles from all others: the SHA-256 of config.json, which has that of the weights; of a bundle in one
  file, the file's; of several bundles, that of theirs.

  Raises:
    OSError: one cannot be read.
  """
  digests = []
  for model in models:
    with (model / 'config.json' if model.is_dir() else model).open('rb') as file:
      digests.append(hashlib.file_digest(file, 'sha256').hexdigest())
  return digests[0] if len(digests) == 1 else hashlib.sha256(''.join(digests).encode()).hexdigest()


def build_predictor(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> Any:
  """The predictor that the options ask for. Everything that shapes the network's computation goes in here, and into
  `result_options` if it changes results."""
  from lesion_jax import runtime
  from lesion_jax.predict import load

  runtime.set_up()
  models = arguments.model if arguments.model is None or len(arguments.model) > 1 else arguments.model[0]
  try:
    predictor = load(models, dtype=arguments.dtype, device=arguments.device, tta=arguments.tta,
                     backend=arguments.backend, window=arguments.window, rule=arguments.rule)
  except (FileNotFoundError, ImportError, ValueError) as error:
    parser.error(f'the network cannot be used: {error}')
  judged = predictor.config['annotated']
  strange = [key for key in arguments.threshold if key not in judged]
  if strange and len(arguments.threshold) < len(predictor.thresholds):  # a number for all means those that are judged
    parser.error(f'--threshold: this network does not judge {", ".join(strange)}, only {", ".join(judged)}')
  return predictor


def result_options(arguments: argparse.Namespace) -> dict[str, Any]:
  """The options that change results, for their records: a run with others predicts again."""
  chosen = {'crop': arguments.crop, 'threshold': arguments.threshold, 'tta': arguments.tta, 'dtype': arguments.dtype}
  # Left out where they are not used: results from before there were such options stay valid.
  later = {'backend': (arguments.backend, 'jax'), 'window': (arguments.window, None), 'rule': (arguments.rule, 'bundle')}
  return chosen | {name: value for name, (value, default) in later.items() if value != default}


def _predict(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  if arguments.workers and arguments.engine != 'ray':
    parser.error('--workers are those of --engine ray; leave it out, or add --engine ray')
  files = find_photographs(arguments.files, arguments.out)
  if not files:
    parser.error(f'no photograph found in {", ".join(map(str, arguments.files))}; '
                 f'of folders, files ending in {" ".join(SUFFIXES)} are taken')
  try:
    models = [pretrained.find(model) for model in arguments.model or [pretrained.default_name()]]
  except (FileNotFoundError, ValueError) as error:
    parser.error(f'--model: {error}' if arguments.model else str(error))
  try:
    model = identify(models)
  except OSError as error:
    model = pathlib.Path(error.filename)
    name, state = (model.parent, 'lacks config.json') if model.name == 'config.json' else (
        model, f'cannot be read ({error.strerror})')
    parser.error(f'--model: {name} is not a bundle: it {state}; name a directory that save_bundle wrote, or a zip '
                 'archive of one')
  _check_out(arguments.out, parser)

  from lesion_jax.cli.predict_run import Batch, Stopped

  tasks = make_tasks(files, arguments.out, model=model, options=result_options(arguments),
                     overwrite=arguments.overwrite)
  batch = Batch(arguments.out, len(files), batch_size=arguments.batch_size, thresholds=arguments.threshold,
                crop=arguments.crop, quiet=arguments.quiet)
  try:
    if arguments.engine == 'ray':
      from lesion_jax.cli.predict_ray import run

      run(batch, tasks, arguments, parser)
    else:
      batch.run(tasks, lambda: build_predictor(arguments, parser))
  except Stopped as error:
    print(f'{error}; run the same command again to go on', file=sys.stderr)
    return _conclude(batch, arguments) or 1
  except KeyboardInterrupt:
    _conclude(batch, arguments)
    print('run the same command again to go on', file=sys.stderr)
    raise
  return _conclude(batch, arguments)


def _check_out(out: pathlib.Path, parser: argparse.ArgumentParser) -> None:
  """Makes the folder of results and tries to write there, before anything else takes time."""
  import tempfile

  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    parser.error(f'--out {out} cannot be a directory: {error}')
  try:
    tempfile.TemporaryFile(dir=out).close()
  except OSError as error:
    parser.error(f'--out {out} cannot be written to: {error}; name another folder')


def _conclude(batch: Any, arguments: argparse.Namespace) -> int:
  """Says how it went; returns 1 where a photograph failed."""
  entries = batch.entries.values()
  records = [entry.record for entry in entries if entry.record]
  failed = [entry.error for _, entry in sorted(batch.entries.items()) if entry.error]
  skipped = sum(entry.status == 'skipped' for entry in entries)
  for warning in _warnings(entries):
    print(f'WARNING: {warning}', file=sys.stderr)
  if failed:
    print(f'{len(failed)} of {batch.total} photographs failed:', *failed, sep='\n  ', file=sys.stderr)
  if not arguments.quiet:
    before = f', {skipped} were done before' if skipped else ''
    print(f'{len(entries) - len(failed) - skipped} of {batch.total} photographs predicted{before}; '
          f'see {arguments.out / REPORT}')
    if records:
      from lesion_jax.report.look import summary

      said = summary(records)
      print(said[0].upper() + said[1:])
  return 1 if failed else 0


def _warnings(entries: Iterable[Any]) -> list[str]:
  """What is said of the networks loudly, each sentence once, in whatever run the results were made."""
  from lesion_jax.report.record import warnings_of

  return list(dict.fromkeys(warning for entry in entries if entry.record for warning in warnings_of(entry.record)))
