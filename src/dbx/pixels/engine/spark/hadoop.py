"""Addresses as Hadoop spells them, by whose file systems Spark reads files."""

from __future__ import annotations

from dbx.pixels.errors import EngineError
from dbx.pixels.storage.paths import is_remote

#: Where Hadoop's scheme is another one; none if it has no such addresses.
_SCHEMES = {"s3": "s3a", "az": None}
_OF_PATTERNS = str.maketrans({letter: f"\\{letter}" for letter in "\\{}[]*?^"})


def hadoop_path(address: str) -> str:
    """Spell a canonical address of a file as Hadoop does, without what it would take for a pattern.

    Raises
    ------
    EngineError
        If Hadoop has no such addresses.
    """
    scheme, _, path = address.partition("://") if is_remote(address) else ("file", "", address)
    found = _SCHEMES.get(scheme, scheme)
    if found is None:
        raise EngineError(
            address,
            f"cannot be read by Spark: Hadoop has no {scheme}://",
            "Name the table by abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH.",
        )
    return f"{found}://{path.translate(_OF_PATTERNS)}"
