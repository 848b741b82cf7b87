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
        'weights_sha256': '94e5d4d210d4de33f9960bbd8573bab24d1cdf9ab1d20b3b03ab96c700d77ab8',
        'config_sha256': '55b8c1753c73df8efbd1ca0bb3da1bb4f443e5289151d77647bc33083ff45d37',
        'about': 'four lesions of diabetic retinopathy, silent in most healthy eyes, the grade DR0 to DR4 and the risk of macular edema; learned from IDRiD',
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
