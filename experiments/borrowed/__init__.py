"""A borrowed GPU: no package index, runs limited in time, files brought along. See `python -m experiments.borrowed`.

`loads`, `pieces`, `parts`, `state` and `run` need nothing but Python: what they bring along is not installed yet.
"""
