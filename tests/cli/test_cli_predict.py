"""`lesion-jax predict`: files per photograph, one table, and failures that stop nothing."""

from __future__ import annotations

import json
import warnings

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from oracle import BLUE, GREEN, iou
from PIL import Image

from lesion_jax import cli, models
from lesion_jax.bulk import run as bulk_run
from lesion_jax.weights.bundle import save_bundle

MICROANEURYSM = (100, 80, 129, 119)


def read_image(path):
  with Image.open(path) as image:
    return np.asarray(image)


def test_each_photograph_gets_overlay_masks_and_record(predict, save):
  # HaEx is found, but the training data do not annotate it.
  path = save('eye.png', grade=3, lesions=[(GREEN, MICROANEURYSM), (BLUE, (160, 90, 200, 120))])
  status, out = predict(path)
  assert status == 0
  assert {file.name for file in (out / 'eye').iterdir()} == {
      'MA.png', 'field.jpg', 'lesions.png', 'outlines.svg', 'overlay.png', 'result.json'}
  mask = read_image(out / 'eye' / 'MA.png')
  truth = np.zeros((200, 300), bool)
  truth[80:120, 100:130] = True
  assert set(np.unique(mask)) == {False, True} and iou(mask > 0, truth) > 0.85
  assert read_image(out / 'eye' / 'overlay.png').shape[1:] == (1024, 3)

  record = json.loads((out / 'eye' / 'result.json').read_text())
  assert (record['schema_version'], record['file']) == (4, str(path))
  assert record['photograph'] == {'height': 200, 'width': 300}
  assert abs(record['crop']['side'] - 161) <= 2
  assert record['quality']['coverage'] == pytest.approx(1, abs=0.03)
  assert f'coverage {record["quality"]["coverage"]:.2f}).' in (out / 'report.html').read_text()
  assert (record['grade']['value'], record['grade']['key'], record['grade']['referable']) == (3, 'DR3', True)
  assert sum(record['grade']['probabilities'].values()) == pytest.approx(1, abs=1e-5)
  assert list(record['lesions']) == ['MA', 'CWS']
  assert record['lesions']['MA']['present'] and record['lesions']['MA']['probability'] > 0.9
  assert record['lesions']['MA']['found']['regions'] == 1
  assert record['lesions']['MA']['found']['pixels'] == pytest.approx(truth.sum(), rel=0.15)
  assert record['evidence']['verdict'] == 'unsupported'  # DR3 with microaneurysms alone
  assert not record['lesions']['CWS']['present']
  assert (record['model']['name'], record['model']['provenance']) == ('oracle', {'seed': 7})


class Attentive(nn.Module):
  """The oracle with an attention map that rises from 0.2 to 0.6, in two channels whose mean it is."""

  @nn.compact
  def __call__(self, images, *, train):
    outputs = oracle.Oracle(name='oracle')(images, train=train)
    rising = jnp.broadcast_to(jnp.linspace(0.2, 0.6, 16).reshape(1, 4, 4, 1), (len(images), 4, 4, 1))
    return outputs.replace(attention=jnp.concatenate([rising - 0.1, rising + 0.1], axis=-1))


def test_the_attention_map_of_a_network_that_has_one_is_kept_and_shown(predict, save, bundle, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'oracle', Attentive)
  save_bundle(bundle, config=oracle.oracle_config(), card='',
              variables={'params': {'oracle': {'gain': np.float32(1)}}})
  status, out = predict(save('eye.png', grade=2))
  assert status == 0
  record = json.loads((out / 'eye' / 'result.json').read_text())
  assert record['attention'] == {'minimum': pytest.approx(0.2), 'maximum': pytest.approx(0.6), 'height': 4, 'width': 4}
  picture = read_image(out / 'eye' / 'attention.png')
  assert picture[0, 0] == 0 and picture[-1, -1] == 255
  assert 'data-set="attention"' in (out / 'report.html').read_text()


def test_one_table_for_all_in_order(predict, save, tmp_path, read_table):
  for grade in (2, 0, 4):
    save(f'sub/{4 - grade}.png', grade=grade)
  status, out = predict(tmp_path / 'photographs', '--batch-size', 2)
  rows = read_table(out)
  assert status == 0
  assert [(row['folder'], row['grade']) for row in rows] == [('0', '4'), ('2', '2'), ('4', '0')]
  assert not any(row['error'] for row in rows)
  assert float(rows[0]['DR4']) > 0.9 and rows[0]['HaEx'] == '' and float(rows[0]['MA']) < 0.5


