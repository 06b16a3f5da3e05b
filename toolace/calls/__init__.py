"""The language of tool calls: schema, formats, matching. Pure Python, no heavy import."""

from toolace.calls.formats import Answer, CallFormat, parse_answer, parse_calls, render_calls
from toolace.calls.matching import Match, Verdict, judge, match_calls, match_gold, same_calls
from toolace.calls.names import name_map, normalise_name, normalise_tools, rename_calls
from toolace.calls.schema import Call, Chat, Message, Sample, Tool

__all__ = [
    "Answer",
    "Call",
    "CallFormat",
    "Chat",
    "Match",
    "Message",
    "Sample",
    "Tool",
    "Verdict",
    "judge",
    "match_calls",
    "match_gold",
    "name_map",
    "normalise_name",
    "normalise_tools",
    "parse_answer",
    "parse_calls",
    "rename_calls",
    "render_calls",
    "same_calls",
]
