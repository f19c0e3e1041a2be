"""Dates as answers: however a date is written, the same day is the same answer.

The key is the ISO form, so "4 July 1776", "July 4th, 1776" and "1776-07-04" are one class, and the game sees one answer
where strings would be three. A wrong day earns by how near it is, if the run file says so.
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
    """Every date in the text and where it ends; what is no day of the calendar is none."""
    for form in FORMS:
        for found in form.finditer(text):
            month = found["month"].lower()
            number = int(month) if month.isdigit() else 1 + [name[:3] for name in MONTHS].index(month[:3])
            try:
                yield found.end(), date(int(found["year"]), number, int(found["day"]))
            except ValueError:
                continue


class Dates(alft.Plugin):
    summary = "The last date of a completion, whatever its form; right days score 1, near ones less."
    score_range = (0.0, 1.0)

    def __init__(self, tolerance_days=0):
        if tolerance_days < 0:
            raise ValueError(f"tolerance_days = {tolerance_days}; write 0 or more")
        self.tolerance_days = tolerance_days

    def read(self, prompt, completion):
        found = max(dates(completion), default=None)
        return found and found[1].isoformat()

    def score(self, prompt, answer):
        if prompt.gold is None:
            raise ValueError(f"prompt {prompt.id} has no gold answer; give it the right date")
        right = date.fromisoformat(prompt.gold)
        try:
            apart = abs((date.fromisoformat(answer) - right).days)
        except ValueError:
            return 0.0  # no date at all is wrong; a gold answer that is none is an error
        return max(0.0, 1 - apart / (1 + self.tolerance_days))


alft.export(Dates)
