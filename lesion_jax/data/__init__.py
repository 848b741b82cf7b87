"""From releases on disk to uint8 batches. NumPy in, NumPy out."""
