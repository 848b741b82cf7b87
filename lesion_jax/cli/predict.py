"""`lesion-jax predict`: files per photograph, one table and one page of all."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lesion_jax import machine
from lesion_jax.bulk.inputs import DICTIONARY, PATIENTS, REPORT, SUFFIXES, TABLE
from lesion_jax.cli import interruption, options


PREDICT = f'''\
Reads photographs, finds the field of view in each, and writes for each into DIR:

  <name>/result.json    grade, probabilities, counts and areas by lesion and quadrant, what Table I of the paper says to
                        them, and whether a person should look; described by lesion_jax/clinical/result.schema.json
  <name>/field.jpg      the square that the network looked at, at most 2048 pixels
  <name>/attention.png  where a network with attention looked: its map over that square, black least, white most
and of networks with lesion maps
  <name>/overlay.png    the field of view with the lesions outlined
  <name>/<lesion>.png   a mask in the photograph's own pixels, a bit each, of each lesion that is present
  <name>/lesions.png    all masks in one: bit 0 is MA, then iHE, HaEx, CWS, vHE, pHE, NV, FiP
  <name>/outlines.svg   their outlines, in the photograph's own pixels
and where they are asked for
  <name>/maps.npz       with --maps npz, or <lesion>_map.png with --maps png: the probability of every pixel
  <name>/inside.png     with --maps at the network's size, the field of view by which areas are counted
  <name>/fhir.json      with --fhir, the record as FHIR R4: a DiagnosticReport with Observations; its patient is the one of --patients, if any
  <name>/segmentation.dcm, report.dcm    with --dicom-seg, the lesions as a DICOM SEG in the photograph's own pixels, and an SR, both
                        referring to the photograph; <name>/photograph.dcm is the photograph where it is no DICOM file itself
  <name>/burnt.jpg      with --burnt-in, the photograph in its own pixels with the outlines drawn into it, a strip of names below
  coco.json             with --coco, all masks of all photographs as COCO's instances
  labelme/<name>.json   with --labelme, the same for labelme: labelme photographs/ --output DIR/labelme
  index_maps/           with --index-maps, a picture a photograph whose numbers are lesions, and what they mean

and for all of them {TABLE}, {DICTIONARY}, which says what its columns mean, {PATIENTS} where it is known whose eyes they
show, and {REPORT}, one page that needs no other file and no network: to look through all photographs, to answer in, and to
print. It shows pictures of the first 2,000 photographs, and lists the others.

A photograph that cannot be read, or whose results cannot be written, does not stop the others. What an earlier run with
the same photograph, model and options has written is not predicted again.

Of folders, every file is taken whose name ends in {' '.join(SUFFIXES)},
and DICOM files whose name has no ending. How many others there were is said. Results of earlier runs are never taken for
photographs; table and page are made of all results that lie in DIR. One run at a time writes to it.'''
EXAMPLES = '''\
examples:
  lesion-jax predict photograph.jpg --out results    (with the network of this package, where it has one)
  lesion-jax predict left.jpg right.jpg --model runs/demo/grade/bundle --out results
  lesion-jax predict photographs/ --model bundle --out results --batch-size 8    (on a GPU)
  lesion-jax predict photographs/ --out results --maps npz    (and later `lesion-jax rethreshold results --threshold MA=0.3`)
  lesion-jax predict photographs/ --out results --patients patients.csv    (one line a patient: the worst of both eyes)
  lesion-jax predict 'clinic/**/*_OD.dcm' --model bundle --out results --threshold MA=0.3,iHE=0.6

exit status: 0, or 1 where a photograph failed, or 2 where nothing could be done, or 130 where you interrupted it; run
the same command again to resume.'''


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
  _add_decisions(predict)
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
  options.add_smallest(predict, "the model's own, if it has one")
  landmarks = predict.add_mutually_exclusive_group()
  landmarks.add_argument('--landmarks', metavar='BUNDLE',
                         help='look for optic disc and fovea too, with that network, or with one of this package by name (default: '
                              'the one that goes with a network of this package, where there is one)')
  landmarks.add_argument('--no-landmarks', dest='landmarks', action='store_false', default=None, help='do not')
  predict.add_argument('--maps', choices=['png', 'npz'],
                       help='write the probability maps of the lesions too, from which `lesion-jax rethreshold` makes everything '
                            'anew: png of 16 bits, one file a lesion, or npz, float32 in one file')
  predict.add_argument('--maps-at', choices=['network', 'photograph'], default='network',
                       help="at the network's size (default), or in the photograph's own pixels, for other tools")
  _add_pictures(predict)
  options.add_clinic(predict)
  options.add_forms(predict)
  options.add_limits(predict)
  predict.add_argument('--overwrite', action='store_true', help='predict also what an earlier run has done')
  predict.add_argument('--quiet', action='store_true', help='say only what went wrong')
  predict.set_defaults(run=_predict, parser=predict)


def _add_decisions(predict: argparse.ArgumentParser) -> None:
  """Adds what decides from probabilities: in masks, which lesions are present, who is to be seen."""
  predict.add_argument('--threshold', type=options.thresholds, default={}, metavar='T',
                       help='probability from which a pixel is in the mask of a lesion, and by Eq. 1 a lesion present: a '
                            "number for all, or by lesion as in MA=0.3,iHE=0.5 (default: the model's own, by lesion)")
  predict.add_argument('--rule', choices=['bundle', 'maximum'], default='bundle',
                       help="by which lesions are called present: the model's own rule, chosen on healthy eyes where it "
                            'says so (default bundle), or its most probable pixel, Eq. 1 of the paper')
  predict.add_argument('--operating-point', metavar='NAME',
                       help='of the model, at which a photograph is called referable or at risk of edema: high-sensitivity misses few, '
                            'high-specificity calls few healthy ones (default: the most probable grade and risk decide; `lesion-jax '
                            'info` lists those of a model)')


def _add_pictures(predict: argparse.ArgumentParser) -> None:
  predict.add_argument('--burnt-in', action='store_true',
                       help='write the photograph too with the outlines drawn into its own pixels')
  predict.add_argument('--no-overlay', dest='overlay', action='store_false', help='leave out overlay.png, which takes an eighth of the time '
                       'beside the network')
  predict.add_argument('--reduced', action='store_true',
                       help='decode JPEG files at a half, a quarter or an eighth of their size where the field of view keeps as many pixels '
                            'as the network takes: faster, and probabilities differ a little (default: in full size)')
  predict.add_argument('--full-size', action='store_true',
                       help="keep field.jpg, and the picture on the page, in the photograph's own pixels (default: 2048 at most)")


def _predict(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from lesion_jax.bulk import Interrupted, Options, Refused, Stopped, predict_photographs

  if arguments.maps is None and arguments.maps_at != 'network':
    parser.error(f'--maps-at {arguments.maps_at} says where --maps npz or --maps png is written; give one of them too, or leave it out')
  machine.share_heaps(1 if machine.processors() <= machine.FEW else 2)  # before JAX starts its threads
  notices: list[str] = []
  try:
    chosen = Options(
        models=arguments.model or (), batch_size=arguments.batch_size, thresholds=arguments.threshold, rule=arguments.rule,
        crop=arguments.crop, tta=arguments.tta, window=arguments.window, dtype=arguments.dtype, device=arguments.device,
        backend=arguments.backend, smallest=options.as_smallest(arguments.smallest), maps=arguments.maps, maps_at=arguments.maps_at,
        burnt_in=arguments.burnt_in, landmarks=arguments.landmarks, fhir=arguments.fhir, operating_point=arguments.operating_point,
        dicom_seg=arguments.dicom_seg, patients=arguments.patients, coco=arguments.coco, labelme=arguments.labelme,
        index_maps=arguments.index_maps, page_maps=arguments.page_maps, full_size=arguments.full_size, overlay=arguments.overlay, reduced=arguments.reduced,
        threads=arguments.threads, memory=arguments.memory, seconds=arguments.seconds)
    with bar(arguments.quiet) as progress:
      entries = predict_photographs(
          arguments.files, arguments.out, chosen, engine=arguments.engine, workers=arguments.workers,
          overwrite=arguments.overwrite, progress=progress, notice=notices.append)
  except Refused as error:
    parser.error(f'--{error.option.replace("_", "-")}{error.args[1]}' if error.option else str(error))
  except Stopped as error:
    print(f'{error}; run the same command again to resume', file=sys.stderr)
    return _conclude(error.entries, error.total, arguments, notices, page=False) or 1
  except Interrupted as error:
    _conclude(error.entries, error.total, arguments, notices)
    print('run the same command again to resume', file=sys.stderr)
    raise
  return _conclude(entries, len(entries), arguments, notices)


@contextlib.contextmanager
def bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
  """Opens a bar on a terminal, from the first photograph on; it also hears Ctrl-C where that was lost."""
  bar = None

  def progress(done: int, total: int) -> None:
    nonlocal bar
    if bar is None:
      import tqdm

      bar = tqdm.tqdm(total=total, initial=done, unit='photo', dynamic_ncols=True, disable=True if quiet else None)
    bar.update(done - bar.n)
    interruption.check()

  try:
    yield progress
  finally:
    if bar is not None:
      bar.close()


def _conclude(
    entries: Sequence[Any], total: int, arguments: argparse.Namespace, notices: Sequence[str], *, page: bool = True,
) -> int:
  """Says how it went, and where the page is unless it may not be there; returns 1 where a photograph failed."""
  from lesion_jax.clinical.look import summary
  from lesion_jax.clinical.record import warnings_of

  records = [entry.record for entry in entries if entry.record]
  failed = [entry.error for entry in entries if entry.error]
  skipped = sum(entry.status == 'skipped' for entry in entries)
  # What is said of the networks loudly, each sentence once, in whatever run the results were made.
  for warning in dict.fromkeys(warning for record in records for warning in warnings_of(record)):
    print(f'WARNING: {warning}', file=sys.stderr)
  if failed:
    print(f'{len(failed)} of {total} photographs failed:', *failed, sep='\n  ', file=sys.stderr)
  if not arguments.quiet:
    before = f', {skipped} were done before' if skipped else ''
    print(f'{len(entries) - len(failed) - skipped} of {total} photographs predicted{before}'
          + (f'; see {arguments.out / REPORT}' if page else ''))
    for notice in notices:
      print(notice)
    if records:
      said = summary(records)
      print(said[0].upper() + said[1:])
  return 1 if failed else 0