def test_one_bad_file_does_not_stop_the_others(predict, save, tmp_path, capsys, read_table):
  good = [save('a.png', grade=1), save('c.png', grade=2)]
  (tmp_path / 'b.png').write_bytes(b'no image')
  Image.new('RGB', (90, 90)).save(tmp_path / 'd.png')
  status, out = predict(good[0], tmp_path / 'b.png', good[1], tmp_path / 'd.png', tmp_path / 'absent.png')
  assert status == 1
  error = capsys.readouterr().err
  assert '3 of 5 photographs failed' in error
  for text in ('b.png', 'd.png: no field of view', 'absent.png'):
    assert text in error
  rows = read_table(out)
  assert [row['grade'] for row in rows] == ['1', '', '2', '', '']
  assert [bool(row['error']) for row in rows] == [False, True, False, True, True]
  assert not (out / 'b').exists() and (out / 'c' / 'result.json').exists()


def test_what_is_too_large_is_said_once_with_our_own_limit(predict, tmp_path, capsys):
  Image.new('1', (9_600, 9_600)).save(tmp_path / 'large.png')  # Pillow warns of it, and would still read it
  with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter('always')
    status, _ = predict(tmp_path / 'large.png')
  assert status == 1 and 'it has 9600x9600 pixels (width x height), more than 64,000,000' in capsys.readouterr().err
  assert not [warning for warning in warned if 'bomb' in str(warning.message)]


@pytest.mark.parametrize('name', ['=HYPERLINK("http:||x")', '+1', '-1', '@SUM(A1)'])
def test_a_file_name_is_no_formula_to_a_spreadsheet(predict, save, tmp_path, monkeypatch, read_table, name):
  save(f'{name}.png', grade=1)
  monkeypatch.chdir(tmp_path / 'photographs')
  _, out = predict('.')
  row, = read_table(out)
  assert row['file'] == f"'{name}.png" and row['folder'] == f"'{name}" and row['status'] == 'predicted'
  assert (out / name / 'result.json').exists()


def test_equal_names_do_not_overwrite_each_other(predict, save, read_table):
  status, out = predict(save('x/eye.png', grade=0), save('y/eye.jpg', grade=4), save('z/EYE.png', grade=2))
  rows = read_table(out)
  assert status == 0
  assert [(row['folder'], row['grade']) for row in rows] == [('eye', '0'), ('eye~2', '4'), ('EYE~3', '2')]
  assert json.loads((out / 'eye~2' / 'result.json').read_text())['grade']['value'] == 4


def test_a_second_run_takes_neither_its_own_output_nor_a_file_twice(predict, save, tmp_path, bundle, read_table):
  path = save('eye.png', lesions=[((0, 112, 0), MICROANEURYSM)])  # a probability of 0.88
  out = path.parent / 'out'
  command = ['predict', str(path), str(path.parent), '--model', str(bundle), '--out', str(out)]
  assert cli.main(command) == 0
  assert (out / 'eye' / 'MA.png').exists()
  assert cli.main([*command, '--threshold', '0.95']) == 0
  assert len(read_table(out)) == 1
  assert not (out / 'eye' / 'MA.png').exists()  # of the first run


def test_the_threshold_decides_what_is_present(predict, save):
  path = save('eye.png', lesions=[((0, 110, 0), MICROANEURYSM)])  # the oracle is undecided: a probability of 0.5
  for threshold, present in ((0.4, True), (0.6, False)):
    _, out = predict(path, '--threshold', threshold)
    record = json.loads((out / 'eye' / 'result.json').read_text())
    assert (record['lesions']['MA']['present'], record['lesions']['MA']['threshold']) == (present, threshold)
    assert (out / 'eye' / 'MA.png').exists() == present


@pytest.mark.parametrize('text, microaneurysm, cotton_wool', [
    ('MA=0.4', 0.4, 0.5), ('MA=0.6', 0.6, 0.5), ('0.7,MA=0.4', 0.4, 0.7), ('MA=0.4,0.7', 0.4, 0.7)])
def test_a_lesion_can_have_its_own_threshold(predict, save, text, microaneurysm, cotton_wool):
  _, out = predict(save('eye.png', lesions=[((0, 110, 0), MICROANEURYSM)]), '--threshold', text)
  lesions = json.loads((out / 'eye' / 'result.json').read_text())['lesions']
  assert (lesions['MA']['threshold'], lesions['CWS']['threshold']) == (microaneurysm, cotton_wool)
  assert lesions['MA']['present'] == (microaneurysm < 0.5)


def test_square_crops_go_without_looking_for_the_field(predict, save):
  path = save('eye.png', height=100, width=100, center=(50, 50), radius=20)
  _, out = predict(path, '--no-crop')
  assert json.loads((out / 'eye' / 'result.json').read_text())['crop'] == {'top': 0, 'left': 0, 'side': 100}


@pytest.mark.parametrize('options, side', [([], 200), (['--crop'], 161), (['--no-crop'], 200)])
def test_a_network_trained_on_squares_takes_squares_as_they_are(predict, save, bundle, options, side):
  config = json.loads((bundle / 'config.json').read_text())
  (bundle / 'config.json').write_text(json.dumps(config | {'preprocessing': {'size': oracle.SIZE, 'crop': 'square'}}))
  _, out = predict(save('eye.png', width=200, center=(100, 100)), *options)
  assert abs(json.loads((out / 'eye' / 'result.json').read_text())['crop']['side'] - side) <= 2


