"""The networks in this package, pinned: what is not byte by byte what stands here is not used.

Written by `python -m experiments.package`, see docs/networks.md. By name: `folder` beside this file, `weights_sha256` of its
model.safetensors and `config_sha256` of its config.json, `about`, one line, `size`, side in pixels of the square that the
network takes, `storage` of its weights, and `licence` of weights and training data.
"""

DEFAULT = None  # the name of the one that is used where none is named

NETWORKS = {}
