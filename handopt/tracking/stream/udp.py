"""Frames of a track as UDP packets of JSON."""

from typing import TYPE_CHECKING

from handopt.tracking.stream.base import DatagramStream, json_message

if TYPE_CHECKING:
    from handopt.tracking.frame_estimate import FrameEstimate


class UdpStream(DatagramStream):
    """Sends one JSON message for each frame to udp://HOST:PORT."""

    def _send(self, estimate: "FrameEstimate", number: int, sent_s: float) -> None:
        self._packet(json_message(estimate, number, sent_s).encode("utf-8"))
