"""`lesion-jax export`: a bundle for another framework."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from lesion_jax.cli import options

FORMATS = ('torch', 'onnx', 'saved_model', 'stablehlo')  # of lesion_jax.export, spelt here so that help stays light

EXPORT = '''\
Writes a bundle as a folder for another framework:

  torch         readable PyTorch modules that need nothing of lesion_jax, and their state dict (safetensors)
  onnx          one graph from uint8 image to lesion maps, lesions and grade, for onnxruntime and others
  saved_model   for TensorFlow and TensorFlow Serving
  stablehlo     a program of jax.export for CPU and CUDA, and its weights

In each folder are a config.json of a page, the bundle's whole configuration (bundle.json), preprocessing/, which makes
the input of a photograph with NumPy and Pillow alone, and a README.md that says how to load it. All take uint8 RGB images
[B, S, S, 3] in batches of any size and return probabilities. They compute in float32.

What was written is run on random synthetic images and held to Flax: the largest difference in probability is
printed, and above the tolerance the export fails and leaves nothing.'''
EXAMPLES = '''\
examples:
  lesion-jax export --model runs/demo/grade/bundle --to onnx --out grade-onnx
  lesion-jax export --model bundle --to torch --out for-torch    (back: lesion-jax import-weights)

exit status: 0, or 1 where the export computes something else or could not be written, or 2 where it could not begin.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  export = commands.add_parser(
      'export', help='a bundle for PyTorch, ONNX, TensorFlow or StableHLO', description=EXPORT, epilog=EXAMPLES,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  export.add_argument('--model', required=True, type=pathlib.Path, metavar='BUNDLE',
                      help=options.NETWORK)
  export.add_argument('--to', required=True, choices=FORMATS, help='the format')
  export.add_argument('--out', required=True, type=pathlib.Path, metavar='PATH',
                      help='the folder to make; it must not exist, or be empty')
  export.add_argument('--tolerance', type=options.probability, default=1e-4, metavar='P',
                      help='how far a probability may be from that of Flax (default 1e-4); two frameworks add in '
                           'another order, which a network with large logits may feel more')
  export.set_defaults(run=_export, parser=export)


def _export(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  from lesion_jax import runtime
  from lesion_jax.export import ExportError, Refused, export
  from lesion_jax.predict.loading import read_whole

  runtime.set_up()
  try:
    bundle = read_whole(arguments.model)
  except (OSError, ValueError) as error:
    parser.error(f'--model {arguments.model}: {error}')
  try:
    differences = export(bundle, arguments.to, arguments.out, tolerance=arguments.tolerance)
  except FileExistsError as error:
    parser.error(f'--out {arguments.out}: {error}')
  except (ImportError, Refused) as error:
    parser.error(f'--to {arguments.to}: {error}')
  except (ExportError, OSError) as error:
    print(f'{arguments.to} failed: {error}', file=sys.stderr)
    return 1
  size = bundle.config['preprocessing']['size']
  print(f'largest difference in probability from Flax, random synthetic images of {size}x{size}: '
        + ', '.join(f'{head} {value:.1e}' for head, value in differences.items()))
  print(f'{arguments.out} has {", ".join(sorted(path.name for path in arguments.out.iterdir()))}')
  return 0
