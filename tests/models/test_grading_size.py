"""A grading branch that sees a smaller picture than the lesion branch, and a lesion branch that is asked beforehand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from every_model import pictures, tiny, variables_of

from lesion_jax.augment import Augmentation, augment
from lesion_jax.models.side_attention import average_to_grid

SMALL = 64
NETWORKS = {
    'multitask': tiny('multitask', lesion=tiny('lesion_net_8s'), grading_size=SMALL),
    'CW-MaxPool': tiny('multitask', lesion=tiny('lesion_net_8s'), attention='cw_maxpool', grading_size=SMALL),
    'lesion_concat': tiny('lesion_concat', lesion=tiny('inception_v3_classifier'), grading_size=SMALL),
}
every_network = pytest.mark.parametrize('network', [
    pytest.param(network, id=name, marks=pytest.mark.slow if name == 'CW-MaxPool' else ()) for name, network in NETWORKS.items()])
TURNS = Augmentation((0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 0.5, 0.5, (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), quarter_turns=True)


@functools.cache
def applied(network, method='__call__'):
  return jax.jit(functools.partial(network.apply, method=method), static_argnames='train')


@every_network
def test_the_grading_branch_sees_the_means_and_the_lesion_branch_the_whole(network):
  images, variables = pictures(2, 128, 128), variables_of(network)
  found = applied(network)(variables, images, train=False)
  means = images.reshape(2, SMALL, 2, SMALL, 2, 3).mean((2, 4))
  alone = applied(network.lesion)(*({name: tree['lesion'] for name, tree in variables.items()}, images), train=False)
  np.testing.assert_allclose(found.lesions, alone.lesions, atol=1e-5)
  second = jax.nn.sigmoid(found.lesions if found.maps is None else found.maps)
  np.testing.assert_allclose(applied(network, 'grade')(variables, np.float32(means), second, train=False).grades,
                             found.grades, rtol=1e-4, atol=1e-5)
  assert network.clone(grading_size=0).apply(variables, images, train=False).grades.shape == found.grades.shape


@every_network
def test_what_was_found_beforehand_gives_the_same_grades(network):
  images, variables = pictures(2, 128, 128), variables_of(network)
  kept = applied(network, 'look')(variables, images)
  assert kept.shape == ((2, 8) if 'Concat' in type(network).__name__ else (2, 2, 2, 8))
  whole, again = (applied(network)(variables, images, train=False),
                  applied(network, 'grade')(variables, images, kept, train=False))
  np.testing.assert_allclose(again.grades, whole.grades, rtol=1e-4, atol=1e-5)
  assert (again.attention is None) == (whole.attention is None)


def test_what_was_found_moves_with_the_picture():
  image = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
  cells = np.asarray(average_to_grid(image.astype(np.float32), (4, 4)))
  batch = {'image': image, 'row': np.arange(16, dtype=np.int32), 'found': jnp.asarray(np.tile(cells, 3)[..., :8])}
  moved = augment(batch, seed=3, step=1, spec=TURNS)
  np.testing.assert_allclose(moved['found'][..., :3], average_to_grid(moved['image'], (4, 4)), rtol=1e-5)
  assert len({np.asarray(each).tobytes() for each in (moved['image'] == image)}) > 1  # some moved, some did not


def test_what_was_found_cannot_be_turned_by_degrees():
  batch = {'image': pictures(1, 32, 32), 'row': np.zeros(1, np.int32), 'found': np.zeros((1, 4, 4, 8), np.float32)}
  with pytest.raises(ValueError, match='moves by flips and quarter turns alone; leave rotation, scale and shift neutral'):
    augment(batch, seed=0, step=0, spec=Augmentation())


@pytest.mark.parametrize(('fields', 'message'), [
    ({'grading_size': 256}, 'grading_size=256: give a number of pixels above 0 and at most that of the images, 128'),
    ({'grading_size': -64}, 'grading_size=-64: give a number of pixels above 0'),
    ({'padding': 'VALID'}, "takes padding 'SAME' and a multiple of 32"),
    ({'grading_size': 72}, 'images of 72 pixels.* a multiple of 32')])
def test_mistakes_are_named(fields, message):
  network = NETWORKS['multitask'].clone(**fields)
  with pytest.raises(ValueError, match=message):
    variables = variables_of(NETWORKS['multitask'])
    network.apply(variables, network.apply(variables, pictures(1, 128, 128), method='look')
                  if not message.startswith('grading_size') else pictures(1, 128, 128),
                  **({'train': False} if message.startswith('grading_size') else {}))
