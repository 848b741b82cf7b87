"""Pictures of examples: what is drawn as present."""

import numpy as np

from lesion_jax.core import LESION_KEYS
from lesion_jax.evaluate import present_in
from lesion_jax.metrics import Rule


def test_a_lesion_that_the_network_may_not_speak_of_is_not_present_whatever_its_map_says():
  rule = Rule('top500', np.full(8, 0.5))
  maps = np.full((16, 16, 8), 0.99, np.float32)
  maps[..., LESION_KEYS.index('iHE')] = 0.01
  example = {'maps': maps, 'lesion_probabilities': maps.max((0, 1))}
  found = present_in(example, rule, ['MA', 'iHE', 'CWS'])
  assert [key for key, each in zip(LESION_KEYS, found, strict=True) if each] == ['MA', 'CWS']
  assert present_in({'maps': None, 'lesion_probabilities': None}, rule, ['MA']) is None
