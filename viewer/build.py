"""`make viewer`: copies OHIF as npm has it, without what is not needed, and our extension into the Python package."""

from __future__ import annotations

import gzip
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from notices import NOTICES, TAKEN_OUT, bundled_packages, packages_with_notices
from ohif import DIST, HERE, OHIF, files_of_ohif

VIEWER = HERE.parent / "src" / "dbx" / "pixels" / "web" / "viewer"
#: Where it is made, so that what is there is whole at any time; and where the one before goes.
NEW, OLD = (HERE.parent / "build" / name for name in ("viewer", "viewer-before"))

#: The library of OHIF's guided tour, which our mode does not offer: its licence, AGPL-3.0, is not for everybody.
TOUR_LIBRARY = re.compile(
    rb";// CONCATENATED MODULE: \S*/node_modules/shepherd\.js/\S*\n.*?(?=\n// EXTERNAL MODULE|\n;// CONCATENATED)",
    re.DOTALL,
)
#: Rules of its style sheet, and of OHIF's for it.
TOUR_STYLE = re.compile(rb"[^{}]*\.shepherd-[^{}]*\{[^{}]*\}")
COMPRESSIBLE = {".css", ".html", ".ico", ".js", ".json", ".svg", ".wasm", ".xml"}

# Two steps below the highest, which takes ten times as long and saves a twelfth.
BROTLI = pa.Codec("brotli", compression_level=9)


def main() -> None:
    """Copy all files: those that compress well as `name.br` and `name.gz` only, the others as they are."""
    files = {path.relative_to(DIST): path for path in files_of_ohif()}
    files |= {path.relative_to(HERE): path for path in [HERE / "app-config.js", *(HERE / "extension").rglob("*.js")]}
    files[Path("LICENSE.OHIF.txt")] = OHIF / "LICENSE"
    files[Path(NOTICES.name)] = NOTICES
    if missing := sorted(bundled_packages() - packages_with_notices()):
        sys.exit(f"{NOTICES.name} lacks {', '.join(missing)}: collect the licences again, see viewer/README.md")

    for folder in (NEW, OLD):
        shutil.rmtree(folder, ignore_errors=True)
    with ThreadPoolExecutor() as threads:
        written = sum(threads.map(_copy, files.values(), (NEW / name for name in files)))
    if VIEWER.exists():
        VIEWER.rename(OLD)
    NEW.rename(VIEWER)
    shutil.rmtree(OLD, ignore_errors=True)
    print(f"The viewer: {len(files)} files, {written / 1e6:.0f} MB in {VIEWER.relative_to(HERE.parent)}")


def _copy(source: Path, target: Path) -> int:
    """Copy one file, and return the number of bytes written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = _without_tour(source.read_bytes(), source)
    if source.suffix not in COMPRESSIBLE:
        return target.write_bytes(data)
    # Without a time stamp in it, the same file gives the same bytes.
    return target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(data, mtime=0)) + target.with_name(
        f"{target.name}.br"
    ).write_bytes(memoryview(BROTLI.compress(data)))


def _without_tour(data: bytes, source: Path) -> bytes:
    if source.name == "app.bundle.css":
        return TOUR_STYLE.sub(b"", data)
    if not source.name.startswith("app.bundle."):
        return data
    data, count = TOUR_LIBRARY.subn(b"", data)
    if count == 0:
        sys.exit(f"{TAKEN_OUT} is not where it was in OHIF's {source.name}: take it out, see viewer/README.md")
    return data


if __name__ == "__main__":
    main()
