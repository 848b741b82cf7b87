"""The two attention blocks of DANet: every position looks at all positions, every channel at all channels.

Source: Fu et al., 'Dual Attention Network for Scene Segmentation', CVPR 2019. Both add what they gather to their input,
times a gate `gamma` that starts at zero, so a fresh block is the identity.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from lesion_jax.core import Array

REDUCTION = 8  # of the channels by which positions are compared
CHUNK = 1024  # queries at a time


def attend(query: Array, key: Array, value: Array, *, chunk: int = CHUNK) -> jax.Array:
  """Computes softmax(query key^T) value, the softmax over the keys, without holding all of softmax(query key^T).

  Queries are taken in chunks, each compared with all keys, so every row of the softmax is exact. The backward pass
  computes each chunk again. Memory grows with B * chunk * N instead of B * N^2, twice over: at 896x896 and an output
  stride of 8, N is 12,544, and one such matrix in float32 is 629 MB an image.

  Energies, softmax and all sums are float32; the operands of the products keep their type.

  Args:
    query: [B, N, D].
    key: [B, M, D].
    value: [B, M, C].
    chunk: queries at a time. There is no loop when N is not larger: XLA runs a loop's body on one CPU thread.

  Returns:
    [B, N, C], of the type of `value`.

  Raises:
    ValueError: `chunk` is below 1.
  """
  if chunk < 1:
    raise ValueError(f'a chunk of {chunk} positions; it must be at least 1, {CHUNK} is the default')
  # Float32 outside of the loop, the operands' own type inside: so the loop sums their gradients in float32.
  keys, values = key.astype(jnp.float32), value.astype(jnp.float32)

  def rows(query: Array) -> jax.Array:
    energy = jnp.einsum('bnd,bmd->bnm', query, keys.astype(key.dtype), precision='highest',
                        preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(energy).astype(value.dtype)
    found = jnp.einsum('bnm,bmc->bnc', weights, values.astype(value.dtype), preferred_element_type=jnp.float32)
    return found.astype(value.dtype)

  batch, positions, channels = query.shape
  if positions <= chunk:
    return rows(query)
  chunks = -(-positions // chunk)
  padded = jnp.pad(query, ((0, 0), (0, chunks * chunk - positions), (0, 0)))
  padded = padded.reshape(batch, chunks, chunk, channels).swapaxes(0, 1)
  found = jax.lax.map(jax.checkpoint(rows), padded)
  return found.swapaxes(0, 1).reshape(batch, chunks * chunk, -1)[:, :positions]


def gated(module: nn.Module, found: Array, x: Array) -> jax.Array:
  """Computes gamma * found + x in float32, then of the type of `x`; makes the parameter `gamma` [1] of `module`."""
  gamma = module.param('gamma', nn.initializers.zeros, (1,))
  return (gamma * found.astype(jnp.float32) + x.astype(jnp.float32)).astype(x.dtype)


class PositionAttention(nn.Module):
  """Adds to every position a mean over all positions, weighed by how alike they are (section 3.2 of DANet's paper).

  Query and key are 1x1 convolutions to an eighth of the channels, the value one to all of them, all with biases (as
  published, though the key's has no effect: it adds the same to all energies of a query).

  Attributes:
    chunk: positions whose attention is held at a time, see `attend`.
    dtype: of the computation.
  """

  chunk: int = CHUNK
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> jax.Array:
    """[B, h, w, C] -> [B, h, w, C]."""
    channels = x.shape[-1]
    flat = lambda y: y.reshape(y.shape[0], -1, y.shape[-1])
    conv = lambda name, features: flat(nn.Conv(features, (1, 1), dtype=self.dtype, name=name)(x))
    reduced = max(1, channels // REDUCTION)
    found = attend(conv('query', reduced), conv('key', reduced), conv('value', channels), chunk=self.chunk)
    return gated(self, found.reshape(x.shape), x)


class ChannelAttention(nn.Module):
  """Adds to every channel a mean over all channels, weighed by how *unlike* they are (section 3.3 of DANet's paper).

  The softmax is over each row's maximum minus its energies X X^T, as in the authors' program; the paper's formula has
  the energies themselves.

  Attributes:
    dtype: of the products; energies, softmax and sums are float32.
  """

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> jax.Array:
    """[B, h, w, C] -> [B, h, w, C]."""
    flat = x.reshape(x.shape[0], -1, x.shape[-1]).astype(self.dtype)
    energy = jnp.einsum('bnc,bnd->bcd', flat, flat, precision='highest', preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(jax.lax.stop_gradient(energy.max(axis=-1, keepdims=True)) - energy).astype(self.dtype)
    found = jnp.einsum('bcd,bnd->bnc', weights, flat, preferred_element_type=jnp.float32)
    return gated(self, found.reshape(x.shape), x)