def test_results_that_cannot_be_written_do_not_stop_the_others(predict, save, tmp_path, capsys, read_table):
  (tmp_path / 'out' / 'b' / 'field.jpg' / 'folder').mkdir(parents=True)  # where a file should be
  status, out = predict(*(save(f'{name}.png', grade=2) for name in 'abc'))
  assert status == 1
  assert 'b.png: its results could not be written' in capsys.readouterr().err
  assert [(row['folder'], row['grade'], bool(row['error'])) for row in read_table(out)] == [
      ('a', '2', False), ('', '', True), ('c', '2', False)]


def test_a_crash_keeps_the_rows_that_are_finished(predict, save, tmp_path, monkeypatch, read_table):
  write = bulk_run.write_result

  def crash_at_b(folder, *rest):
    if folder.name == 'b':
      raise MemoryError
    return write(folder, *rest)

  monkeypatch.setattr(bulk_run, 'write_result', crash_at_b)
  with pytest.raises(MemoryError):
    predict(*(save(f'{name}.png') for name in 'abc'))
  folders = [row['folder'] for row in read_table(tmp_path / 'out')]
  assert 'a' in folders and 'b' not in folders
  assert 'a.png' in (tmp_path / 'out' / 'report.html').read_text()


def test_a_table_that_cannot_be_written_is_said(predict, save, tmp_path, capsys):
  (tmp_path / 'out' / 'results.csv').mkdir(parents=True)
  status, _ = predict(save('eye.png'))
  assert status == 1
  assert 'results.csv could not be written' in capsys.readouterr().err


@pytest.mark.parametrize('change, message', [
    ({'--model': 'absent'}, 'absent is not a bundle'),
    ({'--batch-size': '0'}, '0 is below 1'),
    ({'--threshold': '50'}, '50 is not between 0 and 1'),
    ({'--threshold': 'MA=0.5,XX=0.3'}, "'XX' is no lesion; the lesions are MA, iHE"),
    ({'--threshold': 'MA=half'}, "'half' is not a number"),
    ({'--threshold': 'NV=0.3'}, 'this network does not evaluate NV, only MA, CWS'),
    ({'--out': 'eye.png'}, 'cannot be a directory'),
])
def test_usage_errors_end_with_2(save, bundle, tmp_path, monkeypatch, capsys, change, message):
  save('eye.png')
  monkeypatch.chdir(tmp_path / 'photographs')
  options = {'--model': str(bundle), '--out': 'out'} | change
  with pytest.raises(SystemExit) as stop:
    cli.main(['predict', 'eye.png', *(text for item in options.items() for text in item)])
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


@pytest.mark.parametrize('flags, message', [
    (['--page-maps'], '--page-maps puts the maps that lie in the results into the page: give --maps npz too'),
    (['--reduced', '--full-size'], '--reduced decodes photographs at a fraction of their size, and --full-size shows them'),
])
def test_options_that_do_not_belong_together_end_with_2(predict, save, capsys, flags, message):
  with pytest.raises(SystemExit) as stop:
    predict(save('eye.png'), *flags)
  assert stop.value.code == 2
  assert message in capsys.readouterr().err


def test_a_folder_without_photographs_is_a_usage_error(predict, tmp_path, capsys):
  (tmp_path / 'empty').mkdir()
  with pytest.raises(SystemExit) as stop:
    predict(tmp_path / 'empty')
  assert stop.value.code == 2
  assert 'no photograph found' in capsys.readouterr().err


def test_a_network_of_synthetic_data_alone_says_so_once_each_time(predict, save, bundle, capsys):
  save_bundle(bundle, config=oracle.oracle_config(annotated=['MA', 'CWS'], data={'name': 'synthetic'}), card='',
              variables={'params': {'gain': np.float32(1)}})
  photographs = save('a.png', grade=1), save('b.png', grade=2)
  for again in range(2):  # and where nothing is predicted again
    status, out = predict(*photographs, '--quiet')
    said = capsys.readouterr()
    assert status == 0 and said.out == ''
    assert said.err.count('WARNING: This network learned from synthetic data alone') == 1, again
  record = json.loads((out / 'a' / 'result.json').read_text())
  assert record['model']['synthetic'] is True
  assert 'synthetic data alone' in ' '.join(record['notes']) and 'class="banner"' in (out / 'report.html').read_text()


def test_a_network_of_photographs_does_not(predict, save, capsys):
  _, out = predict(save('a.png', grade=1))
  assert 'synthetic' not in capsys.readouterr().err
  assert json.loads((out / 'a' / 'result.json').read_text())['model']['synthetic'] is False
