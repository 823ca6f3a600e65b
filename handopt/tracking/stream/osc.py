"""Frames of a track as Open Sound Control, for programs of media artists and for engines that read it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from handopt.errors import ConfigError, how_to_install
from handopt.tracking.stream.base import DatagramStream

if TYPE_CHECKING:
    from handopt.tracking.frame_estimate import FrameEstimate
    from handopt.typing import Floats

M_PER_MM = 1e-3


class OscStream(DatagramStream):
    """Sends one OSC bundle for each frame to osc://HOST:PORT; lengths are in metres.

    /handopt/frame: sequence, frame (int32), time_s, sent_s (float64), tracked (int32, 0 or 1), confidence (float32),
    hand (string). Where the hand was found also /handopt/wrist: position x y z and quaternion x y z w (7 float32), and
    /handopt/joints: 21 times x y z (63 float32). time_s is -1 where nothing says, and confidence where there is none.
    """

    def __init__(self, address: str) -> None:
        """Raises ConfigError where python-osc is not installed, or the host is not known."""
        try:
            import pythonosc  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"stream={address}: python-osc is not installed: {how_to_install('stream')}") from error
        super().__init__(address)

    def _send(self, estimate: "FrameEstimate", number: int, sent_s: float) -> None:
        from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder

        bundle = OscBundleBuilder(IMMEDIATELY)
        time_s = -1.0 if estimate.time_s is None else float(estimate.time_s)
        sure = float(estimate.confidence) if np.isfinite(estimate.confidence) else -1.0
        bundle.add_content(
            _message(
                "/handopt/frame",
                [("i", number), ("i", estimate.frame), ("d", time_s), ("d", sent_s), ("i", int(estimate.tracked)),
                 ("f", sure), ("s", estimate.hand or "")],
            )
        )  # fmt: skip
        if estimate.tracked:
            wrist = np.concatenate([estimate.joints_mm[0] * M_PER_MM, quaternion(estimate.rotation)])
            bundle.add_content(_message("/handopt/wrist", [("f", float(each)) for each in wrist]))
            joints = (estimate.joints_mm * M_PER_MM).ravel()
            bundle.add_content(_message("/handopt/joints", [("f", float(each)) for each in joints]))
        self._packet(bundle.build().dgram)


def _message(address: str, values: list[tuple[str, Any]]) -> Any:
    from pythonosc.osc_message_builder import OscMessageBuilder

    message = OscMessageBuilder(address)
    for kind, value in values:
        message.add_arg(value, kind)
    return message.build()


def quaternion(rotation: "Floats") -> "Floats":
    """The unit quaternion x y z w of a rotation (3, 3)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_matrix(rotation).as_quat())
