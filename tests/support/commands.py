"""Runs any command in this process, and folders that count as results."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from handopt.cli.main import main
from handopt.storage.track_folder import save_track
from support.sequences import followed


def run(*arguments: str | Path) -> Result:
    """Run `handopt`."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a track."""
    return save_track(followed(), tmp_path_factory.mktemp("tracks") / "walk", video=False)


def result_in(folder: Path, tracked: Path) -> Path:
    """A folder that counts as a result, and can be shown."""
    shutil.copytree(tracked, folder)
    for name in ("track.json", "track.jsonl"):
        (folder / name).unlink()
    (folder / "result.json").write_text("{}")
    return folder
