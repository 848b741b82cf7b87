"""What is judged is not learned from: photographs that are in two data sets under other names, as copies."""

import itertools
import types

import jax
import numpy as np
import pytest
from drawing import IDRID_SHAPE, copy_of, draw_idrid, fundus, patchwork
from tiny import SIZE, TINY_MODELS
from tiny_config import changed

from lesion_jax import models, stages
from lesion_jax.data.registry import load_dataset
from lesion_jax.photograph.fingerprint import SAME, distances, reduced
from lesion_jax.stages import leaks
from lesion_jax.train.parallel import Devices
from lesion_jax.weights.bundle import load_bundle, save_bundle
from lesion_jax.weights.initialize import initialize

DEVICES = Devices(jax.devices()[:1])
PART = 'B. Disease Grading'
# Of the grading part, number -> the photograph of the segmentation part that it is a copy of; None: of its own.
TRAINING = {30: 55, 40: 2, 50: None, 60: None, 70: None, 80: None, 90: None, 100: None, 110: None, 120: None}
TEST = {20: 1, 30: None, 40: None}


def photograph(number):
  """As `draw_idrid` has it."""
  return patchwork(fundus(*IDRID_SHAPE, radius=56, seed=number), number)


@pytest.fixture(scope='module')
def release(tmp_path_factory):
  """Both parts of IDRiD, drawn; the photographs of the second are copies, or healthy eyes of their own."""
  root = draw_idrid(tmp_path_factory.mktemp('idrid'))
  for letter, kind, numbers in (('a', 'Training', TRAINING), ('b', 'Testing', TEST)):
    for number, twin in numbers.items():
      image = photograph(twin or 1000 * ord(letter) + number)
      copy_of(image, root / PART / '1. Original Images' / f'{letter}. {kind} Set' / f'IDRiD_{number:03d}.jpg',
              scale=1, quality=90)  # so small a photograph does not survive more
    table = root / PART / '2. Groundtruths' / f'{letter}. IDRiD_Disease Grading_{kind} Labels.csv'
    table.parent.mkdir(exist_ok=True)
    table.write_text('\n'.join(['Image name,Retinopathy grade', *(f'IDRiD_{number:03d},0' for number in numbers)]))
  return root


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  return str(tmp_path_factory.mktemp('prepared'))


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  # The splits drawn here are too few to choose a network by, which none of these tests does.
  monkeypatch.setattr(stages.datasets, '_require_criterion', lambda *unused: None)


@pytest.fixture
def configure(release):
  """`configure(**changes) -> configuration` of lesions from the one part and grades from the other."""

  def make(**changes):
    return changed(segment__data__name='idrid', segment__data__source_dir=str(release),
                   grade__data__name='idrid_grading', grade__data__source_dir=str(release), **changes)

  return make


@pytest.fixture
def mixed(release):
  """`mixed(**changes) -> configuration` of lesions from both parts."""

  def make(**changes):
    return changed(stages=('segment',), segment__data__name='idrid+idrid_grading',
                   segment__data__source_dir=f'{release}:{release}', **changes)

  return make


def opened(name, release, data_dir):
  return load_dataset(name, data_dir=data_dir, size=SIZE, source_dir=release)


def ids_of(data):
  return {split: set(data.source(split).ids()) for split in data.splits}


def test_what_is_held_out_by_one_part_is_not_learned_from_another(mixed, release, data_dir):
  config = mixed()
  data = stages.open_datasets(config, data_dir, DEVICES)['segment']
  for part in data.parts:
    before = ids_of(opened(part.name, release, data_dir))
    left = ids_of(part)
    assert left['test'] == before['test'], 'a test split stays whole'
    assert {split: part.lengths[split] for split in part.splits} == {split: len(ids) for split, ids in left.items()}
    learned, still = (set().union(*(ids for split, ids in one.items() if split != 'test')) for one in (before, left))
    twin = {'idrid': 'IDRiD_01', 'idrid_grading': 'IDRiD_030'}[part.name]
    assert twin in learned and twin not in still
  prints = {split: reduced(data.source(split).index.fingerprint) for split in data.splits}
  for one, other in itertools.combinations(prints, 2):
    assert distances(prints[one], prints[other]).min() > SAME, (one, other)
  found = leaks.describe(config.segment, data)
  assert found['mode'] == 'drop' and set(found['dropped']) == {'idrid', 'idrid_grading'}
  said = ' '.join(leaks.notes(found))
  assert '1 training photographs of idrid_grading were excluded' in said or '1 validation photographs of idrid_g' in said


