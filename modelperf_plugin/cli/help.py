"""What ``--help`` shows: examples, common options apart from a command's own, and commands in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import click

_COMMON: Final = frozenset({"--config", "--store", "--verbose", "--help"})


class _Options(click.Command):
    """Lists the options that every command has after its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, shown in (
            ("Options", [each for each in options if _COMMON.isdisjoint(each.opts)]),
            ("Common options", [each for each in options if not _COMMON.isdisjoint(each.opts)]),
        ):
            records = [record for each in shown if (record := each.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Command(_Options):
    """A command with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.examples = tuple(examples)
        """What follows the command's name in each example."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:  # not wrapped, so that they can be copied
                    line = f"{ctx.command_path} {example}".rstrip()
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


class Group(_Options, click.Group):
    """A group of commands; each is described in full."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in self.sections(ctx):
            rows = [(name, _summary(command)) for name in names if (command := self.get_command(ctx, name)) is not None]
            with formatter.section(title):
                formatter.write_dl(rows)

    def sections(self, ctx: click.Context) -> Iterable[tuple[str, Sequence[str]]]:
        """Return the titles of groups of commands, with their commands."""
        return [("Commands", self.list_commands(ctx))]


class Program(Group):
    """The whole command, with its commands in groups."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self._sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands under a title of the help."""
        for command in commands:
            self.add_command(command)
        self._sections[title] = [str(command.name) for command in commands]

    def sections(self, ctx: click.Context) -> Iterator[tuple[str, Sequence[str]]]:  # noqa: ARG002
        yield from self._sections.items()


def command(*examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Return a decorator that makes a command; ``examples`` are what follows its name."""
    return click.command(cls=Command, examples=examples)


def group(name: str | None = None) -> Callable[[Callable[..., Any]], Group]:
    """Return a decorator that makes a group of commands."""
    return click.group(name, cls=Group)


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=1000)
