"""A report of findings as text for people, JSON for programs, and SARIF 2.1.0 for editors and code hosts.

SARIF: OASIS Standard, Static Analysis Results Interchange Format Version 2.1.0, 27 March 2020.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from toolkit.errors import OutputRefused
from toolkit.profiling.lint.check import Report
from toolkit.profiling.lint.rule import Rule, all_rules

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_text(report: Report) -> str:
    """One line for each finding, then the reason of each rule that found something, then the sum."""
    lines = [str(finding) for finding in report.findings]
    lines += [f"{path}: not read: {reason}" for path, reason in report.unread]
    counts = Counter(finding.rule for finding in report.findings)
    if counts:
        lines.append("")
    for rule in all_rules():
        if counts[rule.id]:
            note = f"; `vhs-toolkit profile patch --apply {rule.id}` mends what is safe" if rule.mendable else ""
            lines.append(f"{rule.id} ({counts[rule.id]}, {rule.category}): {rule.why}{note}")
    return "\n".join([*lines, summary(report)])


def summary(report: Report) -> str:
    """`3 findings in 2 of 14 files (1203 lines)`."""
    touched = len({finding.path for finding in report.findings})
    text = (
        f"{_many(len(report.findings), 'finding')} in {touched} of {_many(report.files, 'file')}, {report.lines} lines"
    )
    return text + (f"; {_many(len(report.unread), 'file')} could not be read" if report.unread else "")


def write(text: str, path: Path) -> None:
    """Writes a report into a file, whole or not at all.  Raises `OutputRefused` when the folder does not take it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputRefused(f"{path} could not be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_dict(report: Report) -> dict[str, Any]:
    """Findings, files that could not be read and counts, as plain data."""
    return {
        "findings": [asdict(finding) for finding in report.findings],
        "unread": [{"path": path, "reason": reason} for path, reason in report.unread],
        "files": report.files,
        "lines": report.lines,
    }


def as_json(report: Report) -> str:
    return json.dumps(as_dict(report), indent=1)


def as_sarif(report: Report) -> str:
    """The report as one SARIF 2.1.0 run; files that could not be read are notifications of the tool."""
    rules = all_rules()
    index = {rule.id: number for number, rule in enumerate(rules)}
    results = [
        {
            "ruleId": finding.rule,
            "ruleIndex": index[finding.rule],
            "level": "warning",
            "message": {"text": finding.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(finding.path)},
                        "region": {
                            "startLine": finding.line,
                            "startColumn": finding.column,
                            "endLine": finding.end_line,
                        },
                    }
                }
            ],
        }
        for finding in report.findings
    ]
    notes = [
        {
            "level": "error",
            "message": {"text": f"not read: {reason}"},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(path)}}}],
        }
        for path, reason in report.unread
    ]
    run = {
        "tool": {
            "driver": {"name": "vhs-toolkit profile lint", "version": _version(), "rules": [_rule(r) for r in rules]}
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": results,
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _rule(rule: Rule) -> dict[str, Any]:
    example = f"Not like this:\n\n{rule.bad}\nbut like this:\n\n{rule.good}"
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\n{example}"},
        "properties": {"category": rule.category, "mendable": rule.mendable},
    }


def _uri(path: str) -> str:
    where = Path(path)
    return where.as_uri() if where.is_absolute() else quote(where.as_posix())


def _version() -> str:
    import toolkit

    return toolkit.__version__
