"""Sentences of the library that name arguments, as the command line prints them."""

import click
import pytest

from handopt.cli.errors import as_options, one_line
from handopt.cli.main import main
from handopt.errors import DeviceError


@pytest.mark.parametrize(
    ("sentence", "printed"),
    [
        ("change unit=", "change --unit"),
        ("check mask=, box= and unit=.", "check --mask, --box and --unit."),
        ("use device='cpu'", "use --device cpu"),
        ('use device="cuda:1" (unit=0.125 is 1/8 mm)', "use --device cuda:1 (--unit 0.125 is 1/8 mm)"),
        ("config=a b.toml cannot be read", "--config a b.toml cannot be read"),
        (
            "replace it with overwrite=True or choose another output=",
            "replace it with --overwrite or choose another -o",
        ),
        ("change joint_map= or rig=", "change --joint-map or --model"),
        ("(encoding= changes this)", "(--encoding changes this)"),
        ("parts= has no option", "parts= has no option"),
        ("check depth_mm= (mm)", "check --unit (mm)"),
        ("/data/unit=3/hand.png is no image", "/data/unit=3/hand.png is no image"),
        ("x=3 and fx = 4", "x=3 and fx = 4"),
    ],
)
def test_arguments_become_options(sentence: str, printed: str) -> None:
    with click.Context(main):
        assert as_options(sentence) == printed
        assert one_line(DeviceError(sentence)) == printed


def test_an_argument_is_left_alone_outside_of_a_command() -> None:
    assert as_options("change unit=") == "change unit="
