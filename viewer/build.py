"""`make viewer`: copies OHIF as npm has it, without what is not needed, and our extension into the Python package."""

from __future__ import annotations

import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

HERE = Path(__file__).parent
OHIF = HERE / "node_modules" / "@ohif" / "app"
VIEWER = HERE.parent / "src" / "dbx" / "pixels" / "web" / "viewer"

#: ONNX models of tools that we do not offer, the viewer of whole slide images, a service worker that nothing registers,
#: and settings and libraries for ways to host the viewer that are not ours.
LEFT_OUT = {
    *("ort", "dicom-microscopy-viewer", "customizations", "sw.js", "_headers", "_redirects", "serve.json"),
    *("app-config.js", "google.js", "es6-shim.min.js", "polyfill.min.js", "oidc-client.min.js", "silent-refresh.html"),
}
COMPRESSIBLE = {".css", ".html", ".ico", ".js", ".json", ".svg", ".wasm", ".xml"}

# Two steps below the highest, which takes ten times as long and saves a twelfth.
BROTLI = pa.Codec("brotli", compression_level=9)


def main() -> None:
    """Copy all files: those that compress well as `name.br` and `name.gz` only, the others as they are."""
    dist = OHIF / "dist"
    files = {
        path.relative_to(dist): path
        for path in dist.rglob("*")
        if path.is_file() and path.relative_to(dist).parts[0] not in LEFT_OUT and path.suffix != ".map"
    }
    files |= {path.relative_to(HERE): path for path in [HERE / "app-config.js", *(HERE / "extension").iterdir()]}
    files[Path("LICENSE.OHIF.txt")] = OHIF / "LICENSE"

    shutil.rmtree(VIEWER, ignore_errors=True)
    with ThreadPoolExecutor() as threads:
        written = sum(threads.map(_copy, files.values(), (VIEWER / name for name in files)))
    print(f"The viewer: {len(files)} files, {written / 1e6:.0f} MB in {VIEWER.relative_to(HERE.parent)}")


def _copy(source: Path, target: Path) -> int:
    """Copy one file, and return the number of bytes written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    if source.suffix not in COMPRESSIBLE:
        return target.write_bytes(data)
    # Without a time stamp in it, the same file gives the same bytes.
    return target.with_name(f"{target.name}.gz").write_bytes(gzip.compress(data, mtime=0)) + target.with_name(
        f"{target.name}.br"
    ).write_bytes(memoryview(BROTLI.compress(data)))


if __name__ == "__main__":
    main()
