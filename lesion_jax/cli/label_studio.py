"""`lesion-jax label-studio`: what Label Studio needs for annotating photographs."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from lesion_jax.cli import options

LABEL_STUDIO = '''\
config       the labelling interface: eight lesions as ellipses and polygons, five grades. Paste it into Label Studio
             under Settings, Labeling Interface, Code.
predictions  what `lesion-jax predict` found, as tasks with pre-annotations: annotators correct outlines and grade
             instead of starting from nothing. Import the file into the project.

What annotators then submit, exported as JSON, `lesion-jax consensus` turns into ground truth.'''
EXAMPLES = '''\
examples:
  lesion-jax label-studio config > interface.xml
  lesion-jax predict photographs/ --model bundle --out results
  lesion-jax label-studio predictions results --out tasks.json --prefix '/data/local-files/?d=photographs/'

exit status: 0, or 2 where there is nothing to write or it cannot be written.'''
PREDICTIONS = '''\
Writes one task for each photograph that `lesion-jax predict` finished. An outline of the network becomes a polygon, its
vertices thinned out; holes are filled, as a polygon of Label Studio has none. The probability of the grade is the score
of the task, by which Label Studio can sort.

A task names its photograph by --prefix and the file's name, in the form in which your Label Studio serves it.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  form = argparse.RawDescriptionHelpFormatter
  parser = commands.add_parser(
      'label-studio', help='interface and pre-annotations for Label Studio', description=LABEL_STUDIO, epilog=EXAMPLES,
      formatter_class=form)
  parts = parser.add_subparsers(metavar='PART', required=True)
  config = parts.add_parser('config', help='print the labelling interface', formatter_class=form,
                            description='Prints the labelling interface of Label Studio (XML).')
  config.set_defaults(run=_config, parser=config)
  predictions = parts.add_parser('predictions', help='write results as pre-annotations', description=PREDICTIONS,
                                 epilog=EXAMPLES, formatter_class=form)
  predictions.register('type', pathlib.Path, options.path)
  predictions.add_argument('results', type=pathlib.Path, metavar='DIR', help='what was --out of lesion-jax predict')
  predictions.add_argument('--out', required=True, type=pathlib.Path, metavar='FILE', help='the JSON file to import')
  predictions.add_argument('--prefix', default='/data/local-files/?d=', metavar='TEXT',
                           help='what goes before the file names (default %(default)s: files that lie directly below '
                                "Label Studio's document root)")
  predictions.set_defaults(run=_predictions, parser=predictions)


def _config(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from importlib import resources

  del arguments, parser
  print(resources.files('lesion_jax.annotation').joinpath('label_studio.xml').read_text('utf-8'), end='')
  return 0


def _predictions(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from lesion_jax.report.label_studio import read_results, write_tasks

  try:
    tasks = read_results(arguments.results, arguments.prefix)
    write_tasks(arguments.out, tasks)
  except (OSError, ValueError) as error:
    parser.error(str(error))
  regions = sum(result['type'] == 'polygonlabels' for task in tasks for result in task['predictions'][0]['result'])
  print(f'{arguments.out}: {len(tasks)} tasks with {regions} outlines')
  return 0
