"""Configurations: pure data, made into objects by `lesion_jax.stages`."""
