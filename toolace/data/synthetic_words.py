"""The words of the synthetic corpus, as tables: verbs, things and parameters. One row a line, cells between `|`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolace.data.synthetic_values import DRAWS, Draw, flag


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def _cells(cell: str, mark: str = ",") -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(mark)) if cell else ()


# verb in the tool's name | common wordings | wordings of the odd phrasings
VERBS = {
    verb: (_cells(common), _cells(odd))
    for verb, common, odd in _rows("""
get | get, fetch | pull up, let me see
find | find, search for | track down, hunt for
book | book, reserve | secure, put me down for
cancel | cancel, call off | scrap, back out of
create | create, make | set up, put together
delete | delete, remove | get rid of, wipe
update | update, change | bring up to date, adjust
send | send, mail | pass on, get across
count | count, number | tell me how many there are of, tally
compare | compare, contrast | weigh up, tell apart
rate | rate, score | give marks to, judge
share | share, post | let others see, spread
export | export, download | save a copy of, dump
print | print, print out | put on paper, make a hard copy of
archive | archive, store | put away, file away
approve | approve, accept | sign off, say yes to
reject | reject, decline | turn down, say no to
translate | translate, convert | render, put into other words
schedule | schedule, plan | pencil in, arrange
track | track, follow | keep an eye on, watch
pay | pay, settle | cover, take care of the bill for
repair | repair, fix | get working again, mend
order | order, buy | pick up, purchase
rent | rent, hire | borrow for a fee, lease
open | open, start | launch, bring up
close | close, end | shut, wrap up
verify | verify, check | make sure of, confirm
estimate | estimate, calculate | work out, guess
rename | rename, relabel | give a new name to, retitle
merge | merge, combine | join together, unite
lock | lock, block | freeze, seal
review | review, inspect | go over, look through
""")
}

# domain | nouns
DOMAINS = {
    domain: _cells(nouns)
    for domain, nouns in _rows("""
hotel | room, voucher, menu, stay
flight | ticket, seat, route, transfer
train | pass, timetable, carriage, platform
weather | report, alert, map, station
music | album, playlist, concert, lyric
movie | scene, trailer, festival, poster
recipe | book, ingredient, diet, meal
stock | price, portfolio, dividend, trade
bank | account, loan, statement, card
tax | form, refund, bracket, audit
health | checkup, prescription, symptom, record
gym | class, membership, workout, trainer
school | course, grade, teacher, exam
library | loan, shelf, author, journal
office | desk, meeting, printer, badge
project | task, milestone, budget, risk
email | draft, folder, filter, signature
phone | contact, contract, message, number
car | engine, insurance, tire, garage
bike | lane, helmet, tour, lock
taxi | ride, driver, fare, pickup
parking | permit, spot, fine, zone
garden | plant, tool, plot, fence
pet | adoption, vaccine, food, kennel
farm | crop, field, tractor, harvest
game | level, character, server, match
sport | team, league, coach, stadium
museum | exhibit, guide, painting, visit
news | article, headline, source, comment
photo | gallery, frame, camera, print
video | clip, channel, stream, caption
file | backup, archive, version, link
server | log, cluster, image, port
database | table, query, index, schema
shop | cart, coupon, product, return
parcel | label, delivery, locker, courier
house | mortgage, key, roof, rental
energy | meter, tariff, bill, panel
water | sample, pipe, pump, quality
event | invitation, venue, speaker, budget
wedding | guest, cake, band, dress
job | offer, interview, resume, salary
legal | case, clause, lawyer, notice
star | chart, telescope, orbit, name
""")
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One entry of the catalogue.

    `words` name it in plain English, its own name first; `fragments` put its value into a request by meaning, the
    common one first (for booleans: true, false, odd true, odd false). `slot` keeps two parameters of one meaning out
    of one tool. `fields` of an object: name, type and draw.
    """

    name: str
    type: str
    slot: str
    description: str
    draw: Draw
    words: tuple[str, ...]
    fragments: tuple[str, ...]
    enum: tuple[str, ...] = ()
    sayings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a coded value: how people say each code; empty where they say the value itself."""
    fields: tuple[tuple[str, str, Draw], ...] = ()
    item: str = ""


def _words(name: str, others: str = "") -> tuple[str, ...]:
    return (name.replace("_", " "), *_cells(others))


def _one_of(options: tuple[str, ...]) -> Draw:
    return lambda rng: rng.choice(options)


def _some_of(draw: Draw) -> Draw:
    """Draws a list of two or three different values."""

    def values(rng: random.Random) -> list[Any]:
        return list(dict.fromkeys(draw(rng) for _ in range(rng.randint(2, 3))))

    return values


def _each_of(fields: tuple[tuple[str, str, Draw], ...]) -> Draw:
    return lambda rng: {name: draw(rng) for name, _, draw in fields}


def _fields(cell: str) -> tuple[tuple[str, str, Draw], ...]:
    return tuple((name, kind, DRAWS[draw]) for name, kind, draw in (part.split() for part in _cells(cell)))


_KINDS = {"small": "integer", "medium": "integer", "year": "integer", "amount": "number", "percent": "number"}

# name | slot | description | values | other words | fragments
PLAIN = tuple(
    Parameter(name, _KINDS.get(draw, "string"), slot, about, DRAWS[draw], _words(name, others), _cells(fragments, ";"))
    for name, slot, about, draw, others, fragments in _rows("""
