"""What every network of the paper shares: an Inception-v3 encoder and how it is configured."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from lesion_jax.models.inception_v3 import InceptionV3


class Network(nn.Module):
  """Base of the networks: the fields with which they build their encoder.

  Attributes:
    encoder: class of the encoder; called with the fields below, returns taps by stride (see `InceptionV3`).
    padding: 'SAME' (28x28 at 896, the paper's size) or 'VALID' (stock Inception-v3).
    width: multiplier of the encoder's and the decoder's channel counts; 1.0 is the paper's network.
    dtype: dtype of the computation; parameters and logits are float32 always.
    bn_axis: name of the mapped axis over which BatchNorm averages its training statistics; None: per device.
    remat: recompute the activations of each block in the backward pass, to save memory.
    encoder_norm: by what BatchNorm in the encoder normalises while it is trained, 'batch' or 'running', see
      `InceptionV3.norm`. What lies behind the encoder normalises by the batch always.
  """

  encoder: Callable[..., nn.Module] = InceptionV3
  padding: str = 'SAME'
  width: float = 1.0
  dtype: jnp.dtype = jnp.float32
  bn_axis: str | None = None
  remat: bool = False
  encoder_norm: str = 'batch'

  def make_encoder(self, *, output_stride: int = 32, name: str = 'encoder') -> nn.Module:
    """Returns the encoder as a submodule. `output_stride` is the stride of the deepest tap's grid."""
    return self.encoder(padding=self.padding, width=self.width, dtype=self.dtype, bn_axis=self.bn_axis,
                        remat=self.remat, norm=self.encoder_norm, output_stride=output_stride, name=name)
