"""A made-up abdominal CT, as arrays with organ labels and as a DICOM series: for the demo, for tests, for training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

#: Organ names; a name's position is its value in the label volume. `body` is all tissue without a name of its own.
ORGANS: Final = ("background", "body", "spine", "liver", "spleen", "kidney_right", "kidney_left")

FIELD_OF_VIEW_MM = 400.0  # of rows and columns
LENGTH_MM = 200.0  # from the lower poles of the kidneys to the bases of the lungs

_INTERCEPT = -1024  # stored values are unsigned 12 bit, as scanners write them
_HIGHEST_HU = 4095 + _INTERCEPT
_NOISE_HU = 14.0
_GIVEN_NAMES = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")

# Attenuation in Hounsfield units, in the portal venous phase.
_AIR, _LUNG, _FAT, _BILE, _BOWEL, _MUSCLE = -1000, -860, -100, 8, 35, 58
_PANCREAS, _LIVER, _SPLEEN, _VEIN, _AORTA, _MEDULLA, _CORTEX = 88, 108, 122, 130, 165, 145, 190
_DISC, _SPONGY_BONE, _COMPACT_BONE = 85, 190, 520

_ENDLESS = 1e6  # radius along z of what runs through every slice
_VERTEBRA_MM, _DISC_MM = 36.0, 9.0  # from disc to disc, and the height of a disc
_RIB_APART_MM, _RIB_MM, _RIB_FALL_MM = 30.0, 11.0, 42.0  # along z: rib to rib, a rib, its fall per radian to the front


@dataclass(frozen=True)
class _Ellipsoid:
    """A tissue in patient space: x to the left, y to the back, z to the head, in mm from the middle of the volume."""

    hu: float
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    organ: str = "body"
    turn: float = 0.0  # degrees about z
    lumps: float = 0.0  # share of the radius by which the outline waves

    def mirrored(self) -> _Ellipsoid:
        """The same tissue on the other side of the body."""
        x, y, z = self.centre
        return replace(self, centre=(-x, y, z), turn=-self.turn)

    def varied(self, random: np.random.Generator) -> _Ellipsoid:
        """The same tissue in another body: moved, stretched and turned a little."""
        (x, y, z), (rx, ry, rz) = self.centre, self.radii
        dx, dy, dz, turn = random.normal(0, 2.5, 4)
        sx, sy, sz = random.normal(1, 0.04, 3)
        return replace(
            self, centre=(x + dx, y + dy, z + 2 * dz), radii=(rx * sx, ry * sy, rz * sz), turn=self.turn + turn
        )

    def part(self, hu: float, share: float, shift: tuple[float, float]) -> _Ellipsoid:
        """An inner tissue of this one, `share` of its size, moved by `shift` along x and y."""
        x, y, z = self.centre
        rx, ry, rz = self.radii
        return replace(self, hu=hu, centre=(x + shift[0], y + shift[1], z), radii=(rx * share, ry * share, rz * share))


# In painting order: later tissue covers earlier.
_FLESH = _Ellipsoid(_MUSCLE, (0, 2, 0), (150, 104, _ENDLESS), lumps=0.015)
_TRUNK = (
    _Ellipsoid(_FAT, (0, 0, 0), (166, 122, _ENDLESS), lumps=0.015),  # skin to muscle
    _FLESH,
    _Ellipsoid(_FAT, (0, -3, 0), (137, 90, _ENDLESS), lumps=0.01),
)
_LUNG_BASE = _Ellipsoid(_LUNG, (74, 12, 128), (60, 76, 78))
_MIDDLE = (
    _Ellipsoid(_AORTA - 20, (16, -34, 118), (58, 44, 42), turn=-20),  # heart
    _Ellipsoid(_MUSCLE, (36, 46, -60), (18, 20, 84), turn=20),  # psoas
    _Ellipsoid(_MUSCLE, (-36, 46, -60), (18, 20, 84), turn=-20),
    _Ellipsoid(_AORTA, (9, 20, 0), (10.5, 10.5, _ENDLESS)),
    _Ellipsoid(_VEIN, (-21, 19, 0), (13, 9.5, _ENDLESS), turn=15),  # inferior vena cava
)
_UPPER_ORGANS = (
    _Ellipsoid(_PANCREAS, (14, -8, 4), (52, 10, 14), turn=16, lumps=0.1),
    _Ellipsoid(_LIVER, (-68, -2, 30), (62, 78, 72), "liver", turn=10, lumps=0.03),
    _Ellipsoid(_LIVER, (-14, -46, 46), (56, 30, 38), "liver", turn=-14, lumps=0.04),
    _Ellipsoid(_SPLEEN, (98, 36, 36), (25, 42, 46), "spleen", turn=24, lumps=0.04),
    _Ellipsoid(_BILE, (-58, -50, -22), (15, 20, 24)),  # gallbladder
)
_STOMACH = _Ellipsoid(_BOWEL, (64, -36, 44), (44, 34, 42), lumps=0.05)
_KIDNEY = _Ellipsoid(_CORTEX, (64, 42, -22), (28, 23, 52), turn=28)
_ERECTOR_SPINAE = _Ellipsoid(_MUSCLE, (38, 80, 0), (33, 23, _ENDLESS), turn=-10, lumps=0.03)
_SPINE = (
    _Ellipsoid(_COMPACT_BONE, (27, 69, 0), (20, 4, _ENDLESS), "spine", turn=18),  # transverse processes
    _Ellipsoid(_COMPACT_BONE, (-27, 69, 0), (20, 4, _ENDLESS), "spine", turn=-18),
    _Ellipsoid(_COMPACT_BONE, (0, 92, 0), (4, 19, _ENDLESS), "spine"),  # spinous process
    _Ellipsoid(_COMPACT_BONE, (0, 70, 0), (16, 15, _ENDLESS), "spine"),  # arch
)
_VERTEBRA = _Ellipsoid(_COMPACT_BONE, (0, 47, 0), (25, 19, _ENDLESS), "spine")
_CANAL = _Ellipsoid(_BOWEL, (0, 71, 0), (11, 8.5, _ENDLESS), "spine")


class _Canvas:
    """A volume and its labels, into which tissue is painted with soft edges, as partial volumes make them."""

    def __init__(self, slices: int, size: int, random: np.random.Generator) -> None:
        wide, deep = random.normal(1, 0.035, 2)  # one body is not as broad as the next
        centres = ((np.arange(size) + 0.5) / size - 0.5) * FIELD_OF_VIEW_MM
        self.pixel = FIELD_OF_VIEW_MM / size
        self.x, self.y = (centres / wide).astype(np.float32), (centres / deep).astype(np.float32)
        self.z = (((np.arange(slices) + 0.5) / slices - 0.5) * LENGTH_MM).astype(np.float32)
        self.volume = np.full((slices, size, size), _AIR, dtype=np.float32)
        self.labels = np.zeros((slices, size, size), dtype=np.uint8)

    def paint(self, tissue: _Ellipsoid) -> None:
        """Paint one ellipsoid."""
        (cx, cy, cz), (rx, ry, rz) = tissue.centre, tissue.radii
        reach = max(rx, ry) * (1 + tissue.lumps) + self.pixel
        where = (_span(self.z, cz, rz), _span(self.y, cy, reach), _span(self.x, cx, reach))
        z = (self.z[where[0], None, None] - cz) / rz
        y, x = self.y[None, where[1], None] - cy, self.x[None, None, where[2]] - cx
        cosine, sine = np.cos(np.radians(tissue.turn)), np.sin(np.radians(tissue.turn))
        along, across = (x * cosine + y * sine) / rx, (y * cosine - x * sine) / ry
        radius = along**2 + across**2
        if tissue.lumps:
            # The waves wander from slice to slice (2 z), for no organ is a stack of equal rings.
            radius = radius * (1 + 2 * tissue.lumps * np.sin(3 * np.arctan2(across, along) + 2 * z + cx))
        depth = (1 - np.sqrt(radius + z**2)) * min(rx, ry)
        self.blend(np.clip(0.5 + depth / self.pixel, 0, 1), tissue.hu, tissue.organ, where)

    def blend(self, cover: NDArray[np.floating], hu: float, organ: str, where: tuple[slice, ...]) -> None:
        """Mix `hu` in by `cover` (0 to 1), and label what is covered by half."""
        region = self.volume[where]
        region += cover * (hu - region)
        np.copyto(self.labels[where], ORGANS.index(organ), where=cover >= 0.5)


def _span(axis: NDArray[np.float32], centre: float, reach: float) -> slice:
    first, last = np.searchsorted(axis, (centre - reach, centre + reach))
    return slice(int(first), int(last))


def ct_phantom(slices: int = 40, size: int = 256, seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Make an abdomen: lung bases, liver, spleen, stomach, bowel, kidneys, vessels, spine and ribs.

    Parameters
    ----------
    slices : int
        Slices over `LENGTH_MM`; the first is nearest to the feet.
    size : int
        Rows and columns over `FIELD_OF_VIEW_MM`.
    seed : int
        Chooses the body. The same seed gives the same voxels.

    Returns
    -------
    volume : numpy.ndarray
        Hounsfield units, of shape (slices, rows, columns); rows run to the back, columns to the patient's left.
    labels : numpy.ndarray
        For each voxel an index into `ORGANS`.
    """
    random = np.random.default_rng(seed)
    canvas = _Canvas(slices, size, random)
    _paint_table(canvas)
    for tissue in (*_TRUNK, _LUNG_BASE, _LUNG_BASE.mirrored()):
        canvas.paint(tissue)
    _paint_ribs(canvas)
    _paint_bowel(canvas, random)
    for tissue in (*_MIDDLE, *_UPPER_ORGANS):
        canvas.paint(tissue.varied(random))
    _paint_stomach(canvas, _STOMACH.varied(random))
    _paint_kidney(canvas, replace(_KIDNEY.varied(random), organ="kidney_left"))
    _paint_kidney(canvas, replace(_KIDNEY.varied(random).mirrored(), organ="kidney_right"))
    for tissue in (_ERECTOR_SPINAE, _ERECTOR_SPINAE.mirrored(), *_SPINE):
        canvas.paint(tissue)
    _paint_vertebrae(canvas)
    volume = canvas.volume + _noise(canvas.volume.shape, random)
    return np.clip(volume, _INTERCEPT, _HIGHEST_HU).astype(np.int16), canvas.labels


