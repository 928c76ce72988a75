def join(data_sets: list[memoryview | bytes], key: bytes) -> tuple[bytes, bool]:
    """Put an opening brace before each and commas between them, and tell whether a key is in there."""
