"""The tutorial shows the file that its commands (run by tests/house/test_docs.py) export."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_page_shows_the_whole_example() -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    shown = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown
    assert shown[1] == (ROOT / "examples" / "my_flow.py").read_text()
