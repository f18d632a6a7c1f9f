"""JSON read in parts: containers step by step, so that only one value of theirs is in memory at a time."""

from __future__ import annotations

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.json_text import DECODER, repeated_key

PART_BYTES: Final = 1 << 16
MAX_VALUE_CHARACTERS: Final = 1 << 20
"""Of a value that is read as a whole."""
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class JsonStream:
    """A cursor in a JSON document that is read in parts.

    Every method raises OutcomesFileError, which names line and column, if the document is not JSON in UTF-8, repeats a
    key, or holds a value that is too long to be read as a whole.
    """

    def __init__(self, name: str, read: Callable[[int], bytes]) -> None:
        """Take the name for messages, and a function that returns the next bytes, up to a number of them."""
        self._name = name
        self._read = read
        self._decode = getincrementaldecoder("utf-8-sig")().decode
        self._text, self._at, self._ended = "", 0, False
        self._line, self._column = 1, 1
        """Where the text begins, of which the first part is dropped now and then."""

    def next_character(self) -> str:
        """Return the next character that is not space, without moving on; empty at the end."""
        while True:
            self._at = _end_of_space(self._text, self._at)
            if self._at < len(self._text) or not self._fill():
                return self._text[self._at : self._at + 1]

    def value(self) -> Any:
        """Return the next value, read as a whole."""
        self.next_character()
        while True:
            refusal = None
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # otherwise a number may continue
                    self._at = end
                    return value
            except json.JSONDecodeError as caught:  # possibly because the text is incomplete
                refusal = self._refusal(caught)
            except RecursionError as caught:
                raise OutcomesFileError(self._name, None, "is not usable JSON (it is nested too deeply)") from caught
            except ValueError as caught:
                raise OutcomesFileError(self._name, None, f"is not usable JSON ({caught})") from caught
            if len(self._text) - self._at > MAX_VALUE_CHARACTERS:
                self._fail(self._at, f"begins a value of more than {MAX_VALUE_CHARACTERS:,} characters")
            if not self._fill() and refusal is not None:
                raise refusal

    def members(self) -> Iterator[str]:
        """Yield each key of the object that begins here; the caller reads its value before the next."""
        seen: set[int] = set()
        if self._begins("{", "}"):
            return
        while True:
            if self.next_character() != '"':
                self._fail(self._at, "is not JSON", "a key in double quotes is expected")
            key: str = self.value()
            number = hash(key)  # not the key itself: there may be millions
            if number in seen:
                raise OutcomesFileError(self._name, None, f"is not usable JSON ({repeated_key(key)})")
            seen.add(number)
            self._expect(":")
            yield key
            if self._ends("}"):
                return

    def elements(self) -> Iterator[None]:
        """Yield before each element of the array that begins here; the caller reads it before the next."""
        if self._begins("[", "]"):
            return
        while True:
            yield
            if self._ends("]"):
                return

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next_character():
            self._fail(self._at, "is not JSON", "more data after the end")

    def _begins(self, opening: str, closing: str) -> bool:
        """Enter a container; return whether it is empty."""
        self._expect(opening)
        if self.next_character() != closing:
            return False
        self._at += 1
        return True

    def _ends(self, closing: str) -> bool:
        """Move on to the next member of a container; return whether there is none."""
        if self.next_character() == closing:
            self._at += 1
            return True
        self._expect(",")
        return False

    def _expect(self, character: str) -> None:
        if self.next_character() != character:
            self._fail(self._at, "is not JSON", f"{character!r} is expected")
        self._at += 1

    def _fill(self) -> bool:
        """Read the next part; return False at the end of the document."""
        if self._ended:
            return False
        if self._at:
            self._line, self._column = self._position(self._at)
            self._text, self._at = self._text[self._at :], 0
        part = self._read(PART_BYTES)
        self._ended = not part
        try:
            self._text += self._decode(part, self._ended)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode("utf-8", "replace")
            line, column = self._position(len(self._text))
            if "\n" in before:
                line, column = line + before.count("\n"), len(before) - before.rfind("\n")
            else:
                column += len(before)
            raise OutcomesFileError(self._name, line, f"is not UTF-8 text at column {column}") from error
        return not self._ended

    def _position(self, at: int) -> tuple[int, int]:
        """Return line and column, from 1, of an index of the text."""
        last = self._text.rfind("\n", 0, at)
        if last < 0:
            return self._line, self._column + at
        return self._line + self._text.count("\n", 0, at), at - last

    def _refusal(self, error: json.JSONDecodeError) -> OutcomesFileError:
        line, column = self._position(error.pos)
        message = f"is not JSON at column {column} ({error.msg}); was the file written completely?"
        return OutcomesFileError(self._name, line, message)

    def _fail(self, at: int, message: str, reason: str = "") -> NoReturn:
        line, column = self._position(at)
        why = f" ({reason}); was the file written completely?" if reason else ""
        raise OutcomesFileError(self._name, line, f"{message} at column {column}{why}")


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()
