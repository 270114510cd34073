"""The languages that reasoning can be asked for, and what tells them apart."""

from __future__ import annotations

from typing import NamedTuple

from steiner.core import InputError


class Language(NamedTuple):
    """A written language."""

    code: str
    """ISO 639-1."""
    name: str
    """As a prompt calls it."""
    script: str
    """A key of `steiner.teacher.llm.language.SCRIPTS`."""
    common: frozenset[str] = frozenset()
    """Frequent short words that other languages here have not, of Latin-script languages only."""


def _language(code: str, name: str, script: str = "latin", common: str = "") -> Language:
    return Language(code, name, script, frozenset(common.split()))


_ALL = (
    _language(
        "en",
        "English",
        common="the of and is to that this we for are with it be as by from have has which there "
        "each if not so "
        "or then than can will his her their they how many per more all would out into at on its these",
    ),
    _language(
        "de",
        "German (Deutsch)",
        common="der die das und ist nicht ein eine einen einem einer von zu mit den dem des sich "
        "auf für wir sie es "
        "also sind wird hat auch aus bei nach wie viele dass wenn oder pro insgesamt ihr jeder jede "
        "sein beträgt",
    ),
    _language(
        "es",
        "Spanish (español)",
        common="el la los las de que y en un una es por con para se del al lo su como más cada hay "
        "si son pero "
        "cuántos entonces tiene tenemos total este esta ese esa sus o hemos",
    ),
    _language(
        "fr",
        "French (français)",
        common="le la les des de du et est que un une dans pour il elle nous par sur avec au aux ce "
        "cette donc qui "
        "pas plus sont chaque si combien ont ou son sa ses en on",
    ),
    _language(
        "it",
        "Italian (italiano)",
        common="il lo la gli le di che è e un una per con del della dei non si sono nel da ogni "
        "quindi ha al alla "
        "come più se questo questa quanti abbiamo o ci",
    ),
    _language(
        "pt",
        "Portuguese (português)",
        common="o a os as de que e do da em um uma é para com não por se no na dos das cada mais "
        "são então tem ao "
        "como ele ela isso quantos temos ou seu sua",
    ),
    _language(
        "nl",
        "Dutch (Nederlands)",
        common="de het een en van is dat niet op te zijn voor met we er aan dus ze die als in per "
        "hoeveel elke heeft "
        "om ook bij dit of naar door",
    ),
    _language("pl", "Polish (polski)"),
    _language("cs", "Czech (čeština)"),
    _language("sv", "Swedish (svenska)"),
    _language("da", "Danish (dansk)"),
    _language("fi", "Finnish (suomi)"),
    _language("hu", "Hungarian (magyar)"),
    _language("ro", "Romanian (română)"),
    _language("tr", "Turkish (Türkçe)"),
    _language("vi", "Vietnamese (Tiếng Việt)"),
    _language("id", "Indonesian (Bahasa Indonesia)"),
    _language("sw", "Swahili (Kiswahili)"),
    _language("zh", "Chinese (中文)", "han"),
    _language("ja", "Japanese (日本語)", "kana"),
    _language("ko", "Korean (한국어)", "hangul"),
    _language("ru", "Russian (русский)", "cyrillic"),
    _language("uk", "Ukrainian (українська)", "cyrillic"),
    _language("bg", "Bulgarian (български)", "cyrillic"),
    _language("el", "Greek (ελληνικά)", "greek"),
    _language("ar", "Arabic (العربية)", "arabic"),
    _language("fa", "Persian (فارسی)", "arabic"),
    _language("he", "Hebrew (עברית)", "hebrew"),
    _language("hi", "Hindi (हिन्दी)", "devanagari"),
    _language("bn", "Bengali (বাংলা)", "bengali"),
    _language("ta", "Tamil (தமிழ்)", "tamil"),
    _language("te", "Telugu (తెలుగు)", "telugu"),
    _language("th", "Thai (ไทย)", "thai"),
)

LANGUAGES = {language.code: language for language in _ALL}
"""By ISO 639-1 code."""


def language_of(code: str) -> Language:
    """Return the language of a code such as `de` or `zh-Hant`, whose last part is ignored.

    Raises:
        InputError: if it is not known here.
    """
    language = LANGUAGES.get(code.replace("_", "-").partition("-")[0].lower())
    if language is None:
        known = ", ".join(LANGUAGES)
        raise InputError(f"There is no language '{code}' to write in: choose from {known}.")
    return language
