"""lesion_jax: retinal lesion segmentation and diabetic-retinopathy grading in JAX/Flax."""

__version__ = '0.1.0'
