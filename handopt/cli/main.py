"""The program: its commands, and how errors and Ctrl-C end it."""

import errno
import signal
import sys
from typing import Any

import click

from handopt.cli.evaluate import evaluate
from handopt.cli.fit import fit
from handopt.cli.info import info
from handopt.cli.model import model
from handopt.cli.options import Interrupted, one_line, show_traceback
from handopt.cli.shape import shape
from handopt.cli.synth import synth
from handopt.cli.track import track
from handopt.cli.video import video
from handopt.errors import HandoptError

COMPLETION_VARIABLE = "_HANDOPT_COMPLETE"


class Program(click.Group):
    """A group whose commands end with one line where the library refuses something, or the user presses Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        previous = signal.signal(signal.SIGTERM, _terminate)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except HandoptError as error:
            show_traceback(ctx, error)
            raise click.ClickException(one_line(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE or error.filename is not None:
                raise
            raise click.ClickException(f"cannot write to standard output: {error.strerror}") from None
        finally:
            signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, _frame: object) -> None:
    """End as Ctrl-C does, so that nothing half-written stays behind; the exit code is a shell's for the signal."""
    sys.exit(128 + number)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="handopt", prog_name="handopt", message="%(prog)s %(version)s")
def main() -> None:
    """Fit a rigged 3D hand mesh to depth images.

    Results go to stdout, all talk to stderr. The exit code is 0 if everything succeeded, 1 if something failed, 2 if
    the command was not understood, 130 after Ctrl-C. HANDOPT_TRACEBACK=1 shows where in the code an error arose.
    """


@main.command(short_help="Print a script for shell completion.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes handopt's commands and options in SHELL.

    \b
    bash:  handopt completion bash >> ~/.bashrc
    zsh:   handopt completion zsh >> ~/.zshrc
    fish:  handopt completion fish > ~/.config/fish/completions/handopt.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(main, {}, "handopt", COMPLETION_VARIABLE).source())


main.add_command(evaluate)
main.add_command(fit)
main.add_command(info)
main.add_command(model)
main.add_command(shape)
main.add_command(synth)
main.add_command(track)
main.add_command(video)
