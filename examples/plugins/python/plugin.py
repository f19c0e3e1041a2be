"""Dates as answers: different forms of the same day are the same answer.

The key is the ISO form, so "4 July 1776", "July 4th, 1776" and "1776-07-04" have one key where plain text would have three.
With `tolerance_days`, a wrong day scores by its distance from the right one.
"""

import re
from datetime import date

import alft

MONTHS = "january february march april may june july august september october november december".split()
MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in MONTHS)
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
FORMS = [
    re.compile(form, re.IGNORECASE)
    for form in (
        r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b",
        rf"\b{DAY} (?:of )?(?P<month>{MONTH})\.?,? (?P<year>\d{{4}})\b",
        rf"\b(?P<month>{MONTH})\.? {DAY},? (?P<year>\d{{4}})\b",
    )
]


def dates(text):
    """Yields the end and the value of every date in the text. Days that the calendar does not have are skipped."""
    for form in FORMS:
        for found in form.finditer(text):
            month = found["month"].lower()
            number = int(month) if month.isdigit() else 1 + [name[:3] for name in MONTHS].index(month[:3])
            try:
                yield found.end(), date(int(found["year"]), number, int(found["day"]))
            except ValueError:
                continue


class Dates(alft.Plugin):
    summary = "Reads the last date of a completion; the right day scores 1, near days less."
    score_range = (0.0, 1.0)

    def __init__(self, tolerance_days=0):
        if tolerance_days < 0:
            raise ValueError(f"tolerance_days is {tolerance_days}; it must be at least 0")
        self.tolerance_days = tolerance_days

    def read(self, prompt, completion):
        found = max(dates(completion), default=None)
        return found and found[1].isoformat()

    def score(self, prompt, answer):
        if prompt.gold is None:
            raise ValueError(f"prompt {prompt.id} has no gold answer; add the right date as `gold`")
        right = date.fromisoformat(prompt.gold)
        try:
            apart = abs((date.fromisoformat(answer) - right).days)
        except ValueError:
            return 0.0  # an answer without a date is wrong; a gold answer without one is an error
        return max(0.0, 1 - apart / (1 + self.tolerance_days))


alft.export(Dates)
