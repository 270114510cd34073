"""The shipped page belongs to its source, and needs nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "web"
PAGE = ROOT / "src" / "steiner" / "serve" / "page"
SOURCES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js", "src"]


def digest(paths: Iterable[Path], root: Path) -> str:
    """As in web/vite.config.js: SHA-256 of sorted lines of path and digest."""
    lines = sorted(
        f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in paths
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files(*places: Path) -> list[Path]:
    return [f for place in places for f in ([place] if place.is_file() else place.rglob("*")) if f.is_file()]


def test_the_bundle_was_built_from_this_source():
    recorded = json.loads((PAGE / "bundle.json").read_text())
    hint = "web/ and the page differ: run `make page` and commit both"
    assert recorded["source"] == digest(files(*(WEB / name for name in SOURCES)), WEB), hint
    built = [path for path in files(PAGE) if path.name != "bundle.json"]
    assert recorded["built"] == digest(built, PAGE), hint


def test_the_page_is_small_and_loads_nothing_from_elsewhere():
    names = {path.name for path in files(PAGE)}
    assert names == {"index.html", "page.js", "page.css", "bundle.json"}
    assert sum(path.stat().st_size for path in files(PAGE)) < 100_000
    text = "".join(path.read_text() for path in files(PAGE))
    assert set(re.findall(r"https?://[^/\"' )]+", text)) <= {"http://www.w3.org"}  # the name space of SVG
    assert not re.search(r"<(script|style)[^>]*>[^<]", (PAGE / "index.html").read_text())


def test_the_page_never_parses_html():
    for path in files(WEB / "src"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|document\.write", path.read_text()
        )


def test_the_lockfile_names_no_registry():
    lock = (WEB / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "http" not in re.sub(r'"url": "[^"]*"', "", lock)  # links to sponsors
