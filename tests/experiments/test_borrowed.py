"""A borrowed GPU: what is brought along is whole or refused, what is finished is not run again, what comes back is what was left."""

from __future__ import annotations

import json
import pathlib
import random
import re
import sys
import time

import pytest

from experiments import idrid
from experiments.borrowed import __main__ as borrowed
from experiments.borrowed import collect, lesions, loads, pack, pieces, run, state
from experiments.borrowed.parts import MASKED, PARTS, TRAINED, WEIGHTS, WHEELS, Part, Place

KIB = 1024
MOST = 40_000  # bytes of a load: two such files of one item
LIMITS = pieces.Limits(piece=64 * KIB, files=8, most=512 * KIB)


@pytest.fixture
def files(tmp_path):
  """Two items: one of three files, and one of two, of 8 KiB each."""
  found = []
  for item, count in ((WHEELS, 3), (WEIGHTS, 2)):
    for number in range(count):
      path = tmp_path / 'here' / f'{item}-{number}'
      path.parent.mkdir(exist_ok=True)
      path.write_bytes(random.Random(path.name).randbytes(8 * KIB))
      found.append(loads.File(item, f'folder/{path.name}', path))
  return found


@pytest.fixture
def packed(files, tmp_path):
  return loads.write(loads.deal(files, MOST), tmp_path / 'loads')


@pytest.fixture
def place(tmp_path):
  found = Place(tmp_path / 'work')
  found.work.mkdir()
  return found


@pytest.fixture
def parts(monkeypatch):
  """`parts(name=(program, fields of Part))`: all there are."""
  def use(**programs):
    monkeypatch.setattr(run, 'ROOT', pathlib.Path.cwd())
    for name in list(PARTS):
      monkeypatch.delitem(PARTS, name)
    for name, (text, fields) in programs.items():
      monkeypatch.setitem(PARTS, name, Part(lambda place, seconds, text=text: [text.format(work=place.work)], **fields))
    monkeypatch.setattr(run.sys, 'executable', sys.executable)

  return use


def start(place, out, seconds=60.0, grace=2.0, before=()):
  """A run of all parts, each a text of Python; returns the exit status and the state."""
  known, clock = state.State(out, LIMITS, place), run.Clock(seconds, grace)
  known.take_over(before)
  return run.run(place, known, clock, list(PARTS)), known


@pytest.fixture(autouse=True)
def programs_are_texts(monkeypatch):
  call = run.call
  monkeypatch.setattr(run, 'call', lambda command, *given: call([command[0], '-c', *command[2:]], *given))


def test_a_load_is_as_large_as_was_asked_for_at_most(files, packed):
  assert [sum(path.stat().st_size for path in folder.iterdir()) <= MOST for folder in packed] == [True] * len(packed)
  assert len(packed) == 3


def test_a_file_larger_than_a_load_is_refused_by_name(files):
  with pytest.raises(ValueError, match='wheels-0 takes 9,216 bytes, more than the 8,000 of a load; give a larger --most'):
    loads.deal(files, 8000)


def test_loads_are_not_written_over_others(files, packed, tmp_path):
  with pytest.raises(FileExistsError, match='loads is not empty; remove it, or give another --out'):
    loads.write(loads.deal(files, MOST), tmp_path / 'loads')


def test_an_item_is_whole_when_all_of_its_loads_were_unpacked_in_any_order(files, packed, place):
  missing = lambda item: loads.missing(item, loads.unpacked(place.work))
  assert missing(WHEELS) == 'wheels is not here: bring the loads that hold it along'
  loads.unpack(packed[1], place.work)
  assert missing(WHEELS) == 'wheels is not whole: load 1 is missing'
  assert missing(WEIGHTS) == 'weights is not here: bring the loads that hold it along'
  for folder in packed:
    loads.unpack(folder, place.work)
  assert missing(WHEELS) == missing(WEIGHTS) == ''
  assert [(place.work / file.item / file.name).read_bytes() for file in files] == [file.path.read_bytes() for file in files]


def test_a_damaged_load_is_refused_before_anything_is_unpacked_and_the_others_are_used(packed, place):
  path = packed[0] / 'wheels.tar.gz'
  path.write_bytes(b'x' + path.read_bytes()[1:])
  wrong, = run.prepare(packed, place)
  assert 'wheels.tar.gz is damaged' in wrong and wrong.endswith('bring the load 1 along again')
  assert loads.missing(WHEELS, loads.unpacked(place.work)) == 'wheels is not whole: load 1 is missing'
  assert loads.missing(WEIGHTS, loads.unpacked(place.work)) == ''