class Letters:
  """In place of a data set: photographs by letter, the same letter the same photograph; of a capital one nothing is known of
  any lesion."""

  name = 'letters'

  def __init__(self, splits, dropped=()):
    self._splits, self.dropped = splits, dict(dropped)
    self.lengths = {split: len(letters) for split, letters in splits.items()}
    self.splits = tuple(split for split in splits if splits[split])

  def source(self, split):
    return types.SimpleNamespace(index=types.SimpleNamespace(
        id=np.array(list(self._splits[split])), fingerprint=prints_of(self._splits[split]),
        annotated=np.array([letter.islower() for letter in self._splits[split]], np.uint8)))

  def without(self, ids):
    left = {split: ''.join(letter for letter in letters if letter not in ids.get(split, ()))
            for split, letters in self._splits.items()}
    return Letters(left, {split: some for split, some in ids.items() if some})


def prints_of(letters):
  draw = lambda letter: np.random.default_rng(ord(letter.lower())).integers(0, 256, (16, 16, 3), np.uint8)
  return np.stack([draw(letter) for letter in letters]).repeat(2, axis=1).repeat(2, axis=2)


@pytest.mark.parametrize(('before', 'dropped'), [
    ({}, {'train': {'b', 'x'}, 'validation': {'x'}}),  # c, twice in train, stays
    # Test photographs that others learned from are not judged, and so may be learned; but x is in validation.
    ({'train': 'x'}, {'test': {'x'}, 'validation': {'x'}, 'train': {'b'}}),
    ({'validation': 'x'}, {'test': {'x'}, 'train': {'b', 'x'}}),
    ({'train': 'ba', 'validation': 'y'}, {'test': {'y'}, 'validation': {'b', 'x'}, 'train': {'x'}}),
])
def test_the_test_split_comes_first_then_validation(tmp_path, before, dropped):
  photographs = {split: reduced(prints_of(before[split])) if split in before else leaks.NOTHING for split in leaks.LEARNED}
  save_bundle(tmp_path / 'net', config={}, variables={'params': {}}, card='', photographs=photographs)
  config = changed(stages=('segment',), segment__init=str(tmp_path / 'net') if before else '')
  data = Letters({'train': 'accbx', 'validation': 'bxw', 'test': 'xyz'})
  assert leaks.guard(config, 'segment', {'segment': data}).dropped == dropped


def test_a_photograph_of_which_no_lesion_is_known_gives_way_to_one_to_learn_from():
  data = Letters({'train': 'abc', 'validation': 'Avb', 'test': 'Czw'})
  dropped = leaks.guard(changed(stages=('segment',)), 'segment', {'segment': data}).dropped
  assert dropped == {'validation': {'A'}, 'test': {'C'}, 'train': {'b'}}


def test_it_is_off_only_where_that_is_said(mixed, release, data_dir):
  config = mixed(segment__data__leaks='keep')
  data = stages.open_datasets(config, data_dir, DEVICES)['segment']
  assert [part.dropped for part in data.parts] == [{}, {}]
  note, = leaks.notes(leaks.describe(config.segment, data))
  assert 'data.leaks is keep' in note and 'metrics may be too good' in note
  with pytest.raises(ValueError, match="segment.data.leaks='off'; choose one of drop, keep"):
    stages.open_datasets(mixed(segment__data__leaks='off'), data_dir, DEVICES)


def test_without_leaks_nothing_is_dropped_or_said(configure, data_dir):
  config = configure(stages=('segment',))
  data = stages.open_datasets(config, data_dir, DEVICES)['segment']
  assert data.dropped == {} and leaks.notes(leaks.describe(config.segment, data)) == []


def test_grades_are_not_judged_on_what_the_lesion_network_learned_from(configure, release, data_dir):
  config = configure()
  data = stages.open_datasets(config, data_dir, DEVICES)
  assert data['segment'].dropped == {}
  assert data['grade'].dropped['test'] == {'IDRiD_020'} and data['grade'].lengths['test'] == len(TEST) - 1
  # What it learns from may well be what the lesion network learned from.
  assert 'IDRiD_040' not in data['grade'].dropped.get('train', ())
  said = leaks.notes(leaks.describe(config.grade, data['grade']))
  assert any(note.startswith('1 test photographs of idrid_grading were excluded') and 'before this one' in note for note in said)


@pytest.mark.parametrize('key', ['segment__bundle', 'grade__init'])
def test_the_same_holds_for_a_bundle(configure, release, data_dir, tmp_path, key):
  segmented = opened('idrid', release, data_dir)
  known = leaks.photographs(segmented)
  config = configure(stages=('grade',), **{key: str(tmp_path / 'net')})
  save = lambda photographs, **data: save_bundle(
      tmp_path / 'net', config={'data': data}, variables={'params': {}}, card='', photographs=photographs)
  save(known)
  assert stages.open_datasets(config, data_dir, DEVICES)['grade'].dropped['test'] == {'IDRiD_020'}
  bundles = {'segment': load_bundle(tmp_path / 'net')} if key == 'segment__bundle' else None
  assert stages.open_datasets(config, data_dir, DEVICES, bundles)['grade'].dropped['test'] == {'IDRiD_020'}

  save(None)  # a bundle of before
  data = stages.open_datasets(config, data_dir, DEVICES)['grade']
  unknown = leaks.learned_before(config, 'grade', {}).unknown
  assert data.dropped == {} and len(unknown) == 1
  assert 'learned from is not known' in leaks.notes(leaks.describe(config.grade, data, unknown))[0]

  save(known, leaks={'unknown': ['an older network']})  # inside it, or at its start
  assert leaks.learned_before(config, 'grade', {}).unknown == ('an older network',)


