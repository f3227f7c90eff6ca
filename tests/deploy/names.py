#!/usr/bin/env python3
"""Every metric and label in the dashboard and the alert rules is one that the daemon has: `names.py METRICS DASHBOARD RULES...`."""

import json
import pathlib
import re
import sys

# Prometheus' own, made by the scrape.
SCRAPE_METRICS = {"up"}
SCRAPE_LABELS = {"instance", "job", "le"}
KEYWORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "topk", "abs", "changes", "on", "group_left", "label_values"}

series: dict[str, set[str]] = {}
with open(sys.argv[1]) as metrics:
    for line in metrics:
        if match := re.match(r"([a-z_]+)(?:\{(.*)\})? ", line):
            series.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))

# A daemon without chips has none of a converter's metrics: the table they are made from says what they are called.
table = (pathlib.Path(__file__).resolve().parents[2] / "src/metrics/converter.rs").read_text()
for name, labels in re.findall(r'opts\("(\w+)", .*&\[([^]]*)\]', table):
    series.setdefault(f"biosigd_{name}", set()).update(re.findall(r'"(\w+)"', labels))

expressions = []
with open(sys.argv[2]) as dashboard:
    dashboard = json.load(dashboard)
for panel in dashboard["panels"]:
    expressions += [(f"panel `{panel['title']}`", target["expr"]) for target in panel["targets"]]
    if len({target["refId"] for target in panel["targets"]}) != len(panel["targets"]):
        sys.exit(f"panel `{panel['title']}` has two targets of one name")
expressions += [("the variables", variable["query"]["query"]) for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
for rules in sys.argv[3:]:
    with open(rules) as text:
        expressions += [(rules, expr) for expr in re.findall(r"^ *expr: (.*)$", text.read(), re.MULTILINE)]

wrong = []
used = set()
for where, expr in expressions:
    known_labels = set(SCRAPE_LABELS)
    bare = re.sub(r'"[^"]*"', "", expr)
    names = set(re.findall(r"\b[a-z_]{2,}\b", re.sub(r"\[[^]]*\]|\{[^}]*\}|\$\w+|\b(by|on|group_left) *\([^)]*\)", "", bare))) - KEYWORDS - {"instance"}
    if not names:
        wrong.append(f"{where}: no metric in `{expr}`")
    for name in names:
        if name in series:
            known_labels |= series[name]
            used.add(name)
        elif name not in SCRAPE_METRICS:
            wrong.append(f"{where}: there is no metric {name}")
    labels = set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", " ".join(re.findall(r"\{([^}]*)\}", bare))))
    for group in re.findall(r"\b(?:by|on|group_left) *\(([^)]*)\)", bare):
        labels |= set(re.findall(r"\w+", group))
    wrong += [f"{where}: no series in `{expr}` has a label {label}" for label in labels - known_labels]

if wrong:
    sys.exit("\n".join(wrong))
print(f"   {len(expressions)} expressions use {len(used)} metrics, all of which the daemon has")
