"""`python -m lesion_jax.cli`, the console script without an installation."""

from __future__ import annotations

import sys

from lesion_jax.cli import main

if __name__ == '__main__':
  sys.exit(main())
