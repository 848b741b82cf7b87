"""A folder of photographs of one's own as it lies on disk: its files, its table, and the layouts that it may have."""
