"""The learning rate by step, as a share of the rate that the plateau holds; worked out once, on the host."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

PLATEAU = 'plateau'
SCHEDULES = (PLATEAU, 'cosine', 'poly')


def shares(
    name: str, *, max_steps: int | None, warm_up: int = 0, final_lr_factor: float = 0.01, power: float = 0.9,
) -> np.ndarray:
  """Returns the share of the rate at each step.

  Args:
    name: 'plateau' (the paper's, section IV-A: the plateau divides the rate, and this share is 1), 'cosine' (half a
      wave from 1 to `final_lr_factor`, Loshchilov and Hutter 2017, without restarts) or 'poly' ((1 - t) ** power to 0, as in
      DeepLab, Chen et al. 2018); t goes from 0 at the end of the warm-up to 1 at `max_steps`.
    max_steps: length of the run; cosine and poly need one.
    warm_up: steps over which the share rises, linearly from 0 at the first one, to 1 (Goyal et al. 2017); 0: none.
    final_lr_factor: of cosine, the share at the end.
    power: of poly.

  Returns:
    float32 [n]. Entry i is of the step with i steps done before it; those after the last entry are as the last one.

  Raises:
    ValueError: there is no such schedule, or it cannot be had with these numbers.
  """
  if name not in SCHEDULES:
    raise ValueError(f'unknown schedule {name!r}; the schedules are {", ".join(SCHEDULES)}')
  if warm_up < 0 or (max_steps and warm_up >= max_steps):
    raise ValueError('warm_up counts steps, from 0 for none to less than the max_steps of the run; got '
                     f'warm_up={warm_up} of max_steps={max_steps}')
  if not 0 <= final_lr_factor <= 1:
    raise ValueError(f'final_lr_factor is the share of the rate at the end, in 0..1; got {final_lr_factor}')
  if not power > 0:
    raise ValueError(f'power is of the decay of poly, above 0; got {power}')
  if name == PLATEAU:
    schedule, count = optax.join_schedules(
        [optax.linear_schedule(0.0, 1.0, warm_up), optax.constant_schedule(1.0)], [warm_up]), warm_up + 1
  elif not max_steps:
    raise ValueError(f'the schedule {name!r} needs to know the length of the run: set max_steps, or take '
                     f'schedule={PLATEAU!r}')
  elif name == 'cosine':
    schedule, count = optax.warmup_cosine_decay_schedule(0.0, 1.0, warm_up, max_steps, final_lr_factor), max_steps
  else:
    decay = optax.polynomial_schedule(1.0, 0.0, power, max_steps - warm_up)
    schedule, count = optax.join_schedules([optax.linear_schedule(0.0, 1.0, warm_up), decay], [warm_up]), max_steps
  return np.array(jax.vmap(schedule)(jnp.arange(count)), np.float32)
