"""The SavedModel computes what Flax computes, by the signature that TensorFlow Serving asks for."""

import pytest

pytestmark = pytest.mark.filterwarnings('ignore')  # TensorFlow's, of itself

tf = pytest.importorskip('tensorflow')

from lesion_jax.export import export  # noqa: E402

CASES = [
    {'name': 'multitask', 'width': 1 / 16, 'lesion': {'name': 'lesion_net_8s', 'width': 1 / 16}},
    {'name': 'danet', 'width': 1 / 16, 'chunk': 5},
    {'name': 'patch_fcn_32s', 'grid': 2},
    {'name': 'abn_grader', 'width': 1 / 16},
]


@pytest.mark.parametrize('model', CASES, ids=lambda model: model['name'])
def test_the_signature_computes_what_flax_computes(make_bundle, tmp_path, model):
  differences = export(make_bundle(**model), 'saved_model', tmp_path / 'net')
  assert max(differences.values()) < 1e-6
  served = [path.name for path in (tmp_path / 'net').iterdir() if path.name.isdecimal()]
  assert served == ['1'], 'the versions that TensorFlow Serving finds'
  signature = tf.saved_model.load(str(tmp_path / 'net' / '1')).signatures['serving_default']
  (images,) = signature.structured_input_signature[1].values()
  assert (images.name, images.dtype, images.shape.as_list()) == ('images', tf.uint8, [None, 48, 48, 3])
  found = signature(images=tf.zeros([5, 48, 48, 3], tf.uint8))
  assert {head: value.shape[0] for head, value in found.items()} == dict.fromkeys(differences, 5)
