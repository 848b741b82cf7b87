"""What setup.cfg cannot say: the files of configs/ go into the wheel, as presets by name. All else is there."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=['lesion_jax*']), 'lesion_jax.presets.configs'],
      package_dir={'lesion_jax.presets.configs': 'configs'})
