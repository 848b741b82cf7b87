"""The paper's tables in Markdown, with our results beside the paper's. Pure functions of the results."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import captions, presets
from experiments.captions import GB
from experiments.collect import Metric, Result, at_half, by_row, metric, paper_metric, scored, title
from experiments.page import bounds, code, join, table
from experiments.rows import COLUMNS, ROWS, SYSTEMS, TABLE2, TABLE3
from lesion_jax.core import LESION_KEYS

NOT_RUN = '–'
PAPERS_OTHER = 'paper (another data set)'
PAPERS_FEWER = 'paper, of these lesions (another data set)'  # of its figures by lesion
AUPR = 'area under the precision-recall curve (exact; photographs with masks alone)'
HALVES = {'pixel_f1': 'lesion segmentation (pixel F1)', 'image_f1': 'lesion classification (image F1)'}
OURS, OUR_MAPS = 'multitask', 'lesion_net_16s'  # the paper's maps in Table IV are those of Lesion-Net-16s
BASELINES = tuple(key for key in SYSTEMS if key != OURS)
ABOVE_CHANCE = 2  # times the prevalence
PAPER_MEMORY = {'baselines': 3.2, 'ours': 1.5}  # GB at run time, as the paper says below Table III


class Notes:
  """Letters for the reasons why metrics are missing, and the lines that explain them."""

  def __init__(self) -> None:
    self._letters: dict[str, str] = {}

  def mark(self, reason: str) -> str:
    """Returns the mark of a reason, for instance '(a)'."""
    number = len(self._letters)
    prefix = string.ascii_lowercase[number // 26 - 1] if number >= 26 else ''
    return f'({self._letters.setdefault(reason, prefix + string.ascii_lowercase[number % 26])})'

  def lines(self) -> list[str]:
    """Returns '(a) not annotated', one a reason."""
    return [f'({letter}) {reason}' for reason, letter in self._letters.items()]


def summary(results: Sequence[Result]) -> str:
  """Returns every row of Tables II and III that was run in a line: our mean metrics and the paper's, in brackets, or in columns of
  their own where the photographs are of other patients; '' where nothing was run."""
  if not results:
    return ''
  if elsewhere(results):
    return join(_summary_elsewhere(results), captions.conditions(results))
  rows, lines = by_row(results), []
  for key in rows:
    cells = [metric(rows[key], name) for name in (*HALVES, 'kappa')]
    shown = [f'{found.value:.3f}' if found.value is not None else '' for found in cells]
    lines.append([title(key, rows[key]), *(_beside(ours, paper_metric(key, name)) if ours else ''
                                           for ours, name in zip(shown, (*HALVES, 'kappa'), strict=True))])
  header = ['system', 'pixel F1 (paper)', 'image F1 (paper)', 'kappa (paper)']
  return join(table(header, lines), captions.conditions(results))


def _summary_elsewhere(results: Sequence[Result]) -> str:
  """Our metrics with intervals, the paper's of the same lesions behind all of them; columns that no row fills are left out."""
  rows, half = by_row(results), by_row(at_half(results))
  names = {'AUPR': 'aupr', 'pixel F1': 'pixel_f1', 'image F1': 'image_f1', 'kappa': 'kappa'}
  cells = lambda of, key: [_cell(metric(of.get(row, ()), key)) for row in rows]
  columns = {'AUPR': cells(rows, 'aupr')}
  columns |= {f'{name} at 0.5': cells(half, key) for name, key in names.items() if key in HALVES}
  columns |= {f'{name}, thresholds from validation' if half else name: cells(rows, key) for name, key in names.items() if key in HALVES}
  columns |= {'kappa': cells(rows, 'kappa')}
  for name, key in names.items():
    lesions = scored(results, key)
    which = ' of these lesions' if set(lesions) < set(LESION_KEYS) and lesions else ''
    columns[f"paper's {name}{which}, another data set"] = [_number(paper_metric(row, key, lesions=lesions)) for row in rows]
  columns = {'system': [title(row, found) for row, found in rows.items()], 'seeds': [str(len(found)) for found in rows.values()],
             **{name: column for name, column in columns.items() if any(column)}}
  return table(list(columns), [list(line) for line in zip(*columns.values(), strict=True)])


def _cell(found: Metric | None) -> str:
  """'0.419 ± 0.010 [0.392, 0.447]', or nothing."""
  return '' if found is None or found.value is None else _full(found._replace(reason=None), Notes())