city | city | name of the city | city | town | in {v}; somewhere around {v}; {v} being the place
location | city | city or place | city | place | in {v}; near {v}; with {v} as the place
origin | origin | where it starts | city | start | from {v}; starting out in {v}; leaving {v}
destination | goal | where it ends | city | target | to {v}; ending up in {v}; bound for {v}
name | person | name of the person | person | person | for {v}; on behalf of {v}; as {v} asked
customer | person | who the customer is | person | client | for {v}; on behalf of {v}; since {v} is the client
manager | manager | person in charge | person | boss | run by {v}; with {v} in charge; under the lead of {v}
date | date | day as YYYY-MM-DD | day | day | on {v}; for the day {v}; when it is {v}
deadline | until | last day allowed | day | last day | by {v}; no later than {v}; with {v} as the last day
start_date | since | first day | day | first day | from {v} on; beginning {v}; not before {v}
time | time | time of day | clock | hour | at {v}; when the clock shows {v}; {v} sharp
order_id | order | id of the order | code | order, order number | for order {v}; where the order goes by {v}
user_id | user | id of the user | code | user, login | for user {v}; with {v} as the login
ticket_id | case | id of the ticket | code | ticket, ticket number | under ticket {v}; the ticket in question being {v}
reference | case | reference code | code | ref, code | with reference {v}; quoting {v}
title | title | title text | title | heading | titled {v}; called {v}; that goes by {v}
topic | topic | what it is about | title | subject | about {v}; dealing with {v}; on the subject of {v}
keyword | topic | word to look for | word | search word, term | matching {v}; that mentions {v}
company | company | name of the company | company | firm, brand | by {v}; made by {v}; from the firm {v}
email | mail | email address | mail | mail, address | with email {v}; reachable at {v}; replying to {v}
reason | reason | why it is done | title | cause | because of {v}; owing to {v}; the cause being {v}
count | count | how many | small | number, total | {v} times; a total of {v}; {v} in all
guests | people | number of people | small | people, party size | \
for {v} guests; with room for {v}; as we are {v} people
days | span | length in days | small | number of days, length | for {v} days; lasting {v} days; {v} days long
limit | limit | most results to return | medium | maximum, cap | up to {v} results; capped at {v}; never more than {v}
page | page | page number | medium | page number, sheet | on page {v}; page {v} of it
year | year | calendar year | year | calendar year | of the year {v}; dating from {v}; back in {v}
price | money | price in euros | amount | cost, sum | for {v} euros; costing {v}; at a price tag of {v}
budget | money | most to spend | amount | money, allowance | within {v} euros; spending {v} at most; with {v} to spend
weight | weight | weight in kg | amount | mass, load | weighing {v} kg; of {v} kilos; {v} kg heavy
distance | distance | distance in km | amount | range, radius | within {v} km; {v} km away; at a range of {v}
discount | percent | percent off | percent | reduction, rebate | with {v} percent off; reduced by {v} percent
""")
)

# name | description | true; false; odd true; odd false
FLAGS = tuple(
    Parameter(name, "boolean", name, about, flag, _words(name), _cells(fragments, ";"))
    for name, about, fragments in _rows("""
