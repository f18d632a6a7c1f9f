"""``completion``: print the script that completes commands in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import output_option
from modelperf_plugin.cli.output_file import write_file


@command("bash", "fish -o modelperf.fish")
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@output_option("File to write; - for standard output, which is the default.")
@click.pass_context
def completion(context: click.Context, shell: str, output: str | None) -> None:
    """Print the script that completes commands in a shell.

    SHELL is bash, zsh or fish. Task types, models and ids are completed from the store. For bash, add eval
    "$(modelperf completion bash)" to ~/.bashrc; for zsh, the same with zsh to ~/.zshrc; for fish, write the script to
    ~/.config/fish/completions/modelperf.fish.
    """
    completer = get_completion_class(shell)
    root = context.find_root().command
    if completer is None:
        raise click.UsageError(f"no completion for {shell}")
    script = completer(root, {}, "modelperf", "_MODELPERF_COMPLETE").source()
    write_file(Answer("completion"), output or "-", f"{script.strip()}\n".encode())