def table2(results: Sequence[Result]) -> str:
  """Renders Table II as two tables, segmentation and classification, of every row, with what they cost below."""
  rows = by_row(results)
  keys = [row.key for row in TABLE2]
  own = [result for key in keys for result in rows.get(key, ())]
  printed = {name: [key for key in keys if paper_metric(key, name) is not None] for name in HALVES}
  fixed = by_row(at_half(own))
  halves = [_half(fixed, printed[name], name, ', from a probability of 0.5, as the paper calls it') for name in HALVES if fixed]
  halves += [_half(rows, printed[name], name, ', at thresholds from validation' if fixed else '') for name in HALVES]
  if elsewhere(own):
    halves.append(_half(rows, printed['pixel_f1'], 'aupr'))
  reading = 'per lesion our result' + ('' if elsewhere(own) else ", the paper's in brackets")
  return join('## Table II', *halves, photographs(own), chance(own), _caption(own, reading, bold=True), cost(own))


def table3(results: Sequence[Result]) -> str:
  """Renders Table III: the quadratic weighted kappa of every row, with what they cost below."""
  rows, notes = by_row(results), Notes()
  keys = [row.key for row in TABLE3]
  own = [result for key in keys for result in rows.get(key, ())]
  best = _best(rows, keys, 'kappa')
  lines = [[title(key, rows.get(key, ())), _full(metric(rows.get(key, ()), 'kappa'), notes, bold=key == best),
            _number(paper_metric(key, 'kappa'))] for key in keys]
  header = ['system', 'ours', PAPERS_OTHER if elsewhere(own) else 'paper']
  if len({result['test_images'] for result in own}) > 1:  # a lesion network had learned from some
    header.append('photographs')
    lines = [[*line, captions.span(result['test_images'] for result in rows[key]) if key in rows else ''] for line, key in zip(lines, keys, strict=True)]
  return join('## Table III: DR grading (quadratic weighted kappa)', table(header, lines), *_not_run(own, keys),
              *notes.lines(), chance(own), _caption(own, 'an empty cell: the paper prints no result', bold=True), cost(own),
              _other_networks(results))


def photographs(results: Sequence[Result]) -> str:
  """Says of how many photographs the metrics of Table II are, and what an image F1 is worth; '' where the results do not tell."""
  counts, annotated = next((result['counts'] for result in results if result['table'] == 2 and 'counts' in result), ({}, ()))
  if not ranks(results) or 'known_pixels' not in counts:
    return ''
  columns = [LESION_KEYS.index(key) for key in annotated]
  there = (counts['image_tp'] + counts['image_fn'])[:, columns] > 0
  known = sum(counts[name] for name in ('image_tp', 'image_fp', 'image_fn', 'image_tn'))[:, columns] > 0
  with_any, positive, told = int(there.any(axis=1).sum()), there.sum(axis=0), known.sum(axis=0)
  always = [2 * p / (p + n) for p, n in zip(positive, told, strict=True) if p]
  level = sum(always) / len(always)
  fewer = ', '.join(f'{key} of {n}' for key, n in zip(annotated, told, strict=True) if n < len(there))
  known_of = f' (whether it is there is known for {fewer})' if fewer else ''
  return (f'F1 are of {len(there)} test photographs, of which {with_any} have masks with one of these lesions{known_of}. Whoever calls every lesion '
          f'present in every photograph has an image F1 of {level:.3f}{_below(results, level)}.')


def _below(results: Sequence[Result], level: float) -> str:
  """Which runs have an image F1 below a level, at either kind of threshold: '; below it: ...', or nothing."""
  half, parts = at_half(results), []
  for how, found in (('at 0.5', half), ('at thresholds from validation', results)) if half else (('', results),):
    names = [title(key, runs) + (f' (seed {", ".join(str(run["seed"]) for run in low)})' if len(low) < len(runs) else '')
             for key, runs in by_row(found).items() if (low := [run for run in runs if _image_f1(run) < level])]
    parts += [f'{how} {", ".join(names)}'.strip()] if names else []
  return f'; below it: {"; ".join(parts)}' if parts else ''


def _image_f1(result: Result) -> float:
  """The mean image F1 of a run; infinite where it has none."""
  value = result['report'].get('image_f1', {}).get('mean')
  return float('inf') if value is None else value


