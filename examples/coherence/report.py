#!/usr/bin/env python3
"""Prints the tables of results.jsonl and draws coherence.svg.

    python3 examples/coherence/report.py

Intervals are 95% t-intervals over the seeds.
"""

import json
from itertools import groupby
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.jsonl"
FIGURE = HERE / "coherence.svg"

# 97.5% quantiles of Student's t by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

WIDTH, HEIGHT = 960, 384
TOP, BOTTOM = 40, 332
RULES = ["arithmetic", "geometric"]
STYLE = """
  .paper { fill: #ffffff } .soft { fill: #57606a } .grid { stroke: #d8dee4 } .axis { stroke: #8c959f }
  text { fill: #24292f; font: 12px system-ui, sans-serif } .title { font-size: 13px; font-weight: 600 }
  .arithmetic { fill: #0969da; stroke: #0969da } .geometric { fill: #bc4c00; stroke: #bc4c00 }
  .even { stroke: #57606a; stroke-dasharray: 4 4 }
  .line { fill: none; stroke-width: 2 } .whisker { stroke-width: 2 }
  .thin { stroke-width: 1; opacity: .4 } .seed { opacity: .45; stroke: none }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .soft { fill: #9198a1 } .grid { stroke: #262c36 } .axis { stroke: #656c76 }
    text { fill: #e6edf3 } .even { stroke: #9198a1 }
    .arithmetic { fill: #58a6ff; stroke: #58a6ff } .geometric { fill: #f0883e; stroke: #f0883e }
    .line { fill: none } .seed { stroke: none }
  }
"""


def main():
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    cells = [(key, list(group)) for key, group in groupby(rows, lambda row: (row["warm_start_steps"], row["consensus"]))]
    print(tables(cells))
    FIGURE.write_text(figure(cells))


def interval(values):
    """The mean and the half-width of its 95% t-interval."""
    return mean(values), STUDENT[len(values) - 1] * stdev(values) / sqrt(len(values))


def tables(cells):
    """Markdown: what changed for each starting policy and consensus rule, the two rules compared, and the samples at
    either end of training."""
    changes = ["| warm start | consensus | accuracy before | after | change | JSD before | after |",
               "| --- | --- | --- | --- | --- | --- | --- |"]
    samples = ["| warm start | consensus | majority right | answers in use | `a+b=` | `add a b=` | `b to a=` |",
               "| --- | --- | --- | --- | --- | --- | --- |"]
    ends = {}
    for (warm, rule), rows in cells:
        before, after, change = ([100 * value for value in values] for values in accuracies(rows))
        jsd = [[row[when]["jsd"] for row in rows] for when in ["before", "after"]]
        changes.append(f"| {warm} steps | {rule} | {show(before)}% | {show(after)}% | {show(change, '+.1f')} | "
                       f"{show(jsd[0], '.2f')} | {show(jsd[1], '.2f')} |")
        first, last = ([mean(row["phrasings"][when][at] for row in rows) for at in range(3)] for when in ["first", "last"])
        answers = [mean(row["answers"][when] for row in rows) for when in ["first", "last"]]
        samples.append(f"| {warm} steps | {rule} | {100 * mean(row['majority'] for row in rows):.0f}% | "
                       f"{answers[0]:.0f} → {answers[1]:.0f} | "
                       + " | ".join(f"{100 * a:.0f} → {100 * b:.0f}%" for a, b in zip(first, last)) + " |")
        ends.setdefault(warm, {})[rule] = after
    compared = [f"{warm} steps: geometric less arithmetic {show([g - a for a, g in zip(*by_rule.values())], '+.1f')} points"
                for warm, by_rule in ends.items()]
    return "\n".join([*changes, "", *compared, "", *samples])


def show(values, form=".1f"):
    middle, half = interval(values)
    return f"{middle:{form}} ± {half:{form.lstrip('+')}}"


def accuracies(rows):
    before, after = ([row[when]["accuracy"] for row in rows] for when in ["before", "after"])
    return before, after, [b - a for a, b in zip(before, after)]


