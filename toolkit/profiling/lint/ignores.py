"""`# lint: ignore[rule] reason`: one place where a rule is wrong, and why.

At the end of a line it speaks of the statement on that line; on a line of its own, of the line below.  Commas join
several rules.
"""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass

_FORM = re.compile(r"#\s*lint:\s*ignore\b\s*(?:\[(?P<rules>[^\]]*)\])?\s*(?P<reason>.*)$")


@dataclass(frozen=True)
class Ignore:
    """One such comment.  `speaks_of` is the line whose findings it silences; `rules` are the names in brackets."""

    line: int
    speaks_of: int
    rules: tuple[str, ...]
    reason: str


def ignores(text: str) -> list[Ignore]:
    """All `# lint: ignore` comments of a file, in order; a string that holds such words is no comment."""
    if "lint:" not in text:
        return []
    found, alone = [], []
    code = (tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    begun = 0  # the last line on which code was seen
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            match = _FORM.match(token.string)
            if match is None:
                continue
            names = tuple(n.strip() for n in (match["rules"] or "").split(",") if n.strip())
            made = (token.start[0], names, match["reason"].strip())
            if begun == token.start[0]:
                found.append(Ignore(made[0], made[0], *made[1:]))
            else:
                alone.append(made)
        elif token.type not in code:
            begun = token.end[0]
            found += [Ignore(line, token.start[0], names, reason) for line, names, reason in alone]
            alone = []
    return sorted(found + [Ignore(line, line, names, reason) for line, names, reason in alone], key=lambda i: i.line)