def _paint_table(canvas: _Canvas) -> None:
    """The couch: a shallow carbon shell around foam."""
    y, x = canvas.y[None, :, None], canvas.x[None, None, :]
    top = 124 - 12 * (x / 200) ** 2
    inside = (y > top + 3) & (y < top + 22 - 30 * (x / 200) ** 4) & (np.abs(x) < 196)
    shell = inside & ((y < top + 6) | (y > top + 19 - 30 * (x / 200) ** 4))
    everywhere = (slice(None),) * 3
    canvas.blend(inside * np.float32(0.08), 0, "background", everywhere)
    canvas.blend(shell * np.float32(0.9), 0, "background", everywhere)


def _paint_ribs(canvas: _Canvas) -> None:
    """Ribs run within the wall of the trunk, falling from the spine to the front."""
    y, x = canvas.y[None, :, None], canvas.x[None, None, :]
    (_, cy, _), (rx, ry, _) = _FLESH.centre, _FLESH.radii
    depth = (1 - np.hypot(x / rx, (y - cy) / ry)) * ry
    from_back = np.abs(np.arctan2(x, y - cy))
    rise = canvas.z[:, None, None] + _RIB_FALL_MM * from_back
    in_rib = np.abs((rise + _RIB_APART_MM / 2) % _RIB_APART_MM - _RIB_APART_MM / 2)
    present = (rise > 20) & (from_back > 0.25) & (from_back < 2.2)
    distance = np.hypot(in_rib / (_RIB_MM / 2), (depth - 7.5) / 4.5)
    everywhere = (slice(None),) * 3
    for hu, edge in ((_COMPACT_BONE, 1.0), (_SPONGY_BONE, 0.6)):
        cover = np.clip(0.5 + (edge - distance) * 4.5 / canvas.pixel, 0, 1) * present
        canvas.blend(cover, hu, "body", everywhere)


