"""The words for 0 to 99 in each language, made from their rules."""

from __future__ import annotations


def _list(words: str, start: int = 0) -> dict[str, int]:
    return {spelling: start + at for at, word in enumerate(words.split()) for spelling in word.split("/")}


def english() -> dict[str, int]:
    """``twenty one``."""
    units = _list("zero one two three four five six seven eight nine")
    made = units | _list("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10)
    for at, ten in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2):
        made[ten] = at * 10
        made |= {f"{ten} {unit}": at * 10 + value for unit, value in units.items() if value}
    return made


def _swapped(units: str, teens: str, tens: str, joint: str) -> dict[str, int]:
    small = _list(units)
    made = small | _list(teens, 10)
    for at, ten in enumerate(tens.split(), start=2):
        for spelling in ten.split("/"):
            made[spelling] = at * 10
            made |= {f"{unit}{joint}{spelling}": at * 10 + value for unit, value in small.items() if value}
    return made


def german() -> dict[str, int]:
    """``einundzwanzig``."""
    return _swapped(
        "null eins/ein/eine/einen/einem zwei/zwo drei vier funf sechs sieben acht neun",
        "zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn achtzehn neunzehn",
        "zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig",
        "und",
    )


def dutch() -> dict[str, int]:
    """``eenentwintig``."""
    return _swapped(
        "nul een twee drie vier vijf zes zeven acht negen",
        "tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien",
        "twintig dertig veertig vijftig zestig zeventig tachtig negentig",
        "en",
    )


def _joined(units: dict[str, int], tens: str, start: int, joint: str) -> dict[str, int]:
    made: dict[str, int] = {}
    for at, ten in enumerate(tens.split(), start=start):
        made[ten] = at * 10
        made |= {f"{ten} {joint} {unit}": at * 10 + value for unit, value in units.items() if 0 < value < 10}  # noqa: PLR2004
    return made


def spanish() -> dict[str, int]:
    """``veintiuno``, ``treinta y uno``."""
    made = _list(
        "cero uno/un/una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
        "dieciseis "
        "diecisiete dieciocho diecinueve veinte veintiuno/veintiun/veintiuna veintidos veintitres veinticuatro "
        "veinticinco veintiseis veintisiete veintiocho veintinueve"
    )
    return made | _joined(made, "treinta cuarenta cincuenta sesenta setenta ochenta noventa", 3, "y")


def portuguese() -> dict[str, int]:
    """``vinte e um``."""
    made = _list(
        "zero um/uma dois/duas tres quatro cinco seis/meia sete oito nove dez onze doze treze "
        "catorze/quatorze quinze "
        "dezesseis/dezasseis dezessete/dezassete dezoito dezenove/dezanove"
    )
    made.pop("meia")
    return made | _joined(made, "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa", 2, "e")


def italian() -> dict[str, int]:
    """``ventuno``, ``ventotto``."""
    units = _list("zero uno/un/una due tre quattro cinque sei sette otto nove")
    made = units | _list("dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove", 10)
    for at, ten in enumerate(
        ["venti", "trenta", "quaranta", "cinquanta", "sessanta", "settanta", "ottanta", "novanta"], start=2
    ):
        made[ten] = at * 10
        for unit, value in units.items():
            if value:
                made[(ten[:-1] if unit[0] in "uo" else ten) + unit] = at * 10 + value
    return made


def french() -> dict[str, int]:
    """``vingt et un``, ``soixante et onze``, ``quatre vingt dix sept``."""
    made = _list(
        "zero un/une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"
    ) | {"dix sept": 17, "dix huit": 18, "dix neuf": 19}
    below = dict(made)
    for at, ten in enumerate(["vingt", "trente", "quarante", "cinquante", "soixante"], start=2):
        made[ten] = at * 10
        top = 20 if ten == "soixante" else 10
        made |= {f"{ten} {unit}": at * 10 + value for unit, value in below.items() if 0 < value < top}
        made |= {f"{ten} et un": at * 10 + 1, f"{ten} et une": at * 10 + 1}
    made |= {"soixante et onze": 71, "septante": 70, "huitante": 80, "octante": 80, "nonante": 90}
    made |= {"quatre vingt": 80, "quatre vingts": 80}
    return made | {f"quatre vingt {unit}": 80 + value for unit, value in below.items() if value}


_HINDI = (
    "शून्य एक दो तीन चार पांच/पाँच छह/छः/छे सात आठ नौ दस ग्यारह बारह तेरह चौदह "
    "पंद्रह सोलह सत्रह अठारह उन्नीस बीस इक्कीस बाईस तेईस "
    "चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस "
    "छत्तीस सैंतीस अड़तीस उनतालीस चालीस इकतालीस "
    "बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास पचास इक्यावन "
    "बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ "
    "साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर सत्तर इकहत्तर बहत्तर "
    "तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर "
    "उन्यासी अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी "
    "नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे "
    "छियानवे सत्तानवे अट्ठानवे निन्यानवे"
)
_HINDI_LATIN = (
    "shunya ek do teen/tin char/chaar paanch/panch/pach chhe/chhah/che/cheh saat/sat aath/ath nau das "
    "gyarah/gyara "
    "barah/bara terah/tera chaudah/chauda pandrah/pandra solah/sola satrah/satra atharah/athara unnis "
    "bees/bis ikkis "
    "bais teis chaubis pachchis/pachis chhabbis sattais atthais untis tees/tis ikattis battis taintis chauntis "
    "paintis chhattis saintis adtis untalis chalis iktalis bayalis taintalis chauvalis paintalis "
    "chhiyalis saintalis "
    "adtalis unchas pachas ikyavan bavan tirpan chauvan pachpan chhappan sattavan atthavan unsath sath iksath "
    "basath tirsath chaunsath painsath chhiyasath sadsath adsath unhattar sattar ikhattar bahattar "
    "tihattar chauhattar "
    "pachhattar chhihattar sathattar athhattar unyasi assi ikyasi bayasi tirasi chaurasi pachasi "
    "chhiyasi sattasi "
    "atthasi navasi nabbe ikyanve banve tiranve chauranve pachanve chhiyanve sattanve atthanve ninyanve"
)


def hindi() -> dict[str, int]:
    """Every number has its own word; in Devanagari and in Latin letters."""
    made = _list(_HINDI) | _list(_HINDI_LATIN)
    made.pop("do")  # in Latin letters it is also "give", the end of most requests
    return made
