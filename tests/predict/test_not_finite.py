"""A network whose weights are no numbers, or whose answers are none, answers nothing."""

import jax
import numpy as np
import oracle
import pytest
from oracle import photograph
from safetensors.numpy import load_file, save_file

from lesion_jax.cli import main
from lesion_jax.predict import load
from lesion_jax.weights.bundle import save_bundle


@pytest.fixture
def overflowing(make_bundle, monkeypatch):
  from lesion_jax import models

  path = make_bundle(model={'name': 'overflowing'})
  monkeypatch.setitem(models.MODELS, 'overflowing', oracle.Overflowing)
  return path


def test_an_answer_that_is_no_number_is_refused(overflowing):
  predictor = load(overflowing)
  with pytest.raises(FloatingPointError, match=r'outputs something that is not a number \(maps\)'):
    predictor(photograph())


def test_the_command_says_so_in_a_line(overflowing, tmp_path, capsys):
  from PIL import Image

  Image.fromarray(photograph()).save(tmp_path / 'eye.png')
  assert main(['predict', str(tmp_path / 'eye.png'), '--model', str(overflowing), '--out', str(tmp_path / 'out')]) == 1
  said = capsys.readouterr().err
  assert 'something that is not a number' in said and 'Traceback' not in said


def test_maxima_of_prediction_keep_nan(overflowing):
  predictor = load(overflowing)
  found = predictor.predict_fn(predictor.variables, np.zeros((1, oracle.SIZE, oracle.SIZE, 3), np.uint8))
  assert np.isnan(found.lesions).all()


class TestInsideAnotherProgram:
  """Under a trace it is the plain function, whatever options of the compiler it has alone."""

  IMAGES = np.stack([photograph(oracle.SIZE, oracle.SIZE, center=(32, 32), radius=30, grade=grade) for grade in (1, 3)])

  @pytest.mark.parametrize('options', [{}, {'tta': 'flips'}])
  def test_jit_vmap_and_map_say_what_it_says(self, make_bundle, options):
    predictor = load(make_bundle(), **options)
    fn, variables = predictor.predict_fn, predictor.variables
    expected = fn(variables, self.IMAGES)
    with_axis = lambda found: jax.tree.map(lambda x: x[:, 0], found)
    others = {
        'jit': jax.jit(fn)(variables, self.IMAGES),
        'jit of constants': jax.jit(lambda: fn(variables, self.IMAGES))(),
        'vmap': with_axis(jax.vmap(fn, (None, 0))(variables, self.IMAGES[:, None])),
        'map': with_axis(jax.lax.map(lambda image: fn(variables, image[None]), self.IMAGES)),
        'shape': None,
    }
    assert jax.eval_shape(fn, variables, self.IMAGES).grades.shape == (2, 5)
    for name, found in others.items():
      if found is not None:
        np.testing.assert_allclose(found.maps, expected.maps, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.grades, expected.grades, atol=1e-6, err_msg=name)
    assert fn._cache_size() == 1

  def test_its_gradient_is_that_of_the_network(self, make_bundle):
    predictor = load(make_bundle(gain=0.01))
    of = lambda apply: jax.grad(lambda variables: apply(variables, self.IMAGES).maps.sum())(predictor.variables)
    expected = of(lambda variables, images: oracle.Oracle().apply(variables, images, train=False).probabilities())
    assert expected['params']['gain'] != 0
    np.testing.assert_allclose(of(predictor.predict_fn)['params']['gain'], expected['params']['gain'], rtol=1e-5)