def _paint_bowel(canvas: _Canvas, random: np.random.Generator) -> None:
    """Loops of small bowel in front, the colon with its gas at both flanks."""
    for _ in range(60):
        x, y, z = random.uniform(-85, 85), random.uniform(-62, 2), random.uniform(-130, 5)
        loop = _Ellipsoid(
            _BOWEL + random.normal(0, 12),
            (x, y, z),
            (random.uniform(12, 24), random.uniform(10, 15), random.uniform(10, 20)),
            turn=random.uniform(0, 180),
            lumps=0.06,
        )
        canvas.paint(loop)
        if random.random() < 0.25:
            canvas.paint(loop.part(_AIR, 0.55, (0, -3)))
    for side in (-1, 1):
        colon = _Ellipsoid(_BOWEL, (side * 106.0, 6, -80), (19, 22, 78), lumps=0.08).varied(random)
        canvas.paint(colon)
        canvas.paint(colon.part(_AIR, 0.7, (0, -4)))


def _paint_stomach(canvas: _Canvas, stomach: _Ellipsoid) -> None:
    """Its air floats to the front above a level surface."""
    canvas.paint(stomach)
    surface = int(np.searchsorted(canvas.y, stomach.centre[1] - stomach.radii[1] * 0.3))
    below = canvas.volume[:, surface:].copy()
    canvas.paint(stomach.part(_AIR, 0.88, (0, 0)))
    canvas.volume[:, surface:] = below


