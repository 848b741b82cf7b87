"""What is special to Lesion-Net, the grader and the multi-task network, on a shallow encoder; and once at full size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from every_model import WIDTH, forward, pictures, variables_of
from scipy.special import expit
from tiny import CHANNELS, TINY_MODELS, TinyEncoder

from lesion_jax.models import MODELS, InceptionGrader, InceptionV3, LesionNet, MultiTask, get_model
from lesion_jax.models.lesion_net import STRIDES
from lesion_jax.models.side_attention import ConvAttention, CWMaxPool, average_to_grid
from lesion_jax.weights.initialize import initialize

tiny_net = functools.partial(LesionNet, encoder=TinyEncoder, width=WIDTH)


def tiny_multitask(attention='conv', **fields):
  return MultiTask(encoder=TinyEncoder, lesion=tiny_net(stride=8), attention=attention, **fields)


@pytest.mark.parametrize('stride', STRIDES)
def test_the_decoder_is_as_long_as_the_stride_asks(stride):
  params = variables_of(tiny_net(stride=stride))['params']
  stages = {f'decoder_{s}s' for s in (16, 8, 4, 2) if s >= stride}
  assert set(params) == {'encoder', 'head'} | stages


def test_integer_and_float_pictures_are_the_same():
  network, images = InceptionGrader(encoder=TinyEncoder), pictures(1, 32, 32)
  whole, real = (forward(network)(variables_of(network), x)['grades'] for x in (images, np.float32(images)))
  np.testing.assert_array_equal(whole, real)


@pytest.mark.parametrize(('size', 'grid'), [((8, 8), (2, 2)), ((45, 61), (2, 2)), ((10, 7), (3, 4)), ((5, 5), (5, 5))])
def test_maps_are_averaged_down_as_torchs_adaptive_pooling_does(size, grid):
  maps = np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
  expected = np.empty((2, *grid, 3))
  for i, j in np.ndindex(*grid):
    rows = slice(i * size[0] // grid[0], -(-(i + 1) * size[0] // grid[0]))
    columns = slice(j * size[1] // grid[1], -(-(j + 1) * size[1] // grid[1]))
    expected[:, i, j] = maps[:, rows, columns].mean((1, 2))
  np.testing.assert_allclose(average_to_grid(maps, grid), expected, rtol=1e-6)


def test_cw_maxpool_is_equation_6():
  maps = np.random.default_rng(0).random((2, 3, 4, 8)).astype(np.float32)
  found = CWMaxPool(features=5).apply({}, maps)
  np.testing.assert_array_equal(found, maps.max(-1, keepdims=True))


def test_conv_attention_is_equation_7():
  maps = np.random.default_rng(0).random((2, 5, 4, 8)).astype(np.float32)
  module = ConvAttention(features=6)
  variables = variables_of_attention(module, maps)

  def convolved(x, layer):
    kernel, bias = variables['params'][layer]['kernel'], variables['params'][layer]['bias']
    channels = [sum(scipy.signal.correlate2d(x[..., c], kernel[..., c, k], 'same') for c in range(x.shape[-1]))
                for k in range(kernel.shape[-1])]
    return np.stack(channels, -1) + bias

  expected = [expit(convolved(np.maximum(convolved(image, 'conv_1'), 0), 'conv_2')) for image in maps]
  np.testing.assert_allclose(module.apply(variables, maps), expected, rtol=1e-5)


def variables_of_attention(module, maps):
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(module.init, jax.random.key(0), maps)
  return jax.tree.map(lambda x: (rng.normal(size=x.shape) / 8).astype(np.float32), shapes)


@pytest.mark.parametrize('attention', ['conv', 'cw_maxpool'])
def test_the_features_are_weighed_by_the_attention(attention):
  """Eq. 5: Hadamard product, then global average pooling and the classifier."""
  network = tiny_multitask(attention)
  variables, images = variables_of(network), pictures(2, 64, 64)
  found = forward(network)(variables, images)
  grading = {collection: tree['grading'] for collection, tree in variables.items()}
  encode = jax.jit(functools.partial(TinyEncoder().apply, train=False))
  features = encode({collection: tree['encoder'] for collection, tree in grading.items()}, images)[32]
  pooled = (np.asarray(features) * found['attention']).mean((1, 2))
  head = grading['params']['head']['fc']
  np.testing.assert_allclose(found['grades'], pooled @ head['kernel'] + head['bias'], rtol=1e-4, atol=1e-5)
  assert found['attention'].shape == (2, 2, 2, CHANNELS[32] if attention == 'conv' else 1)


def test_the_head_of_edema_sees_what_the_head_of_grades_sees_and_changes_nothing_else():
  network, images = tiny_multitask(edema=True), pictures(2, 64, 64)
  variables = variables_of(network)
  found, kept = network.apply(variables, images, train=False, mutable=['intermediates'])
  pooled, head = kept['intermediates']['grading']['head']['pooled'][0], variables['params']['grading']['edema']['fc']
  np.testing.assert_allclose(found.edema, pooled @ head['kernel'] + head['bias'], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(found.probabilities().edema.sum(1), 1, rtol=1e-6)
  without = {**variables, 'params': {**variables['params'], 'grading': {
      name: tree for name, tree in variables['params']['grading'].items() if name != 'edema'}}}
  alone = tiny_multitask().apply(without, images, train=False)
  assert alone.edema is None
  np.testing.assert_allclose(found.grades, alone.grades, rtol=1e-5, atol=1e-6)


def test_the_maps_are_those_of_the_lesion_network_alone():
  network, images = tiny_multitask(), pictures(2, 32, 32)
  variables = variables_of(network)
  branch = {collection: tree['lesion'] for collection, tree in variables.items()}
  found, alone = forward(network)(variables, images), forward(network.lesion)(branch, images)
  np.testing.assert_allclose(found['maps'], alone['maps'], rtol=1e-4, atol=1e-5)


def test_a_json_object_describes_any_network():
  found = get_model('multitask', attention='cw_maxpool', dtype='bfloat16', lesion={'name': 'lesion_net_4s', 'width': 0.5})
  assert found == MultiTask(attention='cw_maxpool', dtype=jnp.bfloat16, lesion=LesionNet(stride=4, width=0.5))
  assert found.encoder is InceptionV3


@pytest.mark.parametrize(('fields', 'message'), [
    ({'name': 'resnet'}, f"unknown model 'resnet'; the models are {', '.join(MODELS)}"),
    ({'name': 'lesion_net_8s', 'depth': 3}, 'lesion_net_8s has no field depth; its fields are encoder, padding, width'),
    ({'name': 'lesion_net_8s', 'dtype': 'int8'}, "unknown dtype 'int8'; choose one of float32, bfloat16"),
    ({'name': 'multitask', 'lesion': {'name': 'lesion_net_3s'}}, "unknown model 'lesion_net_3s'"),
    ({'name': 'multitask', 'lesion': 'lesion_net_16s'}, "lesion='lesion_net_16s' is no network; give a module, or a mapping"),
    ({'name': 'lesion_concat', 'lesion': None}, "lesion='None' is no network"),
    ({'name': 'multitask', 'joint': 'no'}, "joint='no': give True or False"),
])
def test_an_error_lists_what_is_allowed(fields, message):
  with pytest.raises(ValueError) as error:
    get_model(**fields)
  assert message in str(error.value)


@pytest.mark.parametrize(('network', 'message'), [
    (tiny_net(stride=3), 'no stride 3; choose one of 2, 4, 8, 16, 32'),
    (tiny_multitask('dot'), "unknown attention 'dot'; choose one of conv, cw_maxpool"),
    (LesionNet(stride=16, padding='FULL'), "unknown padding 'FULL'; allowed: SAME, VALID"),
])
def test_a_field_that_makes_no_network_is_an_error(network, message):
  with pytest.raises(ValueError, match=message):
    initialize(network, jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8), 0)


def test_an_image_that_is_too_small_is_an_error():
  with pytest.raises(ValueError, match='16x32 is too small'):
    initialize(LesionNet(), jax.ShapeDtypeStruct((1, 16, 32, 3), np.uint8), 0)


@pytest.mark.slow
def test_the_papers_network_at_the_papers_size():
  """Full width at 896 x 896: 28 x 28 features, finite outputs."""
  network = get_model('multitask', lesion={'name': 'lesion_net_16s'})
  images = pictures(1, 896, 896)
  variables = initialize(network, images, seed=0)
  found = forward(network)(variables, images)
  shapes = {name: value.shape for name, value in found.items()}
  assert shapes == {'maps': (1, 896, 896, 8), 'lesions': (1, 8), 'grades': (1, 5), 'attention': (1, 28, 28, 2048)}
  assert all(np.isfinite(value).all() for value in found.values())


class TestASlimDecoder:

  def test_has_the_channels_that_are_asked_for_whatever_the_width(self):
    model = get_model('lesion_net_4s', width=0.5, decoder_channels=[24, 16, 8])  # a list, as JSON has it
    shapes = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, 64, 64, 3)), train=False), jax.random.key(0))
    for stride, channels in ((16, 24), (8, 16), (4, 8)):
      assert shapes['params'][f'decoder_{stride}s']['merge_2']['conv']['kernel'].shape[-1] == channels

  @pytest.mark.parametrize('name, channels', [('lesion_net_4s', (8, 8)), ('lesion_net_32s', (8,)),
                                              ('lesion_net_16s', (0,))])
  def test_needs_one_number_for_each_stage(self, name, channels):
    model = get_model(name, width=0.25, decoder_channels=channels)
    with pytest.raises(ValueError, match='decoder_channels'):
      jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, 64, 64, 3)), train=False), jax.random.key(0))


class TestRunningStatistics:
  """`encoder_norm='running'`: the encoder's BatchNorm neither looks at the batch nor moves while it is trained."""

  def _run(self, norm):
    model = TINY_MODELS['lesion_net_16s'](encoder_norm=norm)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    variables = initialize(model, jax.ShapeDtypeStruct(images.shape, images.dtype), 0)
    outputs, updates = model.apply(variables, images, train=True, mutable=['batch_stats'])
    taps = model.apply(variables, images, train=False)
    return variables, updates['batch_stats'], outputs, taps

  def test_they_stay_as_they_are_and_those_of_the_decoder_move(self):
    variables, moved, _, _ = self._run('running')
    same = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), variables['batch_stats'], moved)
    assert all(jax.tree.leaves(same['encoder'])) and not any(jax.tree.leaves(same['decoder_16s']))

  def test_otherwise_they_follow_the_batch(self):
    variables, moved, _, _ = self._run('batch')
    before, after = (tree['encoder']['block_2']['bn']['mean'] for tree in (variables['batch_stats'], moved))
    assert (np.asarray(after) != before).any()

  def test_another_word_is_refused(self):
    with pytest.raises(ValueError, match="unknown norm 'layer'; allowed: batch, running"):
      jax.eval_shape(lambda key: get_model('lesion_net_32s', width=0.25, encoder_norm='layer').init(
          key, jnp.zeros((1, 64, 64, 3)), train=False), jax.random.key(0))
