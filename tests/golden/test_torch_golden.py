"""The PyTorch networks that `lesion-jax export` writes give the golden arrays, which the Flax networks give as well."""

import importlib.util
import json

import make_abn
import make_inception_v3
import make_segmentation
import numpy as np
import pytest

torch = pytest.importorskip('torch')

from lesion_jax.export.lesion_jax_torch.encoder import Encoder  # noqa: E402

CASES = ('fcn_32s', 'fcn_16s', 'fcn_8s', 'unet', 'deeplab', 'danet', 'aspp', 'position_attention', 'channel_attention')
TOLERANCE = 1e-6  # of the largest value: the arrays are stored in float32


def stored(golden):
  with np.load(golden.PATH) as file:
    return dict(file)


def assert_equal(actual, expected, what):
  assert actual.shape == expected.shape, what
  assert np.abs(actual - expected).max() <= TOLERANCE * np.abs(expected).max(), what


@pytest.fixture(scope='module')
def modules():
  return make_segmentation.make_modules()


@pytest.fixture(scope='module')
def stock():
  """The golden arrays of torchvision's network, and its state dict."""
  arrays = stored(make_inception_v3)
  weights = make_inception_v3.make_weights(json.loads(str(arrays['shapes'])))
  return arrays, {name: torch.from_numpy(value) for name, value in weights.items()}


def test_all_that_was_stored_is_looked_at(modules):
  assert set(CASES) == set(modules) == set(json.loads(str(stored(make_segmentation)['shapes'])))


@pytest.mark.parametrize('name', CASES)
def test_segmentation_baselines(modules, name):
  arrays, found = stored(make_segmentation), make_segmentation.run(name, modules[name])
  assert found.shape == tuple(arrays[f'{name}/shape'])
  for what, actual in zip(('values', 'means'), make_segmentation.sample(found), strict=True):
    assert_equal(actual, arrays[f'{name}/{what}'], what)


@pytest.mark.parametrize('mode', ['rest', 'train'])
@pytest.mark.parametrize('task', make_abn.CLASSES)
def test_both_branches_of_the_attention_branch_network(task, mode):
  arrays = stored(make_abn)
  shapes, found = make_abn.run(task, mode, arrays['images'])
  assert shapes == {name: tuple(shape) for name, shape in json.loads(str(arrays[f'{task}/shapes'])).items()}
  for name, value in found.items():
    assert_equal(value, arrays[f'{task}/{mode}/{name}'], name)


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
def test_the_encoder_takes_torchvisions_weights_and_gives_its_activations(stock, padding):
  arrays, weights = stock
  encoder = Encoder(padding)
  missing, extra = encoder.load_state_dict(weights, strict=False)
  assert not missing and {name.partition('.')[0] for name in extra} == {'fc', 'AuxLogits'}
  with torch.inference_mode():
    taps = encoder.double().eval()(torch.from_numpy(arrays['images']))
  for stride, tap in taps.items():
    found = make_inception_v3.sample(tap.permute(0, 2, 3, 1).numpy())
    for what, actual in zip(('values', 'means'), found, strict=True):
      assert_equal(actual, arrays[f'{padding}/{stride}/{what}'], (stride, what))


@pytest.mark.parametrize('output_stride', [16, 8])
def test_a_dilated_encoder_keeps_the_pixels_of_the_one_that_is_not(output_stride):
  torch.manual_seed(0)
  encoder = Encoder(width=1 / 16).eval()
  dilated = Encoder(output_stride=output_stride, width=1 / 16).eval()
  dilated.load_state_dict(encoder.state_dict())
  images, step = torch.randint(0, 256, (1, 96, 96, 3), dtype=torch.uint8), 32 // output_stride
  with torch.inference_mode():
    expected, found = encoder(images)[32], dilated(images)[32]
  assert found.shape[2] == 96 // output_stride
  torch.testing.assert_close(found[:, :, ::step, ::step], expected)


@pytest.mark.skipif(not importlib.util.find_spec('torchvision'), reason='torchvision is not installed')
def test_torchvisions_own_module_takes_the_encoders_state_dict(stock):
  network = make_inception_v3.import_inception().inception_v3(weights=None, init_weights=False, transform_input=False)
  encoder = Encoder('VALID')
  encoder.load_state_dict(stock[1], strict=False)
  missing, extra = network.load_state_dict(encoder.state_dict(), strict=False)
  assert not extra and {name.partition('.')[0] for name in missing} == {'fc', 'AuxLogits'}
  features = []
  network.Mixed_7c.register_forward_hook(lambda *call: features.append(call[-1]))
  images = torch.from_numpy(stock[0]['images'])
  with torch.inference_mode():
    network.eval()((images.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    torch.testing.assert_close(features[0], encoder.eval()(images)[32])
