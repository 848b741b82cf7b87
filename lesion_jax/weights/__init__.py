"""Bundles and weights: read, named, merged, stored. NumPy in, NumPy out."""
