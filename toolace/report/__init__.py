"""The report of a run as one HTML file, and the cards of its models."""

from toolace.report.card import SINGLE, CardFacts, card_facts, model_card, write_model_card, write_model_cards
from toolace.report.page import write_report

__all__ = ["SINGLE", "CardFacts", "card_facts", "model_card", "write_model_card", "write_model_cards", "write_report"]
