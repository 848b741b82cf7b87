"""The loop: predict, pre-annotate, label, agree; and what the two commands refuse."""

from __future__ import annotations

import csv
import json

import pytest

from lesion_jax import cli

ANNOTATORS = (3, 4, 5)


@pytest.fixture
def run(capsys):
  """`run(*arguments) -> (exit status, stdout, stderr)`."""

  def call(*arguments):
    try:
      status = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
      status = stop.code
    return status, *capsys.readouterr()

  return call


@pytest.fixture
def labelled(tmp_path, save, predict, run):
  """Three photographs were predicted, and three annotators submitted the pre-annotations as they were."""
  for number, green in enumerate(((100, 100, 119, 119), (120, 90, 139, 109), (150, 120, 169, 139))):
    save(f'{number}_left.png', grade=2, lesions=[((0, 220, 0), green)])
  predict(tmp_path / 'photographs')
  status, out, _ = run('label-studio', 'predictions', tmp_path / 'out', '--out', tmp_path / 'tasks.json')
  assert status == 0 and 'tasks.json: 3 tasks with 3 outlines' in out
  tasks = json.loads((tmp_path / 'tasks.json').read_text())
  for task in tasks:
    result = task['predictions'][0]['result']
    task['annotations'] = [{'completed_by': who, 'result': result, 'was_cancelled': False} for who in ANNOTATORS]
  (tmp_path / 'export.json').write_text(json.dumps(tasks))
  return tmp_path


def consensus(run, folder, *arguments, export='export.json'):
  return run('consensus', folder / export, '--images', folder / 'photographs', '--out', folder / 'truth', *arguments)


def test_what_was_predicted_and_left_as_it_is_becomes_the_ground_truth(labelled, run):
  status, out, err = consensus(run, labelled, '--licence', 'CC0')
  assert status == 0 and err == 'no photograph falls to validation: for training there must be more patients\n'
  assert '3 photographs in' in out and '0 excluded' in out and '1 3, 2 4, 3 5' in out
  with (labelled / 'truth' / 'dr_grades.csv').open(newline='') as file:
    assert [(row['image id'], row['our label']) for row in csv.DictReader(file)] == [
        ('0_left', '2'), ('1_left', '2'), ('2_left', '2')]
  assert sorted(path.name for path in (labelled / 'truth' / 'lesion_segs_896x896').glob('*/*')) == [
      'microaneurysms.png'] * 3
  assert 'CC0' in (labelled / 'truth' / 'README.md').read_text()


def test_what_is_wrong_with_a_photograph_is_said_and_the_others_are_kept(labelled, run):
  (labelled / 'photographs' / '1_left.png').write_bytes(b'')
  (labelled / 'photographs' / '2_left.png').unlink()
  status, out, err = consensus(run, labelled)
  assert status == 1 and '1 photographs in' in out
  assert '1_left.png: unreadable' in err and '2_left.png: not among the photographs' in err


def test_quiet_says_only_what_is_wrong(labelled, run):
  status, out, err = consensus(run, labelled, '--quiet')
  assert (status, out) == (0, '') and err.startswith('no photograph falls to validation')


def test_more_annotators_can_be_asked_for(labelled, run):
  status, _, err = consensus(run, labelled, '--annotators', 4)
  assert status == 2 and 'no photograph is left: 3 too few annotators' in err
  assert not (labelled / 'truth').exists()


def test_a_table_names_patients(labelled, run):
  table = labelled / 'patients.csv'
  table.write_text('photograph,patient,eye\n' + ''.join(f'{n}_left,p{n},right\n' for n in range(3)))
  assert consensus(run, labelled, '--patients', table)[0] == 0
  assert sorted(path.stem for path in (labelled / 'truth' / 'images_896x896').iterdir()) == [
      'p0_right', 'p1_right', 'p2_right']


def test_labels_can_be_mapped(labelled, run):
  (labelled / 'labels.json').write_text(json.dumps({'MA': 'HaEx'}))
  assert consensus(run, labelled, '--labels', labelled / 'labels.json')[0] == 0
  assert {path.name for path in (labelled / 'truth' / 'lesion_segs_896x896').glob('*/*')} == {'hard_exudate.png'}


def test_annotators_of_cvat_are_named_on_the_command_line(labelled, run):
  image = '<image name="0_left.png" width="300" height="200"><tag label="DR1"/></image>'
  (labelled / 'cvat.xml').write_text(f'<annotations>{image}</annotations>')
  status, out, _ = run('consensus', *(f'{name}={labelled / "cvat.xml"}' for name in ('ada', 'bo', 'cy')), '--images',
                       labelled / 'photographs', '--out', labelled / 'truth')
  assert status == 0 and '1 ada, 2 bo, 3 cy' in out


@pytest.mark.parametrize('arguments, message', [
    (['--annotators', '0'], '0 is below 1'),
    (['--votes', '4'], '4 votes make a lesion, but photographs with 3 annotators count'),
    (['--labels', 'absent.json'], 'error: there is no file absent.json\n'),
    (['--patients', 'absent.csv'], 'error: there is no file absent.csv\n'),
])
def test_usage_errors_end_with_2_and_write_nothing(labelled, run, arguments, message):
  status, _, err = consensus(run, labelled, *arguments)
  assert status == 2 and message in err and not (labelled / 'truth').exists()


def test_nothing_is_overwritten(labelled, run):
  (labelled / 'truth').mkdir()
  (labelled / 'truth' / 'work').touch()
  status, _, err = consensus(run, labelled)
  assert status == 2 and 'is there already' in err and (labelled / 'truth' / 'work').exists()


def test_the_interface_is_printed(run):
  status, out, _ = run('label-studio', 'config')
  assert status == 0 and out.startswith('<View>') and '<PolygonLabels' in out


def test_tasks_name_photographs_as_label_studio_serves_them(labelled, run):
  run('label-studio', 'predictions', labelled / 'out', '--out', labelled / 'tasks.json', '--prefix', 's3://bucket/a b/')
  tasks = json.loads((labelled / 'tasks.json').read_text())
  assert [task['data']['image'] for task in tasks] == [f's3://bucket/a b/{n}_left.png' for n in range(3)]


def test_a_folder_without_results_is_refused(tmp_path, run):
  for folder, message in ((tmp_path / 'absent', 'no folder'), (tmp_path, 'no result')):
    status, _, err = run('label-studio', 'predictions', folder, '--out', tmp_path / 'tasks.json')
    assert status == 2 and message in err and not (tmp_path / 'tasks.json').exists()


def test_a_damaged_result_is_named(labelled, run):
  (labelled / 'out' / '0_left' / 'result.json').write_text('{')
  status, _, err = run('label-studio', 'predictions', labelled / 'out', '--out', labelled / 'other.json')
  assert status == 2 and '0_left/result.json is no result' in err.replace('\n', ' ')