def chance(results: Sequence[Result]) -> str:
  """Says which results are near chance, or that none is: an AUPR below ABOVE_CHANCE times the lesion's prevalence among the pixels (our
  choice), a kappa whose interval holds 0. '' where results rank nothing or there is nothing to say."""
  shares = next((found['prevalence'] for result in results if (found := result['report'].get('precision_recall'))), {})
  times = {(result['title'], result['seed'], key): value / shares[key] for result in results
           for key, value in result['report'].get('aupr', {}).get('lesions', {}).items() if value is not None and shares.get(key)}
  kappas = {(result['title'], result['seed']): found for result in results
            if (found := result['report']['intervals'].get('kappa')) and 'kappa' in result['report']}
  if not ranks(results) or not (times or kappas):
    return ''
  near = [f'{name} (seed {seed}): AUPR of {key} is {ratio:.1f} times its prevalence'
          for (name, seed, key), ratio in times.items() if ratio < ABOVE_CHANCE]
  near += [f'{name} (seed {seed}): the interval of kappa holds 0' for (name, seed), (low, high) in kappas.items() if low <= 0 <= high]
  least = f': the smallest AUPR is {min(times.values()):.0f} times the prevalence of its lesion' if times else ''
  return f'Near chance (an AUPR below twice the prevalence): {"; ".join(near)}.' if near else f'No row is near chance{least}.'


def table4(results: Sequence[Result], memories: Sequence[Result]) -> str:
  """Renders Table IV: three tasks by three baselines and by the multi-task network, and the memory that they need at
  run time.

  Our own three results are all of the multi-task network; for its maps the paper prints those of Lesion-Net-16s. Where it was tested on photographs
  without masks, its F1 are those of the very lesion network that it contains, on photographs with masks.

  Raises:
    ValueError: the memories were measured at different sizes, batches or dtypes or on different devices, and cannot be
      added.
  """
  rows, notes = by_row(results), Notes()
  own = [result for key in SYSTEMS for result in rows.get(key, ())]
  inside = {result['lesion_weights'] for result in rows.get(OURS, ())}
  branch = [result for result in rows.get(OUR_MAPS, ()) if result['weights'] in inside]
  lines, fixed = [], by_row(at_half([*own, *branch]))
  for key in SYSTEMS:
    cells = []
    for name in (*HALVES, 'kappa'):
      paper = paper_metric(OUR_MAPS if key == OURS and name != 'kappa' else key, name, lesions=scored([*own, *branch], name))
      found = metric((fixed if fixed and name != 'kappa' else rows).get(key, ()), name)
      if key == OURS and branch and (found is None or found.value is None):
        found = metric(fixed.get(OUR_MAPS, branch), name)
      cells.append('' if paper is None else f'{_full(found, notes)} ({_number(paper)})')
    lines.append([_ours(key), *cells])
  header = ['system', *(f'{name} F1{" at 0.5" if fixed else ""}' for name in ('pixel', 'image')), 'kappa']
  fewer = ", of the same lesions" if set(scored([*own, *branch], 'pixel_f1')) < set(LESION_KEYS) else ''
  caption = _caption(own, f"in round brackets the paper's result{fewer} (beside the F1 of the multi-task network that of "
                          'Lesion-Net-16s, its lesion branch)', every_row=False)
  return join('## Table IV', table(header, lines), *notes.lines(), caption, _other_networks(results),
              _memory(memories))


def cost(results: Sequence[Result]) -> str:
  """Parameters, time and memory of training and testing each row that has a result; '' where none has."""
  if not results:
    return ''
  lines, interrupted, kinds = [], False, captions.distinct(result['peak_memory']['of'] for result in results)
  for key, found in by_row(results).items():
    resumed = any(result['resumed'] for result in found)
    interrupted |= resumed
    peak = max(result['peak_memory']['bytes'] for result in found) / GB
    best = captions.span(result['best_step'] for result in found)
    seconds = sum(result['seconds'] for result in found) / len(found)
    used = [result['cpu_seconds'] for result in found if 'cpu_seconds' in result]
    lines.append([title(key, found), captions.span(result['parameters'] for result in found), str(len(found)),
                  f'{captions.span(result["steps"] for result in found)} ({best})',
                  f'{seconds:,.0f}{"*" if resumed else ""}', f'{sum(used) / len(used):,.0f}' if used else '', f'{peak:.2f}'])
  header = ['system', 'parameters', 'seeds', 'steps (best)', 'seconds', 'CPU seconds', 'peak memory, GB']
  notes = [f'Seconds: of training, evaluation and its pictures, and of compilation where no cached program was at hand; the '
           'mean over the seeds; other programs may have run beside it, which CPU seconds (of all cores) do not count. '
           f'Peak memory: of the {" or ".join(kinds)}, the largest over the seeds. A row that '
           'contains a lesion network does not count its training, nor asking it about the training photographs where a row before '
           'had done that.']
  if interrupted:
    notes.append('\\* interrupted and resumed: seconds and peak memory since the last start alone.')
  return join('### Cost', table(header, lines), *notes)


