"""`handopt completion`."""

import click

from handopt.cli.help import SectionedCommand
from handopt.cli.options import verbosity_options
from handopt.cli.values import Choice

VARIABLE = "_HANDOPT_COMPLETE"


@click.command(
    cls=SectionedCommand,
    examples=(
        ("complete in bash from now on", "handopt completion bash >> ~/.bashrc"),
        ("the same in zsh", "handopt completion zsh >> ~/.zshrc"),
        ("the same in fish", "handopt completion fish > ~/.config/fish/completions/handopt.fish"),
    ),
)
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
@verbosity_options
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes handopt's commands and options in SHELL."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "handopt", VARIABLE).source())
