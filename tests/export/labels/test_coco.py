"""Labels in the format of COCO, read and scored by the COCO API."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from support.exports import Fits, pinhole
from support.factories import fit_result

from handopt.export.labels import export_labels
from handopt.export.labels.coco import run_lengths
from handopt.rig import KEYPOINT_NAMES
from handopt.storage import save

# pycocotools 2 gives NumPy 2 arrays in a way that it warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture(scope="module")
def coco(fits: Fits, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("coco") / "labels.json"
    export_labels([fits.folder], path)
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def each(coco: Any, fits: Fits) -> Any:
    for annotation in coco.loadAnns(coco.getAnnIds()):
        image = coco.loadImgs(annotation["image_id"])[0]
        yield annotation, image, fits.results[image["file_name"].removesuffix(".png")]


@pytest.mark.parametrize("format", ["coco", "interhand"])
def test_file_names_are_those_below_the_folder_of_all_images(tmp_path: Path, format: str) -> None:
    for name in ("easy/000", "hard/000", "hard/001"):
        result = fit_result("right", iterations=1, image=str(tmp_path / "images" / f"{name}.png"))
        save(result, tmp_path / "fits" / name, renders=False, overlay=False)
    export_labels([tmp_path / "fits"], tmp_path / "all", format=format)
    export_labels([tmp_path / "fits" / "hard"], tmp_path / "hard", format=format)
    found = {
        name: sorted({image["file_name"] for file in (tmp_path / name).glob("*.json") for image in images_of(file)})
        for name in ("all", "hard")
    }
    assert found == {"all": ["easy/000.png", "hard/000.png", "hard/001.png"], "hard": ["000.png", "001.png"]}


def images_of(file: Path) -> list[dict[str, Any]]:
    document = json.loads(file.read_text())
    images = document.get("images") if isinstance(document, dict) else None
    return images if isinstance(images, list) else []


def test_categories_are_the_sides(coco: Any, fits: Fits) -> None:
    sides = {each["id"]: each for each in coco.loadCats(coco.getCatIds())}
    assert [each["name"] for each in sides.values()] == ["right_hand", "left_hand"]
    assert all(each["keypoints"] == list(KEYPOINT_NAMES) for each in sides.values())
    assert all(len(each["skeleton"]) == 20 and min(map(min, each["skeleton"])) == 1 for each in sides.values())
    for annotation, image, result in each(coco, fits):
        assert sides[annotation["category_id"]]["name"] == f"{result.hand}_hand"
        assert (image["width"], image["height"]) == (320, 240)


def test_keypoints(coco: Any, fits: Fits) -> None:
    for annotation, _, result in each(coco, fits):
        table = np.array(annotation["keypoints"]).reshape(21, 3)
        np.testing.assert_allclose(table[:, :2], pinhole(result), atol=1e-3)
        assert table[:, 2].tolist() == np.where(result.joint_visible, 2, 1).tolist()
        assert annotation["num_keypoints"] == 21


def test_masks_are_the_fitted_hand(coco: Any, fits: Fits) -> None:
    for annotation, _, result in each(coco, fits):
        mask, fitted = coco.annToMask(annotation).astype(bool), np.asarray(result.fitted_depth_mm) > 0
        assert mask.shape == (240, 320)
        assert (mask & fitted).sum() / (mask | fitted).sum() > 0.99
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box == rle.toBbox(coco.annToRLE(annotation)).tolist()


@pytest.mark.parametrize("kind", ["keypoints", "segm", "bbox"])
def test_the_api_scores_them_as_perfect(coco: Any, kind: str) -> None:
    results = [{**annotation, "score": 1.0} for annotation in coco.loadAnns(coco.getAnnIds())]
    with contextlib.redirect_stdout(io.StringIO()):
        scored = COCOeval(coco, coco.loadRes(results), kind)
        if kind == "keypoints":
            scored.params.kpt_oks_sigmas = np.full(21, 0.035)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize("fill", ["empty", "full", "corner", "end", "random"])
def test_run_lengths_are_those_of_the_api(fill: str, rng: np.random.Generator) -> None:
    mask = np.zeros((5, 7), bool)
    if fill == "full":
        mask[:] = True
    elif fill == "corner":
        mask[0, 0] = True
    elif fill == "end":
        mask[-1, -1] = True
    elif fill == "random":
        mask = rng.random((23, 31)) > 0.5
    counts = run_lengths(mask)
    assert sum(counts) == mask.size
    decoded = rle.decode(rle.frPyObjects({"size": list(mask.shape), "counts": counts}, *mask.shape))
    assert np.array_equal(decoded, mask)


def test_joints_outside_of_the_image_are_not_labelled(tmp_path: Path) -> None:
    moved = fit_result(iterations=2)
    moved.joints_mm[8] += np.array([400.0, 0.0, 0.0])
    save(moved, tmp_path / "000", renders=False, overlay=False)
    export_labels([tmp_path / "000"], tmp_path / "labels.json")
    annotation = json.loads((tmp_path / "labels.json").read_text())["annotations"][0]
    assert annotation["keypoints"][24:27] == [0.0, 0.0, 0]
    assert annotation["num_keypoints"] == 20
    assert annotation["joints_mm"][8] == pytest.approx(moved.joints_mm[8].tolist())


def test_without_its_mesh_a_hand_has_a_box(tmp_path: Path) -> None:
    folder = save(fit_result(iterations=2), tmp_path / "000", renders=False, overlay=False)
    (folder / "trace.npz").unlink()
    done = export_labels([folder], tmp_path / "labels.json")
    assert done.notes == ("1 hands have no mask, and a box around their joints: their trace.npz is missing.",)
    annotation = json.loads((tmp_path / "labels.json").read_text())["annotations"][0]
    assert "segmentation" not in annotation
    pixels = pinhole(fit_result(iterations=2))
    np.testing.assert_allclose(annotation["bbox"], [*pixels.min(axis=0), *np.ptp(pixels, axis=0)], atol=2e-3)