def _other_networks(results: Sequence[Result]) -> str:
  """Names rows whose lesion network is not the one that was measured as a row of its own, but another training of it."""
  measured = {(result['row'], result['seed']): result['weights'] for result in results}
  others = [f'{ROWS[result["row"]].title} (seed {result["seed"]})' for result in results
            if measured.get((ROWS[result['row']].lesion, result['seed']), result['lesion_weights'])
            != result['lesion_weights']]
  return (f'The lesion network in {", ".join(others)} was trained again: the same configuration as its row of Table II, '
          'not the same weights.') if others else ''


def _half(rows: Mapping[str, Sequence[Result]], keys: Sequence[str], name: str, how: str = '') -> str:
  """One half of Table II; `how` its pixels or images were called."""
  notes = Notes()
  best = {part: _best(rows, keys, name, part) for part in COLUMNS}
  other = elsewhere([result for key in keys for result in rows.get(key, ())])
  evaluated = [part for part in LESION_KEYS
            if not other or any((found := metric(rows.get(key, ()), name, part)) and found.value is not None for key in keys)]
  lines = []
  for key in keys:
    found = rows.get(key, ())
    mean = _full(metric(found, name), notes, bold=key == best['mean'])
    lesions = [_beside(_short(metric(found, name, part), notes, bold=key == best[part]),
                       None if other else paper_metric(key, name, part)) for part in evaluated]
    lines.append([title(key, rows.get(key, ())), mean, _number(paper_metric(key, name, lesions=evaluated if other else ())), *lesions])
  papers = PAPERS_FEWER if evaluated and set(evaluated) < set(LESION_KEYS) else PAPERS_OTHER
  header = ['system', 'mean', papers if other else 'paper', *evaluated]
  heading = HALVES.get(name, AUPR)
  return join(f'### {heading[0].upper()}{heading[1:]}{how}', table(header, lines), *notes.lines())


def _memory(memories: Sequence[Result]) -> str:
  """Memory at run time: the baselines beside each other against the one network."""
  found = {result['system']: result for result in memories}
  settings = {(result['size'], result['batch'], result['dtype'], result['hardware']['device']) for result in memories}
  if len(settings) > 1:
    raise ValueError(f'memories of different settings cannot be added: {sorted(settings)}; remove those of one')
  program = lambda key: found[key]['program']['bytes']
  peak = lambda key: found[key]['peak_memory']['bytes']
  lines = []
  for key in SYSTEMS:
    lines.append([_ours(key), *(_gigabytes(of, (key,), found) for of in (program, peak)),
                  f'{PAPER_MEMORY["ours"]:.1f}' if key == OURS else ''])
  together = ['the three baselines beside each other', *(_gigabytes(of, BASELINES, found) for of in (program, peak)),
              f'{PAPER_MEMORY["baselines"]:.1f}']
  in_turn = ['the three baselines in turn, temporaries shared', _in_turn(found), '', '']
  share = ['one network against three beside each other', *(_share(of, found) for of in (program, peak)),
           f'{PAPER_MEMORY["ours"] / PAPER_MEMORY["baselines"]:.2f}']
  share_in_turn = ['one network against three in turn', _share_in_turn(found), '', '']
  lines = [*lines[:-1], together, in_turn, lines[-1], share, share_in_turn]
  header = ['memory at run time, GB', "program, XLA's count", 'measured peak', 'paper']
  return join('### Memory', table(header, lines), *_memory_notes(found))


def _memory_notes(found: Mapping[str, Result]) -> list[str]:
  if not found:
    return ['Nothing was measured yet.']
  results = list(found.values())
  first, kinds = results[0], captions.distinct(result['peak_memory']['of'] for result in results)
  notes = [f'A batch of {first["batch"]} at {captions.squares([first["size"]])} pixels, {first["dtype"]}, full width; '
           f'{"; ".join(captions.machine(results))}. Program: arguments (weights and photograph), results and '
           f'temporaries of the compiled forward pass. Measured peak: of the {" or ".join(kinds)}.']
  if 'process' in kinds:
    notes.append('A process also holds Python, the compiler and a copy of the weights, so a sum of three counts those three '
                 'times: compare the programs.')
  notes.append('Beside each other: the sum of three counts, as if all three ran at once. In turn: the weights of all three, '
               'and results and temporaries of the largest, which the others use after it.')
  if first['hardware']['device'] == 'cpu':
    notes.append('Neither count is memory of a GPU: XLA counts here what it compiled for a CPU, whose convolutions take '
                 'other temporaries.')
  return [*notes, code(captions.distinct(result['command'] for result in results))]