def _paint_kidney(canvas: _Canvas, kidney: _Ellipsoid) -> None:
    """Cortex around medulla around the fat of the sinus, which opens towards the spine."""
    inwards = -np.sign(kidney.centre[0])
    canvas.paint(kidney)
    canvas.paint(replace(kidney.part(_MEDULLA, 0.68, (inwards * 3, -1)), lumps=0.12))
    canvas.paint(replace(kidney.part(_FAT / 2, 0.42, (inwards * 17, -6)), organ="body"))


def _paint_vertebrae(canvas: _Canvas) -> None:
    """Bodies with a compact rim, parted by discs, in front of the spinal canal."""
    canvas.paint(_VERTEBRA)
    canvas.paint(_VERTEBRA.part(_SPONGY_BONE, 0.88, (0, 0)))
    for z in np.arange(-LENGTH_MM / 2, LENGTH_MM / 2, _VERTEBRA_MM):
        canvas.paint(_Ellipsoid(_DISC, (0, 47, z), (26, 20, _DISC_MM / 2), "spine"))
    canvas.paint(_CANAL)


def _noise(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    """Noise with the grain of a reconstruction kernel: neighbours in a slice are alike."""
    noise = random.standard_normal(shape, dtype=np.float32)
    noise += np.roll(noise, 1, axis=1)
    noise += np.roll(noise, 1, axis=2)
    return noise * np.float32(_NOISE_HU / 2)


def write_ct_series(folder: str | Path, *, slices: int = 40, size: int = 256, seed: int = 0) -> list[Path]:
    """Write the phantom as one CT series, a file a slice.

    Parameters
    ----------
    folder : str or pathlib.Path
        Where the files go; made when it does not exist.
    slices, size, seed : int
        As for `ct_phantom`. Each seed is a patient with a study of its own, with the same UIDs every time.

    Returns
    -------
    list of pathlib.Path
        The files, from feet to head.
    """
    volume, _ = ct_phantom(slices, size, seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"ct-{number:04}.dcm" for number in range(1, slices + 1)]
    for index, path in enumerate(paths):
        _ct_image(volume, index, seed).save_as(path, enforce_file_format=True)
    return paths


def _ct_image(volume: NDArray[np.int16], index: int, seed: int) -> Dataset:
    """One slice as a CT Image (PS3.3 A.3), stored in Explicit VR Little Endian."""
    slices, rows, columns = volume.shape
    spacing, thickness = FIELD_OF_VIEW_MM / rows, LENGTH_MM / slices
    shape = f"{slices}x{rows}x{columns}"

    def uid(*names: object) -> UID:
        return generate_uid(entropy_srcs=["phantom", str(seed), *map(str, names)])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid(shape, index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = Dataset()
    image.file_meta = meta

    image.SpecificCharacterSet = "ISO_IR 192"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20260105"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "090000"
    image.AccessionNumber = f"PHANTOM{seed}"
    image.Modality = "CT"
    image.Manufacturer = "Pixels"
    image.ManufacturerModelName = "Phantom"
    image.ReferringPhysicianName = ""
    image.StudyDescription = "Phantom abdomen"
    image.SeriesDescription = "Portal venous phase"
    image.PatientName = f"Phantom^{_GIVEN_NAMES[seed] if seed < len(_GIVEN_NAMES) else seed + 1}"
    image.PatientID = f"PHANTOM-{seed + 1}"
    image.PatientBirthDate = ""
    image.PatientSex = "O"
    image.BodyPartExamined = "ABDOMEN"
    image.KVP = 120
    image.SliceThickness = thickness
    image.PatientPosition = "HFS"
    image.StudyInstanceUID = uid("study")
    image.SeriesInstanceUID = uid(shape)
    image.StudyID = "1"
    image.SeriesNumber = 1
    image.AcquisitionNumber = 1
    image.InstanceNumber = index + 1
    corner = (spacing - FIELD_OF_VIEW_MM) / 2
    image.ImagePositionPatient = [corner, corner, (index + 0.5) * thickness - LENGTH_MM / 2]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.FrameOfReferenceUID = uid("frame of reference")
    image.PositionReferenceIndicator = ""
    image.SliceLocation = image.ImagePositionPatient[2]
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = rows
    image.Columns = columns
    image.PixelSpacing = [spacing, spacing]
    image.BitsAllocated = 16
    image.BitsStored = 12
    image.HighBit = 11
    image.PixelRepresentation = 0
    image.WindowCenter = 50
    image.WindowWidth = 400
    image.WindowCenterWidthExplanation = "Abdomen"
    image.RescaleIntercept = _INTERCEPT
    image.RescaleSlope = 1
    image.RescaleType = "HU"
    image.PixelData = (volume[index] - _INTERCEPT).astype("<u2").tobytes()
    return image
