"""Pools of values of the synthetic corpus and how one is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Draw = Callable[[random.Random], Any]


def _split(words: str) -> tuple[str, ...]:
    return tuple(words.split())


CITIES = _split(
    "Paris London Berlin Madrid Rome Vienna Oslo Lisbon Dublin Prague Warsaw Athens Helsinki Zurich Geneva Milan "
    "Naples Munich Hamburg Lyon Porto Seville Valencia Krakow Budapest Sofia Riga Tallinn Vilnius Bergen Malmo "
    "Ghent Bruges Boston Chicago Denver Seattle Austin Dallas Houston Miami Atlanta Portland Phoenix Toronto "
    "Montreal Vancouver Ottawa Calgary Lima Bogota Quito Santiago Havana Cairo Tunis Lagos Accra Nairobi Dakar "
    "Kigali Delhi Mumbai Kolkata Chennai Tokyo Osaka Kyoto Seoul Busan Beijing Shanghai Taipei Manila Hanoi "
    "Bangkok Jakarta Perth Sydney Brisbane "
)
FIRST = _split(
    "Anna Ben Carla David Elena Frank Grace Hugo Irene Jack Karen Liam Maria Noah Olga Paul Rosa Sam Tina Victor "
    "Wendy Yusuf Zoe Amir Bella Chen Diego Emma Farid Gina Hana Ivan Julia Kofi Lena Marco Nina Omar Priya Quinn "
    "Rahul Sofia Tom Uma Vera Walter Ximena Yara "
)
LAST = _split(
    "Adams Brown Costa Diaz Evans Fischer Garcia Hansen Ito Jones Kim Lopez Meyer Novak Okafor Patel Quist Rossi "
    "Silva Tanaka Usman Vargas Weber Xu Young Zhang Baker Clark Dubois Eriksen Fox Gupta Hughes Ivanov Jensen "
    "Khan Larsen Moore "
)
ADJECTIVES = _split(
    "red blue green small large quiet fast old new bright dark cheap fresh simple modern classic local annual "
    "daily hidden wild golden silver warm cold final early late open secret northern southern royal digital "
)
NOUNS = _split(
    "river mountain garden market bridge forest island winter summer engine window mirror letter signal shadow "
    "orange lemon coffee bread cheese rice pepper table chair lamp bottle jacket guitar piano drum novel poem "
    "report budget survey launch workshop meeting travel health science history energy climate robot planet "
    "rocket comet "
)
SYLLABLES = _split(
    "ba be bo da del do fa fen ga gor ha hel ka kir lo lun ma mir na nor pa pel ra rin sa sol ta tor va vel za zim "
)
SMALL_NUMBERS = _split("zero one two three four five six seven eight nine ten eleven twelve ")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def made_up(rng: random.Random) -> str:
    """A name that is in no word list, so that it must be copied."""
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()


def city(rng: random.Random) -> str:
    return rng.choice(CITIES) if rng.random() < 0.8 else made_up(rng)


def person(rng: random.Random) -> str:
    first = rng.choice(FIRST)
    return first if rng.random() < 0.35 else f"{first} {rng.choice(LAST) if rng.random() < 0.7 else made_up(rng)}"


def day(rng: random.Random) -> str:
    return f"20{rng.randint(20, 35)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.choice(('00', '15', '30', '45', '10', '50'))}"


def code(rng: random.Random) -> str:
    """An identifier such as `KX-4821`, `b7f20` or `90412`."""
    shape = rng.random()
    if shape < 0.45:
        return f"{''.join(rng.choices(LETTERS, k=rng.randint(1, 3)))}-{rng.randint(10, 9999)}"
    if shape < 0.75:
        return "".join(rng.choices("abcdefghkmnprstuvwxyz0123456789", k=rng.randint(4, 6)))
    return f"{''.join(rng.choices(LETTERS, k=2))}{rng.randint(100, 99999)}"


def title(rng: random.Random) -> str:
    words = [rng.choice(ADJECTIVES), rng.choice(NOUNS)] if rng.random() < 0.7 else [rng.choice(NOUNS)]
    if rng.random() < 0.25:
        words.append(rng.choice(NOUNS))
    return " ".join(words)


def word(rng: random.Random) -> str:
    return rng.choice(NOUNS) if rng.random() < 0.8 else made_up(rng)


def company(rng: random.Random) -> str:
    return made_up(rng) if rng.random() < 0.6 else f"{made_up(rng)} {rng.choice(('Labs', 'Group', 'Foods', 'Media'))}"


def mail(rng: random.Random) -> str:
    host = rng.choice(("mail", "post", "corp", rng.choice(SYLLABLES) + rng.choice(SYLLABLES)))
    name = rng.choice(FIRST).lower()
    number = rng.choice(("", str(rng.randint(1, 99))))
    return f"{name}{number}@{host}.{rng.choice(('com', 'org', 'net'))}"


def small(rng: random.Random) -> int:
    return rng.randint(1, 12)


def medium(rng: random.Random) -> int:
    return rng.randint(2, 250)


def amount(rng: random.Random) -> int | float:
    return round(rng.uniform(1, 999), rng.choice((1, 2))) if rng.random() < 0.6 else rng.randint(5, 5000)


def year(rng: random.Random) -> int:
    return rng.randint(1950, 2035)


def percent(rng: random.Random) -> float:
    return round(rng.uniform(1, 60), 1)


def first_name(rng: random.Random) -> str:
    return rng.choice(FIRST)


def flag(rng: random.Random) -> bool:
    return rng.random() < 0.6


def listed(draw: Draw, low: int = 2, high: int = 3) -> Draw:
    """Draws a list of different values."""

    def values(rng: random.Random) -> list[Any]:
        return list(dict.fromkeys(draw(rng) for _ in range(rng.randint(low, high))))

    return values


DRAWS: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        *(city, person, first_name, company, mail, title, word, code),
        *(day, clock, small, medium, year, amount, percent, flag),
    )
}
"""The draws by name, for the tables of parameters."""
