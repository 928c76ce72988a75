"""The licences of what is inside OHIF's bundles, which npm has without them.

`python viewer/notices.py FOLDER` writes them to `NOTICES.txt`, from the packages that are installed in a folder; see
README.md. `build.py` checks that none is missing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from ohif import HERE, files_of_ohif

NOTICES = HERE / "NOTICES.txt"

#: Comments in the bundles that say which file of which package follows.
_MODULE = re.compile(rb"(?:MODULE: |// )\S*?node_modules/(?:\.pnpm/[^/]+/node_modules/)?((?:@[\w.-]+/)?[\w.-]+)/")
#: What no comment names: OHIF's decoders and font, and what is part of modules that others name.
_UNNAMED = {
    *(f"@cornerstonejs/codec-{name}" for name in ("charls", "libjpeg-turbo-8bit", "openjpeg", "openjph")),
    *("@fontsource/inter", "@remix-run/router", "base64-arraybuffer", "crypto-js", "css-line-break", "ieee754"),
    *("lodash", "loglevel", "react-is", "scheduler", "text-segmentation", "utrie"),
}
#: What `build.py` takes out.
TAKEN_OUT = "shepherd.js"
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice)", re.IGNORECASE)
_RULE = "-" * 80
#: What the licence says that some packages name only.
_MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def bundled_packages() -> set[str]:
    """Name the packages that OHIF's scripts have in them."""
    scripts = (path.read_bytes() for path in files_of_ohif() if path.suffix == ".js")
    found = (match[1].decode() for script in scripts for match in _MODULE.finditer(script))
    return {*found, *_UNNAMED} - {TAKEN_OUT}


def packages_with_notices() -> set[str]:
    """Name the packages whose licences are in `NOTICES.txt`."""
    return set(re.findall(r"^\* (\S+)", NOTICES.read_text("utf-8"), re.MULTILINE))


def main(folder: Path) -> None:
    """Write the licences of all bundled packages, each text once."""
    names_by_text = defaultdict(list)
    for name in sorted(bundled_packages()):
        package = folder / "node_modules" / name
        about = json.loads((package / "package.json").read_text("utf-8"))
        names_by_text[_texts(package, about)].append(f"* {name} ({about.get('license', 'see below')})")
    sections = ["OHIF's scripts have these packages in them.", *_sections(names_by_text)]
    NOTICES.write_text(f"\n\n{_RULE}\n".join(sections) + "\n", "utf-8")
    print(f"{NOTICES.name}: {sum(map(len, names_by_text.values()))} packages, {len(names_by_text)} texts")


def _sections(names_by_text: dict[str, list[str]]) -> list[str]:
    return ["\n".join(names) + f"\n\n{text}" for text, names in names_by_text.items()]


def _texts(package: Path, about: dict) -> str:
    files = sorted(path for path in package.iterdir() if path.is_file() and _LICENCE_FILE.match(path.name))
    if files:
        lines = (line.rstrip() for path in files for line in path.read_text("utf-8", "replace").strip().splitlines())
        return "\n".join(lines)
    author = about.get("author") or "its contributors"
    name = author if isinstance(author, str) else author["name"]
    if about.get("license") != "MIT":
        sys.exit(
            f"{about['name']} comes without the text of its licence, {about.get('license')}: add it, see README.md"
        )
    return f"No text comes with it. Copyright (c) {name}\n\n{_MIT}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
