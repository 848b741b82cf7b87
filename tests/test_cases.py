"""All inputs of the folder of cases beside the project, one by one: right or one sentence, no traceback, the right status.

Each stands for a kind, and the tests of its subject draw inputs of their own; here the reported ones themselves are tried.
Trainings among them are those of the recipes, with shallow networks in the place of the thin ones.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from real import IDRID

import lesion_jax
from lesion_jax import cli

CASES = IDRID.parents[1] / 'cases'
ROOT = pathlib.Path(__file__).parents[1]
FILES, FAULTS, DATA, REPORTS = (CASES / name for name in ('files', 'faults', 'data', 'reports'))
OWN = {'second part', 'surround', 'edge not seen', 'not round', 'not in colour', 'colours', 'contrast'}
GRADED, FLAGGED, REFUSED = 'graded', 'flagged', 'refused'
LONGEST = 600  # characters of a message

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CASES.is_dir(), reason=f'the cases are not at {CASES}'),
              pytest.mark.filterwarnings('default')]

# What each may be, and words of the true cause where it is refused.
PHOTOGRAPHS = {
    'ok_colour.jpg': ({GRADED}, ''),
    't_16_planar.tif': ({GRADED, REFUSED}, 'planes of 16 bits'), 't_thumb_first.tif': ({GRADED}, ''),
    't_f32.tif': ({REFUSED}, 'floating'), 't_u32.tif': ({REFUSED}, '32 bits'), 'h_phone.heic': ({REFUSED}, 'HEIC'),
    'm_g16.ppm': ({FLAGGED}, ''), 'j_base_zeropad.jpg': ({REFUSED}, 'end early'), 'j_base_hole.jpg': ({REFUSED}, 'end early'),
    'jpg_pi_rgb_stream_ycc420_nomark.dcm': ({GRADED}, ''), 'highbit15_stored12.dcm': ({REFUSED}, 'highest of 12 bits'),
    'pal16_8bitvalues.dcm': ({REFUSED}, 'colour table'), 'lut_desc_wrong.dcm': ({REFUSED}, 'colour table'),
    'jpg12_extended.dcm': ({REFUSED}, '12 bits'), 'empty_slope.dcm': ({REFUSED}, 'RescaleSlope'),
    'no_preamble.dcm': ({GRADED}, ''), 'jpg_stream_cut.dcm': ({REFUSED}, 'end early'),
    'vendor_prefix_stream.dcm': ({REFUSED}, 'do not begin'), 'oct_1frame.dcm': ({REFUSED}, 'no colour photograph'),
    'composite_LR_gap.png': ({FLAGGED, REFUSED}, 'two fields'), 'panel_right_white_report.png': ({FLAGGED, REFUSED}, ''),
    'frame1px_cut.png': ({FLAGGED, REFUSED}, ''), 'white_surround.jpg': ({FLAGGED, REFUSED}, ''),
    'chest_xray.png': ({FLAGGED, REFUSED}, ''), 'noise.png': ({FLAGGED, REFUSED}, ''), 'bgr_channels.jpg': ({FLAGGED, REFUSED}, ''),
}
FOLDERS = {  # status, photographs predicted, words of what is said
    'dicom_cd': (0, 2, 'DICOMDIR 1'), 'jfif': (0, 6, ''), 'appledouble': (0, 2, r'@eaDir'),
    'uid_names': (0, 2, ''),
}


def _command(capsys, *arguments):
  """(status, all that was printed), where nothing of Python is in it."""
  try:
    status = cli.main([str(argument) for argument in arguments])
  except SystemExit as ended:
    status = ended.code
  shown = capsys.readouterr()
  assert 'Traceback' not in shown.err + shown.out and 'object at 0x' not in shown.err
  return status, shown


def _predict(capsys, out, *files, model=FAULTS / 'sound_bundle.zip'):
  return _command(capsys, 'predict', *files, '--model', model, '--out', out)


def _records(out):
  return {path.parent.name: json.loads(path.read_text()) for path in sorted(out.glob('*/result.json'))}


@pytest.mark.parametrize('name', PHOTOGRAPHS)
def test_photographs(name, tmp_path, capsys):
  pytest.importorskip('pydicom')
  allowed, cause = PHOTOGRAPHS[name]
  status, shown = _predict(capsys, tmp_path / 'out', FILES / name)
  records = list(_records(tmp_path / 'out').values())
  if not records:
    lines = [line for line in shown.err.splitlines() if name in line]
    assert status == 1 and len(lines) == 1 and len(lines[0]) < LONGEST
    assert REFUSED in allowed and re.search(cause, lines[0]) and not re.search(r'\w+Error', lines[0]), lines
    return
  reasons = set(records[0]['quality']['reasons'])
  assert status == 0 and (FLAGGED if reasons & OWN else GRADED) in allowed, reasons


@pytest.mark.parametrize('name', FOLDERS)
def test_folders(name, tmp_path, capsys):
  pytest.importorskip('pydicom')
  expected, number, words = FOLDERS[name]
  status, shown = _predict(capsys, tmp_path / 'out', FILES / name)
  records = _records(tmp_path / 'out')
  assert (status, len(records)) == (expected, number) and re.search(words, shown.out)
  if name == 'uid_names':
    assert set(records) == {'1.2.826.0.1.3680043.8.498.1', '1.2.826.0.1.3680043.8.498.2'}


def test_enhanced_photographs(tmp_path, capsys):
  status, _ = _predict(capsys, tmp_path / 'out', REPORTS / 'enhanced')
  reasons = {name: set(record['quality']['reasons']) for name, record in _records(tmp_path / 'out').items()}
  assert status == 0 and len(reasons) == 5
  assert [bool(found & OWN) for _, found in sorted(reasons.items())] == [False, True, True, True, True], reasons


@pytest.mark.parametrize('kind', ['scans', 'pipe', 'device'])
def test_files_that_stall(kind, tmp_path, capsys):
  path = FAULTS / 'progressive_20000scans.jpg'
  if kind != 'scans':
    path = tmp_path / f'{kind}.jpg'
    os.mkfifo(path) if kind == 'pipe' else path.symlink_to('/dev/zero')
  status, shown = _predict(capsys, tmp_path / 'out', path, FAULTS / 'photograph.jpg')
  assert status == 1 and path.name in shown.err and set(_records(tmp_path / 'out')) == {'photograph'}


@pytest.mark.parametrize('name', ['no_quality', 'key_html', 'probability_html', 'lesions_list', 'deep'])
def test_damaged_records(name, tmp_path, capsys):
  out = tmp_path / 'out'
  assert _predict(capsys, out, FAULTS / 'photograph.jpg')[0] == 0
  sound = (out / 'photograph' / 'result.json').read_bytes()
  shutil.copy(FAULTS / f'result_{name}.json', out / 'photograph' / 'result.json')
  assert _predict(capsys, out, FAULTS / 'photograph.jpg')[0] == 0
  assert (out / 'photograph' / 'result.json').read_bytes() == sound
  assert 'onerror=' not in (out / 'report.html').read_text()


@pytest.mark.parametrize('name', ['huge_width', 'nested_300', 'integer_weights', 'extra_tensor', 'long_name', 'provenance_nan'])
def test_bundles(name, tmp_path, capsys):
  status, shown = _predict(capsys, tmp_path / 'out', FAULTS / 'photograph.jpg', model=FAULTS / f'{name}_bundle.zip')
  last = shown.err.splitlines()[-1]
  assert status == 2 and f'{name}_bundle' in last and len(last) < LONGEST


def test_weights_that_are_no_numbers():
  with pytest.raises(ValueError, match='finite|no number'):
    lesion_jax.load(FAULTS / 'nan_weights_bundle.zip')(FAULTS / 'photograph.jpg')


@pytest.mark.parametrize('name, more', [
    *((name, ()) for name in ('value_number', 'choices_number', 'huge_number', 'huge_radius', 'long_points', 'deep')),
    ('sound', ('--labels', FAULTS / 'labels_deep.json'))])
def test_exports_of_other_types(name, more, tmp_path, capsys):
  status, shown = _command(capsys, 'consensus', FAULTS / f'export_{name}.json', '--images', FAULTS, '--patients',
                           FAULTS / 'patients.csv', '--out', tmp_path / 'out', *more)
  last = shown.err.splitlines()[-1]
  assert status == 2 and len(last) < LONGEST, last


@pytest.mark.parametrize('name', [
    '00_reference', '01_alpha_white_rgb', '02_palette_white_first', '03_inverted', '03b_border_marked', '03c_no_lesion_anywhere',
    '04b_exif_square', '05_patient_capital', '05b_unknown_column', '07_utf16_tabs', '07b_semicolons', '07c_cp1252', '16_all_masks_reduced',
    '18_nfd_names', '18b_png_in_ids', '18c_stray_quotes'])
def test_own_folders_of_data(name, tmp_path, capsys):
  status, shown = _command(capsys, 'data', 'folder', '--source', DATA / name, '--prepared', tmp_path / 'prepared', '--size', 128,
                           '--stats', '--out', tmp_path / 'about')
  assert status in (0, 2)
  if status == 2:
    assert len(shown.err.splitlines()[-1]) < 2 * LONGEST


@pytest.mark.parametrize('name', [
    '00_export', '06_quality_choice', '06b_quality_and_grade', '13_shapes_outside', '14_unfinished_polygons', '14b_two_point_polygons',
    '15_no_author'])
def test_exports_of_annotators(name, tmp_path, capsys):
  status, _ = _command(capsys, 'consensus', DATA / f'{name}.json', '--images', DATA / 'photographs', '--patients', DATA / 'patients.csv',
                       '--out', tmp_path / 'out')
  assert status in ((0,) if name == '00_export' else (0, 2))


@pytest.mark.parametrize('name', ['08_patients_utf16', '08b_patients_semicolons', '08c_patients_stray_quotes'])
def test_tables_of_patients(name, tmp_path, capsys):
  status, shown = _command(capsys, 'consensus', DATA / '00_export.json', '--images', DATA / 'photographs', '--patients',
                           DATA / f'{name}.csv', '--out', tmp_path / 'out')
  assert status == 0 or status == 2 and f'{name}.csv' in shown.err


@pytest.mark.parametrize('name', ['eye_pairs', 'ignore_255', 'grade_binary', 'grade_float', 'label_map', 'label_map_in_lesion',
                                  'lesion_names', 'image_folder'])
def test_forms_of_data(name, tmp_path, capsys):
  status, shown = _command(capsys, 'prepare', 'folder', '--source', REPORTS / name, '--size', 96, '--out', tmp_path / 'prepared')
  assert status in (0, 2) and (status == 0 or len(shown.err.splitlines()[-1]) < 2 * LONGEST)


def _train(run, source, prepared, stage='segment'):
  """The recipe's training, as a process of its own."""
  network = {'segment': 'lesion_net_16s', 'grade': 'inception_v3_grader'}[stage]
  options = {'data.name': 'folder', 'data.source_dir': source, 'data.size': 64, 'model.name': network, 'model.width': 0.01, 'batch_size': 2,
             'eval_batch_size': 2, 'max_steps': 6, 'validate_every': 2, 'milestones': '()'}
  argv = [sys.executable, 'tests/tiny_main.py', f'--config=configs/{stage}.py', f'--workdir={run}', f'--data_dir={prepared}',
          *(f'--config.{stage}.{name}={value}' for name, value in options.items())]
  environment = {name: value for name, value in os.environ.items() if name != 'XLA_FLAGS'} | {'PYTHONPATH': str(ROOT)}
  ended = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
  assert 'Traceback' not in ended.stderr + ended.stdout, ended.stderr
  return ended


