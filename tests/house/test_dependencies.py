"""What is imported is declared: a package that another one happens to bring may go with its next version."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(*lists: list[str]) -> set[str]:
    """Return the normalised names of requirements (PEP 503)."""
    bare = (re.match(r"[\w.-]+", requirement) for requirements in lists for requirement in requirements)
    return {normal(match[0]) for match in bare if match}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*folders: str) -> set[str]:
    """Return the distributions that the Python files of some folders import."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    # What others are measured with runs in an environment of its own.
    files = [path for path in files if "rivals" not in path.parts]
    modules: set[str] = set()
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    owners = importlib.metadata.packages_distributions()
    foreign = modules - sys.stdlib_module_names - {"steiner"} - {path.stem for path in files}
    return {normal(owners[module][0]) for module in foreign if module in owners}


def test_what_the_package_imports_is_declared():
    extras = PROJECT["optional-dependencies"]
    declared = names(
        PROJECT["dependencies"],
        extras["problems"],
        extras["train"],
        extras["serve"],
        extras["lora"],
        extras["eval"],
    )
    assert imported("src") <= declared


def test_what_tests_and_benchmarks_import_is_declared():
    assert imported("tests", "benchmarks") <= names(
        PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()
    )


def test_nothing_is_declared_that_nobody_imports():
    assert names(PROJECT["dependencies"]) <= imported("src")
