"""The networks in this package, pinned: what is not byte by byte what stands here is not used.

Written by `python -m experiments.package`, see docs/networks.md. By name: `folder` beside this file, `weights_sha256` of its
model.safetensors and `config_sha256` of its config.json, `about`, one line, `size`, side in pixels of the square that the
network takes, `storage` of its weights, and `licence` of weights and training data. `landmarks` of an entry names the network of
LANDMARKS that is used beside it.
"""

DEFAULT = 'idrid'  # the name of the one that is used where none is named

NETWORKS = {
    'idrid': {
        'folder': 'idrid',
        'weights_sha256': '56f5177726c90bdc70ada20c54f93494e33e49ecf6cbb12a350893e62aea8e36',
        'config_sha256': '64d9fde7caac511a1c9e2a481b92b1138469a70ef4dc58e427dc84dfb350c833',
        'about': 'four lesions of diabetic retinopathy, silent in most healthy eyes; learned from IDRiD; no grade',
        'size': 1440,
        'storage': 'int8',
        'licence': 'weights Apache-2.0; data CC BY 4.0 (IDRiD)',
        'landmarks': 'landmarks',
    },
}

LANDMARKS = {
    'landmarks': {
        'folder': 'landmarks',
        'weights_sha256': 'cc1ccc1a06bb121544826bee5c4b95beb7c397fe295f039d03d9b1a9ef382303',
        'config_sha256': '7c45148dbe33f2dc722498a6f7eda816190c02dd213462c8c13feddc9dc2a519',
        'about': 'centres of optic disc and fovea, or that they are outside the field; learned from IDRiD',
        'size': 256,
        'storage': 'float16',
        'licence': 'weights Apache-2.0; data CC BY 4.0 (IDRiD)',
    },
}