@pytest.mark.parametrize(('name', 'said'), [('wheels.tar.gz', 'bring the load 1 along again, whole'),
                                            (loads.MANIFEST, 'name the folders that `python -m experiments.borrowed pack` wrote')])
def test_a_load_that_lacks_a_file_is_refused(packed, name, said):
  (packed[0] / name).unlink()
  with pytest.raises(FileNotFoundError, match=said):
    loads.verify(packed[0])


def test_both_parts_of_the_raw_dataset_are_one_folder(place):
  for item, name in ((MASKED, 'A. Segmentation'), ('idrid-b', 'B. Disease Grading')):
    (place.work / item / name).mkdir(parents=True)
    (place.work / item / name / 'one.jpg').touch()
  assert run.prepare([], place) == run.prepare([], place) == []
  assert len(list(place.source.glob('*/one.jpg'))) == 2


def test_packages_are_those_that_the_other_machine_lacks_in_the_versions_that_are_here(tmp_path):
  (tmp_path / 'there.txt').write_text('clu\nml_collections==1.0\njax @ file:///jax\n')
  there = pack.read_there(tmp_path / 'there.txt')
  assert there == {'clu', 'ml-collections', 'jax'}
  found = pack.lacking(there, '3.12')
  assert 'grain' in found and 'array-record' in found and not there & found.keys()
  assert 'tomli' not in found  # below Python 3.11 alone


