"""Figures of a run: one CSV, TensorBoard's files, a line on the terminal."""

import logging
import sys
import types

import pytest
from full_disk import full_disk

from lesion_jax.train import trackers
from lesion_jax.train.logs import Logs, read_scalars


@pytest.fixture
def logs(tmp_path):
  """Opens the logs of one directory, again and again."""
  opened = []

  def start(step=0, **options):
    opened.append(Logs(tmp_path, total=10, start=step, **options))
    return opened[-1]

  yield start
  for each in opened:
    each.close()


def test_the_csv_holds_every_number_to_the_last_bit(logs, tmp_path):
  log = logs()
  log.scalars(1, 'train', {'loss': 1 / 3, 'rate': 1e-3})
  log.scalars(2, 'train', {'loss': 0.25})
  assert read_scalars(tmp_path / 'metrics.csv') == {
      ('train', 'loss'): ([1, 2], [1 / 3, 0.25]), ('train', 'rate'): ([1], [1e-3])}


def test_what_is_not_a_number_has_no_place_in_a_curve(logs, tmp_path):
  logs().scalars(1, 'validation', {'kappa': None, 'MA': 'not annotated', 'accuracy': 1})
  assert read_scalars(tmp_path / 'metrics.csv') == {('validation', 'accuracy'): ([1], [1.0])}


def test_a_run_that_goes_on_drops_what_was_written_after_its_checkpoint(logs, tmp_path):
  log = logs()
  for step in range(1, 6):
    log.scalars(step, 'train', {'loss': step / 10})
  log.close()
  with (tmp_path / 'metrics.csv').open('a') as file:
    file.write('6,tra')  # killed while it wrote
  logs(step=3).scalars(4, 'train', {'loss': 4.0})
  assert read_scalars(tmp_path / 'metrics.csv')['train', 'loss'] == ([1, 2, 3, 4], [0.1, 0.2, 0.3, 4.0])


def test_torn_rows_are_skipped_and_dropped_on_resume(logs, tmp_path):
  path = tmp_path / 'metrics.csv'
  path.write_text('step,split,name,value\n1,train,loss,0.5\n2,tra3,train,loss,0.3\n'
                  '4x,train,loss,1\n4,train,loss,\n\0\n')
  assert read_scalars(path) == {('train', 'loss'): ([1], [0.5])}
  logs(step=4)
  assert path.read_text().splitlines() == ['step,split,name,value', '1,train,loss,0.5']


def test_a_run_that_cannot_rewrite_the_csv_leaves_it_whole(logs, tmp_path):
  log = logs()
  log.scalars(1, 'train', {f'loss_{number}': 0.5 for number in range(100)})
  log.close()
  before = (tmp_path / 'metrics.csv').read_bytes()
  with full_disk(), pytest.raises(OSError, match='too large'):
    logs(step=1)
  assert (tmp_path / 'metrics.csv').read_bytes() == before


def test_a_full_disk_is_reported_once_and_training_goes_on(logs, tmp_path, caplog):
  log = logs()
  with caplog.at_level(logging.ERROR), full_disk():
    for step in range(1, 200):
      log.scalars(step, 'train', {'loss': 1.0})
      log.advance()
  log.scalars(200, 'train', {'loss': 2.0})  # there is room again
  log.close()
  assert caplog.text.count('cannot be written') == 1 and 'training continues' in caplog.text
  steps, _ = read_scalars(tmp_path / 'metrics.csv')['train', 'loss']
  assert steps[:20] == list(range(1, 21)) and steps[-1] == 200


def test_a_terminal_that_is_gone_does_not_end_the_training(logs, monkeypatch, caplog):
  log = logs()
  for method in ('update', 'write', 'close'):
    monkeypatch.setattr(log._bar, method, lambda *unused: (_ for _ in ()).throw(BrokenPipeError('gone')))
  with caplog.at_level(logging.ERROR):
    log.advance(loss='1')
    log.say('hello')
    log.close()
  assert caplog.text.count('(gone)') == 1
  monkeypatch.undo()


def test_an_empty_csv_gets_its_header(logs, tmp_path):
  (tmp_path / 'metrics.csv').touch()
  logs().scalars(1, 'train', {'loss': 1.0})
  assert read_scalars(tmp_path / 'metrics.csv') == {('train', 'loss'): ([1], [1.0])}


def test_tensorboard_gets_its_files(logs, tmp_path):
  log = logs()
  log.scalars(1, 'train', {'loss': 1.0})
  log.close()
  events = list((tmp_path / 'tensorboard').glob('events.out.tfevents.*'))
  assert len(events) == 1 and b'train/loss' in events[0].read_bytes()


def test_the_progress_bar_has_title_rate_and_what_is_shown(logs, capsys):
  log = logs(title='segment')
  for _ in range(10):
    log.advance(loss='0.5000')
  log.say('a line above it')
  log.close()
  shown = capsys.readouterr()
  assert 'segment: 100%' in shown.err and 'loss=0.5000' in shown.err and 'step/s' in shown.err
  assert 'a line above it' in shown.out


def test_a_process_that_is_not_the_first_writes_nothing(logs, tmp_path, capsys):
  log = logs(active=False)
  log.scalars(1, 'train', {'loss': 1.0})
  log.advance(loss='1')
  log.say('hello')
  log.close()
  assert not list(tmp_path.iterdir())
  assert capsys.readouterr().out == ''


