"""Configurations: pure data. Only `lesion_jax.build` reads them."""
