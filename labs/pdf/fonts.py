"""The fonts that documents are set in, and what each can show; what none can is shown as an empty box.

All come as Python packages, so that a fresh checkout and a container have them: Noto Sans for European scripts,
FiraGO for Arabic, Hebrew, Devanagari, Thai and Georgian, Noto Sans CJK for Chinese, Japanese and Korean, Noto Sans
Symbols for signs. There is no font for coloured emoji.
"""

from __future__ import annotations

import atexit
import functools
import logging
import shutil
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cvttf_NotoSansCJK_Regular as cjk
import pymupdf_fonts
from fontTools.ttLib import TTFont

# It warns of each table that a document has no use for.
logging.getLogger("fontTools.subset").setLevel(logging.ERROR)

#: Stands for a character that no font has; FiraGO has it.
BOX = "\u25af"
#: Joiners and variation selectors say how the letter before them looks; behind a sign they are nothing.
_SELECTORS = frozenset("\u200c\u200d\ufe0e\ufe0f")


@dataclass(frozen=True)
class Font:
    """A font family; `bold` is None where there is no bold face."""

    family: str
    regular: Callable[[], Path]
    bold: Callable[[], Path] | None = None

    @functools.cached_property
    def characters(self) -> frozenset[int]:
        """What it can show."""
        with TTFont(self.regular(), lazy=True) as font:
            return frozenset(font.getBestCmap())


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="lab-fonts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _unpacked(name: str) -> Callable[[], Path]:
    """A font that its package holds compressed: fpdf2 reads files only."""

    @functools.cache
    def path() -> Path:
        file = _folder() / f"{name}.{'otf' if name.startswith('symbol') else 'ttf'}"
        file.write_bytes(pymupdf_fonts.myfont(name))
        return file

    return path


MAIN = Font("Noto Sans", _unpacked("notos"), _unpacked("notosbo"))
#: Asked in this order for what the main font lacks.
FALLBACKS = (
    Font("FiraGO", _unpacked("figo"), _unpacked("figbo")),
    Font("Noto Sans CJK", lambda: Path(cjk.get_TTF_path())),
    Font("Noto Sans Symbols2", _unpacked("symbol2")),
)


def printable(text: str) -> tuple[str, frozenset[Font]]:
    """The text with a box for each character that no font has, and the fallback fonts that it needs."""
    shown: list[str] = []
    needed: set[Font] = set()
    for character in unicodedata.normalize("NFC", text):
        if character in _SELECTORS and not (shown and unicodedata.category(shown[-1])[0] in "LM"):
            continue
        font = _font_of(character)
        if font is not None:
            shown.append(character)
        elif character.isspace():
            shown.append(" ")
        elif unicodedata.category(character) not in {"Cc", "Cf", "Mn"}:
            shown.append(BOX)
            font = FALLBACKS[0]
        if font is not None and font is not MAIN:
            needed.add(font)
    return "".join(shown), frozenset(needed)


@functools.lru_cache(maxsize=65536)
def _font_of(character: str) -> Font | None:
    code = ord(character)
    if code < 0x20 or _is_bidi_control(code):
        return None
    return next((font for font in (MAIN, *FALLBACKS) if code in font.characters), None)


def _is_bidi_control(code: int) -> bool:
    """A stranger's override would make a line read otherwise than it is stored."""
    return 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