class TestTrackers:

  @pytest.fixture
  def mlflow(self, monkeypatch):
    """MLflow's client as far as it is used, with what it was told."""
    told = {'runs': {}, 'experiments': {}, 'logged': [], 'ended': [], 'again': []}

    class Client:

      def __init__(self, tracking_uri):
        told['uri'] = tracking_uri

      def get_experiment_by_name(self, name):
        return types.SimpleNamespace(experiment_id=told['experiments'][name]) if name in told['experiments'] else None

      def create_experiment(self, name):
        return told['experiments'].setdefault(name, str(len(told['experiments'])))

      def create_run(self, experiment_id, run_name):
        run = f'run{len(told["runs"])}'
        told['runs'][run] = (experiment_id, run_name)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run))

      def get_run(self, run):
        return told['runs'][run]

      def update_run(self, run, status):
        told['again'].append((run, status))

      def log_batch(self, run, metrics):
        if told.get('down'):
          raise ConnectionError('the server does not answer')
        told['logged'] += [(run, *metric) for metric in metrics]

      def set_terminated(self, run):
        told['ended'].append(run)

    module = types.ModuleType('mlflow')
    module.MlflowClient = Client
    module.entities = types.SimpleNamespace(Metric=lambda key, value, timestamp, step: (key, value, step))
    monkeypatch.setitem(sys.modules, 'mlflow', module)
    for name in ('MLFLOW_TRACKING_URI', 'MLFLOW_EXPERIMENT_NAME'):
      monkeypatch.delenv(name, raising=False)
    return told

  def test_mlflow_gets_every_number_in_files_beside_the_run(self, logs, tmp_path, mlflow):
    log = logs(track=('mlflow',), title='segment')
    log.scalars(3, 'train', {'loss': 0.25, 'note': 'no number'})
    log.close()
    assert mlflow['uri'] == (tmp_path / 'mlflow').as_uri() and mlflow['runs'] == {'run0': ('0', 'segment')}
    assert mlflow['logged'] == [('run0', 'train/loss', 0.25, 3)] and mlflow['ended'] == ['run0']
    assert not (tmp_path / 'tensorboard').exists()
    assert read_scalars(tmp_path / 'metrics.csv') == {('train', 'loss'): ([3], [0.25])}

  def test_a_run_that_goes_on_goes_on_there_and_a_fresh_one_begins_another(self, logs, mlflow):
    logs(track=('mlflow',)).close()
    logs(step=2, track=('mlflow',)).scalars(3, 'train', {'loss': 1.0})
    assert list(mlflow['runs']) == ['run0'] and mlflow['again'] == [('run0', 'RUNNING')] and mlflow['logged'][0][0] == 'run0'
    logs(track=('mlflow',))
    assert list(mlflow['runs']) == ['run0', 'run1']
    mlflow['runs'].clear()
    logs(step=2, track=('mlflow',))
    assert list(mlflow['runs']) == ['run0'], 'what is not there any more begins anew'

  def test_the_environment_says_where(self, logs, mlflow, monkeypatch):
    monkeypatch.setenv('MLFLOW_TRACKING_URI', 'http://server:5000')
    monkeypatch.setenv('MLFLOW_EXPERIMENT_NAME', 'eyes')
    logs(track=('mlflow',))
    assert mlflow['uri'] == 'http://server:5000' and list(mlflow['experiments']) == ['eyes']

  def test_a_server_that_does_not_answer_is_said_once_and_training_goes_on(self, logs, tmp_path, mlflow, caplog):
    log = logs(track=('mlflow', 'tensorboard'))
    mlflow['down'] = True
    with caplog.at_level(logging.ERROR):
      for step in (1, 2, 3):
        log.scalars(step, 'train', {'loss': 1.0})
    assert caplog.text.count('the server does not answer') == 1 and 'training continues' in caplog.text
    assert read_scalars(tmp_path / 'metrics.csv')['train', 'loss'][0] == [1, 2, 3]
    assert list((tmp_path / 'tensorboard').iterdir())

  def test_others_fill_the_same_interface(self, logs, tmp_path, monkeypatch):
    seen = []

    class Mine:

      def __init__(self, place):
        seen.append((place.directory, place.title, place.start))

      def scalars(self, step, values):
        seen.append((step, dict(values)))

      def close(self):
        seen.append('closed')

    monkeypatch.setitem(trackers.TRACKERS, 'mine', Mine)
    log = logs(step=4, track=('mine',), title='grade')
    log.scalars(5, 'validation', {'kappa': 0.5})
    log.close()
    assert seen == [(tmp_path, 'grade', 4), (5, {'validation/kappa': 0.5}), 'closed']

  def test_what_there_is_not_is_refused_with_what_there_is(self, monkeypatch):
    with pytest.raises(ValueError, match='there is no wandb; choose of tensorboard, mlflow'):
      trackers.check_trackers(('tensorboard', 'wandb'))
    monkeypatch.setitem(sys.modules, 'mlflow', None)
    with pytest.raises(ValueError, match=r"pip install 'lesion_jax\[mlflow\]'"):
      trackers.check_trackers('mlflow')
    assert trackers.check_trackers(()) == ()
