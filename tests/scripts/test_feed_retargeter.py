"""scripts/examples/feed_retargeter.py: from messages to a retargeter's input."""

import json
import socket
import threading
from typing import Any

import feed_retargeter
import numpy as np
import pytest


def message(sequence: int = 0, **changed: Any) -> dict[str, Any]:
    """A hand turned by 90 degrees about z, its wrist at (100, 200, 500) mm; joint i is i mm along x."""
    joints = [[100.0, 200.0 + index, 500.0] for index in range(21)]
    made = {
        "format": "handopt.stream/1",
        "sequence": sequence, "sent_s": 7.0, "time_s": 0.5, "hand": "left",
        "tracked": True, "confidence": 0.9, "joints_mm": joints,
        "pose": {"rotation": [[0, -1, 0], [1, 0, 0], [0, 0, 1]]},
    }  # fmt: skip
    return {**made, **changed}


def test_joints_are_in_metres_in_the_frame_of_the_wrist() -> None:
    frame = feed_retargeter.hand_frame(message())
    assert frame is not None
    assert (frame.sequence, frame.time_s, frame.hand) == (0, 0.5, "left")
    np.testing.assert_allclose(frame.wrist[:3, 3], [0.1, 0.2, 0.5])
    np.testing.assert_allclose(frame.joints[20], [0.02, 0, 0], atol=1e-12)
    back = frame.joints @ frame.wrist[:3, :3].T + frame.wrist[:3, 3]
    np.testing.assert_allclose(back[20], [0.1, 0.22, 0.5])


@pytest.mark.parametrize("changed", [{"tracked": False}, {"confidence": 0.3}, {"confidence": None}])
def test_what_is_not_sure_is_left_out(changed: dict[str, Any]) -> None:
    assert feed_retargeter.hand_frame(message(**changed)) is None


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected .handopt\.stream/1"):
        feed_retargeter.hand_frame(message(format="handopt.stream/2"))


def test_it_prints_what_comes_over_udp(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ended = threading.Event()

    def feed() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            number = 0
            while not ended.wait(0.02):
                sender.sendto(json.dumps(message(number)).encode(), ("127.0.0.1", port))
                number += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        assert feed_retargeter.main(["--port", str(port), "--frames", "3"]) == 0
    finally:
        ended.set()
        thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("wrist 0.100 0.200 0.500 m\tthumb to index 0.004 m" in line for line in lines)
    numbers = [int(line.split("\t")[0]) for line in lines]
    assert numbers == sorted(set(numbers))
