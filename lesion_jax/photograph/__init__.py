"""A photograph: read from its file, its field of view found, cropped and assessed. NumPy in, NumPy out."""
