"""A frozen lesion network that is asked about each training photograph once instead of at every step."""

import numpy as np
import pytest
from tiny import TINY_MODELS
from tiny_config import changed

from lesion_jax import main, models, stages
from lesion_jax.data import asked
from lesion_jax.train.logs import read_scalars
from lesion_jax.train.parallel import Devices

NEUTRAL = {f'grade__augmentation__{name}': (1.0, 1.0) for name in ('brightness', 'saturation', 'contrast')}


@pytest.fixture(autouse=True)
def shallow_networks(monkeypatch):
  monkeypatch.setattr(models, 'MODELS', TINY_MODELS)
  monkeypatch.setattr(main, 'write_run', lambda *unused: [])


def test_it_learns_what_it_would_have_learned(tmp_path):
  config = changed(**NEUTRAL)
  assert main.run(config, tmp_path / 'each', str(tmp_path / 'data'), lambda: False) == 0
  again = changed(**NEUTRAL, stages=('grade',), grade__data__ask_once=True,
                  segment__bundle=str(tmp_path / 'each' / 'segment' / 'bundle'))
  assert main.run(again, tmp_path / 'once', str(tmp_path / 'data'), lambda: False) == 0
  losses = [read_scalars(tmp_path / name / 'grade' / 'metrics.csv')['train', 'loss'][1] for name in ('each', 'once')]
  np.testing.assert_allclose(*losses, rtol=4e-3)  # the sums are in another order, and BatchNorm of few magnifies it
  assert (tmp_path / 'once' / 'grade' / asked.kept_outputs()).exists()


def test_answers_are_kept_and_others_are_forgotten(tmp_path):
  source = [{'id': str(number), 'image': np.full((2, 2, 3), number, np.uint8)} for number in range(3)]
  calls = []

  def look(image):
    calls.append(int(image[0, 0, 0]))
    return np.full(8, image.mean(), np.float32)

  for key, expected in (('a', [0, 1, 2]), ('a', []), ('b', [0, 1, 2])):
    calls.clear()
    found = asked.ask(look, source, tmp_path / 'found.npz', key=key)
    assert calls == expected and {name: float(value[0]) for name, value in found.items()} == {'0': 0, '1': 1, '2': 2}


@pytest.mark.parametrize(('changes', 'message'), [
    ({'grade__model__name': 'inception_v3_grader'}, 'around a frozen lesion network, and inception_v3_grader is none'),
    ({'grade__augmentation__rotation': (-5.0, 5.0)}, r'set augmentation.rotation=\(0, 0\)'),
    ({'grade__model__padding': 'VALID', 'segment__model__padding': 'VALID', 'segment__data__size': 96,
      'grade__data__size': 96}, "takes padding 'SAME'"),
    ({'grade__model__joint': True, 'grade__loss': 'joint'}, 'multitask with joint=True is none')])
def test_where_it_cannot_be_it_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    stages.check(changed(grade__data__ask_once=True, **changes), Devices())
