#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of a MODEL_CARD.md, in Markdown, from what focald measured of the model:

    focald eval --model DIR --data SET --folds 4 --alias bird=chirping_birds \\
        --skip-unknown --json SET.json           # for each set
    focald reject RUN... --model DIR --json reject.json
    tables.py SET.json... [--reject reject.json]

A set is named by its file. Nothing is computed here but sums over the sets."""
import argparse
import json
import os

CONFUSIONS = 12


def number(value, digits=3):
    return "" if value is None else f"{value:.{digits}f}"


def figures(sets):
    yield "| set | clips | accuracy | recall at the threshold | FID-I (q 0.9) | FA |"
    yield "| --- | --- | --- | --- | --- | --- |"
    total = {"clips": 0, "accuracy": 0, "recall": 0, "fid_i": 0, "fa": 0}
    threshold = all(j.get("reject") for j in sets.values())
    for name, j in sets.items():
        clips = j["clips"]
        recall = j["reject"]["recall"] if threshold else None
        yield (f"| {name} | {clips} | {number(j['accuracy'])} | {number(recall)} "
               f"| {number(j['fid_i'])} | {number(j['fa'], 5)} |")
        total["clips"] += clips
        for key in "accuracy", "fid_i", "fa":
            total[key] += clips * j[key]
        total["recall"] += clips * (recall or 0)
    if len(sets) > 1:
        n = total["clips"]
        yield (f"| all | {n} | {number(total['accuracy'] / n)} "
               f"| {number(total['recall'] / n if threshold else None)} "
               f"| {number(total['fid_i'] / n)} | {number(total['fa'] / n, 5)} |")


def classes(sets):
    """Clips of one class in several sets count together."""
    sums = {}
    threshold = all(j.get("reject") for j in sets.values())
    for j in sets.values():
        for name, c in j["per_class"].items():
            if c["clips"] > 0:
                s = sums.setdefault(name, [0, 0, 0])
                s[0] += c["clips"]
                s[1] += c["correct"]
                s[2] += round(c["clips"] * (c["recall"] if threshold else 0))
    yield "| class | clips | accuracy |" + (" recall |" if threshold else "")
    yield "| --- | --- | --- |" + (" --- |" if threshold else "")
    for name, (clips, right, named) in sorted(sums.items()):
        yield f"| {name} | {clips} | {right / clips:.2f} |" + (
            f" {named / clips:.2f} |" if threshold else "")


def confusions(sets):
    found = {}
    for j in sets.values():
        names = j["classes"]
        for row, is_ in zip(j["confusion"], names):
            for n, heard in zip(row, names):
                if n > 0 and heard != is_:
                    found[is_, heard] = found.get((is_, heard), 0) + n
    for (is_, heard), n in sorted(found.items(), key=lambda x: (-x[1], x[0]))[:CONFUSIONS]:
        yield f"- {is_}, heard as {heard}: {n}"


def rejection(j):
    yield "| score | threshold | recall left (of accuracy) | named of unknown | ROC area |"
    yield "| --- | --- | --- | --- | --- |"
    for s in j["scores"]:
        mark = " *" if s["score"] == j["reject"]["score"] else ""
        yield (f"| {s['score']}{mark} | {s['below']:.4g} | {number(s['recall'])} "
               f"({number(s['accuracy'])}) | {s['named_unknown']} of {s['unknown']} "
               f"({number(s['false_names'])}, at most {number(s['false_names_bound'])} with 95 % "
               f"confidence) | {number(s['roc_area'])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--reject")
    given = parser.parse_args()
    sets = {}
    for path in given.sets:
        with open(path) as f:
            sets[os.path.splitext(os.path.basename(path))[0]] = json.load(f)
    parts = [("Figures", figures(sets)), ("By class", classes(sets)), ("Confusions", confusions(sets))]
    if given.reject:
        with open(given.reject) as f:
            parts.append(("Unknown sounds", rejection(json.load(f))))
    for title, lines in parts:
        print(f"## {title}\n")
        print("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