class TestBundle:

  @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
  def test_weights_that_are_not_finite_are_refused(self, make_tiny_bundle, value):
    path = make_tiny_bundle({'name': 'lesion_net_32s'})
    change_weights(path, lambda arrays: arrays | {
        name: np.full_like(array, value) for name, array in arrays.items() if name.endswith('score/bias')})
    with pytest.raises(ValueError, match=r'score/bias has 8 of 8 weights that are not finite'):
      load(path)

  def test_weights_that_are_not_finite_in_the_type_of_the_network_are_refused(self, make_tiny_bundle):
    path = make_tiny_bundle({'name': 'lesion_net_32s'})
    change_weights(path, lambda arrays: {name: array.astype(np.float64) + 1e300 * name.endswith('score/bias') for name, array in arrays.items()})
    with pytest.raises(ValueError, match=r'score/bias has 8 of 8 weights that are not finite .*beyond float32'):
      load(path)

  def test_a_type_that_is_not_floating_point_is_refused(self, make_tiny_bundle):
    path = make_tiny_bundle({'name': 'lesion_net_32s'})
    change_weights(path, lambda arrays: {name: array.astype(np.int16) for name, array in arrays.items()})
    with pytest.raises(ValueError, match='is int16, and weights are floating-point numbers'):
      load(path)

  @pytest.mark.parametrize('name', ['params/encoder/beside/kernel', 'batch_stats/mean', 'params/stranger'])
  def test_an_array_that_the_network_has_not_is_refused(self, make_tiny_bundle, name):
    path = make_tiny_bundle({'name': 'lesion_net_32s'})
    change_weights(path, lambda arrays: arrays | {name: np.ones((3, 3), np.float32)})
    with pytest.raises(ValueError, match=rf'has not, {name} for instance'):
      load(path)

  @pytest.mark.parametrize('name', ['params/' + 'a/' * 700 + 'kernel', 'params/' + 'a' * 400])
  def test_a_name_without_end_is_refused_and_cut(self, make_tiny_bundle, name):
    path = make_tiny_bundle({'name': 'lesion_net_32s'})
    change_weights(path, lambda arrays: arrays | {name: np.ones(3, np.float32)})
    with pytest.raises(ValueError, match='an array whose name has .* characters and .* at most') as error:
      load(path)
    assert len(str(error.value)) < 400

  @pytest.mark.parametrize(('model', 'message'), [
      ({'name': 'lesion_net_32s', 'width': 1e300}, 'width=1e.300: a multiplier'),
      ({'name': 'lesion_net_32s', 'width': -1.0}, 'width=-1.0: a multiplier'),
      ({'name': 'lesion_net_32s', 'decoder_channels': [4] * 500}, 'decoder_channels has 500 items'),
      ({'name': 'lesion_net_32s', 'stride': 10**40}, 'stride: the number 1000.*is beyond'),
      ({'name': ['x']}, 'model'),
  ])
  def test_numbers_that_no_network_has_are_refused(self, make_bundle, model, message):
    with pytest.raises(ValueError, match=message) as error:
      load(make_bundle(model=model))
    assert len(str(error.value)) < 700

  @pytest.mark.parametrize('dtype', [None, 'bfloat16'])
  @pytest.mark.parametrize('depth', [4, 900])
  def test_networks_in_one_another_are_counted(self, make_bundle, depth, dtype):
    model = {'name': 'lesion_net_32s'}
    for _ in range(depth):
      model = {'name': 'multitask', 'lesion': model}
    path = make_bundle()
    text = (path / 'config.json').read_text().replace('"name": "oracle"', '"name": "multitask", "lesion": @', 1)
    inner = '{"name": "multitask", "lesion": ' * depth + '{"name": "lesion_net_32s"}' + '}' * depth
    (path / 'config.json').write_text(text.replace('@', inner))
    with pytest.raises(ValueError, match='networks lie more than 3 deep|is not JSON'):
      load(path, dtype=dtype)

  @pytest.mark.parametrize('constant', ['NaN', 'Infinity', '-Infinity'])
  def test_what_json_has_not_is_refused(self, make_bundle, constant):
    path = make_bundle()
    (path / 'config.json').write_text((path / 'config.json').read_text().replace('"seed": 7', f'"seed": {constant}'))
    with pytest.raises(ValueError, match=rf'is not JSON \(it has the value {constant}'):
      load(path)

  def test_none_of_them_can_be_saved(self, tmp_path):
    for array in (np.float32(np.nan), np.int32(3)):
      with pytest.raises(ValueError, match='not finite|floating-point'):
        save_bundle(tmp_path / 'net', config=oracle.oracle_config(), variables={'params': {'gain': array}}, card='')
    assert not (tmp_path / 'net').exists()


def change_weights(path, change):
  """Other weights in a bundle, with the digest that goes with them."""
  import hashlib
  import json

  save_file(change(load_file(path / 'model.safetensors')), path / 'model.safetensors')
  config = json.loads((path / 'config.json').read_text())
  config['weights_sha256'] = hashlib.sha256((path / 'model.safetensors').read_bytes()).hexdigest()
  (path / 'config.json').write_text(json.dumps(config))
