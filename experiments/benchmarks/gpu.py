"""All that a GPU is to show, one benchmark after another; one that fails does not keep the others from running.

In bfloat16 at 896: inference at batch 1 and 32, memory, training with batches of 8 to 64, and two profiles, in that
order. Each program writes its result when it ends, `train` after each batch. Needs jax, flax, optax, numpy and torch
alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import subprocess
import sys

from experiments import page

IMPLEMENTATIONS = '--implementations ours torch torch_compiled'  # 'plain' is ours there, and onnxruntime is for CPUs
RUNS = {
    'predict': f'predict --dtype bfloat16 --batch 1 32 --count 10 {IMPLEMENTATIONS}',
    'memory': f'memory --dtype bfloat16 --batch 1 {IMPLEMENTATIONS}',
    'train': f'train --size 896 --dtype bfloat16 --batch 8 16 32 64 --steps 10 {IMPLEMENTATIONS}',
    'profile-inference': 'profile inference --dtype bfloat16 --batch 32',
    'profile-step': 'profile step --size 896 --dtype bfloat16 --batch 8',
}


# Behind these, as a rehearsal on a CPU: without compiled PyTorch, which takes minutes there, and without PyTorch where it is not.
TINY = '--size 64 --width 0.125 --batch 1'
SMALL = {
    'predict': f'{TINY} --count 1 --rounds 2',
    'memory': TINY,
    'train': f'{TINY} --steps 1 --rounds 2',
    'profile-inference': TINY,
    'profile-step': TINY,
}


def add_options(parser: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  parser.add_argument('--only', choices=RUNS, nargs='+', default=list(RUNS), help='of these (default: all)')
  parser.add_argument('--small', action='store_true', help='the same programs on small networks and photographs, as a rehearsal')
  parser.add_argument('--resume', action='store_true', help='of `train`: keep the batches that a stopped run left in --out')
  parser.add_argument('--out', type=pathlib.Path, default=page.BENCHMARKS)


def run(arguments: argparse.Namespace) -> int:
  """Runs them; returns 1 where one failed."""
  failed = []
  for name in arguments.only:
    peer = ['torch'] if importlib.util.find_spec('torch') else []
    small = arguments.small and IMPLEMENTATIONS in RUNS[name]
    command = [sys.executable, '-m', 'experiments.benchmark', *RUNS[name].split(),
               *(SMALL[name].split() if arguments.small else []), *(['--implementations', 'ours', *peer] if small else []),
               *(['--resume'] if arguments.resume and name == 'train' else []), '--out', str(arguments.out)]
    print(f'== {" ".join(command[1:])}', flush=True)
    if subprocess.run(command, check=False).returncode:
      failed.append(name)
  if failed:
    print(f'these failed, each says above why: {", ".join(failed)}', file=sys.stderr)
  return 1 if failed else 0
