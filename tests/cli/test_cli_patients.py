"""`lesion-jax predict` joins both eyes of a patient, also of results that lie there already."""

from __future__ import annotations

import csv
import json

import jsonschema
import pytest
from oracle import GREEN

from lesion_jax import cli
from lesion_jax import predict as predict_package
from lesion_jax.bulk import cluster
from lesion_jax.clinical.record import SCHEMA, Run
from lesion_jax.report.table import WAITING, Entry


def rows_of(path):
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def whose_of(out, name):
  record = json.loads((out / name / 'result.json').read_text())
  jsonschema.validate(record, json.loads(SCHEMA.read_text('utf-8')))
  return record.get('whose')


@pytest.fixture
def table(tmp_path):
  """`table(rows) -> path`."""

  def write(rows):
    (tmp_path / 'table.csv').write_text(f'image,patient,eye\n{rows}\n')
    return tmp_path / 'table.csv'

  return write


def test_names_join_two_eyes_to_one_line(predict, save, capsys):
  paths = [save('7_left.jpg', grade=0), save('7_right.jpg', grade=3), save('IDRiD_001.jpg', grade=0)]
  status, out = predict(*paths)
  assert status == 0
  patient, = rows_of(out / 'patients.csv')
  assert (patient['patient'], patient['decision'], patient['grade'], patient['missing']) == ('7', 'look', '3', '')
  assert [(row['patient'], row['eye']) for row in rows_of(out / 'results.csv')] == [('7', 'left'), ('7', 'right'), ('', '')]
  assert 'Of 1 patients a person should look at 1' in capsys.readouterr().out
  assert whose_of(out, '7_left') == {'patient': '7', 'eye': 'left', 'source': 'name'} and whose_of(out, 'IDRiD_001') is None


def test_a_table_that_comes_later_needs_no_network_and_stays(predict, save, table, monkeypatch, capsys):
  paths = [save('x.png', grade=1), save('y.png', grade=2)]
  out = predict(*paths)[1]
  assert not (out / 'patients.csv').exists()
  monkeypatch.setattr(predict_package, 'load', None)
  assert predict(*paths, '--patients', table('x.png,Ann,OD\ny,Ann,OS'))[0] == 0
  assert '0 of 2 photographs predicted, 2 were done before' in capsys.readouterr().out
  assert whose_of(out, 'x') == {'patient': 'Ann', 'eye': 'right', 'source': 'table'}
  assert [row['patient'] for row in rows_of(out / 'patients.csv')] == ['Ann']
  assert predict(*paths)[0] == 0 and whose_of(out, 'y')['patient'] == 'Ann'
  assert predict(*paths, '--patients', table('x.png,Ben,OD\ny,Ann,OS'))[0] == 0
  assert [row['patient'] for row in rows_of(out / 'patients.csv')] == ['Ben', 'Ann']
  assert predict(*paths, '--no-patients')[0] == 0
  assert whose_of(out, 'x') is None and not (out / 'patients.csv').exists()


def test_names_that_are_to_say_nothing_say_nothing_on_the_page_either(predict, save):
  out = predict(save('7_left.jpg', grade=0), save('7_right.jpg', grade=0), '--no-patients')[1]
  assert 'Patient <strong>' not in (out / 'report.html').read_text() and '"group":0' not in (out / 'report.html').read_text()


def test_whose_eye_it_is_travels_to_the_workers_of_a_cluster_and_back():
  entry = Entry('7_left.jpg', '7_left', WAITING, run=Run('p', 'm', {}), whose={'patient': '7', 'eye': 'left', 'source': 'name'})
  assert cluster.unpack(cluster.pack((3, entry))) == (3, entry)


def test_an_eye_of_an_earlier_run_is_not_missing(predict, save):
  predict(save('7_left.jpg', grade=0))
  out = predict(save('7_right.jpg', grade=0))[1]
  patient, = rows_of(out / 'patients.csv')
  assert patient['missing'] == '' and patient['left'].startswith('7_left: ') and patient['right'].startswith('7_right: ')


def test_an_eye_that_cannot_be_read_is_missing(predict, save, tmp_path, capsys):
  path = save('7_left.jpg', grade=0)
  broken = path.with_name('7_right.jpg')
  broken.write_bytes(b'no photograph')
  status, out = predict(path, broken)
  patient, = rows_of(out / 'patients.csv')
  assert status == 1 and (patient['missing'], patient['failed']) == ('right', str(broken))
  assert 'missing: 7: right' in capsys.readouterr().out


@pytest.mark.parametrize('rows, said', [('x.png,7,middle', "'middle' is no eye"), ('z.png,7,left', 'neither among the photographs')])
def test_a_table_with_a_mistake_is_refused_before_anything_is_done(predict, save, table, tmp_path, capsys, rows, said):
  with pytest.raises(SystemExit) as caught:
    predict(save('x.png'), '--patients', table(rows))
  assert caught.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_a_table_that_is_not_there_or_would_be_overwritten_is_refused(predict, save, tmp_path, capsys):
  path = save('x.png')
  for place, said in ((tmp_path / 'absent.csv', 'there is no table'), (tmp_path / 'out' / 'patients.csv', 'is where one line a patient')):
    with pytest.raises(SystemExit):
      predict(path, '--patients', place)
    assert said in capsys.readouterr().err


def test_new_thresholds_keep_whose_eye_it_is_and_make_the_line_anew(predict, save, capsys):
  out = predict(save('7_left.jpg', grade=0, lesions=[(GREEN, (100, 80, 129, 119))]), save('7_right.jpg', grade=3), '--maps', 'npz')[1]
  before = rows_of(out / 'patients.csv')
  (out / 'patients.csv').unlink()
  assert cli.main(['rethreshold', str(out), '--threshold', 'MA=0.9999999']) == 0
  assert whose_of(out, '7_left')['patient'] == '7' and 'Of 1 patients' in capsys.readouterr().out
  assert rows_of(out / 'patients.csv') == before and before[0]['grade'] == '3'
