"""Reading the documents of the project: links, anchors, fenced blocks, and the shell commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

PROJECT = Path(__file__).resolve().parents[2]
OUTSIDE = {"build", "dist", "handopt-out", "node_modules"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (?P<text>[^>]*?) -->\s*\Z")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]*)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")", "do", "then"}
_REDIRECTIONS = {">", ">>", "<"}


@dataclass(frozen=True)
class Block:
    """A fenced block. language: after the fence. note: the HTML comment right above it, or an empty string."""

    document: Path
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(PROJECT)}:{self.line}"


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    found = (path.relative_to(PROJECT) for path in PROJECT.rglob("*.md"))
    hidden = ({*path.parts} & OUTSIDE or any(part.startswith(".") for part in path.parts) for path in found)
    return sorted(path for path, left_out in zip(PROJECT.rglob("*.md"), hidden, strict=True) if not left_out)


def blocks(document: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a document in some languages."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        before = text[: match.start()]
        note = _COMMENT.search(before)
        line = before.count("\n") + 1
        found.append(Block(document, line, match[1], match[2], note["text"] if note else ""))
    return [block for block in found if block.language in languages]


def links(document: Path) -> list[str]:
    """Where the links and pictures of a document lead, without those to other sites."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = found.get(name, 0)
        names.add(f"{name}-{count}" if count else name)
        found[name] = count + 1
    return names


def commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script as lists of words, without redirections and comments."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.replace("$'", "'"), posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for word in lexer:
            if skip:
                skip = False
            elif word in _SEPARATORS:
                yield from [words] if words else []
                words = []
            elif word in _REDIRECTIONS:
                skip = True
            else:
                words.append(word)
        yield from [words] if words else []


def parse(program: click.Command, words: list[str]) -> None:
    """Parse words as a command of a program does, values too, but for whether files exist. Raises UsageError."""
    command, context = program, click.Context(program, info_name="handopt")
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            assert set(words) <= {"--help", "--version"}, f"{words} is no command"
            return
        name, *words = words
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"no such command: {name}", context)
        command, context = inner, click.Context(inner, parent=context, info_name=name)
    values, rest, _ = command.make_parser(context).parse_args(args=list(words))
    if rest:
        raise click.UsageError(f"unexpected: {rest}", context)
    for parameter in command.params:
        value = values.get(parameter.name or "")
        is_given = isinstance(value, str | tuple | list) and len(value) > 0
        if parameter.required and not is_given:
            raise click.MissingParameter(ctx=context, param=parameter)
        named_values = isinstance(parameter, click.Option) or isinstance(parameter.type, click.Choice)
        if is_given and named_values and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)
