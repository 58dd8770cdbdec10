"""`vhs-toolkit profile ...`: finds leaks and wasted work, and mends what can be mended safely."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from toolkit.commands import profile_run, profile_watch

app = App(name="profile", help="Finds leaks and wasted work, and mends what can be mended safely.")
app.command(profile_run.run)
app.command(profile_run.compare)
app.command(profile_watch.temp)
app.command(profile_watch.watch)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for programs.")]
Flag = Annotated[bool, Parameter(negative="")]


@app.command
def lint(
    *paths: Path,
    format: Literal["text", "json", "sarif"] = "text",
    rule: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    output: Path | None = None,
) -> None:
    """Finds leaks and wasted work in Python source, without running it; exits with 1 when there are findings.

    A place where a rule is wrong says so: `# lint: ignore[rule] reason`.

    Parameters
    ----------
    paths
        Python files, or folders that hold some.
    format
        text, json, or sarif (2.1.0) for editors and code hosts.
    rule
        Only this rule; may be given several times.
    output
        A file for the report, in place of the terminal; written over.
    """
    from toolkit.errors import WorkError
    from toolkit.profiling import lint as linter
    from toolkit.profiling.lint.check import UNCHANGED
    from toolkit.profiling.lint.report import summary, write

    rules = [linter.find_rule(name) for name in rule] or None
    report = linter.lint(paths, rules)
    text = {"text": linter.as_text, "json": linter.as_json, "sarif": linter.as_sarif}[format](report)
    if output is not None:
        write(text, output)
    else:
        print(text)
    if not report.clean:
        raise WorkError(summary(report), files=UNCHANGED)


@app.command
def rules(name: str | None = None, *, json: Json = False) -> None:
    """Lists the rules of `profile lint`; with NAME, says why it is one and shows an example."""
    from toolkit.profiling.lint import all_rules, find_rule

    chosen = all_rules() if name is None else (find_rule(name),)
    if json:
        print(json_module.dumps([r.to_dict() for r in chosen], indent=1))
    elif name is None:
        for r in chosen:
            print(f"{r.category:<10} {r.id:<28} {r.summary}{' (can be mended)' if r.mendable else ''}")
    else:
        r = chosen[0]
        mends = f"`profile patch --apply {r.id}`: {r.mended}" if r.mendable else "a person must decide"
        print(f"{r.id} ({r.category}): {r.summary}\n\n{r.why}\n\nnot like this\n\n{_inset(r.bad)}")
        print(f"but like this\n\n{_inset(r.good)}\nmending: {mends}")


@app.command
def patch(
    *paths: Path,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    apply: str | None = None,
    dry_run: Flag = False,
    validate: Flag = False,
    force: Flag = False,
    timeout: float = 600,
) -> None:
    """Mends in Python source what can be mended safely, and prints the change as a diff.

    Parameters
    ----------
    paths
        Python files, or folders that hold some; the current folder when none is given.
    list_
        Only say which patches there are.
    apply
        The patch to apply, or all.
    dry_run
        Print the diff and write nothing.
    validate
        Run the tests that belong to the patch on a copy of the project; nothing is written when one fails.
    force
        Also write into files whose text is not committed in git.
    timeout
        Most seconds for the tests.
    """
    from toolkit.errors import RequestError
    from toolkit.profiling import patch as patching
    from toolkit.profiling.lint.check import UNCHANGED

    if list_:
        for r in patching.patches():
            print(f"{r.id:<24} {r.mended}")
        return
    if apply is None and not validate:
        raise RequestError("nothing was asked for", expected="--list, --apply NAME or --validate", files=UNCHANGED)
    changes, unread = patching.plan(paths or (Path("."),), patching.chosen(apply or "all"))
    for path, reason in unread:
        print(f"{path}: not read: {reason}")
    for change in changes:
        print(change.diff(), end="")
    if changes and validate:
        from toolkit.profiling.validate import validate as run_tests

        for proof in run_tests(changes, timeout=timeout):
            print(f"tests pass with the patch: {proof}")
    count = sum(sum(change.places.values()) for change in changes)
    what = f"{count} {'place' if count == 1 else 'places'} in {len(changes)} {'file' if len(changes) == 1 else 'files'}"
    if apply is None or dry_run or not changes:
        print(f"{what} can be mended; {UNCHANGED}" if changes else f"nothing to mend; {UNCHANGED}")
        return
    patching.apply(changes, force=force)
    print(f"{what} mended")


def _inset(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(keepends=True))
