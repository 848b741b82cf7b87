"""A disk that is full, for tests."""

import contextlib
import resource


@contextlib.contextmanager
def full_disk():
  """No file may grow beyond a kilobyte: writing fails as on a full disk."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
