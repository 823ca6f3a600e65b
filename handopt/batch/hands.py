"""Images that may have several hands: which results of theirs stand in a folder."""

from collections.abc import Collection, Mapping
from typing import Any

from handopt.batch.outcome import Outcome, Task
from handopt.batch.provenance import Provenance
from handopt.storage.hands_folder import HANDS_NAME, read_hands


def existing_outcome(
    task: Task,
    source: Provenance,
    settings: Mapping[str, Any],
    names: Collection[str],
    *,
    several: bool,
    by_content: bool = False,
) -> Outcome | str:
    """The outcome of results that stand in a task's folder and may be kept, or why they may not.

    settings, names and by_content: of Provenance.found. several: whether the image may have several hands, each with a
    folder of its own. Raises KeyError, TypeError, ValueError or AttributeError where a result.json was changed.
    """
    hands = read_hands(task.folder)
    if hands is None or not several:
        if (task.folder / HANDS_NAME).exists():
            return f"has a damaged {HANDS_NAME}" if several else "holds several hands, was made with max_hands="
        found = source.found(task.folder, settings, names, by_content=by_content)
        if found.result is None:
            return found.reason
        return "holds a result without hands" if several else _of_result(task, found.result)
    outcomes = []
    for hand in hands:
        found = source.found(task.folder / hand, settings, names, by_content=by_content)
        if found.result is None:
            return found.reason
        outcomes.append(_of_result(Task(task.image, task.folder / hand), found.result))
    return Outcome.of_hands(task, outcomes)


def _of_result(task: Task, result: dict[str, Any]) -> Outcome:
    return Outcome.of_result(task, result, sum(result["seconds"].values()), before=True)
