"""The vocabulary of the synthetic corpus: verbs, things, parameters and pools of values. Plain tables, no logic
beyond drawing a value."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Value = Any
Draw = Callable[[random.Random], Value]

VERBS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # verb in the tool's name: (wordings that are common, wordings kept for the indirect families)
    "get": (("get", "fetch"), ("pull up", "let me see")),
    "find": (("find", "search for"), ("track down", "hunt for")),
    "book": (("book", "reserve"), ("secure", "put me down for")),
    "cancel": (("cancel", "call off"), ("scrap", "back out of")),
    "create": (("create", "make"), ("set up", "put together")),
    "delete": (("delete", "remove"), ("get rid of", "wipe")),
    "update": (("update", "change"), ("bring up to date", "adjust")),
    "send": (("send", "mail"), ("pass on", "get across")),
    "count": (("count", "number"), ("tell me how many there are of", "tally")),
    "compare": (("compare", "contrast"), ("weigh up", "tell apart")),
    "rate": (("rate", "score"), ("give marks to", "judge")),
    "share": (("share", "post"), ("let others see", "spread")),
    "export": (("export", "download"), ("save a copy of", "dump")),
    "print": (("print", "print out"), ("put on paper", "make a hard copy of")),
    "archive": (("archive", "store"), ("put away", "file away")),
    "approve": (("approve", "accept"), ("sign off", "say yes to")),
    "reject": (("reject", "decline"), ("turn down", "say no to")),
    "translate": (("translate", "convert"), ("render", "put into other words")),
    "schedule": (("schedule", "plan"), ("pencil in", "arrange")),
    "track": (("track", "follow"), ("keep an eye on", "watch")),
    "pay": (("pay", "settle"), ("cover", "take care of the bill for")),
    "repair": (("repair", "fix"), ("get working again", "mend")),
    "order": (("order", "buy"), ("pick up", "purchase")),
    "rent": (("rent", "hire"), ("borrow for a fee", "lease")),
    "open": (("open", "start"), ("launch", "bring up")),
    "close": (("close", "end"), ("shut", "wrap up")),
    "verify": (("verify", "check"), ("make sure of", "confirm")),
    "estimate": (("estimate", "calculate"), ("work out", "guess")),
    "rename": (("rename", "relabel"), ("give a new name to", "retitle")),
    "merge": (("merge", "combine"), ("join together", "unite")),
    "lock": (("lock", "block"), ("freeze", "seal")),
    "review": (("review", "inspect"), ("go over", "look through")),
}

DOMAINS: dict[str, tuple[str, ...]] = {
    "hotel": ("room", "voucher", "menu", "stay"),
    "flight": ("ticket", "seat", "route", "transfer"),
    "train": ("pass", "timetable", "carriage", "platform"),
    "weather": ("report", "alert", "map", "station"),
    "music": ("album", "playlist", "concert", "lyric"),
    "movie": ("scene", "trailer", "festival", "poster"),
    "recipe": ("book", "ingredient", "diet", "meal"),
    "stock": ("price", "portfolio", "dividend", "trade"),
    "bank": ("account", "loan", "statement", "card"),
    "tax": ("form", "refund", "bracket", "audit"),
    "health": ("checkup", "prescription", "symptom", "record"),
    "gym": ("class", "membership", "workout", "trainer"),
    "school": ("course", "grade", "teacher", "exam"),
    "library": ("loan", "shelf", "author", "journal"),
    "office": ("desk", "meeting", "printer", "badge"),
    "project": ("task", "milestone", "budget", "risk"),
    "email": ("draft", "folder", "filter", "signature"),
    "phone": ("contact", "contract", "message", "number"),
    "car": ("engine", "insurance", "tire", "garage"),
    "bike": ("lane", "helmet", "tour", "lock"),
    "taxi": ("ride", "driver", "fare", "pickup"),
    "parking": ("permit", "spot", "fine", "zone"),
    "garden": ("plant", "tool", "plot", "fence"),
    "pet": ("adoption", "vaccine", "food", "kennel"),
    "farm": ("crop", "field", "tractor", "harvest"),
    "game": ("level", "character", "server", "match"),
    "sport": ("team", "league", "coach", "stadium"),
    "museum": ("exhibit", "guide", "painting", "visit"),
    "news": ("article", "headline", "source", "comment"),
    "photo": ("gallery", "frame", "camera", "print"),
    "video": ("clip", "channel", "stream", "caption"),
    "file": ("backup", "archive", "version", "link"),
    "server": ("log", "cluster", "image", "port"),
    "database": ("table", "query", "index", "schema"),
    "shop": ("cart", "coupon", "product", "return"),
    "parcel": ("label", "delivery", "locker", "courier"),
    "house": ("mortgage", "key", "roof", "rental"),
    "energy": ("meter", "tariff", "bill", "panel"),
    "water": ("sample", "pipe", "pump", "quality"),
    "event": ("invitation", "venue", "speaker", "budget"),
    "wedding": ("guest", "cake", "band", "dress"),
    "job": ("offer", "interview", "resume", "salary"),
    "legal": ("case", "clause", "lawyer", "notice"),
    "star": ("chart", "telescope", "orbit", "name"),
}

CITIES = (
    "Paris London Berlin Madrid Rome Vienna Oslo Lisbon Dublin Prague Warsaw Athens Helsinki Zurich Geneva Milan Naples "
    "Munich Hamburg Lyon Porto Seville Valencia Krakow Budapest Sofia Riga Tallinn Vilnius Bergen Malmo Ghent Bruges "
    "Boston Chicago Denver Seattle Austin Dallas Houston Miami Atlanta Portland Phoenix Toronto Montreal Vancouver "
    "Ottawa Calgary Lima Bogota Quito Santiago Havana Cairo Tunis Lagos Accra Nairobi Dakar Kigali Delhi Mumbai Kolkata "
    "Chennai Tokyo Osaka Kyoto Seoul Busan Beijing Shanghai Taipei Manila Hanoi Bangkok Jakarta Perth Sydney Brisbane"
).split()
FIRST = (
    "Anna Ben Carla David Elena Frank Grace Hugo Irene Jack Karen Liam Maria Noah Olga Paul Rosa Sam Tina Victor Wendy "
    "Yusuf Zoe Amir Bella Chen Diego Emma Farid Gina Hana Ivan Julia Kofi Lena Marco Nina Omar Priya Quinn Rahul Sofia "
    "Tom Uma Vera Walter Ximena Yara"
).split()
LAST = (
    "Adams Brown Costa Diaz Evans Fischer Garcia Hansen Ito Jones Kim Lopez Meyer Novak Okafor Patel Quist Rossi Silva "
    "Tanaka Usman Vargas Weber Xu Young Zhang Baker Clark Dubois Eriksen Fox Gupta Hughes Ivanov Jensen Khan Larsen Moore"
).split()
ADJECTIVES = (
    "red blue green small large quiet fast old new bright dark cheap fresh simple modern classic local annual daily "
    "hidden wild golden silver warm cold final early late open secret northern southern royal digital"
).split()
NOUNS = (
    "river mountain garden market bridge forest island winter summer engine window mirror letter signal shadow orange "
    "lemon coffee bread cheese rice pepper table chair lamp bottle jacket guitar piano drum novel poem report budget "
    "survey launch workshop meeting travel health science history energy climate robot planet rocket comet"
).split()
SYLLABLES = "ba be bo da del do fa fen ga gor ha hel ka kir lo lun ma mir na nor pa pel ra rin sa sol ta tor va vel za zim".split()
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
SMALL_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
MONTHS = "January February March April May June July August September October November December".split()


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
    return f"{rng.choice(FIRST).lower()}{rng.choice(('', str(rng.randint(1, 99))))}@{host}.{rng.choice(('com', 'org', 'net'))}"


def small(rng: random.Random) -> int:
    return rng.randint(1, 12)


def medium(rng: random.Random) -> int:
    return rng.randint(2, 250)


def amount(rng: random.Random) -> int | float:
    return round(rng.uniform(1, 999), rng.choice((1, 2))) if rng.random() < 0.6 else rng.randint(5, 5000)


def flag(rng: random.Random) -> bool:
    return rng.random() < 0.6


def listed(draw: Draw, low: int = 2, high: int = 3) -> Draw:
    """Draws a list of different values."""

    def values(rng: random.Random) -> list[Value]:
        return list(dict.fromkeys(draw(rng) for _ in range(rng.randint(low, high))))

    return values


@dataclass(frozen=True, slots=True)
class Parameter:
    """One entry of the catalogue.

    `words` name it in plain English (the first set is the literal name); `fragments` put its value into a request by
    meaning, the first being the common one. `slot` keeps two parameters of one meaning out of one tool. For booleans
    `fragments` are (true, false) pairs.
    """

    name: str
    type: str
    slot: str
    description: str
    draw: Draw
    words: tuple[str, ...]
    fragments: tuple[str, ...]
    enum: tuple[str, ...] = ()
    fields: tuple[tuple[str, str, Draw], ...] = ()
    item: str = ""


def _p(name: str, type_: str, slot: str, about: str, draw: Draw, *fragments: str, words: str = "") -> Parameter:
    return Parameter(name, type_, slot, about, draw, (name.replace("_", " "), *filter(None, words.split("|"))), fragments)


PLAIN = (
    _p("city", "string", "city", "name of the city", city, "in {v}", "somewhere around {v}", "{v} being the place", words="town"),
    _p("location", "string", "city", "city or place", city, "in {v}", "near {v}", "with {v} as the place", words="place"),
    _p("origin", "string", "origin", "where it starts", city, "from {v}", "starting out in {v}", "leaving {v}", words="start"),
    _p("destination", "string", "goal", "where it ends", city, "to {v}", "ending up in {v}", "bound for {v}", words="target"),
    _p("name", "string", "person", "name of the person", person, "for {v}", "on behalf of {v}", "as {v} asked", words="person"),
    _p("customer", "string", "person", "who the customer is", person, "for {v}", "on behalf of {v}", "since {v} is the client", words="client"),
    _p("manager", "string", "manager", "person in charge", person, "run by {v}", "with {v} in charge", "under the lead of {v}", words="boss"),
    _p("date", "string", "date", "day as YYYY-MM-DD", day, "on {v}", "for the day {v}", "when it is {v}", words="day"),
    _p("deadline", "string", "until", "last day allowed", day, "by {v}", "no later than {v}", "with {v} as the last day", words="last day"),
    _p("start_date", "string", "since", "first day", day, "from {v} on", "beginning {v}", "not before {v}", words="first day"),
    _p("time", "string", "time", "time of day", clock, "at {v}", "when the clock shows {v}", "{v} sharp", words="hour"),
    _p("order_id", "string", "order", "id of the order", code, "for order {v}", "where the order goes by {v}", words="order|order number"),
    _p("user_id", "string", "user", "id of the user", code, "for user {v}", "with {v} as the login", words="user|login"),
    _p("ticket_id", "string", "case", "id of the ticket", code, "under ticket {v}", "the ticket in question being {v}", words="ticket|ticket number"),
    _p("reference", "string", "case", "reference code", code, "with reference {v}", "quoting {v}", words="ref|code"),
    _p("title", "string", "title", "title text", title, "titled {v}", "called {v}", "that goes by {v}", words="heading"),
    _p("topic", "string", "topic", "what it is about", title, "about {v}", "dealing with {v}", "on the subject of {v}", words="subject"),
    _p("keyword", "string", "topic", "word to look for", word, "matching {v}", "that mentions {v}", words="search word|term"),
    _p("company", "string", "company", "name of the company", company, "by {v}", "made by {v}", "from the firm {v}", words="firm|brand"),
    _p("email", "string", "mail", "email address", mail, "with email {v}", "reachable at {v}", "replying to {v}", words="mail|address"),
    _p("reason", "string", "reason", "why it is done", title, "because of {v}", "owing to {v}", "the cause being {v}", words="cause"),
    _p("count", "integer", "count", "how many", small, "{v} times", "a total of {v}", "{v} in all", words="number|total"),
    _p("guests", "integer", "people", "number of people", small, "for {v} guests", "with room for {v}", "as we are {v} people", words="people|party size"),
    _p("days", "integer", "span", "length in days", small, "for {v} days", "lasting {v} days", "{v} days long", words="number of days|length"),
    _p("limit", "integer", "limit", "most results to return", medium, "up to {v} results", "capped at {v}", "never more than {v}", words="maximum|cap"),
    _p("page", "integer", "page", "page number", medium, "on page {v}", "page {v} of it", words="page number|sheet"),
    _p("year", "integer", "year", "calendar year", lambda r: r.randint(1950, 2035), "of the year {v}", "dating from {v}", "back in {v}", words="calendar year"),
    _p("price", "number", "money", "price in euros", amount, "for {v} euros", "costing {v}", "at a price tag of {v}", words="cost|sum"),
    _p("budget", "number", "money", "most to spend", amount, "within {v} euros", "spending {v} at most", "with {v} to spend", words="money|allowance"),
    _p("weight", "number", "weight", "weight in kg", amount, "weighing {v} kg", "of {v} kilos", "{v} kg heavy", words="mass|load"),
    _p("distance", "number", "distance", "distance in km", amount, "within {v} km", "{v} km away", "at a range of {v}", words="range|radius"),
    _p("discount", "number", "percent", "percent off", lambda r: round(r.uniform(1, 60), 1), "with {v} percent off", "reduced by {v} percent", words="reduction|rebate"),
)


def _b(name: str, about: str, yes: str, no: str, yes2: str, no2: str) -> Parameter:
    return Parameter(name, "boolean", name, about, flag, (name.replace("_", " "),), (yes, no, yes2, no2))


FLAGS = (
    _b("urgent", "whether it is urgent", "and make it urgent", "and it is not urgent", "as it cannot wait", "there being no hurry"),
    _b("notify", "whether to notify people", "and notify everyone", "and do not notify anyone", "letting people know", "keeping it quiet"),
    _b("details", "whether to show details", "and show details", "and show no details", "with all the fine print", "in broad strokes only"),
    _b("refundable", "whether it can be refunded", "and refundable", "and not refundable", "so that I could get my money back", "with no money back"),
    _b("private", "whether it is private", "and keep it private", "and not private", "for my eyes only", "for all to see"),
    _b("gift", "whether it is a gift", "and it is a gift", "and it is not a gift", "as a present", "just for myself"),
)


def _e(name: str, about: str, options: str, *fragments: str, words: str = "") -> Parameter:
    enum = tuple(options.split())
    return Parameter(name, "string", name, about, lambda r: r.choice(enum), (name.replace("_", " "), *filter(None, words.split("|"))), fragments, enum)


ENUMS = (
    _e("unit", "unit of measure", "metric imperial", "in {v} units", "the {v} way", words="measure"),
    _e("format", "file format", "pdf csv json html", "as {v}", "so I have it in {v}", words="file type"),
    _e("priority", "how important it is", "low normal high very_high", "with {v} priority", "of {v} importance", words="importance"),
    _e("language", "language to use", "english french german spanish italian", "in {v}", "for {v} readers", words="tongue"),
    _e("color", "color to use", "red blue green black white", "in {v}", "painted {v}", words="shade"),
    _e("size", "size to use", "small medium large extra_large", "in {v} size", "{v} ones", words="dimension"),
    _e("sort_by", "order of the results", "date price rating name", "sorted by {v}", "going by {v}", words="order"),
    _e("payment", "way to pay", "cash card bank_transfer voucher", "paid by {v}", "using {v} to pay", words="means of payment"),
    _e("shipping", "way to ship", "standard express same_day pickup", "with {v} shipping", "delivered {v}", words="delivery"),
    _e("level", "level of skill", "beginner advanced expert", "at {v} level", "fit for {v} people", words="skill"),
    _e("status", "state it is in", "open closed on_hold done", "with status {v}", "those that are {v}", words="state"),
    _e("meal", "meal of the day", "breakfast lunch dinner", "with {v}", "{v} included", words="food"),
)


def _a(name: str, item: str, about: str, draw: Draw, *fragments: str, words: str = "") -> Parameter:
    return Parameter(name, "array", name, about, listed(draw), (name.replace("_", " "), *filter(None, words.split("|"))), fragments, item=item)


def _o(name: str, about: str, fragment: str, *fields: tuple[str, str, Draw]) -> Parameter:
    return Parameter(name, "object", name, about, lambda r: {k: d(r) for k, _, d in fields}, (name.replace("_", " "),), (fragment,), fields=fields)


NESTED = (
    _a("tags", "string", "tags to attach", word, "tagged {v}", "with the labels {v}", words="labels"),
    _a("cities", "string", "names of cities", city, "across {v}", "covering {v}", words="places"),
    _a("people", "string", "who takes part", lambda r: r.choice(FIRST), "together with {v}", "along with {v}", words="members"),
    _a("items", "string", "things on the list", title, "holding {v}", "made up of {v}", words="things"),
    _a("codes", "string", "codes to use", code, "with codes {v}", "going by {v}", words="ids"),
    _a("numbers", "integer", "numbers to use", medium, "over {v}", "using the figures {v}", words="figures"),
    _o("range", "lowest and highest value", "between {min} and {max}", ("min", "integer", small), ("max", "integer", medium)),
    _o("contact", "whom to reach", "reaching {name} at {email}", ("name", "string", person), ("email", "string", mail)),
    _o("trip", "way to go", "going from {start} to {end}", ("start", "string", city), ("end", "string", city)),
    _o("period", "first and last day", "between {begin} and {finish}", ("begin", "string", day), ("finish", "string", day)),
    _o("item", "what and how many", "with {quantity} of {product}", ("product", "string", title), ("quantity", "integer", small)),
    _o("slot", "day and time", "on {day} at {hour}", ("day", "string", day), ("hour", "string", clock)),
)