def test_what_is_brought_along_is_in_the_order_in_which_parts_need_it(tmp_path):
  for name in ('A. Segmentation/a.jpg', 'B. Disease Grading/b.jpg', 'wheels/a-1-py3-none-any.whl', 'weights'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  found = pack.files(tmp_path / 'wheels', tmp_path / 'weights', tmp_path)
  assert [(file.item, file.name) for file in found] == [
      ('wheels', 'a-1-py3-none-any.whl'), ('idrid-a', 'A. Segmentation/a.jpg'), ('weights', 'weights'),
      ('idrid-b', 'B. Disease Grading/b.jpg')]
  with pytest.raises(FileNotFoundError, match='--source_dir is the folder with A. Segmentation and B. Disease Grading'):
    pack.files(None, None, tmp_path / 'wheels')


def test_what_is_finished_is_not_run_again(parts, place, tmp_path):
  parts(first=('open(r"{work}/count", "a").write("1")', {}))
  assert start(place, tmp_path / 'out')[0] == 0
  status, known = start(place, tmp_path / 'out2')  # on the same machine
  assert (status, known.parts['first']['status'], (place.work / 'count').read_text()) == (0, 'done', '1')
  other = Place(tmp_path / 'other')
  status, known = start(other, tmp_path / 'out3', before=[tmp_path / 'out'])
  assert (status, known.parts['first']['status'], (other.work / 'count').exists()) == (0, 'done', False)


def test_a_rehearsal_does_not_mix_with_what_counts(parts, place, tmp_path):
  parts(first=('pass', {}))
  start(place._replace(small=True), tmp_path / 'out')
  with pytest.raises(ValueError, match='work is of a rehearsal; the two do not mix: give another --work and --before'):
    start(place, tmp_path / 'out2')
  with pytest.raises(ValueError, match='out is of a rehearsal; the two do not mix'):
    start(Place(tmp_path / 'other'), tmp_path / 'out2', before=[tmp_path / 'out'])
  with pytest.raises(ValueError, match='whose numbers are no results; give another --results'):
    collect.collect([tmp_path / 'out'], tmp_path / 'runs', collect.RESULTS)


def test_one_that_fails_does_not_stop_the_next_and_is_tried_again_behind_what_was_not_tried(parts, place, tmp_path):
  parts(first=('raise SystemExit("no device")', {}), second=('pass', {}), third=('pass', {'needs': (WEIGHTS,)}))
  status, known = start(place, tmp_path / 'out')
  assert status == 1
  assert {name: said['status'] for name, said in known.parts.items()} == {'first': 'failed', 'second': 'done', 'third': 'waits'}
  assert 'no device' in known.parts['first']['why']
  assert known.parts['third']['why'] == 'weights is not here: bring the loads that hold it along'
  assert run.order(known.parts, list(PARTS)) == ['third', 'first']


def test_one_whose_time_is_over_is_ended_politely_and_goes_on_in_the_next_run(parts, place, tmp_path):
  text = '''
import pathlib, signal, sys, time
path = pathlib.Path(r"{work}/results/saved")
if path.exists():
  raise SystemExit(0)
def save(*unused):
  path.parent.mkdir()
  path.write_text("step 3")
  raise SystemExit(75)
signal.signal(signal.SIGTERM, save)
pathlib.Path(r"{work}/ready").touch()
time.sleep(60)
'''
  parts(first=('pass', {}), training=(text, {'resumes': True, 'least': 0, 'most': 2}))
  began = time.monotonic()
  status, known = start(place, tmp_path / 'out', grace=4.0)
  assert status == 1 and time.monotonic() - began < 20
  assert known.parts['training']['status'] == 'stopped' and (place.work / 'ready').exists()
  assert run.order(known.parts, list(PARTS)) == ['training']
  parts(first=('pass', {}), training=(text, {'resumes': True, 'least': 0}))
  other = Place(tmp_path / 'other')  # a machine that has only what came back
  status, known = start(other, tmp_path / 'out2', before=[tmp_path / 'out'])
  assert status == 0 and known.parts['training'] | {'seconds': 0} == {'status': 'done', 'tries': 2, 'seconds': 0}


def test_one_that_does_not_listen_is_made_to_end(parts, place, tmp_path):
  parts(deaf=('import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)', {'most': 1}))
  status, known = start(place, tmp_path / 'out', grace=1.0)
  assert (status, known.parts['deaf']['status']) == (1, 'stopped')


def test_nothing_is_begun_for_which_there_is_no_time(parts, place, tmp_path, capsys):
  parts(long=('pass', {'least': 100}), short=('pass', {'least': 0}))
  status, known = start(place, tmp_path / 'out', seconds=50)
  assert (status, list(known.parts)) == (1, ['short'])
  assert 'long: not begun, 48 s are left and it takes 100 at least' in capsys.readouterr().out


def test_a_run_that_was_killed_leaves_what_had_ended_before(parts, place, tmp_path):
  parts(first=('import pathlib; pathlib.Path(r"{work}/results").mkdir(); pathlib.Path(r"{work}/results/a.json").write_text("1")', {}))
  start(place, tmp_path / 'out')
  known = state.State(tmp_path / 'out2', LIMITS, place)
  known.set('second', 'stopped', why='as before it began')
  found = state.read(tmp_path / 'out2')['parts']['second']
  assert found['status'] == 'stopped'
  assert collect.collect([tmp_path / 'out'], tmp_path / 'runs', tmp_path / 'results')[0] == 'first: done'
  assert (tmp_path / 'results' / 'a.json').read_text() == '1'


@pytest.mark.parametrize('size', [0, 1, 99, 100, 101, 250])
def test_splitting_and_joining_is_the_identity(tmp_path, size):
  path, out = tmp_path / 'network.tar', tmp_path / 'out'
  out.mkdir()
  path.write_bytes(content := bytes(range(size)))
  digests = pieces.split(path, out, 100)
  assert all((out / name).stat().st_size <= 100 for name in digests) and len(digests) == -(-size // 100)
  pieces.join(out, digests, tmp_path / 'joined')
  assert (tmp_path / 'joined').read_bytes() == content


def test_a_damaged_or_missing_piece_is_refused(tmp_path):
  path = tmp_path / 'network.tar'
  path.write_bytes(b'abcd')
  (tmp_path / 'out').mkdir()
  digests = pieces.split(path, tmp_path / 'out', 2)
  (tmp_path / 'out' / 'network.tar.001').write_bytes(b'xx')
  with pytest.raises(ValueError, match=r'network.tar.001 is damaged.*fetch it again'):
    pieces.join(tmp_path / 'out', digests, path)
  (tmp_path / 'out' / 'network.tar.001').unlink()
  with pytest.raises(FileNotFoundError, match=r'fetch everything that the run left in its --out again'):
    pieces.join(tmp_path / 'out', digests, path)


def test_what_is_too_large_to_come_back_is_said_and_the_rest_comes(place, tmp_path):
  known = state.State(tmp_path / 'out', pieces.Limits(piece=64 * KIB, files=3, most=512 * KIB), place)
  (place.results / 'borrowed').mkdir(parents=True)
  (place.results / 'borrowed' / 'environment.json').write_text('{}')
  place.network.mkdir()
  (place.network / 'model').write_bytes(bytes(200 * KIB))
  refused, = known.bring_back()
  assert 'with it 6 files' in refused and 'the limits are 3 files' in refused
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['parts.json', 'results.tar.gz.000']


def test_the_network_comes_back_into_its_run_and_is_evaluated_at_home_where_it_was_not(place, tmp_path):
  known = state.State(tmp_path / 'out', LIMITS, place)
  (place.network / 'gpu-0-4000').mkdir(parents=True)
  (place.network / 'gpu-0-4000' / 'config.json').write_text('{}')
  (place.runs / 'gpu-0-4000' / 'segment' / 'checkpoints').mkdir(parents=True)
  (place.runs / 'gpu-0-4000' / 'segment' / 'report.json').write_text('{}')
  (place.runs / TRAINED).write_text('{}')
  known.set('lesions', 'done')
  assert known.bring_back() == []
  said = collect.collect([tmp_path / 'out'], tmp_path / 'runs', tmp_path / 'results')
  run_folder = tmp_path / 'runs' / 'runs' / 'idrid' / 'gpu-0-4000' / 'segment'
  assert sorted(path.name for path in run_folder.iterdir()) == ['bundle', 'report.json']
  assert not (run_folder.parents[1] / TRAINED).exists()
  assert '--preset=gpu --seed=0 --steps=4000' in said[-1]


def test_pages_of_several_results_are_not_replaced(place, tmp_path):
  for name in ('idrid_lesions/gpu-0-4000.json', 'idrid_lesions/idrid_lesions.md', 'benchmark/train-gpu.md'):
    (place.results / name).parent.mkdir(parents=True, exist_ok=True)
    (place.results / name).write_text('{}')
  known = state.State(tmp_path / 'out', LIMITS, place)
  known.bring_back()
  said = collect.collect([tmp_path / 'out'], tmp_path / 'runs', tmp_path / 'results')
  assert sorted(path.name for path in (tmp_path / 'results').glob('*/*')) == ['gpu-0-4000.json', 'train-gpu.md']
  assert 'write the pages of idrid_lesions: python -m experiments.idrid --render' in said


def test_a_training_is_as_long_as_the_time_allows_and_no_longer_than_its_preset():
  assert lesions.choose('gpu', 0.1, left=500) == 3500  # (500 - 90) / 0.115
  assert lesions.choose('gpu', 0.001, left=500) == 12000
  with pytest.raises(SystemExit, match='that makes 0 steps, and fewer than 500 teach nothing; give this part a whole run'):
    lesions.choose('gpu', 2.0, left=150)


def test_a_shorter_training_has_the_whole_schedule():
  options = idrid.parse(['--source_dir=DIR', '--preset=gpu', '--steps=1200'])
  segment, whole = idrid.configure(options).segment, idrid.preset_of.get_config('gpu').segment
  for key in ('max_steps', 'warm_up', 'validate_every', 'save_every'):
    assert segment[key] == whole[key] // 10
  assert idrid.title(options) == 'gpu-0-1200'  # lies beside the result of the preset's own length


def test_every_part_is_a_program_with_flags_that_it_has(tmp_path):
  for small in (False, True):
    for part in PARTS.values():
      module, *words = part.command(Place(tmp_path, small), 100)
      flags = {word.partition('=')[0] for word in words if word.startswith('--')}
      source = [pathlib.Path(borrowed.__file__).parents[2] / f"{each.replace('.', '/')}.py" for each in (
          module, 'experiments.idrid', 'experiments.runner', 'experiments.benchmarks.gpu')]
      assert flags <= {f'--{name}' for path in source for name in re.findall(r"'--(\w+)'", path.read_text('utf-8'))}


def test_the_commands_name_what_is_missing(tmp_path, capsys):
  with pytest.raises(SystemExit):
    borrowed.main(['collect', str(tmp_path)])
  assert 'has no parts.json, so no run left it' in capsys.readouterr().err
  assert borrowed.main(['run', '--only', 'lesions', '--work', str(tmp_path / 'work'), '--out', str(tmp_path / 'out')]) == 1
  assert json.loads((tmp_path / 'out' / 'parts.json').read_text())['parts']['lesions']['status'] == 'waits'


def test_a_run_that_only_unpacks_hands_on_what_earlier_ones_did(parts, place, tmp_path):
  parts(first=('pass', {}))
  start(place, tmp_path / 'out')
  for before, out in (('out', 'out2'), ('out2', 'out3')):
    assert borrowed.main(['run', '--only', 'none', '--before', str(tmp_path / before), '--work', str(tmp_path / f'work-{out}'),
                          '--out', str(tmp_path / out)]) == 0
  assert json.loads((tmp_path / 'out3' / 'parts.json').read_text())['parts']['first']['status'] == 'done'
