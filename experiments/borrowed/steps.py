"""Training steps on real photographs, whole ones, as `lesion_jax.main` takes them: from disk through augmentation to the
optimiser, with the share of time that is spent waiting for data, and the memory.

  python -m experiments.borrowed.steps --source_dir=DIR --size=896 --batch=16 --out=steps-896.json

The network and all else is `configs/idrid.py` at its preset, of part A alone and without crops.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from configs import idrid as preset_of
from experiments import record
from experiments.borrowed import probe
from lesion_jax import runtime


def main(argv: Sequence[str] | None = None) -> int:
  """Measures; returns 0."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--source_dir', type=pathlib.Path, required=True, help="IDRiD's part A")
  parser.add_argument('--data_dir', type=pathlib.Path, default=pathlib.Path('runs/data'), help='of preprocessed data')
  parser.add_argument('--preset', default='gpu', choices=preset_of.PRESETS)
  parser.add_argument('--size', type=int, required=True, help='side of the photographs')
  parser.add_argument('--batch', type=int, required=True)
  parser.add_argument('--steps', type=int, default=40, help='that are measured (default 40)')
  parser.add_argument('--out', type=pathlib.Path, required=True, help='the JSON file')
  options = parser.parse_args(argv)
  runtime.use_cache()
  config = preset_of.get_config(options.preset)
  config.segment.data.update(name='idrid', source_dir=str(options.source_dir), weights=(), size=options.size, crop=0,
                             crop_scale=(1.0, 1.0))
  config.segment.batch_size = options.batch
  measured = probe.measure(config, options.data_dir, options.steps)
  model = config.segment.model
  record.save(options.out, {
      'command': f'python -m experiments.borrowed.steps --source_dir=DIR --size={options.size} --batch={options.batch}',
      'network': model.name, 'dtype': model.dtype, 'size': options.size, 'batch': options.batch, **measured,
      'images_per_second': options.batch / measured['seconds']['mean'], 'peak_memory': record.peak_memory(),
      'hardware': record.hardware(), 'versions': record.versions()})
  print(f'{options.size}, batch {options.batch}: {measured["seconds"]["mean"]:.3f} s a step')
  return 0


if __name__ == '__main__':
  sys.exit(main())
