"""Every network of the library on the shallow encoder, and what the tests of them share."""

import functools

import jax
import numpy as np
import pytest
from tiny import TinyEncoder

from lesion_jax.models import MODELS
from lesion_jax.models.lesion_enhanced import LesionEnhanced
from lesion_jax.weights.initialize import initialize

WIDTH = 1 / 16
HEADS = ('maps', 'lesions', 'grades', 'attention')


def tiny(name, **fields):
  """The network of that name on the shallow encoder."""
  return MODELS[name](encoder=TinyEncoder, width=WIDTH, **fields)


SEGMENTERS = {name: tiny(name) for name in MODELS if name.startswith(('lesion_net', 'fcn', 'patch', 'unet', 'deep', 'danet'))}
CLASSIFIERS = {name: tiny(name) for name in MODELS if name.endswith('_classifier')}
GRADERS = {
    **{name: tiny(name) for name in MODELS if name.endswith('_grader')},
    'multitask': tiny('multitask', lesion=tiny('lesion_net_8s')),
    'multitask, CW-MaxPool': tiny('multitask', lesion=tiny('lesion_net_8s'), attention='cw_maxpool'),
    **{f'multitask, {name}': tiny('multitask', lesion=tiny(name)) for name in ('unet', 'fcn_8s', 'deeplab_v3_plus')},
    'multitask, joint': tiny('multitask', lesion=tiny('lesion_net_8s'), joint=True),
    'lesion_concat': tiny('lesion_concat', lesion=tiny('lesion_net_16s')),
    'lesion_concat of a classifier': tiny('lesion_concat', lesion=tiny('inception_v3_classifier')),
}
NETWORKS = SEGMENTERS | CLASSIFIERS | GRADERS
# One of each kind of decoder, of head and of attention; the others differ from one of them by a number.
REPRESENTATIVES = ('lesion_net_2s', 'patch_fcn_32s', 'fcn_8s', 'unet', 'deeplab_v3_plus', 'danet', 'inception_v3_classifier',
                   'inception_v3_grader', 'abn_grader', 'multitask', 'multitask, CW-MaxPool', 'lesion_concat')


def each(networks, shown=REPRESENTATIVES):
  """A test for each of `networks`, by name; those that are not among `shown` are for `make test-all`."""
  return pytest.mark.parametrize('network', [
      pytest.param(network, id=name, marks=() if name in shown else pytest.mark.slow)
      for name, network in networks.items()])


def is_frozen(network, name):
  """Whether training leaves the variable of that flat name alone."""
  return isinstance(network, LesionEnhanced) and not network.joint and name.startswith('lesion/')


def pictures(*shape, seed=0):
  """Random uint8 pictures, [*shape, 3]."""
  return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@functools.cache
def variables_of(network, seed=0):
  """Variables that are not at rest: gates are open, running statistics and biases are as after some training."""
  fresh = initialize(network, jax.ShapeDtypeStruct((1, 64, 64, 3), np.uint8), seed)
  rng = np.random.default_rng(seed)
  return jax.tree.map(lambda x: (x + rng.normal(0, 0.05, x.shape)).astype(np.float32), fresh)


def logits(outputs):
  """The heads that there are, by name."""
  return {name: value for name in HEADS if (value := getattr(outputs, name)) is not None}


@functools.cache
def forward(network):
  """`(variables, images) -> logits` by name, compiled."""
  return jax.jit(lambda variables, images: logits(network.apply(variables, images, train=False)))
