"""One word of a shell text: its quotes, brackets and substitutions. Nothing is expanded."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

SPACE, METAS = " \t\r\n", " \t\r\n;|&<>()"
_ARRAY = re.compile(r"[A-Za-z_]\w*(\[[^\]]*\])?\+?=|.*[?*+@!]", re.DOTALL)
"""Before a bracket that belongs to the word: an array's, or a pattern's."""
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_BACKTICKS = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)


class WordReader(ABC):
    """A place in a text, and the commands that were found before it."""

    def __init__(self, text: str, at: int = 0, *, inside: bool = False) -> None:
        self.text, self.at, self.inside = text, at, inside
        self.found: list[list[str]] = []

    @abstractmethod
    def run(self) -> None:
        """Read commands to the end of the text, or where it is `inside` a bracket, to the one that closes it."""

    def starts(self, *texts: str) -> bool:
        """Whether one of the texts is here."""
        return self.text.startswith(texts, self.at)

    def before(self, end: str) -> str:
        """The text as far as an end, which comes next then; all that is left where there is no such end."""
        start, found = self.at, self.text.find(end, self.at)
        self.at = len(self.text) if found < 0 else found
        return self.text[start : self.at]

    def skip(self, characters: str) -> None:
        """Go past some characters."""
        while self.at < len(self.text) and self.text[self.at] in characters:
            self.at += 1

    def word(self, ends: str = METAS) -> str:
        """The word here, without its quotes."""
        word = ""
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == "(" and ends == METAS and _ARRAY.fullmatch(word):
                word += self.brackets("(", ")")
            elif not word and self.starts("<(", ">("):
                self.at += 1
                self._substitution()
                word = "/dev/fd/63"
            elif here in ends:
                break
            elif here == "'":
                word += self._plain_quotes()
            else:
                word += self._piece(quoted=False)
        return word

    def brackets(self, opening: str, closing: str) -> str:
        """The text from a bracket to the one that closes it, both of them in it."""
        start, depth = self.at, 0
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == "'" and opening == "(":
                self._plain_quotes()
                continue
            depth += (here == opening) - (here == closing)
            if not depth:
                self.at += 1
                return self.text[start : self.at]
            self._piece(quoted=False)
        raise ValueError(f"No closing {closing}")

    def _plain_quotes(self) -> str:
        self.at += 1
        text = self.before("'")
        if self.at == len(self.text):
            raise ValueError("No closing quotation")
        self.at += 1
        return text

    def _piece(self, *, quoted: bool) -> str:
        """One character or expansion of a word, or all that is between double quotes."""
        here = self.text[self.at]
        if here == "$":
            return self._dollar(quoted=quoted)
        if here == "`":
            text = self._matched(_BACKTICKS)
            inner = type(self)(re.sub(r"\\([`$\\])", r"\1", text))
            inner.run()
            self.found += [["("], *inner.found, [")"]]
            return f"$({text})"
        self.at += 1
        if here == "\\":
            after = self.text[self.at : self.at + 1]
            self.at += 1
            return "" if after == "\n" else after if not quoted or after in '"\\$`' else here + after
        if here != '"':
            return here
        text = ""
        while not self.starts('"'):
            if self.at >= len(self.text):
                raise ValueError("No closing quotation")
            text += self._piece(quoted=True)
        self.at += 1
        return text

    def _matched(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if not found:
            raise ValueError("No closing quotation")
        self.at = found.end()
        return found[1]

    def _dollar(self, *, quoted: bool) -> str:
        start = self.at
        if self.starts("$'") and not quoted:
            return self._matched(_ANSI)
        self.at += 1
        if self.starts("((", "{"):
            return "$" + (self.brackets("{", "}") if self.starts("{") else self.brackets("(", ")"))
        if self.starts("("):
            self._substitution()
        return self.text[start : self.at]

    def _substitution(self) -> None:
        """The commands in the brackets here, which run in a shell of their own."""
        inner = type(self)(self.text, self.at + 1, inside=True)
        inner.run()
        if not _VARIABLE.fullmatch(self.text[self.at + 1 : inner.at - 1]):  # Kubernetes' way to name a variable
            self.found += [["("], *inner.found, [")"]]
        self.at = inner.at
