"""Gives a multi-task network the head that tells the risk of macular edema, and chooses two operating points for referral.

  python -m experiments.edema_head runs/idrid_grades/conv-cpu-0/grade/bundle --source_dir DIR --out runs/edema_head

DIR is IDRiD's. The head is fitted (`train.edema`) to the training photographs of part B from which the network learned, so that what
was left out for being in a test set stays out; nothing else in the network changes. The operating points, of the probability of DR2
and above and of that of risk 2, are chosen on the validation split. The test split is not opened: `experiments.edema` judges the
bundle by what `lesion-jax predict` says of it. Writes the bundle OUT/bundle and OUT/edema_head.json. What the lesion network said of a
photograph is kept in OUT, so that a second call is quick; what a training with `data.ask_once` kept of part B may be put there as OUT/train/found.npz.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lesion_jax.core import REFERABLE_GRADE
from lesion_jax.data.dataset import Subset
from lesion_jax.data.registry import load_dataset
from lesion_jax.evaluate.edema import edema_report
from lesion_jax.evaluate.referral import named_points
from lesion_jax.metrics.temperature import temper_classes
from lesion_jax.models import get_model
from lesion_jax.photograph.fingerprint import reduced, twins
from lesion_jax.report.card import model_card
from lesion_jax.stages.stage import ask_network
from lesion_jax.train.edema import EdemaHead, fit_edema
from lesion_jax.weights.bundle import Bundle, load_bundle, save_bundle

WORST_RISK = 2  # that a person should look at


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m experiments.edema_head', description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('bundle', type=pathlib.Path, metavar='BUNDLE', help='of a multi-task network')
  parser.add_argument('--source_dir', required=True, help="the folder that holds 'B. Disease Grading' and 'C. Localization'")
  parser.add_argument('--data_dir', default='runs/data', help='where prepared data are kept')
  parser.add_argument('--out', type=pathlib.Path, required=True)
  arguments = parser.parse_args(argv)
  bundle = load_bundle(arguments.bundle)
  dataset = load_dataset('idrid_grading', data_dir=arguments.data_dir, size=bundle.config['preprocessing']['size'],
                         source_dir=arguments.source_dir)
  seen = {split: ask(bundle, dataset, split, arguments.out / split) for split in ('train', 'validation')}
  train = seen['train']
  head = fit_edema(train['features'], train['edema'], train['patient'].tolist())
  about = figures(bundle, head, seen)
  config = with_head(bundle.config, about)
  save_bundle(arguments.out / 'bundle', config=config, variables=joined(bundle.variables, head),
              card=model_card(config), photographs=bundle.photographs)
  (arguments.out / 'edema_head.json').write_text(json.dumps(about, indent=2) + '\n', 'utf-8')
  print(json.dumps(about, indent=2))
  return 0


def ask(bundle: Bundle, dataset: Any, split: str, directory: pathlib.Path) -> dict[str, np.ndarray]:
  """What the network makes of a split: 'features' [N, C], 'grades' [N, 5] and the labels 'edema', 'grade' and 'patient'. Of the
  training split, photographs from which the network did not learn are left out; of the others, those from which it did."""
  model, source = get_model(**bundle.config['model']), dataset.source(split)
  learned = twins(reduced(source.index.fingerprint), bundle.photographs['train'])
  rows = np.flatnonzero(learned if split == 'train' else ~learned)
  asked = ask_network(model, Subset(source, rows.tolist()), bundle.variables, directory, size=bundle.config['preprocessing']['size'])
  features, there = features_of(model), jax.device_put(bundle.variables)
  made = [jax.device_get(features(there, example['image'], example['found'])) for example in (asked[row] for row in range(len(rows)))]
  index = source.index
  return {'features': np.stack([each for each, _ in made]), 'grades': np.stack([each for _, each in made]),
          'edema': index.edema[rows], 'grade': index.grade[rows], 'patient': index.patient[rows]}


def features_of(model: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
  """Returns `(variables, image, found) -> (features [C], grades [5])`, jitted: what the head of grades sees, and its probabilities."""

  @jax.jit
  def features(variables: Any, image: Any, found: Any) -> tuple[Any, Any]:
    outputs, kept = model.apply(variables, image[None], found[None], train=False, method='grade', mutable=['intermediates'])
    return kept['intermediates']['grading']['head']['pooled'][0][0], jax.nn.softmax(outputs.grades)[0]

  return features


def figures(bundle: Bundle, head: EdemaHead, seen: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
  """What is known of the head before the test: of training photographs by heads that did not see them, and of the validation split;
  and the operating points."""
  train, validation = seen['train'], seen['validation']
  logits = validation['features'] @ head.kernel + head.bias
  risk = np.exp(logits - logits.max(1, keepdims=True))
  risk /= risk.sum(1, keepdims=True)
  report = lambda told, of: {key: value for key, value in edema_report(of['edema'], np.argmax(told, 1).tolist(), of['patient'].tolist()).items()
                             if key in ('photographs', 'patients', 'accuracy', 'kappa', 'confusion')}
  grades = temper_classes(validation['grades'], bundle.config.get('temperatures', {}).get('grades', 1.0))
  referable = named_points(grades[:, REFERABLE_GRADE:].sum(1), validation['grade'] >= REFERABLE_GRADE)
  edema = named_points(risk[:, WORST_RISK], validation['edema'] == WORST_RISK)
  return {'penalty': head.penalty, 'temperature': head.temperature, 'training': int(len(train['edema'])),
          'cross_validated': report(head.held_out, train), 'validation': report(risk, validation),
          'operating_points': {name: {'referable': referable[name], 'edema': edema[name], 'photographs': int(len(risk))}
                               for name in referable if name in edema}}


def with_head(config: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
  """The configuration of the bundle with its head."""
  own = {key: value for key, value in config.items() if key not in ('format_version', 'weights_sha256', 'photographs_sha256', 'storage')}
  return own | {'model': own['model'] | {'edema': True}, 'operating_points': about['operating_points'],
                'edema': {key: value for key, value in about.items() if key != 'operating_points'}}


def joined(variables: Mapping[str, Any], head: EdemaHead) -> dict[str, Any]:
  """The variables with those of the head."""
  params = variables['params']
  grading = {**params['grading'], 'edema': {'fc': {'kernel': head.kernel, 'bias': head.bias}}}
  return {**variables, 'params': {**params, 'grading': grading}}


if __name__ == '__main__':
  sys.exit(main())
