"""The oracle among the networks, for a worker in another process: `--import serving_oracle`."""

from __future__ import annotations

import oracle

from lesion_jax import models

models.MODELS['oracle'] = oracle.Oracle
