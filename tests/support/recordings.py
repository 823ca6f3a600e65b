"""Recordings as other programs write them: .mkv, Record3D, and the folders of Stray Scanner and Polycam."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ARKIT_SIZE = (192, 256)


def write_mkv(
    path: Path,
    images: list[np.ndarray],
    titles: tuple[str, ...] = ("DEPTH",),
    colour: bool = True,
    calibration: bytes | None = None,
) -> Path:
    """A recording with one grey track for each title, all of the images, and perhaps a colour track before them."""
    import av

    with av.open(str(path), "w") as container:
        tracks: list[Any] = []
        if colour:
            first = container.add_stream("ffv1", rate=30)
            first.width, first.height, first.pix_fmt = 64, 48, "yuv420p"
            tracks.append(first)
        for title in titles:
            track = container.add_stream("ffv1", rate=30)
            (track.height, track.width), track.pix_fmt = images[0].shape, "gray16le"
            track.metadata["title"] = title
            tracks.append(track)
        if calibration is not None:
            container.add_attachment("calibration.json", "application/octet-stream", calibration)
        for image in images:
            for track in tracks:
                grey = track.pix_fmt == "gray16le"
                shown = image if grey else np.zeros((48, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(shown, format="gray16le" if grey else "rgb24")
                container.mux(track.encode(frame if grey else frame.reformat(format="yuv420p")))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def write_record3d(path: Path, images: list[Any], facts: Any, pictures: Sequence[bytes] = ()) -> Path:
    """A recording of Record3D. images: (H, W) m, or the bytes of a damaged one; facts: None for none."""
    import liblzfse

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("icon", b"")
        if facts is not None:
            archive.writestr("metadata", json.dumps(facts))
        for index, image in enumerate(images):
            data = image if isinstance(image, bytes) else liblzfse.compress(image.tobytes())
            archive.writestr(f"rgbd/{index}.depth", data)
            archive.writestr(f"rgbd/{index}.jpg", pictures[index] if pictures else b"no picture")
    return path


def save(path: Path, pixels: np.ndarray) -> None:
    """An image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def depth_and_confidence(root: Path, names: tuple[str, ...], middle: int) -> None:
    """Frames of 600 and 601 mm; the first row has low confidence, the second one `middle`."""
    for number, name in enumerate(names):
        save(root / "depth" / f"{name}.png", np.full(ARKIT_SIZE, 600 + number, np.uint16))
        confidence = np.full(ARKIT_SIZE, 2 * middle, np.uint8)
        confidence[0], confidence[1] = 0, middle
        save(root / "confidence" / f"{name}.png", confidence)


def stray(root: Path) -> Path:
    """A folder of Stray Scanner."""
    depth_and_confidence(root, ("000000", "000001"), 1)
    (root / "camera_matrix.csv").write_text("1440.0,0.0,959.5\n0.0,1440.0,719.5\n0.0,0.0,1.0\n")
    lines = ["timestamp, frame, x, y, z, qx, qy, qz, qw", "4.5, 000000, 0,0,0,0,0,0,1", "4.6, 000001, 0,0,0,0,0,0,1"]
    (root / "odometry.csv").write_text("\n".join(lines) + "\n")
    return root


def polycam(root: Path) -> Path:
    """A folder of Polycam."""
    names = ("104512000", "104545000")
    depth_and_confidence(root / "keyframes", names, 127)
    for name in names:
        camera = {"fx": 768.0, "fy": 768.0, "cx": 511.5, "cy": 383.5, "width": 1024, "height": 768, "t_00": 1.0}
        (root / "keyframes" / "cameras").mkdir(exist_ok=True)
        (root / "keyframes" / "cameras" / f"{name}.json").write_text(json.dumps(camera))
        save(root / "keyframes" / "images" / f"{name}.jpg", np.full((768, 1024, 3), 120, np.uint8))
    return root
