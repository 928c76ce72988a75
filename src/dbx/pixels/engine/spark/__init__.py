"""Spark as the engine: DataFrames whose record batches are worked on by executors. Needs the extra `spark`."""
