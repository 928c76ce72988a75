"""The home folder: where tables, volumes and models of this machine lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dbx.pixels.errors import ArgumentError
from dbx.pixels.storage.paths import is_zip_address, split_zip_address, zip_address

_VOLUMES = "/Volumes/"


@dataclass(frozen=True)
class Home:
    """The folders below one home folder.

    Parameters
    ----------
    root : pathlib.Path
        The home folder; it need not exist yet.
    """

    root: Path

    @classmethod
    def from_environment(cls, home: str | None = None) -> Home:
        """Take the home folder that is given, else ``PIXELS_HOME``, else ``~/.pixels``."""
        chosen = home or os.environ.get("PIXELS_HOME") or "~/.pixels"
        return cls(Path(chosen).expanduser().absolute())

    @property
    def tables(self) -> Path:
        """Delta tables, as ``<catalog>/<schema>/<table>``."""
        return self.root / "tables"

    @property
    def volumes(self) -> Path:
        """Volumes, as ``<catalog>/<schema>/<volume>``."""
        return self.root / "Volumes"

    @property
    def models(self) -> Path:
        """AI models."""
        return self.root / "models"

    @property
    def index(self) -> Path:
        """The serving index."""
        return self.root / "index"

    @property
    def mlflow(self) -> Path:
        """Runs and registered models of MLflow."""
        return self.root / "mlflow"

    @property
    def ai(self) -> Path:
        """What AI keeps, beside models: trainings, scores, and volumes that were sent to be segmented."""
        return self.root / "ai"

    @property
    def trainings(self) -> Path:
        """Trainings of AI models, those that go on and those that have ended."""
        return self.ai / "training"

    @property
    def scores(self) -> Path:
        """How uncertain AI models are of series."""
        return self.ai / "scores.sqlite"

    def local_path(self, address: str) -> str:
        """Return the address under which this machine opens what `address` names.

        ``/Volumes/<catalog>/<schema>/<volume>/...`` lies in the home folder, unless the path, or the volume, really
        exists here. All other addresses stay as they are; of a zip member, the archive is resolved.
        """
        if is_zip_address(address):
            member, archive = split_zip_address(address)
            return zip_address(member, self.local_path(archive))
        if not address.startswith(_VOLUMES):
            return address
        catalog_schema_volume = address[len(_VOLUMES) :].split("/", 3)[:3]
        volume = Path(_VOLUMES, *catalog_schema_volume)
        if Path(address).exists() or (len(catalog_schema_volume) == 3 and volume.exists()):
            return address
        return str(self.volumes / address[len(_VOLUMES) :])


def volume_path(name: str) -> str:
    """Return the path of a volume: of ``main.schema.volume``, ``/Volumes/main/schema/volume``.

    Raises
    ------
    ArgumentError
        If the name does not have three parts.
    """
    parts = name.split(".")
    if len(parts) != 3 or any(part in ("", "..") or "/" in part for part in parts):
        raise ArgumentError(name, "is no name of a volume", "Write catalog.schema.volume.")
    return _VOLUMES + "/".join(parts)
