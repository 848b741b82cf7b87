"""The ONNX graph computes what Flax computes, for any batch, and says of itself what a program needs to know."""

import json

import numpy as np
import pytest

pytest.importorskip('torch')
onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

import tiny_torch  # noqa: E402

from lesion_jax.export import export, lesion_jax_torch  # noqa: E402
from lesion_jax.export.to_onnx import OPSET  # noqa: E402

MULTITASK = {'name': 'multitask', 'width': 1 / 16, 'lesion': {'name': 'lesion_net_8s', 'width': 1 / 16}}


@pytest.fixture
def save(make_bundle, monkeypatch, tmp_path):
  """`save(model) -> (bundle, folder, differences)`, on the shallow encoder."""
  monkeypatch.setattr(lesion_jax_torch, 'build', tiny_torch.build)

  def run(model):
    bundle = make_bundle(**model)
    return bundle, tmp_path / 'net', export(bundle, 'onnx', tmp_path / 'net')

  return run


def test_one_graph_from_uint8_images_to_all_outputs_in_batches_of_any_size(save):
  bundle, path, differences = save(MULTITASK)
  assert list(differences) == ['maps', 'lesions', 'grades', 'attention'] and max(differences.values()) < 3e-6
  assert sorted(file.name for file in path.iterdir()) == ['README.md', 'bundle.json', 'config.json', 'model.onnx', 'preprocessing']
  session = onnxruntime.InferenceSession(path / 'model.onnx', providers=['CPUExecutionProvider'])
  (taken,) = session.get_inputs()
  assert (taken.name, taken.type, taken.shape) == ('images', 'tensor(uint8)', ['batch', 48, 48, 3])
  made = {output.name: output.shape for output in session.get_outputs()}
  assert made == {'maps': ['batch', 48, 48, 8], 'lesions': ['batch', 8], 'grades': ['batch', 5],
                  'attention': ['batch', 2, 2]}
  assert session.run(['lesions'], {'images': np.zeros((5, 48, 48, 3), np.uint8)})[0].shape == (5, 8)

  model = onnx.load(path / 'model.onnx')
  onnx.checker.check_model(model, full_check=True)
  assert [(domain.domain, domain.version) for domain in model.opset_import] == [('', OPSET)]
  described = session.get_modelmeta().custom_metadata_map
  for key in ('lesions', 'grades', 'thresholds', 'annotated', 'preprocessing'):
    assert json.loads(described[key]) == bundle.config[key]
  assert described['model'] == 'multitask'
  assert described['weights_sha256'] in (path / 'README.md').read_text()


@pytest.mark.parametrize('model', [
    {'name': 'danet', 'width': 1 / 16, 'chunk': 5, 'output_stride': 8},
    {'name': 'patch_fcn_32s', 'grid': 2},
], ids=lambda model: model['name'])
def test_networks_with_operations_of_their_own(save, model):
  assert max(save(model)[-1].values()) < 3e-6
