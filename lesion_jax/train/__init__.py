"""The training step, its schedule, its loop, checkpoints and logs."""