@pytest.mark.parametrize(('name', 'stage', 'needed'), [
    ('10_validation_unscored', 'segment', 'a scored pixel of HaEx'), ('10b_validation_ungraded', 'grade', 'of several grades'),
    ('10c_validation_without_lesion', 'segment', 'a scored pixel of HaEx'), ('03c_no_lesion_anywhere', 'segment', 'a scored pixel of HaEx')])
def test_trainings_without_a_criterion_are_refused_before_a_step(name, stage, needed, tmp_path):
  ended = _train(tmp_path / 'run', DATA / name, tmp_path / 'prepared', stage)
  said = [line for line in ended.stderr.splitlines() if line.startswith('error: ')]
  assert ended.returncode == 2 and len(said) == 1 and needed in said[0] and len(said[0]) < LONGEST
  assert not list((tmp_path / 'run').rglob('bundle'))


def _about(capsys, source, prepared):
  """(status, photographs of the three splits, what was printed)."""
  status, shown = _command(capsys, 'data', 'folder', '--source', source, '--prepared', prepared, '--size', 64)
  lengths = re.search(r'(\d+) train\D+(\d+) validation\D+(\d+) test', shown.out)
  return status, lengths and tuple(map(int, lengths.groups())), shown


@pytest.mark.parametrize('damage', ['split added', 'record cut', 'no description'])
def test_prepared_data_that_no_longer_hold(damage, tmp_path, capsys):
  source, prepared = tmp_path / 'source', tmp_path / 'prepared'
  shutil.copytree(DATA / '11_split_added_later', source)
  later = source / 'grades-later.csv'
  later.rename(tmp_path / later.name)
  status, expected, _ = _about(capsys, source, prepared)
  assert status == 0 and sum(expected) == 10 and all(expected)
  if damage == 'split added':
    (tmp_path / later.name).replace(source / 'grades.csv')
    expected = (7, 0, 3)
  elif damage == 'record cut':
    record, = prepared.rglob('*train.array_record*')
    record.write_bytes(record.read_bytes()[:record.stat().st_size // 2])
  else:
    description, = prepared.rglob('dataset_info.json')
    description.unlink()
  status, lengths, shown = _about(capsys, source, prepared)
  assert (status, lengths) == (0, expected) or status == 2 and str(prepared) in shown.err.splitlines()[-1]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The folder of the recipe of checkpoint_meta_flip.txt after its first part."""
  root = tmp_path_factory.mktemp('trained')
  assert _train(root / 'run', DATA / '00_reference', root / 'prepared').returncode == 0
  return root


FLIPS = {'rate': (r'("learning_rate": 0\.00)2', r'\g<1>6'), 'best step': (r'("best_step": )\d', r'\g<1>5'),
         'position': (r'("next_index": )\d+', r'\g<1>3'), 'stop': ('"stop": false', '"stop": true'), 'renamed': ('', '')}


@pytest.mark.parametrize('flip', FLIPS)
def test_a_checkpoint_whose_meta_was_changed(flip, trained, tmp_path):
  segment = tmp_path / 'run' / 'segment'
  shutil.copytree(trained / 'run', tmp_path / 'run')
  weights = (segment / 'bundle' / 'model.safetensors').read_bytes()
  shutil.rmtree(segment / 'bundle')
  shutil.rmtree(segment / 'checkpoints' / '6')
  meta = segment / 'checkpoints' / '4' / 'meta' / 'metadata'
  pattern, other = FLIPS[flip]
  changed = re.sub(pattern, other, meta.read_text(), count=1) if pattern else meta.read_text()
  assert (changed == meta.read_text()) == (flip == 'renamed')
  meta.write_text(changed)
  if flip == 'renamed':
    (segment / 'checkpoints' / '4').rename(segment / 'checkpoints' / '5')
  ended = _train(tmp_path / 'run', DATA / '00_reference', trained / 'prepared')
  assert ended.returncode == 0 and re.search('checkpoint [45] in .* is damaged', ended.stderr), ended.stderr
  assert 'going on from the checkpoint of step 4' not in ended.stdout
  assert (segment / 'bundle' / 'model.safetensors').read_bytes() == weights
  assert {row.split(',')[3] for row in (segment / 'metrics.csv').read_text().splitlines() if ',learning_rate,' in row} == {'0.002'}


@pytest.mark.skipif(not IDRID.is_dir(), reason='takes photographs of full size')
def test_a_host_that_shows_many_processors(tmp_path):
  """On one of which the process may run: threads and memory follow that."""
  folder = tmp_path / 'photographs'
  folder.mkdir()
  for path in sorted((IDRID / 'B. Disease Grading').rglob('*.jpg'))[:80]:
    (folder / f'{path.parent.name[0]}{path.name}').symlink_to(path)
  pin = 'import os, runpy, sys; os.sched_setaffinity(0, {0}); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
  ended = subprocess.run(
      [sys.executable, '-c', pin, REPORTS / 'many_processors.py', '64', folder, FAULTS / 'sound_bundle.zip', tmp_path / 'out'],
      env=os.environ | {'PYTHONPATH': str(ROOT)}, capture_output=True, text=True, timeout=1800, check=False)
  peak = re.search(r'64 processors shown: status 0, peak (\d+) MB', ended.stdout)
  assert peak and 'Traceback' not in ended.stderr, ended.stderr
  print(f'peak {peak[1]} MB')
  assert int(peak[1]) < 2000


def test_every_case_is_tried():
  """A new file among the cases needs a test: its name is in this file."""
  known = {*PHOTOGRAPHS, *FOLDERS, 'README.md'}
  assert {path.name for path in FILES.iterdir()} <= known
  here = pathlib.Path(__file__).read_text('utf-8')
  stems = {path.stem.removeprefix('result_').removeprefix('export_').removesuffix('_bundle')
           for folder in (FAULTS, DATA, REPORTS) for path in folder.iterdir() if path.name != 'README.md'}
  assert not {stem for stem in stems if stem not in here}
