"""OHIF as npm has it, and what of it the viewer is made of."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
OHIF = HERE / "node_modules" / "@ohif" / "app"
DIST = OHIF / "dist"

#: ONNX models of tools that we do not offer, the viewer of whole slide images, a service worker that nothing registers,
#: and settings and libraries for ways to host the viewer that are not ours.
_LEFT_OUT = {
    *("ort", "dicom-microscopy-viewer", "customizations", "sw.js", "_headers", "_redirects", "serve.json"),
    *("app-config.js", "google.js", "es6-shim.min.js", "polyfill.min.js", "oidc-client.min.js", "silent-refresh.html"),
}
#: Numbers of the scripts and style sheets of OHIF's extension for whole slide images, in which is code under the LGPL.
_WHOLE_SLIDES = {"5189", "5731", "8832"}


def files_of_ohif() -> list[Path]:
    """List the files that go into the viewer."""
    return [path for path in DIST.rglob("*") if path.is_file() and not _is_left_out(path)]


def _is_left_out(path: Path) -> bool:
    number = path.name.split(".", 1)[0]
    return path.relative_to(DIST).parts[0] in _LEFT_OUT or number in _WHOLE_SLIDES or path.suffix == ".map"
