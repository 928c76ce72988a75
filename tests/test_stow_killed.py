"""A server that is killed while it stores: what it answered for is there, and nothing else harms."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from dbx.pixels import Catalog
from served import serving
from stow import RELATED, instance, multipart, stored, uids

from conftest import TEST_FILES

CT = TEST_FILES / "CT_small.dcm"
HEADERS = {"Content-Type": RELATED}


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    contents = [instance(CT) for _ in range(30)]
    answered: list[bytes] = []

    with serving(home) as server, ThreadPoolExecutor(8) as pool, httpx.Client(timeout=60) as client:

        def send(content: bytes) -> None:
            try:
                response = client.post(f"{server.dicomweb}/studies", content=multipart(content), headers=HEADERS)
            except httpx.TransportError:
                return
            assert response.status_code == 200
            answered.append(content)
            if len(answered) >= 10:
                server.process.kill()

        list(pool.map(send, contents))
    assert 10 <= len(answered) < len(contents)

    rows = Catalog(home=str(home)).sql("SELECT SOPInstanceUID, local_path FROM object_catalog").to_arrow().to_pylist()
    paths = {row["SOPInstanceUID"]: row["local_path"] for row in rows}
    assert len(paths) == len(rows), "nothing is doubled"
    for content in answered:
        assert Path(paths[uids(content)[2]]).read_bytes() == content

    with serving(home) as server, httpx.Client(timeout=60) as client:  # clients try again what was not answered
        response = client.post(f"{server.dicomweb}/studies", content=multipart(*contents), headers=HEADERS)
        assert stored(response) == [uids(content)[2] for content in contents]
        assert len(client.get(f"{server.dicomweb}/instances").json()) == len(contents)
    left = [path for path in (home / "Volumes").rglob("*") if path.is_file() and path.name != "lock"]
    assert sorted(path.stem for path in left) == sorted(uids(content)[2] for content in contents)
