"""Every network equals its PyTorch twin. Those with golden arrays are in tests/golden, the others here."""

import pytest

torch = pytest.importorskip('torch')

import tiny_torch  # noqa: E402

from lesion_jax.export import lesion_jax_torch  # noqa: E402
from lesion_jax.export.check import compare  # noqa: E402
from lesion_jax.export.source import Source  # noqa: E402
from lesion_jax.export.to_torch import make_module, make_run  # noqa: E402
from lesion_jax.models import MODELS  # noqa: E402

WIDTH = 1 / 16
LESION_NET = {'name': 'lesion_net_8s', 'width': WIDTH}
MULTITASK = {'name': 'multitask', 'lesion': LESION_NET, 'width': WIDTH}
CASES = [
    *({'name': f'lesion_net_{stride}s', 'width': WIDTH} for stride in (32, 16, 8, 4, 2)),
    {'name': 'lesion_net_32s', 'stride': 4, 'width': WIDTH, 'dtype': 'bfloat16'},  # computes in float32 all the same
    {'name': 'patch_fcn_32s', 'grid': 2},
    {'name': 'inception_v3_classifier', 'remat': True},
    {'name': 'inception_v3_grader'},
    MULTITASK,
    MULTITASK | {'attention': 'cw_maxpool', 'joint': True},
    MULTITASK | {'grading_size': 32},
    MULTITASK | {'edema': True},
    {'name': 'lesion_concat', 'lesion': {'name': 'inception_v3_classifier'}},
]
GOLDEN = {'fcn_32s', 'fcn_16s', 'fcn_8s', 'unet', 'deeplab_v3_plus', 'danet', 'abn_classifier', 'abn_grader'}


@pytest.fixture
def twin(monkeypatch):
  """`twin(bundle) -> the PyTorch network with its weights`, on the shallow encoder."""
  monkeypatch.setattr(lesion_jax_torch, 'build', tiny_torch.build)
  return lambda bundle: make_module(Source.of(bundle))


def test_every_network_of_the_library_has_a_twin_that_is_tested():
  assert set(lesion_jax_torch.NETWORKS) == set(MODELS) == GOLDEN | {case['name'] for case in CASES}


@pytest.mark.parametrize('model', CASES, ids=lambda model: ' '.join(map(str, model.values())))
def test_the_twin_predicts_what_flax_predicts(make_bundle, twin, model):
  bundle = make_bundle(**model)
  differences = compare(make_run(twin(bundle)), Source.of(bundle))
  assert max(differences.values()) < 3e-6


@pytest.mark.parametrize('joint', [False, True])
def test_a_twin_learns_as_any_other_module_and_leaves_the_lesion_branch_alone_unless_joint(make_bundle, twin, joint):
  network = twin(make_bundle(**MULTITASK, joint=joint)).train()
  before = {name: value.clone() for name, value in network.state_dict().items() if value.is_floating_point()}
  images = torch.randint(0, 256, (4, 48, 48, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
  optimizer = torch.optim.SGD([value for value in network.parameters() if value.requires_grad], 0.1)
  losses = []
  for _ in range(5):
    loss = torch.nn.functional.cross_entropy(network(images, logits=True)['grades'], torch.tensor([0, 1, 2, 3]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
  assert losses[-1] < losses[0]
  after = network.state_dict()
  moved = {name.partition('.')[0] for name, value in before.items() if not torch.equal(value, after[name])}
  assert moved == ({'grading', 'lesion'} if joint else {'grading'})
