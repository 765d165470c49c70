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
    #: Stands where the profile would, if there is none.
    draft: str


_WORDS = {
    "ar": Words(
        "العربية",
        "نبذة",
        "الوظيفة المستهدفة",
        "الخبرة",
        "التعليم",
        "المهارات",
        "اللغات",
        "المرشح",
        "مسودة: لم تُحفظ بعد بيانات مقدم الطلب.",
    ),
    "de": Words(
        "Deutsch",
        "Profil",
        "Angestrebte Stelle",
        "Berufserfahrung",
        "Ausbildung",
        "Kenntnisse",
        "Sprachen",
        "Bewerbung",
        "Entwurf: Angaben zur Person sind noch nicht hinterlegt.",
    ),
    "el": Words(
        "Ελληνικά",
        "Προφίλ",
        "Επιδιωκόμενη θέση",
        "Εμπειρία",
        "Εκπαίδευση",
        "Δεξιότητες",
        "Γλώσσες",
        "Υποψήφιος",
        "Προσχέδιο: δεν έχουν αποθηκευτεί ακόμη στοιχεία του υποψηφίου.",
    ),
    "en": Words(
        "English",
        "Profile",
        "Target role",
        "Experience",
        "Education",
        "Skills",
        "Languages",
        "Candidate",
        "Draft: nothing has been stored yet about who applies.",
    ),
    "es": Words(
        "Español",
        "Perfil",
        "Puesto objetivo",
        "Experiencia",
        "Formación",
        "Competencias",
        "Idiomas",
        "Candidatura",
        "Borrador: todavía no se han guardado los datos de la persona candidata.",
    ),
    "fr": Words(
        "Français",
        "Profil",
        "Poste visé",
        "Expérience",
        "Formation",
        "Compétences",
        "Langues",
        "Candidature",
        "Brouillon : le profil n'a pas encore été enregistré.",
    ),
    "he": Words(
        "עברית",
        "פרופיל",
        "תפקיד מבוקש",
        "ניסיון",
        "השכלה",
        "כישורים",
        "שפות",
        "מועמדות",
        "טיוטה: פרטי המועמד עדיין לא נשמרו.",
    ),
    "it": Words(
        "Italiano",
        "Profilo",
        "Posizione desiderata",
        "Esperienza",
        "Istruzione",
        "Competenze",
        "Lingue",
        "Candidatura",
        "Bozza: i dati personali non sono ancora stati salvati.",
    ),
    "ja": Words(
        "日本語",
        "プロフィール",
        "希望職種",
        "職務経歴",
        "学歴",
        "スキル",
        "語学",
        "応募者",
        "下書きです。応募者の情報がまだ登録されていません。",
    ),
    "ko": Words(
        "한국어",
        "프로필",
        "희망 직무",
        "경력",
        "학력",
        "기술",
        "언어",
        "지원자",
        "초안: 지원자 정보가 아직 저장되지 않았습니다.",
    ),
    "nl": Words(
        "Nederlands",
        "Profiel",
        "Gewenste functie",
        "Werkervaring",
        "Opleiding",
        "Vaardigheden",
        "Talen",
        "Kandidaat",
        "Concept: er zijn nog geen gegevens van de kandidaat opgeslagen.",
    ),
    "pl": Words(
        "Polski",
        "Profil",
        "Stanowisko",
        "Doświadczenie",
        "Wykształcenie",
        "Umiejętności",
        "Języki",
        "Kandydat",
        "Szkic: dane kandydata nie zostały jeszcze zapisane.",
    ),
    "pt": Words(
        "Português",
        "Perfil",
        "Vaga pretendida",
        "Experiência",
        "Formação",
        "Competências",
        "Idiomas",
        "Candidatura",
        "Rascunho: os dados da pessoa candidata ainda não foram guardados.",
    ),
    "ru": Words(
        "Русский",
        "Профиль",
        "Желаемая должность",
        "Опыт работы",
        "Образование",
        "Навыки",
        "Языки",
        "Кандидат",
        "Черновик: данные кандидата ещё не сохранены.",
    ),
    "tr": Words(
        "Türkçe",
        "Profil",
        "Hedef pozisyon",
        "Deneyim",
        "Eğitim",
        "Beceriler",
        "Diller",
        "Aday",
        "Taslak: henüz aday bilgisi yok.",
    ),
    "uk": Words(
        "Українська",
        "Профіль",
        "Бажана посада",
        "Досвід роботи",
        "Освіта",
        "Навички",
        "Мови",
        "Кандидат",
        "Чернетка: дані кандидата ще не збережено.",
    ),
    "vi": Words(
        "Tiếng Việt",
        "Giới thiệu",
        "Vị trí ứng tuyển",
        "Kinh nghiệm",
        "Học vấn",
        "Kỹ năng",
        "Ngôn ngữ",
        "Ứng viên",
        "Bản nháp: chưa lưu thông tin của ứng viên.",
    ),
    "zh": Words(
        "中文",
        "个人简介",
        "目标职位",
        "工作经历",
        "教育背景",
        "技能",
        "语言",
        "求职者",
        "这是草稿。尚未保存求职者的信息。",
    ),
}


def words(language: str) -> Words:
    """The words of a language, given as a BCP 47 tag such as `pt-BR`."""
    return _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])
