import time

import pytest

from labs.llm.letters import summarise, write_letter
from labs.llm.prompt import TONES, ChatMessage, CoverLetterData, Tone
from tests.llm.stub_support import CV, JOB


def letter(job: str = JOB, cv: str = CV, tone: Tone = "professional", *, seed: int = 1) -> str:
    return write_letter(CoverLetterData(job, cv, tone), seed=seed)


@pytest.mark.parametrize("tone", TONES)
def test_a_letter_derives_from_both_documents(tone: Tone) -> None:
    text = letter(tone=tone)
    assert text.endswith("Maria Oliveira")
    assert "Senior Backend Engineer" in text
    assert "Nordwind Logistics" in text
    for shared in ("Python", "PostgreSQL", "RabbitMQ", "message queues"):
        assert shared in text
    assert "Kubernetes" not in text  # the job asks for it, the CV has it not
    assert "7 years" in text
    assert "Reduced invoice processing time by 40 %" in text


def test_another_candidate_or_company_makes_another_letter() -> None:
    text = letter(JOB.replace("Nordwind Logistics", "Südwind AG"), CV.replace("Maria Oliveira", "Ólafur Þór Jónsson"))
    assert "Südwind AG" in text
    assert text.endswith("Ólafur Þór Jónsson")
    assert "Nordwind" not in text


def test_the_tones_differ_and_the_concise_one_is_the_shortest() -> None:
    letters = {tone: letter(tone=tone) for tone in TONES}
    assert len(set(letters.values())) == 3
    assert min(letters, key=lambda tone: len(letters[tone])) == "concise"


def test_the_same_input_and_seed_give_the_same_letter_and_seeds_vary_it() -> None:
    write_letter.cache_clear()
    first = letter(seed=7)
    write_letter.cache_clear()
    assert letter(seed=7) == first
    assert len({letter(seed=seed) for seed in range(20)}) > 1


@pytest.mark.parametrize(
    ("job", "cv", "expected"),
    [
        ("Company: Müller & Co GmbH\nStelle: Bäcker", "Lebenslauf\nName: Jürgen Groß", "Bäcker at Müller & Co GmbH"),
        ("株式会社サクラ\n職位: データエンジニア\nPython の経験", "山田太郎\nPython の経験 8 年", "山田太郎"),
        ("Join Acme Robotics! We need a data engineer.", "RESUME\n\nPRIYA RAMAN\n* SQL", "engineer at Acme Robotics"),
        ("", "", "The applicant"),
        ("\n\n  \n", "\n- \n\n*", "Dear hiring team"),
        ("{company} %s {0}", "{name}\n- Built {braces} in 2020 for 3 teams", "Built {braces} in 2020 for 3 teams"),
        ("\ud800 broken", "\udfff broken", "The applicant"),
    ],
)  # fmt: skip
def test_odd_documents_still_get_a_letter(job: str, cv: str, expected: str) -> None:
    assert expected in letter(job, cv)


@pytest.mark.parametrize(
    "text", ["AAAA BBBB ", "A", "#", "!!!\n", "\n", "Name:", "Acme is ", "1 ", "数据库", "looking for a "]
)
def test_huge_documents_take_bounded_time(text: str) -> None:
    huge = text * (400_000 // len(text))
    # Of this process: what others do on the machine doesn't count.
    started = time.process_time()
    letter(huge, huge)
    assert time.process_time() - started < 2


def test_only_the_first_part_of_a_huge_document_is_read() -> None:
    skill = "\nErlang\n"
    assert "Erlang" in letter(JOB + skill, CV + skill)
    assert "Erlang" not in letter(JOB + " " * 20_000 + skill, CV + skill)


def test_any_other_prompt_is_answered_with_a_summary_of_itself() -> None:
    text = summarise([ChatMessage("system", "Be kind."), ChatMessage("user", "I repair violins. I live in Oslo.")])
    assert "7 words" in text
    assert "I repair violins." in text
    assert "Be kind" not in text


def test_an_empty_prompt_is_answered_too() -> None:
    assert summarise([ChatMessage("user", " ")]).startswith("You sent no text")
