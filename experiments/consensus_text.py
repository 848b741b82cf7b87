"""The tables of `experiments.consensus`, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lesion_jax.report.card import table

GROUPS = ('one', 'three', 'five')
MEASURES = {'covered': 'covered', 'area': 'area', 'unseen': 'unseen', 'pooled_dice': 'pooled Dice'}


def markdown(result: Mapping[str, Any]) -> str:
  """The page: Dice and grades of the whole panel, where it comes from, and the panel that only draws."""
  panel, drawing = result['panel'], result['drawing_alone']
  return '\n\n'.join([
      '# One annotator, three, five: how close to the truth',
      f'`{result["command"]}`: {result["count"]} drawn photographs at {result["size"]} pixels, '
      f'{len(result["styles"])} simulated annotators. This measures the method, not ophthalmologists: the annotators '
      'are simulated, and err independently.',
      '## Dice to the truth',
      'Mean over the photographs that show the lesion. Gain: over the mean single annotator, with the '
      f'{result["level"]:.0%} interval of a bootstrap over photographs.',
      verdict(panel), _dice(panel),
      '## Grades',
      'Accuracy where more than half of the annotators agree, and the share of photographs where they do not.',
      table(('annotators', 'accuracy', 'no majority'),
            [(name, f'{panel["grades"][name]["accuracy"]:.3f}', f'{panel["grades"][name]["undecided"]:.3f}')
             for name in GROUPS]),
      '## Where it comes from',
      "Covered: the share of the lesion's pixels that is marked. Area: what is marked in photographs with the lesion, "
      'as a multiple of it. Unseen: such photographs in which no pixel of it is marked. Pooled Dice: over the pixels '
      'of all photographs, also of those without the lesion.',
      _sources(panel),
      '## If annotators only drew imprecisely',
      'The same annotators on the same photographs, but nothing is overlooked, mistaken for another lesion or '
      'invented. What all of them do alike, such as drawing around a whole frond of new vessels, no vote takes away.',
      verdict(drawing), _dice(drawing),
      '## Agreement of the panel', _agreement(panel['agreement']),
  ]) + '\n'


def verdict(found: Mapping[str, Any]) -> str:
  """Which lesions three annotators outline better than the mean single one, by the interval of the gain."""
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
  say = lambda value: 'undefined' if value is None else f'{value:.3f}'
  return (f"Fleiss' kappa {say(found['fleiss_kappa'])}, mean quadratic weighted kappa of two annotators "
          f'{say(found["mean_quadratic_kappa"])}; mean Dice of two annotators: '
          + ', '.join(f'{key} {say(value)}' for key, value in found['mean_dice'].items()) + '.')
