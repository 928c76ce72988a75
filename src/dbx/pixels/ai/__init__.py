"""AI: models from disk, the runner that all use, training and what it learns from. Needs ``dbx-pixels[ai]``."""
