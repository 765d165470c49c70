"""Any text becomes a PDF that shows it, and shows that it can't where it can't."""

from __future__ import annotations

import sys
from dataclasses import replace

import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labs.pdf.content import Entry, Resume, Section
from labs.pdf.fonts import BOX, printable
from labs.pdf.profile import compose
from labs.pdf.resume import make_pdf
from labs.pdf.words import words

ADA = Resume("Ada Lovelace", "Engineer", ("ada@example.org",), (Section("Profile", paragraphs=("Nine years.",)),))


def opened(resume: Resume) -> pypdfium2.PdfDocument:
    return pypdfium2.PdfDocument(make_pdf(resume))


def said(resume: Resume) -> str:
    return "\n".join(page.get_textpage().get_text_range() for page in opened(resume))


def with_text(text: str) -> Resume:
    return replace(
        ADA, name=text, headline=text, sections=(Section(text, (text,), (text,), (Entry(text, text, text, (text,)),)),)
    )


def ink(resume: Resume) -> tuple[int, int]:
    """Dark pixels in the left and the right half of the first page."""
    image = opened(resume)[0].render(scale=1).to_pil().convert("L")
    half = image.width // 2
    halves = (image.crop((0, 0, half, image.height)), image.crop((half, 0, image.width, image.height)))
    left, right = (sum(half.histogram()[:128]) for half in halves)
    return left, right


@pytest.mark.parametrize(
    "text",
    [
        "Łódź Çığ Ærø \u00df",
        "Привет, інженер",
        "Μηχανικός",
        "Tôi đã làm việc ở Huế",
        "漢字と仮名",
        "简体中文",
        "한국어",
        "ภาษาไทย",
        "100 € \u2192 120 ₽",
        "✓ ★ ☎",
    ],
)
def test_every_script_can_be_copied_out_of_the_page(text: str) -> None:
    assert BOX not in printable(text)[0]
    assert text.replace(" ", "") in said(with_text(text)).replace(" ", "")


@pytest.mark.parametrize("text", ["مهندس برمجيات", "מהנדס תוכנה", "हिन्दी में काम"])
def test_scripts_that_need_shaping_have_a_font(text: str) -> None:
    assert BOX not in printable(text)[0]
    assert make_pdf(with_text(text)).startswith(b"%PDF-")


def test_a_script_from_the_right_stands_on_the_right() -> None:
    one = Section("", paragraphs=("a",))
    left, right = ink(Resume("Ada", sections=(one,)))
    assert left > right
    left, right = ink(Resume("مهندس", sections=(replace(one, paragraphs=("مهندس",)),)))
    assert right > left
    # A whole resume of such a language does, whatever letters it holds.
    left, right = ink(Resume("Ada", sections=(one,), language="he-IL"))
    assert right > left


def test_what_no_font_has_is_a_box_and_not_nothing() -> None:
    assert printable("a \U0001f680 b")[0] == f"a {BOX} b"
    # A couple at a keyboard is one sign of several, and its joiners are nothing to be shown.
    assert "\u200d" not in printable("\U0001f469\u200d\U0001f4bb")[0]
    assert BOX in said(with_text("launched \U0001f680"))


def test_controls_can_neither_be_seen_nor_turn_a_line_around() -> None:
    assert printable("a\x07b\x00c\u202ed\u2066e")[0] == "abcde"
    assert printable("a\tb\nc")[0] == "a b c"


def test_a_long_resume_goes_on_over_pages_and_numbers_them() -> None:
    entries = tuple(Entry(f"Job {number}", "ACME", "2020", ("did it " * 30,) * 3) for number in range(12))
    document = opened(replace(ADA, sections=(Section("Experience", entries=entries),)))
    assert len(document) > 2
    assert all(str(number + 1) in page.get_textpage().get_text_range() for number, page in enumerate(document))
    assert all(
        f"Job {number}" in "".join(page.get_textpage().get_text_range() for page in document) for number in range(12)
    )


def test_what_is_missing_leaves_no_heading() -> None:
    text = said(compose("", {"profile": {"name": "Ada"}}))
    assert text.strip() == "Ada"


def test_who_is_known_by_an_address_alone_gets_a_draft_under_it() -> None:
    assert said(compose("", {"profile": {"email": "ada@example.org"}})).split() == [
        "ada@example.org",
        "Profile",
        *words("en").draft.split(),
    ]
    assert said(compose("", {"language": "fr"})).startswith("Candidature")
    assert words("fr").draft in said(compose("", {"language": "fr"}))


@pytest.mark.parametrize(
    ("language", "heading"),
    [
        ("en", "Experience"),
        ("pt-BR", "Experiência"),
        ("es", "Experiencia"),
        ("de", "Berufserfahrung"),
        ("FR", "Expérience"),
        ("ja", "職務経歴"),
        ("tlh", "Experience"),
    ],
)
def test_headings_are_in_the_language_that_was_asked_for(language: str, heading: str) -> None:
    profile = {"experience": [{"title": "Engineer", "company": "ACME"}]}
    resume = compose("", {"language": language, "profile": profile})
    assert heading in said(resume)
    assert resume.language == language


def test_every_language_has_words_that_can_be_printed() -> None:
    for language in (
        "ar",
        "de",
        "el",
        "en",
        "es",
        "fr",
        "he",
        "it",
        "ja",
        "ko",
        "nl",
        "pl",
        "pt",
        "ru",
        "tr",
        "uk",
        "vi",
        "zh",
    ):
        assert BOX not in printable("".join(getattr(words(language), name) for name in words("en").__slots__))[0]


def test_a_description_becomes_paragraphs_and_points() -> None:
    resume = compose("A role.\n\n- Python\n* RabbitMQ\nMore.\n-\n", {})
    role = next(section for section in resume.sections if section.heading == "Target role")
    assert (role.paragraphs, role.points) == (("A role.", "More."), ("Python", "RabbitMQ"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(min_codepoint=0, max_codepoint=sys.maxunicode), max_size=60))
def test_no_text_at_all_is_too_much(text: str) -> None:
    assert make_pdf(with_text(text)).startswith(b"%PDF-")


@pytest.mark.parametrize(
    "text",
    ["x" * 3000, "漢" * 1500, "\u0627" * 1500, " ", "\ud800", "\u0301" * 50, "\u200b" * 20, "**_--", "a\u00a0b"],
    ids=["word", "Chinese", "Arabic", "space", "surrogate", "accents", "nothing wide", "markup", "no break"],
)
def test_awkward_texts_do_no_harm(text: str) -> None:
    assert make_pdf(with_text(text)).startswith(b"%PDF-")
