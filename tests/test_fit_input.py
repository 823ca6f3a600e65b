"""What is noted of an image before and after its fit."""

import pytest

from handopt.assess.pixel_agreement import PixelAgreement
from handopt.fit_input import notes_on_presence


@pytest.mark.parametrize(
    ("presence", "unexplained_fraction", "noted"),
    [(0.95, 0.4, False), (0.95, 0.1, False), (0.5, 0.4, True), (0.5, 0.1, False)],
)
def test_a_fit_that_the_network_does_not_recognise_is_noted_unless_it_explains_nearly_all(
    presence: float, unexplained_fraction: float, noted: bool
) -> None:
    notes = notes_on_presence(PixelAgreement(presence, overlap=0.9), unexplained_fraction)
    assert bool(notes) is noted
    assert all("does not look like a hand" in note for note in notes)


def test_nothing_is_noted_where_no_network_was_asked() -> None:
    assert notes_on_presence(None, 0.9) == []
