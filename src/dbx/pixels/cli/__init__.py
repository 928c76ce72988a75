"""The `pixels` command: each verb mirrors a Python call."""

from dbx.pixels.cli.main import main

__all__ = ["main"]
