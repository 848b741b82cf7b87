"""How much closer to the ground truth the consensus of several annotators is than one annotator.

  python -m experiments.consensus                       240 synthetic images at 896 pixels, minutes on two cores
  python -m experiments.consensus --count=20 --size=256 --out=DIR

The ground truth of synthetic images is known. Five simulated annotators, each with a style of their own, mark and grade
every one (`lesion_jax/data/synthetic/panel.py`); the consensus is that of `lesion-jax consensus`: more than half of the
annotators, for grades and pixel by pixel for lesions. "One" is the mean over the five, "three" over the ten choices of
three of them. A second panel only draws imprecisely: nothing is overlooked, mistaken or invented. Real annotators are
not independent, as these are: their common errors no vote takes away.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import record
from experiments.page import join, number, table
from lesion_jax.annotation.agreement import Ballot, measure, overlap
from lesion_jax.annotation.consensus import majority_grade, majority_masks
from lesion_jax.annotation.raster import rasterise
from lesion_jax.cli.options import positive
from lesion_jax.core import LESION_KEYS, unpack_bits
from lesion_jax.data import synthetic
from lesion_jax.data.synthetic.annotator import rasterise_findings
from lesion_jax.data.synthetic.canvas import Frame, stream
from lesion_jax.data.synthetic.panel import Style, annotate_as, draw_style, grade_as
from lesion_jax.evaluate.interval import LEVEL, percentiles
from lesion_jax.photograph.threads import ordered_map

RESULTS = pathlib.Path(__file__).parent / 'results' / 'consensus'
ANNOTATORS = 5
# Group -> every choice of so many of the annotators.
GROUPS = {name: tuple(itertools.combinations(range(ANNOTATORS), size))
          for name, size in (('one', 1), ('three', 3), ('five', 5))}
FAULTLESS = {'overlooked': 0.0, 'mistaken': 0.0, 'invented': 0.0}
RESAMPLES = 2000
MEASURES = {'covered': 'covered', 'area': 'area', 'unseen': 'unseen', 'pooled_dice': 'pooled Dice'}


class Photograph(NamedTuple):
  """What was found in one photograph.

  Attributes:
    truth: int64 [8], pixels of each lesion.
    marked: group -> int64 [choices, 8], pixels that each choice of annotators agrees on.
    hit: group -> int64 [choices, 8], those of them that are in the ground truth.
    grade: the true one.
    grades: group -> the grade of each choice, None where it has no majority.
    ballot: what all five said.
  """

  truth: np.ndarray
  marked: dict[str, np.ndarray]
  hit: dict[str, np.ndarray]
  grade: int
  grades: dict[str, list[int | None]]
  ballot: Ballot


def annotate(seed: int, index: int, size: int, styles: Sequence[Style]) -> Photograph:
  """Lets the panel annotate the scene `index`, and its groups vote."""
  scene = synthetic.draw_scene(seed, index)
  frame = Frame(size, scene.camera.radius, scene.camera.cut)
  truth, inside = rasterise_findings(frame, scene.findings), frame.inside()
  masks, grades = [], []
  for place, style in enumerate(styles):
    shapes = annotate_as(stream(seed, index, f'panel {place}'), style, frame, scene.findings)
    masks.append(rasterise(shapes, (size, size)) * inside)
    grades.append(grade_as(stream(seed, index, f'panel grade {place}'), style, scene.true_grade))
  agreed = {name: [majority_masks([masks[i] for i in choice]) for choice in choices]
            for name, choices in GROUPS.items()}
  return Photograph(
      truth=_count(truth),
      marked={name: np.stack([_count(mask) for mask in found]) for name, found in agreed.items()},
      hit={name: np.stack([_count(mask & truth) for mask in found]) for name, found in agreed.items()},
      grade=scene.true_grade,
      grades={name: [majority_grade([grades[i] for i in choice]) for choice in choices]
              for name, choices in GROUPS.items()},
      ballot=Ballot(tuple(map(str, range(len(styles)))), tuple(grades), overlap(masks)))


def _count(packed: np.ndarray) -> np.ndarray:
  """int64 [8]: pixels of each lesion."""
  return unpack_bits(np.arange(256, dtype=np.uint8)).T @ np.bincount(packed.ravel(), minlength=256)


def summarize(photographs: Sequence[Photograph], seed: int) -> dict[str, Any]:
  """Computes Dice to the ground truth by lesion and group, what a vote gains with its interval, accuracies of grades,
  agreement."""
  agreement = measure([photograph.ballot for photograph in photographs])
  return {
      'lesions': {key: _lesion(photographs, bit, seed) for bit, key in enumerate(LESION_KEYS)},
      'grades': {name: _grades(photographs, name) for name in GROUPS},
      'agreement': {'fleiss_kappa': agreement.fleiss.value, 'mean_quadratic_kappa': agreement.mean_kappa().value,
                    'mean_dice': {key: agreement.mean_dice(key).value for key in LESION_KEYS}}}


def _lesion(photographs: Sequence[Photograph], bit: int, seed: int) -> dict[str, Any]:
  """Of the photographs that show the lesion; without one, their number alone."""
  shown = [photograph for photograph in photographs if photograph.truth[bit]]
  found: dict[str, Any] = {'photographs': len(shown)}
  if not shown:
    return found
  truth = np.array([photograph.truth[bit] for photograph in shown])
  dice = {}
  for name in GROUPS:
    marked, hit = (np.stack([getattr(photograph, what)[name][:, bit] for photograph in shown])
                   for what in ('marked', 'hit'))  # [photographs, choices]
    dice[name] = (2 * hit / (marked + truth[:, None])).mean(axis=1)
    everywhere = sum(photograph.marked[name][:, bit] for photograph in photographs)
    found[name] = {
        'dice': float(dice[name].mean()),
        'pooled_dice': float((2 * hit.sum(axis=0) / (everywhere + truth.sum())).mean()),
        'covered': float((hit.sum(axis=0) / truth.sum()).mean()),
        'area': float((marked.sum(axis=0) / truth.sum()).mean()),
        'unseen': float((hit == 0).mean())}
  for name in ('three', 'five'):
    gain = dice[name] - dice['one']
    found[name] |= {'gain': float(gain.mean()), 'interval': _interval(gain, seed)}
  return found


def _interval(values: np.ndarray, seed: int) -> list[float] | None:
  """Percentile bootstrap of the mean over photographs."""
  drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
  return percentiles(values[drawn].mean(axis=1))


def _grades(photographs: Sequence[Photograph], name: str) -> dict[str, float | None]:
  """Accuracy where there is a majority, None where there is nowhere one, and how often there is none."""
  right = np.array([[grade == photograph.grade for grade in photograph.grades[name]] for photograph in photographs])
  decided = np.array([[grade is not None for grade in photograph.grades[name]] for photograph in photographs])
  return {'accuracy': float(right.sum() / decided.sum()) if decided.any() else None, 'undecided': float(1 - decided.mean())}


def run(seed: int, count: int, size: int) -> dict[str, Any]:
  """Runs both panels on the same photographs."""
  styles = [draw_style(seed, number) for number in range(ANNOTATORS)]
  panels = {'panel': styles, 'drawing_alone': [style._replace(**FAULTLESS) for style in styles]}
  command = f'python -m experiments.consensus --count={count} --size={size} --seed={seed}'
  result: dict[str, Any] = {'command': command, 'count': count, 'size': size, 'seed': seed, 'level': LEVEL,
                            'styles': [style._asdict() for style in styles]}
  for name, of_panel in panels.items():
    found = ordered_map(lambda index, of=of_panel: annotate(seed, index, size, of), range(count))
    result[name] = summarize(list(found), seed)
  return result


def markdown(result: Mapping[str, Any]) -> str:
  """Renders the page: Dice and grades of the whole panel, where it comes from, and the panel that only draws."""
  panel, drawing = result['panel'], result['drawing_alone']
  return join(
      '# One annotator, three, five: how close to the ground truth',
      f'`{result["command"]}`: {result["count"]} synthetic images at {result["size"]} pixels, '
      f'{len(result["styles"])} simulated annotators. This measures the method, not ophthalmologists: the annotators '
      'are simulated, and err independently.',
      '## Dice to the ground truth',
      'Mean over the photographs that show the lesion. Gain: over the mean single annotator, with the '
      f'{result["level"]:.0%} interval of a bootstrap over photographs.',
      verdict(panel), _dice(panel),
      '## Grades',
      'Accuracy where more than half of the annotators agree, and the share of photographs where they do not.',
      table(('annotators', 'accuracy', 'no majority'),
            [(name, number(panel['grades'][name]['accuracy']), number(panel['grades'][name]['undecided'])) for name in GROUPS]),
      '## Where it comes from',
      "Covered: the share of the lesion's pixels that is marked. Area: what is marked in photographs with the lesion, "
      'as a multiple of it. Unseen: such photographs in which no pixel of it is marked. Pooled Dice: over the pixels '
      'of all photographs, also of those without the lesion.',
      _sources(panel),
      '## If annotators only drew imprecisely',
      'The same annotators on the same photographs, but nothing is overlooked, mistaken for another lesion or '
      'invented. What all of them do alike, such as drawing around a whole frond of new vessels, no vote takes away.',
      verdict(drawing), _dice(drawing),
      '## Agreement of the panel', _agreement(panel['agreement'])) + '\n'


def verdict(found: Mapping[str, Any]) -> str:
  """Returns which lesions three annotators outline better than the mean single one, by the interval of the gain."""
  said = {'better (interval above 0)': [], 'worse (below 0)': [], 'undecided (contains 0)': [], 'in no photograph': []}
  better, worse, undecided, absent = said.values()
  for key, lesion in found['lesions'].items():
    low, high = lesion['three']['interval'] if lesion['photographs'] else (None, None)
    (absent if low is None else better if low > 0 else worse if high < 0 else undecided).append(key)
  return 'Three annotators against the mean single one: ' + '; '.join(
      f'{what}: {", ".join(keys)}' for what, keys in said.items() if keys) + '.'


def _dice(found: Mapping[str, Any]) -> str:
  head = ('lesion', 'photographs', *GROUPS, 'gain of three', 'interval', 'gain of five', 'interval')
  span = lambda values: f'{values[0]:+.3f} to {values[1]:+.3f}'
  return table(head, [
      (key, str(lesion['photographs']), *(f'{lesion[name]["dice"]:.3f}' for name in GROUPS),
       *(text for name in ('three', 'five')
         for text in (f'{lesion[name]["gain"]:+.3f}', span(lesion[name]['interval']))))
      for key, lesion in found['lesions'].items() if lesion['photographs']])


def _sources(found: Mapping[str, Any]) -> str:
  head = ('lesion', *(f'{what}, {name}' for what in MEASURES.values() for name in GROUPS))
  return table(head, [(key, *(f'{lesion[name][what]:.3f}' for what in MEASURES for name in GROUPS))
                      for key, lesion in found['lesions'].items() if lesion['photographs']])


def _agreement(found: Mapping[str, Any]) -> str:
  say = lambda value: number(value, undefined='undefined')
  return (f"Fleiss' kappa {say(found['fleiss_kappa'])}, mean quadratic weighted kappa of two annotators "
          f'{say(found["mean_quadratic_kappa"])}; mean Dice of two annotators: '
          + ', '.join(f'{key} {say(value)}' for key, value in found['mean_dice'].items()) + '.')


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--count', type=positive, default=240, help='photographs')
  parser.add_argument('--size', type=positive, default=896, help='their side in pixels')
  parser.add_argument('--seed', type=int, default=0, help='of the photographs and of the panel')
  parser.add_argument('--out', type=pathlib.Path, default=RESULTS, help='folder of the results')
  options = parser.parse_args(argv)
  start = time.monotonic()
  result = run(options.seed, options.count, options.size)
  record.save(options.out / 'consensus.json', result | {'versions': record.versions(), 'hardware': record.hardware()})
  text = markdown(result)
  (options.out / 'consensus.md').write_text(text, encoding='utf-8')
  print(text)
  print(f'{options.out}: consensus.json, consensus.md; {time.monotonic() - start:.0f} s')
  return 0


if __name__ == '__main__':
  raise SystemExit(main())
