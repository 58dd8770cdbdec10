"""Finds leaks and wasted work in Python source, without running it.

    lint(["toolkit"])      -> Report of findings
    all_rules()            every rule with its reason and examples
    as_text / as_json / as_sarif(report)

A rule is one declaration in `rules/`; what it may ask of a file is in `source.py` and `media.py`.
"""

from toolkit.profiling.lint.check import Report, lint
from toolkit.profiling.lint.report import as_json, as_sarif, as_text
from toolkit.profiling.lint.rule import Finding, Rule, all_rules, find_rule

__all__ = ["Finding", "Report", "Rule", "all_rules", "as_json", "as_sarif", "as_text", "find_rule", "lint"]
