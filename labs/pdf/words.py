"""The headings of a resume in the languages that have some; any other language gets English ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """The words that we put into a resume."""

    name: str
    profile: str
    role: str
    experience: str
    education: str
    skills: str
    languages: str
    candidate: str


_WORDS = {
    "ar": Words("العربية", "نبذة", "الوظيفة المستهدفة", "الخبرة", "التعليم", "المهارات", "اللغات", "المرشح"),
    "de": Words(
        "Deutsch",
        "Profil",
        "Angestrebte Stelle",
        "Berufserfahrung",
        "Ausbildung",
        "Kenntnisse",
        "Sprachen",
        "Bewerbung",
    ),
    "el": Words(
        "Ελληνικά", "Προφίλ", "Επιδιωκόμενη θέση", "Εμπειρία", "Εκπαίδευση", "Δεξιότητες", "Γλώσσες", "Υποψήφιος"
    ),
    "en": Words("English", "Profile", "Target role", "Experience", "Education", "Skills", "Languages", "Candidate"),
    "es": Words(
        "Español", "Perfil", "Puesto objetivo", "Experiencia", "Formación", "Competencias", "Idiomas", "Candidatura"
    ),
    "fr": Words("Français", "Profil", "Poste visé", "Expérience", "Formation", "Compétences", "Langues", "Candidature"),
    "he": Words("עברית", "פרופיל", "תפקיד מבוקש", "ניסיון", "השכלה", "כישורים", "שפות", "מועמדות"),
    "it": Words(
        "Italiano", "Profilo", "Posizione desiderata", "Esperienza", "Istruzione", "Competenze", "Lingue", "Candidatura"
    ),
    "ja": Words("日本語", "プロフィール", "希望職種", "職務経歴", "学歴", "スキル", "語学", "応募者"),
    "ko": Words("한국어", "프로필", "희망 직무", "경력", "학력", "기술", "언어", "지원자"),
    "nl": Words(
        "Nederlands", "Profiel", "Gewenste functie", "Werkervaring", "Opleiding", "Vaardigheden", "Talen", "Kandidaat"
    ),
    "pl": Words(
        "Polski", "Profil", "Stanowisko", "Doświadczenie", "Wykształcenie", "Umiejętności", "Języki", "Kandydat"
    ),
    "pt": Words(
        "Português", "Perfil", "Vaga pretendida", "Experiência", "Formação", "Competências", "Idiomas", "Candidatura"
    ),
    "ru": Words(
        "Русский", "Профиль", "Желаемая должность", "Опыт работы", "Образование", "Навыки", "Языки", "Кандидат"
    ),
    "tr": Words("Türkçe", "Profil", "Hedef pozisyon", "Deneyim", "Eğitim", "Beceriler", "Diller", "Aday"),
    "uk": Words("Українська", "Профіль", "Бажана посада", "Досвід роботи", "Освіта", "Навички", "Мови", "Кандидат"),
    "vi": Words(
        "Tiếng Việt", "Giới thiệu", "Vị trí ứng tuyển", "Kinh nghiệm", "Học vấn", "Kỹ năng", "Ngôn ngữ", "Ứng viên"
    ),
    "zh": Words("中文", "个人简介", "目标职位", "工作经历", "教育背景", "技能", "语言", "求职者"),
}


def words(language: str) -> Words:
    """The words of a language, given as a BCP 47 tag such as `pt-BR`."""
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])