def test_a_finished_network_is_judged_only_on_what_it_did_not_learn_from(configure, release, data_dir, tmp_path):
  own = opened('idrid', release, data_dir)
  prints = reduced(own.source('test').index.fingerprint)
  config = configure(stages=('segment',), segment__bundle=str(tmp_path / 'net'))
  for learned, left in ((prints[:1], 1), (prints, 0)):
    save_bundle(tmp_path / 'net', config={}, variables={'params': {}}, card='',
                photographs={'train': prints[:0], 'validation': learned})
    if left:
      data = stages.open_datasets(config, data_dir, DEVICES)['segment']
      assert data.lengths == own.lengths | {'test': left} and set(data.dropped) == {'test'}
    else:
      with pytest.raises(ValueError, match=r'all 2 photographs of idrid, split test, .*segment\.data\.leaks=keep'):
        stages.open_datasets(config, data_dir, DEVICES)


def test_a_bundle_keeps_what_all_its_stages_learned_from(configure, data_dir, tmp_path):
  config, bundles, learned = configure(), {}, []
  networks = stages.check(config, DEVICES)
  shape = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8)
  for name, data in stages.open_datasets(config, data_dir, DEVICES).items():
    stage = stages.build_stage(config, name, data, networks[name], workdir=tmp_path, devices=DEVICES, bundles=bundles)
    bundles[name] = stage.bundle(initialize(stage.model, shape, 0), {}, best_step=0)
    learned.append(leaks.photographs(data))
    assert bundles[name].config['data']['leaks'] == stage.leaks
  for split in leaks.LEARNED:
    found = bundles['grade'].photographs[split]
    wanted = np.concatenate([one[split] for one in learned])
    assert {row.tobytes() for row in found} == {row.tobytes() for row in wanted} and found.dtype == np.uint8
    assert len(found) == len({row.tobytes() for row in wanted})
  assert bundles['grade'].config['data']['leaks']['dropped']['idrid_grading']['test'] == 1
  # And the names of what the networks before it learned from, which the prints do not say.
  assert bundles['grade'].config['data']['before'] == {'lesion': ['idrid']}
  assert 'before' not in bundles['segment'].config['data']


def test_names_of_data_sets_go_along_through_all_stages(configure, tmp_path):
  prints = dict.fromkeys(leaks.LEARNED, leaks.NOTHING)
  save = lambda place, **data: save_bundle(tmp_path / place, config={'data': data}, variables={'params': {}}, card='',
                                           photographs=prints)
  save('lesions', name='idrid+synthetic', before={'init': ['ddr']})
  save('start', name='eyepacs', before={'lesion': ['tjdr'], 'init': ['aptos2019']})
  config = configure(stages=('grade',), segment__bundle=str(tmp_path / 'lesions'), grade__init=str(tmp_path / 'start'))
  assert leaks.learned_before(config, 'grade', {}).data == {
      'lesion': ['ddr', 'idrid', 'synthetic'], 'init': ['aptos2019', 'eyepacs', 'tjdr']}
  save('lesions')  # one that does not say it
  assert leaks.learned_before(config, 'grade', {}).data == {'init': ['aptos2019', 'eyepacs', 'tjdr']}


def test_a_data_set_without_some_photographs(release, data_dir):
  data = opened('idrid', release, data_dir)
  first, *others = data.source('train').ids()
  less = data.without({'train': {first}, 'test': set()})
  assert less.source('train').ids() == others and less.source('train')[0]['id'] == others[0]
  assert less.lengths == data.lengths | {'train': len(others)} and less.dropped == {'train': {first}}
  assert less.without({'train': {others[0]}}).dropped == {'train': {first, others[0]}}
  assert data.without({}) is data and first in data.source('train').ids()


def test_the_sick_that_are_idle_are_the_twins_of_no_photograph_that_is_learned_or_judged(release, data_dir):
  masked, graded = opened('idrid', release, data_dir), opened('idrid_grading', release, data_dir)
  sick = types.SimpleNamespace(idle=lambda: graded.source('train'), splits=())  # as if nothing were known of any of them
  both = object.__new__(leaks.Mixture)
  object.__setattr__(both, 'parts', (masked, sick))
  found, every = ({*source.index.id.tolist()} for source in (leaks.idle(both)[0], graded.source('train')))
  assert found and found == every - {'IDRiD_030', 'IDRiD_040'}  # copies of photographs of the other part
  assert leaks.idle(masked) == []
