"""What XLA computes slowly on a CPU, computed otherwise there: pools, wide convolutions, gradients of kernels, sums.

Networks, losses and steps know nothing of it: their traced functions are computed again with other operations."""

from lesion_jax.cpu.arrangement import arranged
from lesion_jax.cpu.sums import summed

__all__ = ['arranged', 'summed']
