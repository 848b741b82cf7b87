"""`lesion-jax serve`: photographs by HTTP."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

from lesion_jax.cli import options
from lesion_jax.extras import require

SERVE = '''\
Takes photographs by HTTP and answers with what `lesion-jax predict` writes: POST /v1/predict. In a browser, the page at / takes
photographs that are dropped on it and gives the report. /docs says what else there is.

It listens on this machine alone unless it is told otherwise, which takes a token. Nothing that callers send is kept, and no
name of theirs is in the log, which is lines of JSON on standard error.'''
EXAMPLES = '''\
examples:
  lesion-jax serve                                     (then open http://127.0.0.1:8000)
  lesion-jax serve --model bundle --device cuda:0 --batch-size 8
  lesion-jax serve --host 0.0.0.0 --allow-remote --token-file token --allowed-host eyes.example.org    (behind a proxy with TLS)
  curl -F photograph=@eye.jpg http://127.0.0.1:8000/v1/predict

exit status: 0 where it was told to end, 2 where it could not begin or could not go on.'''


def add(commands: Any) -> None:
  """Adds the command to the sub-parsers `commands`."""
  serve = commands.add_parser('serve', help='photographs by HTTP, and a page to drop them on', description=SERVE, epilog=EXAMPLES,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
  _add_network(serve)
  _add_address(serve)
  _add_limits(serve)
  serve.set_defaults(run=_serve, parser=serve)


def _add_network(parser: argparse.ArgumentParser) -> None:
  """As of `predict`, where `lesion-jax predict --help` says more."""
  parser.add_argument('--model', type=pathlib.Path, action='append', metavar='BUNDLE',
                      help=f'{options.NETWORK}; given several times, the probabilities of all are averaged (default: the default '
                           'network of this package, where it has one)')
  parser.add_argument('--threshold', type=options.thresholds, default={}, metavar='T', help='as of `predict`')
  parser.add_argument('--rule', choices=['bundle', 'maximum'], default='bundle', help='as of `predict`')
  parser.add_argument('--operating-point', metavar='NAME', help='as of `predict`')
  parser.add_argument('--crop', action=argparse.BooleanOptionalAction, help='as of `predict`')
  parser.add_argument('--tta', choices=['flips', 'dihedral'], help='as of `predict`')
  parser.add_argument('--window', type=options.window, metavar='N', help=options.WINDOW)
  parser.add_argument('--dtype', choices=['float32', 'bfloat16'], help='as of `predict`')
  parser.add_argument('--backend', choices=['jax', 'onnxruntime'], default='jax', help='as of `predict`')
  options.add_smallest(parser, "the model's own, if it has one")
  landmarks = parser.add_mutually_exclusive_group()
  landmarks.add_argument('--landmarks', metavar='BUNDLE', help='as of `predict`')
  landmarks.add_argument('--no-landmarks', dest='landmarks', action='store_false', default=None, help='do not')
  parser.add_argument('--device', action='append', default=[], metavar='D',
                      help='where: cpu, gpu, cuda:1; given several times, photographs are dealt to all (default: every accelerator, else '
                           'the CPU)')
  parser.add_argument('--batch-size', type=options.positive, default=0, metavar='N',
                      help='photographs in one pass at most (default 8 on an accelerator, 1 on a CPU)')
  parser.add_argument('--batch-wait', type=options.natural, default=5, metavar='MS',
                      help='milliseconds for which a batch that is not full waits for another photograph (default 5)')


def _add_address(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('--host', default='127.0.0.1', metavar='ADDRESS', help='to listen at (default 127.0.0.1, this machine alone)')
  parser.add_argument('--port', type=options.natural, default=8000, metavar='N', help='0: any that is free (default 8000)')
  parser.add_argument('--allow-remote', action='store_true',
                      help='--host may be an address that other machines reach. This takes a token; TLS is the matter of a proxy in front')
  parser.add_argument('--token-file', type=pathlib.Path, metavar='FILE',
                      help='with the token that callers have to send, of 16 characters or more (default: the variable LESION_JAX_TOKEN of the '
                           'environment, else none); it is never given on the command line, which others can see')
  parser.add_argument('--token', type=_no_token, help=argparse.SUPPRESS)  # else it would be taken for the beginning of --token-file
  parser.add_argument('--allowed-host', action='append', default=[], metavar='NAME',
                      help='a name, or name:port, beside its own by which browsers know the service, as that of a proxy')


def _add_limits(parser: argparse.ArgumentParser) -> None:
  options.add_limits(parser, seconds=30)
  parser.add_argument('--queue', type=options.positive, default=32, metavar='N',
                      help='photographs that may wait or be at work at once; whoever comes then is told to come again (503, default 32)')
  parser.add_argument('--body-bytes', type=options.memory, default=64 << 20, metavar='BYTES', help='of one photograph (default 64M)')
  parser.add_argument('--pixels', type=options.positive, default=64_000_000, metavar='N', help='of one photograph (default 64000000, the most '
                      'that is read)')
  parser.add_argument('--body-seconds', type=options.positive, default=60, metavar='N', help='that sending a request may take (default 60)')
  parser.add_argument('--wait-seconds', type=options.positive, default=120, metavar='N',
                      help='that waiting for an answer may take (default 120)')
  parser.add_argument('--photographs', type=options.positive, default=25, metavar='N', help='of one report (default 25)')


def _no_token(text: str) -> str:
  raise argparse.ArgumentTypeError('others can see what is on a command line: put the token into a file for --token-file')


def _serve(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
  require('serve', 'prometheus_client', 'python_multipart', 'starlette', 'uvicorn')
  from lesion_jax.serve.server import Unusable, serve

  try:
    settings = _settings(arguments)
  except ValueError as error:
    parser.error(str(error))
  try:
    serve(settings)
  except Unusable as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:  # it was told to end, and did
    pass
  return 0


def _settings(arguments: argparse.Namespace) -> Any:
  """Raises ValueError where they do not go together."""
  from lesion_jax.serve.settings import Settings, Work, read_token

  chosen = {'models': list(map(str, arguments.model or ())), 'thresholds': arguments.threshold, 'rule': arguments.rule,
            'crop': arguments.crop, 'tta': arguments.tta, 'window': arguments.window, 'dtype': arguments.dtype,
            'backend': arguments.backend, 'smallest': arguments.smallest, 'landmarks': arguments.landmarks,
            'operating_point': arguments.operating_point}
  work = Work(
      options=chosen, devices=tuple(arguments.device), batch_size=arguments.batch_size, batch_wait=arguments.batch_wait / 1000,
      threads=arguments.threads, memory=arguments.memory, pixels=arguments.pixels, seconds=arguments.seconds,
      imports=tuple(getattr(arguments, 'import')))
  report = max(4 * arguments.body_bytes, 256 << 20)
  return Settings(
      work=work, host=arguments.host, port=arguments.port, allow_remote=arguments.allow_remote, hosts=tuple(arguments.allowed_host),
      token=read_token(arguments.token_file), queue=arguments.queue, body_bytes=arguments.body_bytes, report_bytes=report,
      held_bytes=max(4 * report, 1 << 30), photographs=arguments.photographs, body_seconds=arguments.body_seconds,
      wait_seconds=arguments.wait_seconds)
