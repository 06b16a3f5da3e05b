"""Shell texts as commands, and commands as words: a small scanner, which expands nothing.

It follows quotes, brackets, substitutions, here-documents, functions, `case` and `[[`: what a shell would run, whether
or not a condition lets it. What variables, patterns and braces become is not known here.
"""

from __future__ import annotations

import re

from k8s.check.shell_words import METAS, SPACE, WordReader

OPENERS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "("})
"""Words after which a command begins."""
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=.*", re.DOTALL)
_COPIES = re.compile(r"\d*[<>]&(\d+-?|-)(?![\w./$])")
_REDIRECT = re.compile(r"(?:\d+|\{\w+\})?(<<<|<<-?|<>|>>|>\||>&|<&|<|>)|(&>>?)")
_END = re.compile(r";;&|;;|;&|&&|\|\||\|&|[;|&\n]")
_DEFINED = re.compile(r"[ \t]*\([ \t]*\)")
_NAMED = re.compile(r"[ \t]+([^\s(){};]+)[ \t]*(\([ \t]*\))?")
_END_OF_TEST = re.compile(r"\]\](?=[\s;|&)]|$)")
_END_OF_CASE = re.compile(r"esac\b")


class Redirect(str):
    """A redirection among the words of a command, of which the next word is the place, or the text itself (`<<<`)."""


def shell_parts(text: str) -> list[list[str]]:
    """The words of each command in a shell text. Raises `ValueError` for quotes and brackets that do not end.

    Parts of one word say what is between commands: `(` and `)` around those of a shell of their own, `||` before what
    runs after a failure. `function NAME` is a definition. Commands of a substitution stand before the one that has it.
    """
    scanner = _Scanner(text)
    scanner.run()
    return scanner.found


class _Scanner(WordReader):
    """The state of reading one text; one more reads what is in the brackets of a substitution."""

    def __init__(self, text: str, at: int = 0, *, inside: bool = False) -> None:
        super().__init__(text, at, inside=inside)
        self.words: list[str] = []
        self.waiting: list[tuple[list[str], int, str, bool]] = []
        """Here-documents whose text begins at the next line: where among which words it belongs, its last line, and
        whether tabs before it go."""
        self.cases = self.depth = 0

    def run(self) -> None:
        """Read commands to the end of the text, or where it is `inside` a bracket, to the one that closes it."""
        while self.at < len(self.text):
            here = self.text[self.at]
            if self.starts("\\\n"):
                self.at += 2
            elif here == "#":
                self.before("\n")
            elif here in " \t\r":
                self.at += 1
            elif self.starts("<(", ">("):
                self.words.append(self.word())
            elif found := _COPIES.match(self.text, self.at):
                self.at = found.end()
            elif found := _REDIRECT.match(self.text, self.at):
                self._redirect(found)
            elif found := _END.match(self.text, self.at):
                self._end(found)
            elif here == "(":
                self._open()
            elif here == ")":
                self._finish()
                self.at += 1
                if self.inside and not self.depth:
                    return
                self.depth -= 1
                self.found.append([")"])
            else:
                self._ordinary()
        if self.inside:
            raise ValueError("No closing )")
        self._finish()

    def _finish(self) -> None:
        if self.words:
            self.found.append(self.words)
        self.words = []

    def _begins(self) -> bool:
        """Whether the next word is a command's first."""
        return all(word in OPENERS or ASSIGNMENT.fullmatch(word) for word in self.words)

    def _redirect(self, found: re.Match[str]) -> None:
        self.at = found.end()
        if found[1] not in ("<<", "<<-"):
            self.words.append(Redirect(found[1] or found[2]))
            return
        self.skip(" \t")
        self.words += [Redirect("<<<"), ""]
        self.waiting.append((self.words, len(self.words) - 1, self.word(), found[1] == "<<-"))

    def _end(self, found: re.Match[str]) -> None:
        self._finish()
        self.at = found.end()
        if found[0] == "||":
            self.found.append(["||"])
        elif found[0] in (";;", ";&", ";;&") and self.cases:
            self._pattern()
        elif found[0] == "\n":
            self._here_documents()

    def _here_documents(self) -> None:
        for words, index, last, tabs in self.waiting:
            lines = []
            while self.at < len(self.text):
                line = self.before("\n").lstrip("\t" if tabs else "")
                self.at += 1
                if line == last:
                    break
                lines.append(f"{line}\n")
            words[index] = "".join(lines)
        self.waiting = []

    def _open(self) -> None:
        """A bracket that is no part of a word: a function's, arithmetic, or a shell of its own."""
        defined = _DEFINED.match(self.text, self.at)
        if defined and self.words:
            self.found.append(["function", self.words.pop()])
            self.at = defined.end()
        elif self.starts("((") and (self._begins() or self.words == ["for"]):
            self.brackets("(", ")")
        else:
            self._finish()
            self.found.append(["("])
            self.depth, self.at = self.depth + 1, self.at + 1

    def _ordinary(self) -> None:
        start, begins = self.at, self._begins()
        word = self.word()
        raw = self.text[start : self.at]
        if begins and raw == "[[":
            self._condition()
        elif begins and raw == "function" and (named := _NAMED.match(self.text, self.at)):
            self.at = named.end()
            self.found.append(["function", named[1]])
        elif begins and raw == "case":
            self._case()
        elif begins and raw == "esac" and self.cases:
            self.cases -= 1
            self.words.append(word)
        else:
            self.words.append(word)

    def _condition(self) -> None:
        """`[[ … ]]`, in which operators are words, as the words of `test`."""
        self.words.append("test")
        while self.at < len(self.text):
            self.skip(SPACE)
            if _END_OF_TEST.match(self.text, self.at):
                self.at += 2
                return
            self.words.append(self.word(SPACE))
        raise ValueError("No closing ]]")

    def _case(self) -> None:
        self.skip(SPACE)
        self.word()
        self.skip(SPACE)
        if self.word() == "in":
            self.words, self.cases = [], self.cases + 1
            self._pattern()

    def _pattern(self) -> None:
        """Go past the pattern of a branch of `case`, or stand before its `esac`."""
        while self.at < len(self.text):
            if self.starts("#"):
                self.before("\n")
            elif self.starts(")"):
                self.at += 1
                return
            elif _END_OF_CASE.match(self.text, self.at):
                return
            elif self.text[self.at] in METAS:
                self.at += 1
            else:
                self.word()
