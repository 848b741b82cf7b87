"""Every network learns four images by heart, with the loss of its row in the paper's tables, and every pixel loss serves."""

import jax
import numpy as np
import pytest
from every_model import CLASSIFIERS, GRADERS, SEGMENTERS, each
from tiny import pack_bits

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import make_count_step, report
from lesion_jax.losses import get_loss
from lesion_jax.models import LESION_BRANCH
from lesion_jax.models.forward import forward
from lesion_jax.train.state import adamw, create_state, join_frozen, split_frozen
from lesion_jax.train.step import StepParams, make_train_step
from lesion_jax.weights.initialize import initialize

SIZE, IMAGES, STEPS = 64, 4, 120
PIXEL_LOSSES = ('dice', 'cross_entropy', 'weighted_cross_entropy', 'focal', 'dice_cross_entropy', 'focal_tversky')
# Of these every time; that gradients reach all of every kind of network is tested elsewhere.
LEARNING = ('lesion_net_16s', 'abn_classifier', 'multitask', 'focal_tversky')


def four_images():
  """Lesion i fills the left half of image i, lesion i + 4 its right half, each in a colour of its own; grade i."""
  colors = np.random.default_rng(0).integers(0, 256, (2 * IMAGES, 3))
  images = np.zeros((IMAGES, SIZE, SIZE, 3), np.uint8)
  lesions = np.zeros((IMAGES, SIZE, SIZE, 8), bool)
  for i in range(IMAGES):
    for lesion, half in ((i, slice(0, SIZE // 2)), (i + IMAGES, slice(SIZE // 2, SIZE))):
      images[i, :, half] = colors[lesion]
      lesions[i, :, half, lesion] = True
  return {
      'image': images, 'lesions': pack_bits(lesions), 'ignore': np.zeros((IMAGES, SIZE, SIZE), np.uint8),
      'annotated': np.full(IMAGES, 255, np.uint8), 'grade': np.arange(IMAGES, dtype=np.int32),
      'weight': np.ones(IMAGES, np.float32), 'row': np.arange(IMAGES, dtype=np.int32),
  }


def learn(network, loss, steps=STEPS):
  """The report on the four images after so many steps on them; the rate falls at the end."""
  batch = four_images()
  variables = initialize(network, jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), np.uint8), 0)
  frozen_name = LESION_BRANCH if hasattr(network, 'lesion') and not network.joint else None
  trainable, frozen = split_frozen(variables, frozen_name)
  optimizer = adamw()
  state, step = create_state(trainable, optimizer), jax.jit(make_train_step(network.apply, get_loss(loss), optimizer))
  for number in range(steps):
    rate = 1e-2 if number < 0.7 * steps else 1e-3
    state, _ = step(state, batch, frozen, StepParams(np.float32(rate), np.float32(0.8)))
  learned = join_frozen({'params': state.params, 'batch_stats': state.batch_stats}, frozen)
  counts = jax.jit(make_count_step(forward(network)))(learned, batch)
  return report({name: np.asarray(value).sum(0) for name, value in counts.items()}, LESION_KEYS)


@each(SEGMENTERS, LEARNING)
def test_a_segmentation_network_learns_where_lesions_are(network, request):
  name = request.node.callspec.id
  loss = 'dual_dice' if name.startswith('lesion_net') else 'dice'
  steps = 2 * STEPS if name == 'lesion_net_2s' else STEPS  # the longest decoder is on the edge after STEPS on some machines
  assert learn(network, loss, steps)['pixel_f1']['mean'] > 0.9


@pytest.mark.parametrize('loss', [pytest.param(name, marks=() if name in LEARNING else pytest.mark.slow) for name in PIXEL_LOSSES])
def test_every_pixel_loss_teaches(loss):
  assert learn(SEGMENTERS['lesion_net_16s'], loss)['pixel_f1']['mean'] > 0.9


@each(CLASSIFIERS, LEARNING)
def test_a_lesion_classifier_learns_which_there_are(network):
  assert learn(network, 'presence_dice')['image_f1']['mean'] > 0.9


@each(GRADERS, LEARNING)
def test_a_grading_network_learns_grades(network):
  joint = getattr(network, 'joint', False)
  found = learn(network, 'joint' if joint else 'grade_cross_entropy')
  assert found['accuracy']['value'] == 1
  assert not joint or found['pixel_f1']['mean'] > 0.9
