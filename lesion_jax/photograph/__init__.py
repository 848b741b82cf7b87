"""A photograph: read from its file, its field of view found, cropped and judged. NumPy in, NumPy out."""
