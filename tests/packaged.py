"""A package with networks in it: those of the oracle, in a folder of their own in the place of lesion_jax/pretrained."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import oracle

from lesion_jax import models, pretrained
from lesion_jax.core import LESION_KEYS
from lesion_jax.pretrained import networks
from lesion_jax.weights.bundle import save_bundle

METRICS = {'pixel_f1': {'mean': 0.51, 'lesions': dict.fromkeys(LESION_KEYS, 0.51)},
           'aupr': {'mean': None, 'lesions': dict.fromkeys(LESION_KEYS)}, 'kappa': {'value': 0.77, 'reason': ''},
           'referable': {'sensitivity': {'value': 0.9, 'reason': ''}, 'specificity': {'value': None, 'reason': 'none'}}}


def empty(monkeypatch, tmp_path):
  """No network is packaged; returns the folder in which they would lie, with a registry that says so."""
  root = tmp_path / 'package'
  root.mkdir()
  shutil.copyfile(networks.__file__, root / 'networks.py')
  monkeypatch.setattr(pretrained, 'ROOT', root)
  monkeypatch.setattr(networks, 'NETWORKS', {})
  monkeypatch.setattr(networks, 'DEFAULT', None)
  monkeypatch.setattr(networks, 'LANDMARKS', {})
  return root


def packaged(monkeypatch, tmp_path, *names, default=None, storage='float16', **changes):
  """Packages the oracle under each name, that at `default` or the first one to be used without a name; returns the folder."""
  root = empty(monkeypatch, tmp_path)
  monkeypatch.setitem(models.MODELS, 'oracle', oracle.Oracle)
  for name in names:
    config = oracle.oracle_config(annotated=['MA', 'CWS'], metrics=METRICS, **changes)
    save_bundle(root / name, config=config, variables={'params': {'gain': np.float32(1)}}, card='card', storage=storage)
    digests = {key: digest(root / name / file) for file, key in pretrained.PINNED.items()}
    networks.NETWORKS[name] = {'folder': name, 'about': f'the oracle as {name}', 'licence': 'CC0', 'size': oracle.SIZE,
                               'storage': storage, **digests}
  monkeypatch.setattr(networks, 'DEFAULT', default or names[0])
  return root


def digest(path):
  """SHA-256 of a file, as it is pinned."""
  return hashlib.sha256(path.read_bytes()).hexdigest()
