"""Grades of real photographs: what each system's run is, and the page of results that lie there."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from experiments import grades, grades_page, idrid
from lesion_jax import main
from lesion_jax.core import GRADE_KEYS
from lesion_jax.evaluate import agreement, at_cut_points, full_report, referral
from lesion_jax.stages.datasets import split_places

N = 30


def options(*more):
  return grades.parse(['--source_dir=IDRiD', '--lesion=lesions/bundle', '--pretrained=weights.safetensors', *more])


@pytest.mark.parametrize('system', grades.SYSTEMS)
def test_each_system_sees_the_same_square_and_starts_from_the_same_weights(system):
  config = grades.configure(options(), system)
  grade, plain = config.grade, system.startswith('plain')
  assert config.stages == ('grade',) and grade.pretrained == 'weights.safetensors'
  assert (grade.data.size if plain else grade.model.grading_size) == 448
  assert config.segment.bundle == ('' if plain else 'lesions/bundle')
  assert all(pattern.startswith('encoder/' if plain else 'grading/encoder/') for pattern in grade.freeze)
  assert ('*' in [pattern.split('/')[-1] for pattern in grade.freeze]) == system.endswith('frozen')
  assert (grade.encoder_lr_factor == 1) == system.endswith('frozen'), 'a rate of what is not trained is refused'


def test_the_longer_preset_goes_on_from_the_network_of_the_shorter_one_at_a_larger_size():
  grade = grades.configure(options('--preset=cpu_long', '--workdir=runs'), 'conv').grade
  assert (grade.pretrained, grade.init) == ('', 'runs/conv-cpu-0/grade/bundle')
  assert grade.model.grading_size == 640 > grades.configure(options(), 'conv').grade.model.grading_size


def test_a_folder_with_a_colon_in_its_name_is_one_folder():
  found = grades.configure(grades.parse(['--source_dir=of:all', '--lesion=bundle']), 'conv').grade.data
  assert split_places(found.source_dir) == ['of:all'] * len(found.name.split('+')) == ['of:all'] * 2
  found = idrid.configure(idrid.parse(['--source_dir=of:all'])).segment.data
  assert split_places(found.source_dir) == ['of:all'] * len(found.name.split('+')) == ['of:all'] * 2
  alone = ['--source_dir=of:all', '--lesion=bundle', '--systems=plain'], ['--source_dir=of:all', '--without_negatives']
  assert grades.configure(grades.parse(alone[0]), 'plain').grade.data.source_dir == 'of:all'
  assert idrid.configure(idrid.parse(alone[1])).segment.data.source_dir == 'of:all'


def test_an_unknown_system_and_a_missing_network_are_refused(capsys):
  for arguments, named in ((['--systems=conv,gap'], 'gap is none of conv'), (['--source_dir=IDRiD'], '--lesion=BUNDLE')):
    with pytest.raises(SystemExit):
      grades.parse([*arguments, *(['--render'] if 'gap' in named else [])])
    assert named in capsys.readouterr().err


def test_what_is_built_around_a_lesion_network_has_no_folds(capsys):
  with pytest.raises(SystemExit):
    grades.parse(['--source_dir=IDRiD', '--folds=5', '--systems=plain,conv'])
  assert 'conv is built around a lesion network' in capsys.readouterr().err
  assert grades.parse(['--source_dir=IDRiD', '--folds=5', '--systems=plain']).lesion is None


@pytest.mark.parametrize('number', [-2, 1])
def test_folds_are_two_or_more(capsys, number):
  with pytest.raises(SystemExit):
    grades.parse(['--source_dir=IDRiD', f'--folds={number}', '--systems=plain'])
  assert f'--folds={number}: at least 2' in capsys.readouterr().err


def test_what_goes_on_from_another_network_has_no_folds(capsys):
  with pytest.raises(SystemExit):
    grades.parse(['--source_dir=IDRiD', '--folds=5', '--systems=plain', '--preset=cpu_long'])
  assert ('--preset=cpu_long goes on from the network of cpu, which learned from photographs of every fold; cross-validate --preset=cpu'
          in capsys.readouterr().err)


def make_counts(seed, ids):
  rng = np.random.default_rng(seed)
  grade = np.arange(len(ids)) % 5
  probabilities = rng.dirichlet(np.ones(5), len(ids)) + 2 * np.eye(5)[grade]
  probabilities = (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)
  confusion = np.zeros((len(ids), 5, 5), np.int64)
  confusion[np.arange(len(ids)), grade, probabilities.argmax(1)] = 1
  return {'grade': grade, 'grade_probabilities': probabilities, 'confusion': confusion, 'id': np.array(ids),
          'patient': np.array(ids)}


def write(folder, name, counts, **more):
  report = full_report(counts, (), resamples=20) | {
      'referral': referral(counts, resamples=20, seed=0),
      'at_cut_points': at_cut_points(counts, (0.5, 1.5, 2.5, 3.5), resamples=20, seed=0)}
  (folder / f'{name}.json').write_text(json.dumps({'title': f'system {name}', 'report': report, **more}))
  np.savez(folder / f'{name}.npz', **counts, annotated=np.array([], str))


def test_the_page_has_every_system_and_compares_them_on_the_photographs_of_both(tmp_path):
  ids = [f'IDRiD_{number:03d}' for number in range(N)]
  counts = make_counts(0, ids)
  rule = np.where(np.arange(N) % 3, counts['grade'], 0)
  worst = [{'id': ids[4], 'truth': 'DR4', 'predicted': 'DR0', 'probabilities': dict.fromkeys(GRADE_KEYS, 0.2), 'expected': 0.7,
            'present': [], 'look': {'reasons': ['second look']}}]
  write(tmp_path, 'conv-cpu-0', counts, worst=worst,
        agreement=agreement(counts['grade'], rule, counts['confusion'].sum(1).argmax(1)))
  write(tmp_path, 'aaa-cpu-0', make_counts(1, ids[5:]))
  (tmp_path / grades_page.SEEN).write_text(json.dumps({ids[4]: 'new vessels at the disc'}))
  [page] = grades_page.write(tmp_path)
  text = page.read_text()
  assert text.index('system conv-cpu-0') < text.index('system aaa-cpu-0')  # the one that was looked at comes first
  assert '`aaa-cpu-0` less `conv-cpu-0`' in text and '| 25 |' in text
  assert 'new vessels at the disc' in text and 'second look' in text and 'conv-cpu-0-worst.jpg' in text
  assert f'{counts["confusion"].sum(0)[0].tolist()}'[1:-1].replace(', ', ' | ') in text


def test_cross_validation_sums_up_the_photographs_of_all_folds(tmp_path, monkeypatch):
  ids = [f'IDRiD_{number:03d}' for number in range(N)]
  counts = make_counts(3, ids)

  trained = []

  def run(config, workdir, data_dir, should_stop):
    fold = config.grade.data.fold
    assert config.grade.data.name == 'idrid_grading' and not config.segment.bundle and config.grade.data.folds == 2
    trained.append(fold)
    rows = np.arange(N) % 2 == fold
    part = {name: value[rows] for name, value in counts.items()}
    (workdir / 'grade').mkdir(parents=True)
    np.savez(workdir / 'grade' / 'test_counts.npz', **part, annotated=np.array([], str))
    (workdir / 'grade' / 'report.json').write_text(json.dumps(full_report(part, (), resamples=20)))
    return 0 if len(trained) != 2 else 1  # the second is stopped at first

  monkeypatch.setattr(grades.program, 'run', run)
  chosen = lambda place: options('--systems=plain', '--folds=2', f'--workdir={tmp_path / place}', f'--results={tmp_path}')
  assert grades.cross_validate(chosen('runs'), 'plain') == 1 and not (tmp_path / 'plain-cpu-0-folds.json').exists()
  assert grades.cross_validate(chosen('another-machine'), 'plain') == 0 and trained == [0, 1, 1]  # the first is with the results
  with pytest.raises(SystemExit, match='was measured with other settings: grade.pretrained'):
    grades.cross_validate(options('--systems=plain', '--folds=2', f'--results={tmp_path}', '--pretrained=other'), 'plain')
  written = json.loads((tmp_path / 'plain-cpu-0-folds.json').read_text())
  assert written['referral']['auc']['value'] == referral(counts, resamples=20, seed=0)['auc']['value']
  assert 'Cross-validation on the training part' in grades_page.write(tmp_path)[0].read_text()  # before any is tested
  write(tmp_path, 'conv-cpu-0', counts)
  text = grades_page.write(tmp_path)[0].read_text()
  assert 'Cross-validation on the training part' in text and ' ± ' in text and f'| {N} |' in text
  assert text.count('Inception-v3, no lesions') == 1  # is no system of the test part


@pytest.fixture
def finished(tmp_path, monkeypatch):
  """`finished(seed)` puts a run of the network `seed` in place; its counts are those of `make_counts`."""
  chosen = options(f'--workdir={tmp_path / "runs"}', f'--results={tmp_path / "results"}')
  ids, stage = [f'IDRiD_{number:03d}' for number in range(N)], tmp_path / 'runs' / 'conv-cpu-0' / 'grade'
  stage.mkdir(parents=True)
  config = {'data': {}, 'pretrained': 'weights.safetensors', 'init': ''}
  (stage.parent / 'config.json').write_text(json.dumps({'grade': config}))
  of_part_b = types.SimpleNamespace(source=lambda split: types.SimpleNamespace(index=types.SimpleNamespace(id=np.array(ids))))
  monkeypatch.setattr(grades, 'load_dataset', lambda *given, **more: of_part_b)

  def put(seed):
    counts = make_counts(seed, ids)
    np.savez(stage / 'test_counts.npz', **counts, annotated=np.array([], str))
    (stage / 'report.json').write_text(json.dumps({'data_sets': {'idrid_grading': full_report(counts, (), resamples=20)}}))
    bundle = types.SimpleNamespace(digest=f'weights-{seed}', config={
        'data': {'lengths': {}}, 'provenance': {'parameters': 1}, 'preprocessing': {'size': 448}})
    monkeypatch.setattr(grades, 'load_bundle', lambda path: bundle)

  put.options, put.results = chosen, chosen.results
  return put


def measured(finished):
  """The result and the probabilities beside it."""
  path = finished.results / 'conv-cpu-0.json'
  result = json.loads(path.read_text())
  return result['weights'], grades_page.read_own_counts(path, result)['grade_probabilities'].tolist()


def expected(seed):
  return f'weights-{seed}', make_counts(seed, [str(number) for number in range(N)])['grade_probabilities'].tolist()


def test_killed_between_its_two_files_a_measurement_is_made_anew(finished, monkeypatch):
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(grades.record, 'save', lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    finished(0)
    grades.evaluate_test(finished.options, 'conv')
  assert [path.name for path in finished.results.iterdir()] == ['conv-cpu-0.npz'], 'the result comes last'
  grades.evaluate_test(finished.options, 'conv')
  assert measured(finished) == expected(0)
  before = (finished.results / 'conv-cpu-0.json').stat().st_mtime_ns
  grades.evaluate_test(finished.options, 'conv')
  assert (finished.results / 'conv-cpu-0.json').stat().st_mtime_ns == before, 'what is measured is not measured again'
  finished(1)
  grades.evaluate_test(finished.options, 'conv')
  assert measured(finished) == expected(1)


def test_killed_while_the_mistakes_are_drawn_they_are_drawn_by_the_next_call(finished, monkeypatch):
  finished(0)
  grades.evaluate_test(finished.options, 'conv')
  kept = {'grade': {'value': 1, 'key': 'DR1', 'probabilities': {}}, 'states': {}, 'look': {'rule': {'grade': 0}}}
  monkeypatch.setattr(grades, 'command', lambda arguments: 0)
  monkeypatch.setattr(grades, 'read_record', lambda folder: kept)
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(grades_page, 'draw_worst', lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    grades.look(finished.options, 'conv')
  drawn = []
  monkeypatch.setattr(grades_page, 'draw_worst', lambda path, *given: drawn.append(path.name))
  for _ in range(2):
    grades.look(finished.options, 'conv')
  assert drawn == ['conv-cpu-0-worst.jpg']
  assert json.loads((finished.results / 'conv-cpu-0.json').read_text())['agreement']


@pytest.mark.parametrize('left', ['none', 'of another network', 'of another network, from before weights were kept there'])
def test_counts_of_another_network_are_not_used(finished, left):
  finished(0)
  grades.evaluate_test(finished.options, 'conv')
  counts = finished.results / 'conv-cpu-0.npz'
  other = make_counts(1, [f'IDRiD_{number:03d}' for number in range(N)])
  other['confusion'] = np.roll(other['confusion'], 1, axis=2)
  counts.unlink()
  if left != 'none':
    np.savez(counts, **other, annotated=np.array([], str), **({} if 'before' in left else {'weights': 'weights-1'}))
    with pytest.raises(ValueError, match='of another network than conv-cpu-0.json; measure that system again'):
      measured(finished)
  grades.evaluate_test(finished.options, 'conv')
  assert measured(finished) == expected(0)


@pytest.fixture
def begun(monkeypatch):
  """The folders of the runs that were begun."""
  folders = []
  monkeypatch.setattr(main, 'run', lambda config, folder, *given: folders.append(folder) or main.STOPPED)
  monkeypatch.setattr(grades.runtime, 'use_cache', lambda: None)
  return folders


def lesion_bundle(path, weights):
  path.mkdir(parents=True)
  (path / 'config.json').write_text(json.dumps({'weights_sha256': weights}))
  return path


@pytest.mark.parametrize('program', [grades, idrid])
def test_a_run_that_was_killed_between_its_bundle_and_its_report_goes_on(program, begun, tmp_path):
  more = ['--lesion=lesions/bundle'] if program is grades else []
  chosen = program.parse(['--source_dir=IDRiD', f'--workdir={tmp_path}', *more])
  train, place = (lambda: grades.train(chosen, 'plain'), grades.place(chosen, 'plain')) if program is grades else (
      lambda: idrid.train(chosen), idrid.place(chosen))
  lesion_bundle(place / program.STAGE / 'bundle', 'trained')
  assert train() == main.STOPPED and begun == [place]
  (place / 'metrics.json').write_text(json.dumps({program.STAGE: {}}))
  (place / 'config.json').write_text(json.dumps({'segment': {'bundle': ''}}))
  assert train() == 0 and begun == [place]


def test_where_the_result_of_another_network_lies_nothing_is_trained(begun, tmp_path):
  asked = ['--source_dir=IDRiD', f'--workdir={tmp_path / "runs"}']
  assert idrid.RESULTS.joinpath('cpu-0.json').is_file()
  with pytest.raises(SystemExit, match='cpu-0.json is of a network that is not in .*give another --results'):
    idrid.main(asked)
  assert not begun
  assert idrid.main([*asked, f'--results={tmp_path / "results"}']) == main.STOPPED and len(begun) == 1


def test_a_finished_run_around_another_lesion_network_is_not_taken_for_the_one_that_is_asked_for(begun, tmp_path):
  first, second = (lesion_bundle(tmp_path / name / 'bundle', name) for name in ('first', 'second'))
  place = tmp_path / 'runs' / 'conv-cpu-0'
  place.mkdir(parents=True)
  (place / 'metrics.json').write_text('{"grade": {}}')
  (place / 'config.json').write_text(json.dumps({'segment': {'bundle': str(first)}}))
  asked = lambda lesion: grades.train(grades.parse(['--source_dir=IDRiD', f'--lesion={lesion}', f'--workdir={tmp_path / "runs"}']), 'conv')
  assert asked(first) == 0
  with pytest.raises(SystemExit, match=f'conv-cpu-0 is around the lesion network {first}, not {second}; give that one'):
    asked(second)


def test_a_fold_of_other_settings_is_found_before_another_is_trained(begun, tmp_path):
  asked = ['--source_dir=IDRiD', '--pretrained=weights', '--systems=plain-frozen,plain', '--folds=2', f'--workdir={tmp_path / "runs"}',
           f'--results={tmp_path / "results"}']
  chosen, run, kept = grades.plan(grades.parse(asked), 'plain')[1]
  kept.mkdir(parents=True)
  config = grades.portable(chosen, run)
  (kept / 'config.json').write_text(json.dumps({'config': config}))
  assert grades.main(asked) == main.STOPPED and [folder.name for folder in begun] == ['fold-0']
  (kept / 'config.json').write_text(json.dumps({'config': config | {'seed': 7}}))
  with pytest.raises(SystemExit, match='1-of-2 was measured with other settings: seed; remove it'):
    grades.main(asked)
  assert len(begun) == 1


def test_without_a_result_the_page_says_what_to_run(tmp_path):
  with pytest.raises(FileNotFoundError, match='experiments.grades'):
    grades_page.write(tmp_path)


def test_systems_with_a_fine_tuned_encoder_are_averaged_on_the_photographs_of_all(tmp_path):
  ids = [f'IDRiD_{number:03d}' for number in range(N)]
  systems = {'conv-cpu-0': make_counts(0, ids), 'plain-cpu-0': make_counts(1, ids[::-1][:25]), 'conv-leaks-cpu-0': make_counts(2, ids)}
  for name, counts in systems.items():
    counts['grade'] = np.array([int(name.split('_')[1]) % 5 for name in counts['id']])
    write(tmp_path, name, counts, system=name.removesuffix('-cpu-0'))
  grades_page.write(tmp_path)
  together = (tmp_path / grades_page.PAGE).read_text().partition('### Together')[2]
  assert '`conv-cpu-0`, `plain-cpu-0`: of all' in together
  of = [dict(zip(systems[name]['id'], systems[name]['grade_probabilities'], strict=True)) for name in ('conv-cpu-0', 'plain-cpu-0')]
  shared = ids[5:]
  said = [int(((of[0][name].astype(float) + of[1][name]) / 2).argmax()) for name in shared]
  truth = [int(name.split('_')[1]) % 5 for name in shared]
  row = [cell.strip() for cell in together.splitlines()[6].strip('|').split('|')]
  assert row[1].startswith(f'{np.mean(np.array(said) == truth):.3f} ') and row[-1] == '25'