urgent | whether it is urgent | and make it urgent; and it is not urgent; as it cannot wait; there being no hurry
notify | whether to notify people | and notify everyone; and do not notify anyone; letting people know; keeping it quiet
details | whether to show details | and show details; and show no details; \
with all the fine print; in broad strokes only
refundable | whether it can be refunded | and refundable; and not refundable; \
so that I could get my money back; with no money back
private | whether it is private | and keep it private; and not private; for my eyes only; for all to see
gift | whether it is a gift | and it is a gift; and it is not a gift; as a present; just for myself
""")
)

# name | description | options | other words | fragments
ENUMS = tuple(
    Parameter(
        name,
        "string",
        name,
        about,
        _one_of(_cells(options, " ")),
        _words(name, others),
        _cells(fragments, ";"),
        enum=_cells(options, " "),
    )
    for name, about, options, others, fragments in _rows("""
unit | unit of measure | metric imperial | measure | in {v} units; the {v} way
format | file format | pdf csv json html | file type | as {v}; so I have it in {v}
priority | how important it is | low normal high very_high | importance | with {v} priority; of {v} importance
language | language to use | english french german spanish italian | tongue | in {v}; for {v} readers
color | color to use | red blue green black white | shade | in {v}; painted {v}
size | size to use | small medium large extra_large | dimension | in {v} size; {v} ones
sort_by | order of the results | date price rating name | order | sorted by {v}; going by {v}
payment | way to pay | cash card bank_transfer voucher | means of payment | paid by {v}; using {v} to pay
shipping | way to ship | standard express same_day pickup | delivery | with {v} shipping; delivered {v}
level | level of skill | beginner advanced expert | skill | at {v} level; fit for {v} people
status | state it is in | open closed on_hold done | state | with status {v}; those that are {v}
meal | meal of the day | breakfast lunch dinner | food | with {v}; {v} included
""")
)

# name | type of item | description | values | other words | fragments
_ARRAYS = tuple(
    Parameter(
        name, "array", name, about, _some_of(DRAWS[draw]), _words(name, others), _cells(fragments, ";"), item=item
    )
    for name, item, about, draw, others, fragments in _rows("""
tags | string | tags to attach | word | labels | tagged {v}; with the labels {v}
cities | string | names of cities | city | places | across {v}; covering {v}
people | string | who takes part | first_name | members | together with {v}; along with {v}
items | string | things on the list | title | things | holding {v}; made up of {v}
codes | string | codes to use | code | ids | with codes {v}; going by {v}
numbers | integer | numbers to use | medium | figures | over {v}; using the figures {v}
""")
)

# name | description | fields: name, type, values | fragment
_OBJECTS = tuple(
    Parameter(name, "object", name, about, _each_of(_fields(fields)), _words(name), (fragment,), fields=_fields(fields))
    for name, about, fields, fragment in _rows("""
range | lowest and highest value | min integer small, max integer medium | between {min} and {max}
contact | whom to reach | name string person, email string mail | reaching {name} at {email}
trip | way to go | start string city, end string city | going from {start} to {end}
period | first and last day | begin string day, finish string day | between {begin} and {finish}
item | what and how many | product string title, quantity integer small | with {quantity} of {product}
slot | day and time | day string day, hour string clock | on {day} at {hour}
""")
)

NESTED = _ARRAYS + _OBJECTS


def _coded(name: str, codes: str) -> Parameter:
    """The enum `name` of `ENUMS` with codes for values: `codes` is "CODE=saying,saying; ..."."""
    plain = next(parameter for parameter in ENUMS if parameter.name == name)
    sayings = {code: _cells(said) for code, said in (cell.split("=") for cell in _cells(codes, ";"))}
    return replace(plain, enum=tuple(sayings), draw=_one_of(tuple(sayings)), sayings=sayings)


# name | codes and how people say them: the same parameters as in ENUMS, but nobody says the values that they take
CODED = tuple(
    _coded(*row)
    for row in _rows("""
unit | SI=metric; US=imperial
priority | P1=low; P2=normal; P3=high; P4=very high
language | en=english; fr=french; de=german; es=spanish; it=italian
payment | C=cash; D=card; T=bank transfer; V=voucher
size | S=small; M=medium; L=large; XL=extra large
level | L1=beginner; L2=advanced; L3=expert
""")
)
