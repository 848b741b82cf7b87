"""The worker's inside: every photograph gets its own answer, alone or in a batch, and the same one as from `lesion-jax predict`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import queue
import threading

import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from lesion_jax import cli, models
from lesion_jax.bulk import Options, Refused, predict_photographs
from lesion_jax.cli.serve import _settings as settings_of
from lesion_jax.clinical.record import SCHEMA
from lesion_jax.clinical.schema import fits, read_schema
from lesion_jax.core import LESION_KEYS
from lesion_jax.serve.engine import Engine
from lesion_jax.weights.bundle import save_bundle

NOT_A_NUMBER = (0, 0, 255)  # a blue so strong that `Breaking` breaks


class Breaking(oracle.Oracle):
  """The oracle, whose answer to one colour is no number."""

  def __call__(self, images, *, train):
    outputs = super().__call__(images, train=train)
    broken = (images[..., 2] > 240).any((1, 2))
    maps = outputs.maps + jnp.where(broken, jnp.nan, 0.0)[:, None, None, None]
    return outputs.replace(maps=maps, lesions=maps.max((1, 2)))


@pytest.fixture
def make_engine(oracle_work, tmp_path):
  """`make_engine(**changes of Work) -> Engine`."""
  engines = []

  def make(**changes):
    engines.append(Engine(dataclasses.replace(oracle_work, **changes), tmp_path))
    return engines[-1]

  yield make
  for engine in engines:
    engine.close()


def ask(engine, photographs, include=(), name='{}.png'):
  """The answers to files by number, all asked at once."""
  found, answers = queue.SimpleQueue(), {}
  for number, data in enumerate(photographs):
    engine.predict(data, name.format(number), include, lambda answer, number=number: found.put((number, answer)))
  for _ in photographs:
    number, answer = found.get(timeout=120)
    assert number not in answers
    answers[number] = answer
  return [answers[number] for number in range(len(photographs))]


def photographs(encode, number):
  """Files that differ in grade and in how large their lesion is."""
  return [encode(grade=each % 5, lesions=[(oracle.GREEN, (120, 90, 122 + 4 * each, 110))]) for each in range(number)]


def test_an_operating_point_decides_here_too(make_engine, oracle_work, encode, tmp_path):
  config = oracle.oracle_config(operating_points={'careful': {'referable': {'threshold': 1e-6}}})
  save_bundle(tmp_path / 'points', config=config, card='', variables={'params': {'gain': np.float32(1)}})
  asked = cli.make_parser().parse_args(['serve', '--model', str(tmp_path / 'points'), '--operating-point', 'careful'])
  engine = make_engine(options=settings_of(asked).work.options)
  record = json.loads(ask(engine, [encode(grade=0)])[0].blobs[0])
  assert record['operating_point'] == {'name': 'careful', 'referable': 1e-6} and record['run']['options']['operating_point'] == 'careful'
  with pytest.raises(Refused, match="'careful': this network has none"):
    make_engine(options=oracle_work.options | {'operating_point': 'careful'})


@pytest.mark.parametrize('batch', [1, 3])
def test_each_gets_its_own_answer(make_engine, encode, batch):
  engine, files = make_engine(batch_size=batch, batch_wait=0.2), photographs(encode, 10)
  answers = ask(engine, files)
  for number, (data, answer) in enumerate(zip(files, answers, strict=True)):
    record = json.loads(answer.blobs[0])
    assert record['file'] == f'{number}.png' and record['run']['photograph'] == hashlib.sha256(data).hexdigest()
    assert record['grade']['value'] == number % 5
  sizes = [json.loads(answer.blobs[0])['lesions']['MA']['found']['pixels'] for answer in answers]
  assert sizes == sorted(sizes) and len(set(sizes)) > 5
  assert max(answer.header['batch'] for answer in answers) == batch
  assert set(answers[0].header['seconds']) == {'queue', 'read', 'wait', 'network', 'write'}


def test_record_and_files_are_those_of_predict(make_engine, encode, oracle_bundle, tmp_path):
  data = encode(grade=3, lesions=[(oracle.GREEN, (150, 100, 170, 120)), (oracle.BLUE, (120, 90, 130, 100))])
  (tmp_path / '0_left.png').write_bytes(data)
  predict_photographs(tmp_path / '0_left.png', tmp_path / 'out', Options(oracle_bundle))
  expected = json.loads((tmp_path / 'out' / '0_left' / 'result.json').read_text())
  answer, = ask(make_engine(), [data], ['all'], '{}_left.png')
  record = json.loads(answer.blobs[0])
  assert record['whose'] == {'patient': '0', 'eye': 'left', 'source': 'name'}
  assert record | {'file': '', 'run': record['run'] | {'place': ''}} == expected | {'file': '', 'run': expected['run'] | {'place': ''}}
  assert {'MA.png', 'HaEx.png', 'overlay.png', 'lesions.png', 'field.jpg', 'outlines.svg'} == set(record['files'])
  for name, content in zip(answer.header['files'], answer.blobs[1:], strict=True):
    assert content == (tmp_path / 'out' / '0_left' / name).read_bytes(), name


@pytest.mark.parametrize(('include', 'names'), [
    ((), set()), (('masks',), {'MA.png', 'lesions.png'}), (('overlay', 'outlines'), {'overlay.png', 'outlines.svg'}), (('attention',), set())])
def test_what_comes_besides_the_record(make_engine, encode, tmp_path, include, names):
  answer, = ask(make_engine(), [encode(lesions=[(oracle.GREEN, (150, 100, 170, 120))])], include)
  record = json.loads(answer.blobs[0])
  assert set(answer.header['files']) == set(record['files']) == names and len(answer.blobs) == 1 + len(names)
  assert fits(record, read_schema(SCHEMA)) and not list(tmp_path.iterdir())


def test_a_report_is_made_of_answers_and_leaves_nothing(make_engine, encode, tmp_path):
  engine, found = make_engine(), queue.SimpleQueue()
  answers = ask(engine, photographs(encode, 2), ['all'])
  engine.report([{'name': '0.png', 'files': answers[0].header['files']}, {'name': '<b>.png', 'error': 'it is no image'},
                 {'name': '1.png', 'files': answers[1].header['files']}], [*answers[0].blobs, *answers[1].blobs], found.put)
  page = found.get(timeout=60).blobs[0].decode()
  assert '0.png' in page and '1.png' in page and '&lt;b&gt;.png' in page
  assert 'it is no image' in page and '<b>.png' not in page and not list(tmp_path.iterdir())


@pytest.mark.parametrize(('make', 'words'), [
    (lambda encode: b'no image', 'no image'), (lambda encode: b'', 'empty'), (lambda encode: encode()[:300], ''),
    (lambda encode: encode(width=20, height=20), 'too few'), (lambda encode: encode(radius=0), ''),
    (lambda encode: encode(width=1001, height=1000), 'more than 1,000,000')])
def test_what_is_no_photograph_is_refused_in_a_sentence(make_engine, encode, make, words):
  answer, = ask(make_engine(pixels=1_000_000), [make(encode)])
  assert answer.header['status'] == 'refused' and words in answer.header['error'] and not answer.blobs
  assert 'cause' not in answer.header


def test_pixels_are_counted_before_jpeg_2000_is_decoded_in_another_process(make_engine, encode):
  allowed, refused = ask(make_engine(pixels=60_000), [encode('JPEG2000'), encode('JPEG2000', width=301, height=200)])
  assert allowed.header['status'] == 'done' and 'more than 60,000' in refused.header['error']


def test_one_in_a_batch_whose_answer_is_no_number_fails_alone(encode, oracle_work, monkeypatch, tmp_path):
  monkeypatch.setitem(models.MODELS, 'breaking', Breaking)
  save_bundle(tmp_path / 'bundle', config=oracle.oracle_config(model={'name': 'breaking'}), card='', variables={'params': {'gain': np.float32(1)}})
  engine = Engine(dataclasses.replace(oracle_work, options={'models': [str(tmp_path / 'bundle')]}, batch_size=3, batch_wait=0.5), tmp_path)
  files = photographs(encode, 3)
  files[1] = encode(lesions=[(NOT_A_NUMBER, (120, 90, 160, 120))])
  answers = ask(engine, files)
  engine.close()
  assert [answer.header['status'] for answer in answers] == ['done', 'failed', 'done']
  assert 'not a number' in answers[1].header['error'] and 'FloatingPointError at ' in answers[1].header['cause']


def test_a_mistake_says_where_it_is_and_nothing_else(make_engine, encode, monkeypatch):
  def broken(*arguments, **keys):
    raise KeyError('Doe^Jane')

  monkeypatch.setattr('lesion_jax.serve.engine.describe', broken)
  answer, = ask(make_engine(), [encode()])
  assert answer.header['status'] == 'failed' and 'Doe' not in json.dumps(answer.header)
  assert answer.header['cause'].startswith('KeyError at ')


def test_several_devices_share_the_photographs(make_engine, encode):
  engine = make_engine(devices=('cpu:0', 'cpu:1'))
  assert len(engine.predictors) == 2 and {thread.name for thread in threading.enumerate()} >= {'device cpu:0', 'device cpu:1'}
  answers = ask(engine, photographs(encode, 6))
  assert [json.loads(answer.blobs[0])['grade']['value'] for answer in answers] == [0, 1, 2, 3, 4, 0]


def test_it_says_what_its_network_is_and_warms_up(make_engine, tmp_path):
  engine = make_engine(batch_size=2)
  assert 0 < engine.warm_up() < 60 and not list(tmp_path.iterdir())
  said = engine.describe()
  assert json.loads(json.dumps(said)) == said and said['name'] == 'oracle' and set(said['annotated']) < set(LESION_KEYS)
  assert len(said['digest']) == len(said['weights'][0]) == 64 and said['card'].startswith('# oracle') and said['batch_size'] == 2
  assert str(tmp_path) not in json.dumps(said)


def test_a_network_that_does_not_fit_is_refused(make_engine):
  with pytest.raises(Refused, match='nowhere'):
    make_engine(options={'models': ['nowhere']})
