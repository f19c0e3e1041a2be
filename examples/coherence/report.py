#!/usr/bin/env python3
"""Prints the table of results.jsonl and draws coherence.svg.

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

WIDTH, HEIGHT = 960, 400
TOP, BOTTOM = 56, 348
RULES = ["arithmetic", "geometric"]
STYLE = """
  .paper { fill: #ffffff } .soft { fill: #57606a } .grid { stroke: #d8dee4 } .axis { stroke: #8c959f }
  text { fill: #24292f; font: 12px system-ui, sans-serif } .title { font-size: 13px; font-weight: 600 }
  .arithmetic { fill: #0969da; stroke: #0969da } .geometric { fill: #bc4c00; stroke: #bc4c00 }
  .even { stroke: #57606a; stroke-dasharray: 4 4 }
  .line { fill: none; stroke-width: 2 } .whisker { stroke-width: 2 }
  .band { opacity: .16; stroke: none } .seed { opacity: .45; stroke: none }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .soft { fill: #9198a1 } .grid { stroke: #262c36 } .axis { stroke: #656c76 }
    text { fill: #e6edf3 } .even { stroke: #9198a1 } .band { opacity: .22 }
    .arithmetic { fill: #58a6ff; stroke: #58a6ff } .geometric { fill: #f0883e; stroke: #f0883e }
    .line { fill: none } .band, .seed { stroke: none }
  }
"""


def main():
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    cells = [(key, list(group)) for key, group in groupby(rows, lambda row: (row["warm_start_steps"], row["consensus"]))]
    print(table(cells))
    FIGURE.write_text(figure(cells))


def interval(values):
    """The mean and the half-width of its 95% t-interval."""
    return mean(values), STUDENT[len(values) - 1] * stdev(values) / sqrt(len(values))


def table(cells):
    """Markdown: one line for each starting policy and consensus rule."""
    lines = ["| warm start | consensus | accuracy before | accuracy after | change | JSD before | JSD after | entropy after |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for (warm, rule), rows in cells:
        before, after, change = (interval([100 * value for value in values]) for values in accuracies(rows))
        jsd = [interval([row[when]["jsd"] for row in rows]) for when in ["before", "after"]]
        entropy = interval([row["after"]["entropy"] for row in rows])
        lines.append(f"| {warm} steps | {rule} | {percent(before)} | {percent(after)} | {change[0]:+.1f} ± {change[1]:.1f} | "
                     + " | ".join(f"{middle:.3f} ± {half:.3f}" for middle, half in [*jsd, entropy]) + " |")
    lines += ["", "| warm start | probability of the right answer | under the geometric consensus | consensus' first choice is right |",
              "| --- | --- | --- | --- |"]
    for (warm, rule), rows in cells:
        if rule == RULES[0]:
            probes = [percent(interval([100 * row["probe"][key] for row in rows])) for key in ["arithmetic", "geometric", "mode"]]
            lines.append(f"| {warm} steps | " + " | ".join(probes) + " |")
    return "\n".join(lines)


def percent(mean_and_half):
    return "{:.1f} ± {:.1f}%".format(*mean_and_half)


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

    def band(self, rule, steps, curves):
        """The mean of the seeds' curves with its interval."""
        middles, halves = zip(*(interval(values) for values in zip(*curves)))
        low, high = self.y_range
        upper = [(x, min(m + h, high)) for x, m, h in zip(steps, middles, halves)]
        lower = [(x, max(m - h, low)) for x, m, h in zip(steps, middles, halves)]
        self.add(f'<polygon class="{rule} band" points="{self.points(upper + lower[::-1])}"/>')
        self.add(f'<polyline class="{rule} line" points="{self.points(zip(steps, middles))}"/>')

    def points(self, pairs):
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in pairs)


def figure(cells):
    panels = [before_and_after(cells), curves(cells, 372, "accuracy", "accuracy while training", (0, 1), [0, .25, .5, .75, 1], "{:.0%}"),
              curves(cells, 692, "jsd", "JSD between phrasings, nats", (0, .6), [0, .2, .4, .6], "{:.1f}")]
    legend = []
    for at, rule in enumerate(RULES):
        x = 692 + 110 * at
        legend.append(f'<line class="{rule} line" x1="{x}" y1="14" x2="{x + 18}" y2="14"/><text x="{x + 24}" y="18">{rule}</text>')
    body = "\n".join(legend + [element for panel in panels for element in panel.out])
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
            f'<title>Consensus without labels: accuracy and divergence by starting accuracy</title>\n<style>{STYLE}</style>\n'
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n{body}\n</svg>\n')


def before_and_after(cells):
    panel = Panel(52, 260, "accuracy after, by accuracy before", (0, 1), (0, 1))
    ticks = [0, .25, .5, .75, 1]
    panel.axes("before (kept-out questions)", ticks, ticks, "{:.0%}".format)
    panel.add(f'<line class="even" x1="{panel.x(0)}" y1="{panel.y(0)}" x2="{panel.x(1)}" y2="{panel.y(1)}"/>')
    panel.text(panel.x(.06), panel.y(.9), "consensus teaches")
    panel.text(panel.x(.97), panel.y(.06), "consensus misleads", "", "end")
    for (_, rule), rows in cells:
        before, after, _ = accuracies(rows)
        for x, y in zip(before, after):
            panel.add(f'<circle class="{rule} seed" cx="{panel.x(x)}" cy="{panel.y(y)}" r="3"/>')
        # The two rules start from the same policies: set apart so that both can be seen.
        x = panel.x(mean(before)) + (-3 if rule == RULES[0] else 3)
        middle, half = interval(after)
        low, high = panel.y(max(0, middle - half)), panel.y(min(1, middle + half))
        panel.add(f'<line class="{rule} whisker" x1="{x}" y1="{low}" x2="{x}" y2="{high}"/>')
        panel.add(f'<circle class="{rule}" cx="{x}" cy="{panel.y(middle)}" r="4.5"/>')
    return panel


def curves(cells, left, key, title, y_range, y_ticks, show):
    steps = cells[0][1][0]["steps"]
    panel = Panel(left, 250, title, (0, steps), y_range)
    panel.axes("step", range(0, steps + 1, 100), y_ticks, show.format)
    for (_, rule), rows in cells:
        width = rows[0]["bin"]
        at = [width * (i + .5) for i in range(len(rows[0]["curves"][key]))]
        panel.band(rule, at, [row["curves"][key] for row in rows])
    return panel


if __name__ == "__main__":
    main()
