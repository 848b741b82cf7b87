"""What the service is told, and what it may not be told."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import pathlib
import stat
from collections.abc import Mapping
from typing import Any

TOKEN = 'LESION_JAX_TOKEN'  # the environment's variable
SHORTEST_TOKEN = 16  # characters; `openssl rand -hex 32` gives 64
LONGEST_TOKEN = 4096
LOOPBACK = ('127.0.0.1', '::1', 'localhost')
# What may be asked for besides the record, by what it is called in `include`.
INCLUDES = ('masks', 'outlines', 'overlay', 'field', 'attention')


@dataclasses.dataclass(frozen=True)
class Work:
  """What the worker is told; plain JSON, as it goes to another process.

  Attributes:
    options: of `bulk.Options`, by name: those that say how photographs are predicted.
    devices: one thread each, 'cpu', 'cuda:1'. (): every accelerator that there is, or else the CPU once.
    batch_size: photographs in one pass at most; 0: 8 on an accelerator, 1 on a CPU.
    batch_wait: seconds for which a batch that is not full waits for another photograph.
    threads: that read photographs and write pictures; None: as many as the process may use processors.
    memory: bytes that the process may use, see `photograph.threads.limited`.
    pixels: that a photograph may have; at most `photograph.read.MAX_PIXELS`.
    seconds: that reading one may take.
    imports: modules that register networks.
  """

  options: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
  devices: tuple[str, ...] = ()
  batch_size: int = 0
  batch_wait: float = 0.005
  threads: int | None = None
  memory: int | None = None
  pixels: int = 64_000_000
  seconds: float = 30.0
  imports: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
  """What the service is told. The numbers are our choice.

  Attributes:
    work: what the worker is told.
    host: the address to listen at.
    port: 0: any that is free.
    allow_remote: it may be another address than this machine's own, which takes a token.
    hosts: names, beside its own, by which callers may know it: what they send as Host and Origin.
    token: that callers have to send; None: none, on this machine alone.
    queue: photographs that are waiting or at work at once; who comes then gets 503.
    body_bytes: of one photograph.
    report_bytes: of all photographs of one report.
    photographs: of one report.
    held_bytes: of all that is held in memory for callers at once; who comes then gets 503.
    body_seconds: that sending a request may take.
    wait_seconds: that waiting for an answer may take.
    send_seconds: for which an answer that nobody takes is kept; one that is taken slowly, at 4 kB a second or more, comes whole.
    header_seconds: until a connection has asked for something.
    keep_seconds: for which a connection is kept for another request.
    connections: at once.
    stop_seconds: that those may take which are at work when the service is told to end.
  """

  work: Work = Work()
  host: str = '127.0.0.1'
  port: int = 8000
  allow_remote: bool = False
  hosts: tuple[str, ...] = ()
  token: str | None = dataclasses.field(default=None, repr=False)
  queue: int = 32
  body_bytes: int = 64 << 20
  report_bytes: int = 256 << 20
  photographs: int = 25
  held_bytes: int = 1 << 30
  body_seconds: float = 60.0
  wait_seconds: float = 120.0
  send_seconds: float = 60.0
  header_seconds: float = 10.0
  keep_seconds: float = 5.0
  connections: int = 256
  stop_seconds: float = 20.0

  def __post_init__(self) -> None:
    if not self.is_local and not self.allow_remote:
      raise ValueError(f'--host {self.host} can be reached from other machines: add --allow-remote, and a token (--token-file, or '
                       f'the variable {TOKEN}); or leave --host out')
    if not self.is_local and self.token is None:
      raise ValueError(f'--host {self.host} can be reached from other machines, so callers need a token: put one into a file for '
                       f'--token-file, or into the variable {TOKEN} (`openssl rand -hex 32` makes one)')
    if not 0 <= self.port < 1 << 16:
      raise ValueError(f'--port {self.port}: give a number from 0 to 65535')
    if self.token is not None:
      check_token(self.token, 'the token')
    for name in self.hosts:
      if not name or not name.isascii() or any(sign.isspace() or sign in '/*@?#,' for sign in name):
        raise ValueError(f'--allowed-host {name!r} is no name of a host: write eyes.example.org, or eyes.example.org:8443 where browsers see a port, '
                         'without https:// and without *')
    for name in ('queue', 'body_bytes', 'report_bytes', 'photographs', 'connections'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name} is {getattr(self, name)}; give a whole number from 1 on')
    if self.held_bytes < max(self.body_bytes, self.report_bytes):
      raise ValueError(f'held_bytes is {self.held_bytes}, less than one request may have')

  @property
  def is_local(self) -> bool:
    """Whether only this machine reaches the address."""
    return is_loopback(self.host)


def is_loopback(host: str) -> bool:
  """Returns whether an address, or a name, is this machine's own."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host.lower() == 'localhost'


def read_token(path: str | os.PathLike[str] | None) -> str | None:
  """Returns the token of a file, else that of the environment, from which it is taken out: no other process inherits it.

  Args:
    path: of a file with the token alone; None: none.

  Returns:
    None where there is neither.

  Raises:
    ValueError: the file cannot be read, or the token is none.
  """
  from_environment = os.environ.pop(TOKEN, None)
  if path is None:
    return from_environment if from_environment is None else check_token(from_environment.strip(), f'the variable {TOKEN}')
  try:
    with pathlib.Path(path).open('rb') as file:
      if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise ValueError(f'--token-file {path}: it is no file')
      text = file.read(LONGEST_TOKEN + 1).decode('ascii').strip()
  except OSError as error:
    raise ValueError(f'--token-file {path}: {error.strerror}') from error
  except UnicodeDecodeError:
    raise ValueError(f'--token-file {path}: a token is of letters, digits and signs of ASCII') from None
  return check_token(text, f'--token-file {path}')


def check_token(token: str, name: str) -> str:
  """Returns a token that can be one.

  Raises:
    ValueError: it is too short to be secret, too long, or has signs that do not go into a header.
  """
  if not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
    raise ValueError(f'{name} has {len(token)} characters; take {SHORTEST_TOKEN} or more (`openssl rand -hex 32` makes one)')
  if not all(33 <= ord(sign) < 127 for sign in token):
    raise ValueError(f'{name} has spaces, or signs that are not of ASCII; `openssl rand -hex 32` makes one that fits')
  return token
