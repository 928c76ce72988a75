def scan(path: str) -> tuple[tuple[int, int], list[str], list[str], int | None]:
    """Key of the folder, names of files and links, names of folders, and if it is empty, since when."""

def look(path: str, names: list[str]) -> tuple[list[str], list[int], list[int], list[str], list[tuple[str, int]]]:
    """Paths, times and lengths of regular files, names of links to folders, and paths with what went wrong."""
