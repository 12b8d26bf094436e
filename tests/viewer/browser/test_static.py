"""The page's files: small, without a way to turn text into markup, and without a word to any other host."""

from __future__ import annotations

import re
from pathlib import Path

import gossamer.viewer

STATIC = Path(gossamer.viewer.__file__).parent / "static"
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in FILES}
FORBIDDEN = [
    r"innerHTML", r"outerHTML", r"insertAdjacentHTML", r"setHTMLUnsafe", r"document\.write", r"\beval\b",
    r"new Function", r"createContextualFragment", r"DOMParser",
    r"srcdoc", r"set(?:Timeout|Interval)\(\s*[\"'`]", r"trustedTypes", r"\bon[a-z]+=", r"(?<![\w-])style=",
    r"javascript:", r"setAttribute\(\s*[\"']on",
]  # fmt: skip


def test_size() -> None:
    assert sum(path.stat().st_size for path in FILES) < 150 * 1024
    for name, text in TEXTS.items():
        assert text.count("\n") <= 500, name


def test_nothing_makes_markup() -> None:
    for name, text in TEXTS.items():
        for pattern in FORBIDDEN:
            assert not re.search(pattern, text), (name, pattern)


def test_no_other_host() -> None:
    for name, text in TEXTS.items():
        hosts = {host for host in re.findall(r"https?://([\w.$:+-]*)", text) if host not in ("www.w3.org",)}
        assert not {host for host in hosts if "." in host and host != "host.docker.internal"}, name
        assert "@import" not in text and "url(" not in text and "@font-face" not in text, name


def test_every_file_is_used_and_there() -> None:
    names = set(TEXTS)
    used = set(re.findall(r"static/([\w.-]+)", TEXTS["index.html"])) | {"index.html"}
    while True:
        more = {
            name for file in used if file.endswith(".js") for name in re.findall(r'from "\./([\w.-]+)"', TEXTS[file])
        } - used
        if not more:
            break
        assert more <= names
        used |= more
    assert used == names


def test_symbols_exist() -> None:
    symbols = set(re.findall(r'<symbol id="i-([\w-]+)"', TEXTS["index.html"]))
    scripts = "".join(text for name, text in TEXTS.items() if name.endswith(".js"))
    wanted = set(re.findall(r'\bicon(?:Button)?\("([\w-]+)"', scripts)) | set(
        re.findall(r'href="#i-([\w-]+)"', TEXTS["index.html"])
    )
    assert wanted <= symbols
    assert symbols <= wanted | set(re.findall(r'"([\w-]+)"', scripts)) | {"sun", "moon", "auto"}
