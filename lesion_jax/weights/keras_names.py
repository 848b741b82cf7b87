"""Which layer of Keras' `InceptionV3` is which of ours.

Keras names its 94 convolutions by a counter, conv2d, conv2d_1, ..., and each has its batch normalisation, counted
likewise. Legacy files have these names, counted in the order in which the code makes the layers; the counter starts
where the process had left it. Files of Keras 3 count anew, in the order of `model.layers`: the farthest from the output
first, and of those that are equally far the one made first. One table gives both orders.

Source: keras/applications/inception_v3.py, the same order since Keras 2 of 2017; its model's `layers`. Held by
tests/golden/test_keras_golden.py against what Keras computes.
"""

from __future__ import annotations

STEM = ('Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3')

# The layers of a block in the order in which Keras makes them, each with its distance from the end of the block, in
# convolutions (in the last kind the branches that fan out are joined before the block is: one more).
_A = {'branch1x1': 1, 'branch5x5_1': 2, 'branch5x5_2': 1,
      'branch3x3dbl_1': 3, 'branch3x3dbl_2': 2, 'branch3x3dbl_3': 1, 'branch_pool': 1}
_B = {'branch3x3': 1, 'branch3x3dbl_1': 3, 'branch3x3dbl_2': 2, 'branch3x3dbl_3': 1}
_C = {'branch1x1': 1, 'branch7x7_1': 3, 'branch7x7_2': 2, 'branch7x7_3': 1, 'branch7x7dbl_1': 5, 'branch7x7dbl_2': 4,
      'branch7x7dbl_3': 3, 'branch7x7dbl_4': 2, 'branch7x7dbl_5': 1, 'branch_pool': 1}
_D = {'branch3x3_1': 2, 'branch3x3_2': 1,
      'branch7x7x3_1': 4, 'branch7x7x3_2': 3, 'branch7x7x3_3': 2, 'branch7x7x3_4': 1}
_E = {'branch1x1': 1, 'branch3x3_1': 3, 'branch3x3_2a': 2, 'branch3x3_2b': 2, 'branch3x3dbl_1': 4,
      'branch3x3dbl_2': 3, 'branch3x3dbl_3a': 2, 'branch3x3dbl_3b': 2, 'branch_pool': 1}
BLOCKS = {  # mixed0 to mixed10
    'Mixed_5b': _A, 'Mixed_5c': _A, 'Mixed_5d': _A, 'Mixed_6a': _B, 'Mixed_6b': _C, 'Mixed_6c': _C, 'Mixed_6d': _C,
    'Mixed_6e': _C, 'Mixed_7a': _D, 'Mixed_7b': _E, 'Mixed_7c': _E,
}

# Our names of the 94 layers, in the order of making and in that of `model.layers`.
BY_CREATION = STEM + tuple(f'{block}/{layer}' for block, layers in BLOCKS.items() for layer in layers)
BY_DEPTH = STEM + tuple(
    f'{block}/{layer}' for block, layers in BLOCKS.items() for layer in sorted(layers, key=lambda name: -layers[name]))
