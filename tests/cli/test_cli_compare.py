"""`lesion-jax compare`: what it takes for a system, what it refuses, and what it prints and writes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil

import numpy as np
import pytest
from oracle import GREEN, SIZE

import lesion_jax
from lesion_jax import assessment, cli, comparison
from lesion_jax.comparison import read_counts
from lesion_jax.evaluate import compare_systems
from lesion_jax.photograph.fingerprint import fingerprint, reduced
from lesion_jax.photograph.prepare import prepare
from lesion_jax.report.comparison import format_agreement, format_comparison, say_p
from lesion_jax.weights.bundle import load_bundle, save_bundle

N = 14
LESION = (100, 80, 129, 119)


def write_counts(path, seed, *, ids=None, annotated=('MA', 'CWS')):
  """Counts of a system that errs in a third of what it says."""
  rng = np.random.default_rng(0)
  truth, grades = rng.random((N, 8)) < 0.5, rng.integers(0, 5, N)
  rng = np.random.default_rng(seed)
  said, predicted = truth ^ (rng.random(truth.shape) < 0.3), np.clip(grades + rng.integers(-1, 2, N), 0, 4)
  counts = {f'{level}_{kind}': which.astype(np.int64) for level in ('image', 'pixel') for kind, which in (
      ('tp', truth & said), ('fp', ~truth & said), ('fn', truth & ~said))}
  counts['confusion'] = np.eye(5, dtype=np.int64)[grades][:, :, None] * np.eye(5, dtype=np.int64)[predicted][:, None, :]
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(path, id=np.array([f'eye_{n}' for n in range(N)] if ids is None else ids), annotated=np.array(annotated), **counts)
  return path


def write_data(folder, name, split='test'):
  (folder / 'report.json').write_text(json.dumps({'evaluated': {'data': {'name': name, 'split': split}}}))


@pytest.fixture
def compare(capsys):
  """`compare(*arguments) -> (exit status, stdout, stderr)`."""

  def run(*arguments):
    try:
      status = cli.main(['compare', *map(str, arguments)])
    except SystemExit as stop:
      status = stop.code
    said = capsys.readouterr()
    return status, said.out, ' '.join(said.err.split())

  return run


@pytest.fixture
def pair(tmp_path):
  """An evaluation, and a run of one stage."""
  write_counts(tmp_path / 'first' / 'counts.npz', 1)
  write_counts(tmp_path / 'run' / 'grade' / 'test_counts.npz', 2)
  return tmp_path / 'first', tmp_path / 'run'


class TestSystems:

  def test_evaluations_and_runs_are_compared_by_what_they_left(self, pair, compare):
    status, said, _ = compare(f'ours={pair[0]}', f'theirs={pair[1]}', '--resamples', 50)
    assert status == 0
    named = {'ours': pair[0] / 'counts.npz', 'theirs': pair[1] / 'grade' / 'test_counts.npz'}
    found = compare_systems({name: dict(np.load(path)) for name, path in named.items()}, resamples=50)
    assert said == format_comparison(found, 'markdown')
    assert lesion_jax.compare({'ours': pair[0], 'theirs': pair[1]}, resamples=50) == found
    assert lesion_jax.compare(list(named.values()), resamples=50)['differences'][str(named['theirs'])] == found['differences']['theirs']
    kappa = found['systems']['ours']['kappa']
    assert '| ours | ' in said and f'{kappa["value"]:.3f} \\[{kappa["interval"][0]:.3f}, ' in said
    difference = found['differences']['theirs']['kappa']
    assert f'{difference["difference"]:+.3f} \\[' in said and 'theirs less ours' in said
    assert 'in which fewer than 10 images count (MA' in said
    few = format_comparison(found | {'patients': 3, 'positive_images': dict.fromkeys(found['positive_images'], 30), 'graded': 90}, 'markdown')
    assert 'fewer than 10 images or patients count (3 patients)' in few and few.count(r'\]') == few.count(r'\]\*') > 8

  def test_csv_has_a_row_for_each_system_metric_and_lesion(self, pair, compare):
    _, said, _ = compare(*pair, '--resamples', 20, '--format', 'csv')
    rows = list(csv.DictReader(io.StringIO(said)))
    assert len(rows) == 2 * (4 + 2 * 2)
    found = lesion_jax.compare(list(pair), resamples=20)
    row = next(row for row in rows if (row['system'], row['metric'], row['lesion']) == (str(pair[1]), 'image_f1', 'CWS'))
    expected = found['differences'][str(pair[1])]['image_f1']['CWS']
    assert [float(row[name]) for name in ('difference', 'difference_low', 'difference_high', 'p')] == [
        expected['difference'], *expected['interval'], expected['p']]
    assert row['different'] == str(expected['different']).lower() and row['baseline'] == str(pair[0])
    assert float(row['value']) == found['systems'][str(pair[1])]['image_f1']['CWS']['value']

  def test_latex_is_of_booktabs_with_every_letter_escaped(self, pair, compare):
    _, said, _ = compare(f'a_b & 100%={pair[0]}', f'[other]={pair[1]}', '--resamples', 20, '--format', 'latex')
    table = said.partition('%')[0] if said.startswith('%') else said
    assert table.count('\\toprule') == table.count('\\end{tabular}') == 3
    assert r'a\_b \& 100\% & ' in said and '\n{}[other] & ' in said
    for line in said.splitlines():
      if ' & ' in line:
        assert line.endswith(r'\\') and line.replace(r'\&', '').count('&') in (4, 3)

  def test_json_has_all_there_is_and_goes_where_it_is_told(self, pair, compare, tmp_path):
    status, said, _ = compare(*pair, '--resamples', 20, '--format', 'json', '--out', tmp_path / 'found.json')
    assert status == 0 and said == f'{tmp_path / "found.json"}: 2 systems on {N} photographs\n'
    assert json.loads((tmp_path / 'found.json').read_text()) == lesion_jax.compare(list(pair), resamples=20)

  def test_other_photographs_need_shared(self, pair, compare, tmp_path):
    other = write_counts(tmp_path / 'other' / 'counts.npz', 3, ids=[f'eye_{n + 2}' for n in range(N)]).parent
    status, _, said = compare(pair[0], other)
    assert status == 2 and 'not evaluated on the same photographs: 12 are of all' in said and 'with --shared' in said
    # Photographs of one id are of other eyes here, which their grades tell.
    status, _, said = compare(pair[0], other, '--shared')
    assert status == 2 and 'with other grades' in said

  def test_other_data_is_refused_by_name(self, pair, compare, tmp_path):
    other = write_counts(tmp_path / 'other' / 'counts.npz', 3).parent
    write_data(pair[0], 'idrid')
    write_data(other, 'ddr')
    status, _, said = compare(pair[0], other)
    assert status == 2 and f'evaluated on different data: {pair[0]} on idrid, split test; {other} on ddr' in said
    assert compare(pair[0], other, '--shared', '--resamples', 20)[0] == 0

  def test_a_run_of_several_stages_is_asked_which(self, pair, compare):
    write_counts(pair[1] / 'segment' / 'test_counts.npz', 4)
    status, _, said = compare(*pair)
    assert status == 2 and f'is a run of 2 stages; name one of {pair[1] / "grade"}, {pair[1] / "segment"}' in said

  def test_a_bundle_is_evaluated_first_and_needs_data(self, pair, bundle, compare, tmp_path):
    status, _, said = compare(bundle, pair[0])
    assert status == 2 and 'is a bundle: name the data set' in said
    shutil.copytree(bundle, tmp_path / 'stage' / 'bundle')
    data = ('--data', 'synthetic', '--option', 'count=30', '--prepared', tmp_path / 'prepared', '--other-crop')
    assert 'with --other-crop all the same' in compare(bundle, pair[0], *data[:-1])[2]
    status, said, err = compare(f'one={bundle}', f'two={tmp_path / "stage"}', *data, '--resamples', 20, '--format', 'json')
    assert status == 0, err
    found = json.loads(said)
    settings = {'options': {'count': 30}, 'data_dir': tmp_path / 'prepared', 'other_crop': True}
    evaluated = lesion_jax.evaluate(bundle, 'synthetic', resamples=20, **settings)
    assert found['images'] == evaluated.report['evaluated']['data']['images']
    assert found['systems']['two']['kappa'] == {
        'value': evaluated.report['kappa']['value'], 'interval': evaluated.report['intervals']['kappa']}
    assert found['differences']['two']['mean_image_f1']['difference'] == 0
    out = tmp_path / 'evaluated'
    lesion_jax.evaluate(bundle, 'synthetic', resamples=1, out=out, pictures=False, **settings)
    mixed = compare(f'one={out}', f'two={bundle}', *data, '--resamples', 20, '--format', 'json')
    assert json.loads(mixed[1]) | {'notes': found['notes']} == found and found['notes'][0].startswith('one: ')

  @pytest.mark.parametrize(('arguments', 'said'), [
      (['first'], 'give two systems or more'), (['first', 'first'], 'two systems are called first'),
      (['first', 'nowhere'], 'there is nothing at nowhere; name a folder that `lesion-jax evaluate` wrote'), (['first', 'empty'], 'is no system that can be compared'),
      (['first', 'damaged.npz'], 'does not hold the counts'), (['first', 'run', '--split', 'test'], '--split is for bundles'),
      (['first', 'run', '--out', 'no/where/x.md'], 'there is no folder'),
      (['first', 'run', '--grades', 'x.csv'], 'one folder of results')])
  def test_what_cannot_be_compared_is_said(self, pair, compare, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'damaged.npz').write_bytes(b'PK\x03\x04 nothing')
    status, _, err = compare(*arguments)
    assert status == 2 and said in err

  def test_one_path_alone_is_one_system(self, pair):
    with pytest.raises(ValueError, match=f'two systems or more; got {pair[0]}'):
      lesion_jax.compare(str(pair[0]))

  def test_a_damaged_byte_is_said_and_an_array_alone_too(self, tmp_path):
    np.savez_compressed(tmp_path / 'counts.npz', image_tp=np.random.default_rng(0).integers(0, 2, (50, 8)))
    whole = (tmp_path / 'counts.npz').read_bytes()
    for place in range(40, len(whole), 7):
      (tmp_path / 'counts.npz').write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1:])
      with contextlib.suppress(ValueError):  # of what is not looked at, there is nothing to say
        read_counts(tmp_path / 'counts.npz')
    with open(tmp_path / 'array.npz', 'wb') as file:
      np.save(file, np.arange(3))
    np.savez(tmp_path / 'head.npz', image_tp=np.arange(40000).reshape(5000, 8))
    whole = (tmp_path / 'head.npz').read_bytes()
    end = whole.index(b'}', whole.index(b"'fortran_order'"))
    (tmp_path / 'head.npz').write_bytes(whole[:end] + b' ' + whole[end + 1:])
    for name in ('array.npz', 'head.npz'):
      with pytest.raises(ValueError, match='does not hold the counts of an evaluation'):
        read_counts(tmp_path / name)

  def test_all_that_can_be_wrong_is_known_before_a_network_is_run(self, pair, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(assessment.Job, 'evaluate', lambda *_, **__: pytest.fail('it was run'))
    settings = {'data': 'synthetic', 'options': {'count': 30}, 'data_dir': tmp_path / 'prepared', 'other_crop': True}
    (tmp_path / 'damaged.npz').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='does not hold the counts'):
      lesion_jax.compare([bundle, tmp_path / 'damaged.npz'], **settings)
    shutil.copytree(bundle, tmp_path / 'other')
    (tmp_path / 'other' / 'model.safetensors').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='other'):
      lesion_jax.compare([bundle, tmp_path / 'other'], **settings)
    for wrong in ({'level': 95}, {'resamples': 0}, {'seed': -1}):
      with pytest.raises(ValueError, match='='.join(map(str, *wrong.items()))):
        lesion_jax.compare([bundle, pair[0]], **settings, **wrong)

  def test_what_a_report_says_of_its_photographs_is_said_of_the_comparison_too(self, pair, compare):
    (pair[0] / 'report.json').write_text(json.dumps({'evaluated': {'data': {'name': 'a', 'split': 'test'}, 'notes': ['2 are evaluated all the same']}}))
    (pair[1] / 'grade' / 'report.json').write_text(json.dumps({'notes': ['leaks were not looked for']}))
    status, said, _ = compare(*(f'{name}={path}' for name, path in zip(('one', 'other'), pair, strict=True)), '--resamples', 5)
    assert status == 0 and 'one: 2 are evaluated all the same' in said and 'other: leaks were not looked for' in said


class TestGrades:

  @pytest.fixture
  def results(self, predict, save):
    """Six photographs, predicted as DR0, DR1, DR2, DR3, DR0 and DR2, in two folders with one name in both."""
    for place, grade in enumerate((0, 1, 2, 3)):
      save(f'a/eye{place}.png', grade=grade, lesions=[(GREEN, LESION)])
    save('b/eye0.png', grade=0)
    last = save('b/=odd [1].png', grade=2)
    return predict(last.parents[1])[1]

  def table(self, tmp_path, *rows, header='file,grade'):
    path = tmp_path / 'grades.csv'
    path.write_text('\n'.join([header, *rows]) + '\n')
    return path

  def test_agreement_and_the_photographs_on_which_they_differ(self, results, compare, tmp_path):
    table = self.table(tmp_path, 'a/eye0.png,0', 'eye1,DR4', 'EYE2.PNG,2', 'eye3.jpg,1', '"b/eye0.png",', '=odd [1].png,0', 'gone.png,3')
    status, said, _ = compare(results, '--grades', table, '--resamples', 30, '--out', tmp_path / 'differences.md')
    assert status == 0 and said == f'{tmp_path / "differences.md"}: 5 photographs, they differ on 3\n'
    found = lesion_jax.compare_predictions(results, table, resamples=30)
    assert [(row['file'].rpartition('/')[2], row['graded'], row['predicted']) for row in found['different']] == [
        ('eye1.png', 'DR4', 'DR1'), ('eye3.png', 'DR1', 'DR3'), ('=odd [1].png', 'DR0', 'DR2')]
    assert found['not_predicted'] == ['gone.png'] and [file.rpartition('/')[2] for file in found['not_graded']] == ['eye0.png']
    assert found['confusion'] == [[1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    text = (tmp_path / 'differences.md').read_text()
    assert text == format_agreement(found, 'markdown', results='out')
    assert 'they differ on 3 of 5' in text and '1 photographs were predicted and have no grade' in text
    page = (results / 'report.html').read_text()
    for row in found['different']:
      number = int(row['page'].rpartition('=')[2])
      article = page.partition(f'id="photo={number}"')[2].partition('</article>')[0]
      assert row['file'] in article
      assert f'](out/report.html#photo={number}) |' in text
    assert r'=odd \[1\].png](' in text

  def test_photographs_from_which_the_network_learned_are_counted(self, bundle, predict, save, tmp_path):
    paths = [save(f'eye{place}.png', grade=place, lesions=[(GREEN, (100, 80, 100 + 12 * place, 119))]) for place in range(5)]
    prints = [reduced(fingerprint(prepare(path, SIZE).view)[None]) for path in paths[:3]]
    known = load_bundle(bundle)
    save_bundle(bundle, config=known.config, variables=known.variables, card='', photographs={
        'train': np.concatenate(prints[:2]), 'validation': prints[2]})
    results = predict(*paths)[1]
    records = [json.loads((results / path.stem / 'result.json').read_text()) for path in paths]
    assert [record.get('learned_from') for record in records] == ['train', 'train', 'validation', None, None]
    assert [any('this photograph, or a copy of it' in note for note in record['notes']) for record in records] == [*3 * [True], False, False]
    found = lesion_jax.compare_predictions(results, self.table(tmp_path, 'eye0,0', 'eye2,2', 'eye3,3', 'eye4,3'), resamples=5)
    assert '2 of 4 photographs are among those from which the network learned (1) or by which it was chosen (1)' in ' '.join(found['notes'])

  def test_csv_is_the_list_with_formulas_made_harmless(self, results, compare, tmp_path, monkeypatch):
    table = self.table(tmp_path, '=odd [1].png,4', 'eye2,0', 'eye3,0')
    monkeypatch.chdir(results)
    _, said, _ = compare(results, '--grades', table, '--format', 'csv', '--resamples', 5)
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [(row['graded'], row['predicted']) for row in rows] == [('DR0', 'DR3'), ('DR0', 'DR2'), ('DR4', 'DR2')]
    assert {row['page'].partition('#')[0] for row in rows} == {'./report.html'}
    found = lesion_jax.compare_predictions(results, table, resamples=5)
    found['different'][0]['file'] = '=1+1'
    assert "\n'=1+1," in format_agreement(found, 'csv')

  def test_patients_are_those_of_the_column_or_of_the_names(self, predict, save, tmp_path):
    for patient in (1, 2, 3):
      for eye in ('left', 'right'):
        path = save(f'{patient}_{eye}.png', grade=patient)
    _, out = predict(path.parent)
    rows = [f'{patient}_{eye},{patient}' for patient in (1, 2, 3) for eye in ('left', 'right')]
    found = lesion_jax.compare_predictions(out, self.table(tmp_path, *rows), resamples=5)
    assert found['patients'] == 3 and '3 patients of 6 photographs' in found['notes'][0]
    assert '(3 patients, 6 photographs): it is too narrow' in format_agreement(found, 'markdown')
    assert format_agreement(found | {'images': 60}, 'markdown').count(r'\]\*') == sum(found[name]['interval'] is not None for name in (
        'kappa', 'accuracy', 'sensitivity', 'specificity'))
    named = [f'{row},p{number // 3}' for number, row in enumerate(rows)]
    assert lesion_jax.compare_predictions(out, self.table(tmp_path, *named, header='file,grade,patient'), resamples=5)['patients'] == 2

  def test_an_empty_cell_at_the_end_may_be_missing(self, results, tmp_path):
    assert lesion_jax.compare_predictions(results, self.table(tmp_path, 'eye1,1', 'eye2'), resamples=5)['images'] == 1

  def test_other_columns_are_named(self, results, compare, tmp_path):
    table = self.table(tmp_path, 'eye1;1;x', 'eye2;2;y', header='Image name;Retinopathy grade;note')
    status, _, said = compare(results, '--grades', table)
    assert status == 2 and 'has no column file, grade; its columns are Image name, Retinopathy grade, note' in said
    status, said, _ = compare(results, '--grades', table, '--file-column', 'image name', '--grade-column', 'retinopathy grade',
                              '--resamples', 5)
    assert status == 0 and 'they differ on no photograph' in said

  @pytest.mark.parametrize(('rows', 'said'), [
      (['eye0.png,1'], 'write more of its path'), (['eye1,5'], "grade is '5'; grades are 0 to 4"),
      (['eye1,1', 'a/eye1.png,1'], 'has a row already'), (['gone,1'], 'no image has a grade of the person')])
  def test_a_table_that_cannot_be_meant_is_refused(self, results, compare, tmp_path, rows, said):
    status, _, err = compare(results, '--grades', self.table(tmp_path, *rows))
    assert status == 2 and said in err

  def test_what_is_no_folder_of_graded_results_is_refused(self, compare, results, tmp_path):
    table = self.table(tmp_path, 'eye1,1')
    assert 'name a folder that `lesion-jax predict` wrote' in compare(tmp_path, '--grades', table)[2]
    rows = list(csv.DictReader(io.StringIO((results / 'results.csv').read_text())))
    with (results / 'results.csv').open('w', newline='') as file:
      writer = csv.DictWriter(file, rows[0])
      writer.writeheader()
      writer.writerows(row | {'grade': ''} for row in rows)
    assert 'has no grade: the network that made these results does not grade' in compare(results, '--grades', table)[2]
    (results / 'results.csv').write_text('a,b\n1,2\n')
    assert 'is not the table of' in compare(results, '--grades', table)[2]
    assert '--shared is for systems' in compare(results, '--grades', table, '--shared')[2]

  def test_a_photograph_beyond_the_pictures_of_the_page_is_linked_to_its_own(self, results, tmp_path, monkeypatch):
    monkeypatch.setattr('lesion_jax.comparison.MAX_PICTURES', 2)
    found = lesion_jax.compare_predictions(results, self.table(tmp_path, 'eye3,0'), resamples=5)
    assert found['different'][0]['page'] == 'eye3/overlay.png' and (results / 'eye3' / 'overlay.png').is_file()
    (results / 'report.html').unlink()
    found = lesion_jax.compare_predictions(results, self.table(tmp_path, 'eye3,0'), resamples=5)
    assert found['different'][0]['page'] is None


def test_a_name_is_found_whatever_its_case_and_its_gaps_where_no_other_fits_better():
  find = comparison._finder(['a/eye  1.png', 'b/Eye 2.png', 'c/eye 2.png'])
  assert find('eye 1.png') == find('a/EYE 1') == [0]  # as the page saves it
  assert find('eye 2.png') == [2] and find('EYE  2.png') == [1, 2]


@pytest.mark.parametrize(('files', 'rows', 'graded', 'others'), [
    (['p1/left.jpg'], ['p1/left,0', 'p2/left,4'], [0], ['p2/left']),  # the table is of more patients than were predicted
    (['in/p1/eye/left.jpg'], ['p2/eye/left,4', 'p1/eye/left,0'], [0], ['p2/eye/left']),
    (['in/p1/left.jpg', 'in/p2/left.jpg'], ['p1/left,0', 'p3/left,4'], [0, -1], ['p3/left']),
    (['p1/left.jpg'], ['p2/left,4', 'p3/left,3'], [-1], ['p2/left', 'p3/left']),
    (['p1/left.jpg'], ['q/p1/left,4', 'C:\\x\\other\\left,3'], [4], ['C:\\x\\other\\left']),
    (['/old/1.jpg', '/old/2.jpg'], ['/new/1.jpg,1', 'D:/new/2.jpg,2'], [1, 2], []),  # of one name alone, wherever it lay
    (['P 1/left.jpg', 'P 2/left.jpg'], ['p  1/left,1', 'p 2/left,2'], [1, 2], [])])
def test_a_row_of_another_folder_is_of_another_photograph_where_names_repeat(tmp_path, files, rows, graded, others):
  path = tmp_path / 'grades.csv'
  path.write_text('\n'.join(['file,grade', *rows]) + '\n')
  found, _, without = comparison._read_grades(path, files, 'file', 'grade')
  assert found.tolist() == graded and without == others


def test_a_format_that_there_is_not_is_refused():
  with pytest.raises(ValueError, match="unknown format 'html'; choose one of markdown, csv, latex, json"):
    format_comparison({}, 'html')


def test_the_formats_of_the_command_are_those_of_the_library():
  from lesion_jax.cli.compare import FORMATS
  from lesion_jax.report import comparison

  assert FORMATS == comparison.FORMATS


def test_a_p_below_what_three_digits_say_is_said_so():
  assert [say_p(p) for p in (1.0, 0.0123, 0.001, 0.0001)] == ['= 1.000', '= 0.012', '= 0.001', '< 0.001']