class Panel:
    """One chart: maps values to pixels and collects SVG elements."""

    def __init__(self, left, width, title, x_range, y_range):
        self.left, self.width, self.x_range, self.y_range = left, width, x_range, y_range
        self.out = [f'<text class="title" x="{left}" y="{TOP - 14}">{title}</text>']

    def x(self, value):
        low, high = self.x_range
        return round(self.left + self.width * (value - low) / (high - low), 1)

    def y(self, value):
        low, high = self.y_range
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    def axes(self, x_label, x_ticks, y_ticks, show):
        right = self.left + self.width
        for value in y_ticks:
            at = self.y(value)
            self.add(f'<line class="grid" x1="{self.left}" y1="{at}" x2="{right}" y2="{at}"/>')
            self.text(self.left - 6, at + 4, show(value), "soft", "end")
        for value in x_ticks:
            label = f"{value:.0%}" if self.x_range[1] <= 1 else f"{value}"
            self.text(self.x(value), BOTTOM + 18, label, "soft", "middle")
        self.add(f'<line class="axis" x1="{self.left}" y1="{BOTTOM}" x2="{right}" y2="{BOTTOM}"/>')
        self.text(self.left + self.width / 2, BOTTOM + 36, x_label, "soft", "middle")

    def add(self, element):
        self.out.append(element)

    def text(self, x, y, text, kind="", anchor="start"):
        self.add(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')

    def curves(self, rule, at, curves):
        """A thin line for each seed and a strong one for their mean."""
        for curve in curves:
            self.add(f'<polyline class="{rule} thin line" points="{self.points(zip(at, curve))}"/>')
        self.add(f'<polyline class="{rule} line" points="{self.points(zip(at, map(mean, zip(*curves))))}"/>')

    def points(self, pairs):
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in pairs)


def figure(cells):
    panels = [before_and_after(cells), *(accuracy_by_step(cells, rule, left) for rule, left in zip(RULES, [372, 692]))]
    body = "\n".join(element for panel in panels for element in panel.out)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
            f'<title>Consensus without labels: accuracy by starting accuracy and consensus rule</title>\n<style>{STYLE}</style>\n'
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n{body}\n</svg>\n')


def before_and_after(cells):
    panel = Panel(52, 260, "accuracy after, by accuracy before", (0, 1), (0, 1))
    ticks = [0, .25, .5, .75, 1]
    panel.axes("accuracy before (kept-out questions)", ticks, ticks, "{:.0%}".format)
    panel.add(f'<line class="even" x1="{panel.x(0)}" y1="{panel.y(0)}" x2="{panel.x(1)}" y2="{panel.y(1)}"/>')
    panel.text(panel.x(.06), panel.y(.9), "consensus teaches")
    panel.text(panel.x(.64), panel.y(.06), "consensus misleads", "", "middle")
    for (_, rule), rows in cells:
        before, after, change = accuracies(rows)
        for x, y in zip(before, after):
            panel.add(f'<circle class="{rule} seed" cx="{panel.x(x)}" cy="{panel.y(y)}" r="3"/>')
        # The two rules start from the same policies: set apart so that both can be seen.
        x = panel.x(mean(before)) + (-3 if rule == RULES[0] else 3)
        middle, half = mean(after), interval(change)[1]
        low, high = panel.y(max(0, middle - half)), panel.y(min(1, middle + half))
        panel.add(f'<line class="{rule} whisker" x1="{x}" y1="{low}" x2="{x}" y2="{high}"/>')
        panel.add(f'<circle class="{rule}" cx="{x}" cy="{panel.y(middle)}" r="4.5"/>')
    for at, rule in enumerate(RULES):
        y = panel.y(.2 - .06 * at)
        panel.add(f'<circle class="{rule}" cx="{panel.x(.67)}" cy="{y}" r="4.5"/>')
        panel.text(panel.x(.71), y + 4, rule)
    return panel


def accuracy_by_step(cells, rule, left):
    steps = cells[0][1][0]["steps"]
    panel = Panel(left, 250, f"{rule} consensus, by step", (0, steps), (0, 1))
    panel.axes("step (questions trained on)", range(0, steps + 1, 100), [0, .25, .5, .75, 1], "{:.0%}".format)
    for (_, of), rows in cells:
        if of == rule:
            width = rows[0]["bin"]
            at = [width * (i + .5) for i in range(len(rows[0]["curves"]["accuracy"]))]
            panel.curves(rule, at, [row["curves"]["accuracy"] for row in rows])
    return panel


if __name__ == "__main__":
    main()