def _turns(found: Mapping[str, Any]) -> int | None:
  """Bytes of three programs that run in turn; None where one was not measured."""
  if not set(BASELINES) <= set(found):
    return None
  programs = [found[key]['program'] for key in BASELINES]
  return sum(each['arguments'] for each in programs) + max(
      each['results'] + each['temporaries'] for each in programs)


def _in_turn(found: Mapping[str, Any]) -> str:
  turns = _turns(found)
  return NOT_RUN if turns is None else f'{turns / GB:.2f}'


def _share_in_turn(found: Mapping[str, Any]) -> str:
  turns = _turns(found)
  return NOT_RUN if turns is None or OURS not in found else f'{found[OURS]["program"]["bytes"] / turns:.2f}'


def _gigabytes(of: Callable[[str], int], keys: Sequence[str], found: Mapping[str, Any]) -> str:
  return f'{sum(map(of, keys)) / GB:.2f}' if all(key in found for key in keys) else NOT_RUN


def _share(of: Callable[[str], int], found: Mapping[str, Any]) -> str:
  return f'{of(OURS) / sum(map(of, BASELINES)):.2f}' if all(key in found for key in SYSTEMS) else NOT_RUN


def _ours(key: str) -> str:
  return f'**{ROWS[key].title}**' if key == OURS else ROWS[key].title


def elsewhere(results: Sequence[Result]) -> bool:
  """Returns whether these are results on photographs of patients that are not the paper's."""
  return any(presets.DATA[result['preset']] not in ('synthetic', captions.PAPERS_DATA) for result in results)


def _not_run(results: Sequence[Result], keys: Sequence[str]) -> list[str]:
  """Why the preset of these results leaves rows out."""
  left = {key: why for name in captions.distinct(result['preset'] for result in results)
          for key, why in presets.NOT_RUN.get(name, {}).items() if key in keys}
  return [f'{ROWS[key].title}: not run here, as it {why}.' for key, why in left.items()]


def ranks(results: Sequence[Result]) -> bool:
  """Returns whether there are results, and of a preset whose metrics say which system is better."""
  return bool(results) and not any(result['preset'] in presets.NOTES for result in results)


def _best(rows: Mapping[str, Sequence[Result]], keys: Sequence[str], name: str, part: str = 'mean') -> str | None:
  """The row of the largest metric, or None where no row has one, or the preset ranks nothing."""
  values = {key: found.value for key in keys if ranks(rows.get(key, ()))
            and (found := metric(rows[key], name, part)) and found.value is not None}
  return max(values, key=values.get) if values else None


def _short(found: Metric | None, notes: Notes, *, bold: bool = False) -> str:
  """'**0.419** ± 0.010', a dash where it was not run, or the mark of the reason why it is undefined."""
  if found is None:
    return NOT_RUN
  mark = f' {notes.mark(found.reason)}' if found.reason else ''
  if found.value is None:
    return mark.strip()
  number = f'**{found.value:.3f}**' if bold else f'{found.value:.3f}'
  return number + ('' if found.spread is None else f' ± {found.spread:.3f}') + mark


def _full(found: Metric | None, notes: Notes, *, bold: bool = False) -> str:
  """As `_short`, with the interval: '0.419 [0.392, 0.447]'."""
  return _short(found, notes, bold=bold) + bounds(found and found.interval)


def _beside(ours: str, paper: float | None) -> str:
  return ours if paper is None else f'{ours} ({_number(paper)})'


def _number(value: float | None) -> str:
  return '' if value is None else f'{value:.3f}'


def _caption(results: Sequence[Result], reading: str, *, bold: bool = False, every_row: bool = True) -> str:
  """How to read a table, and under which conditions its metrics were measured."""
  largest = 'bold: our largest of the column; ' if bold and ranks(results) else ''
  reading = f'{reading[0].upper()}{reading[1:]}; {largest}{NOT_RUN}: not run.'
  return join(' '.join(part for part in (reading, captions.intervals(results), captions.conditions(results)) if part),
              code(captions.commands(results, rows=not every_row)))
