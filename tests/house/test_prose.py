"""The repository's text avoids phrases that a native engineer would not write.

Each pattern once stood for dozens of sentences that were hard to read. The text is searched across
line breaks and comment marks, so that wrapping does not hide a phrase.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = {
    ".md",
    ".py",
    ".pyi",
    ".h",
    ".cpp",
    ".cu",
    ".cuh",
    ".toml",
    ".yaml",
    ".sh",
    ".j2",
    ".js",
}
NAMES = {"Makefile", "CMakeLists.txt"}
#: Generated or historical text, and this test, which has to name the phrases.
SKIPPED = re.compile(
    r"^(CHANGELOG\.md|triton_repo/|src/cineflow/bundles/|tests/house/test_prose\.py)"
)
LINE_BREAK = re.compile(r"\n[ \t]*(?:#:?|//[/!]?|\*|>)?[ \t]*")

MORE_OR_LESS = (
    r"(?:longer|more|less|larger|smaller|greater|later|earlier|wider|slower|faster|better)"
)
MEASURE = r"(?:short|long|small|large|few|many|much|early|late|wide|far|low|high|slow|fast)"

#: What to write instead -> the phrase.
PHRASES = {
    '"is not a" or "has no"': (rf"(?<![Tt]here )\b(?:is|are|was|were) no\b(?! {MORE_OR_LESS}\b)"),
    '"is not one" or "is missing"': r"\b(?:is|are|was|were) none\b",
    '"next to" or "compared with"': r"\bbeside\b",
    '"returns"': r"\banswers\b",
    '"also"': rf", too\b(?! {MEASURE}\b)",
    'a number, or "that many"': r"\bso many\b",
    '"fix"': r"\b[Mm]end(?:s|ed|ing)?\b",
}


def prose_files() -> list[Path]:
    """Tracked and new text files that are not generated."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name in listed.stdout.split("\0") if name and not SKIPPED.match(name)]
    paths = [ROOT / name for name in names]
    return [p for p in paths if p.is_file() and (p.suffix in SUFFIXES or p.name in NAMES)]


def found_in(text: str, phrase: str) -> list[str]:
    """Every match with a few words around it."""
    flat = LINE_BREAK.sub(" ", text)
    return [flat[max(0, m.start() - 40) : m.end() + 30] for m in re.finditer(phrase, flat)]


@pytest.mark.parametrize("instead", PHRASES)
def test_no_file_uses_the_phrase(instead: str) -> None:
    files = prose_files()
    assert len(files) > 300
    wrong = [
        f"{path.relative_to(ROOT)}: ...{excerpt}..."
        for path in files
        for excerpt in found_in(path.read_text(), PHRASES[instead])
    ]
    assert not wrong, f"write {instead}\n" + "\n".join(wrong)


def test_a_phrase_is_found_across_lines_and_comment_marks() -> None:
    phrase = PHRASES['"is not one" or "is missing"']
    assert found_in("a size that is\n    # none", phrase)
    assert found_in("the file is\n// none", phrase)
    assert not found_in("value is None", phrase)
    assert not found_in("there is no GPU, and it is no longer", PHRASES['"is not a" or "has no"'])
