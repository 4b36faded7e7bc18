#!/usr/bin/env python3
"""table.py CASES RESULTS: what was measured, as tables. A ratio is the median over rounds of a peer's CPU per request to mini's."""

import json
import statistics
import sys

NAMES = {"nginx": "nginx, tuned", "haproxy": "haproxy", "caddy": "Caddy", "go": "Go ReverseProxy", "dokku": "nginx as Dokku's", "hyper": "bare hyper", "before": "mini before"}


def main(cases_file, results_file):
    cases = [[word.strip() for word in line.split("|")] for line in open(cases_file) if line.strip() and line[0] != "#"]
    results = Results(json.loads(line) for line in open(results_file))
    ratios(cases, results)
    latencies(results)
    memory(results)


class Results:
    def __init__(self, lines):
        self.lines = list(lines)
        self.peers = [peer for peer in dict.fromkeys(line["peer"] for line in self.lines) if peer != "mini"]

    def rounds(self, peer, case, figure, phase):
        return {line["round"]: line[figure] for line in self.lines
                if (line["peer"], line["case"], line["phase"]) == (peer, case, phase) and line.get(figure) is not None}

    def median(self, peer, case, figure, phase="together"):
        return statistics.median(self.rounds(peer, case, figure, phase).values() or [float("nan")])

    def ratio(self, peer, case):
        phase = "alone" if peer == "dokku" else "together"
        ours, theirs = self.rounds("mini", case, "cpu_per_request_us", phase), self.rounds(peer, case, "cpu_per_request_us", phase)
        pairs = [theirs[number] / ours[number] for number in ours.keys() & theirs.keys() if ours[number]]
        return statistics.median(pairs) if pairs else None

    def errors(self, peer, case):
        return sum(line.get("errors", 0) for line in self.lines if (line["peer"], line["case"]) == (peer, case))


def ratios(cases, results):
    print("CPU per request, peer's / mini's: above 1, mini is the cheaper one; `*`: answers were missing")
    head("case", "mini, us", *(NAMES.get(peer, peer) for peer in results.peers), "wanted of nginx")
    for name, wanted, _, _, what in cases:
        cells = []
        for peer in results.peers:
            ratio = results.ratio(peer, name)
            cells.append("" if ratio is None else f"{ratio:.2f}" + "*" * bool(results.errors(peer, name)))
        ours = results.median("mini", name, "cpu_per_request_us")
        if any(cells) or ours == ours:
            row(what, f"{ours:.1f}" + "*" * bool(results.errors("mini", name)), *cells, wanted.strip("-"))


def latencies(results):
    peers = ["mini", *(peer for peer in results.peers if peer != "dokku")]
    rows = [("1k-rate", "4000 requests per second"), ("1k-c1", "one connection")]
    rows = [(case, what) for case, what in rows if results.rounds("mini", case, "p99_us", "together")]
    if rows:
        print("\nLatency, p50 / p99 in us")
        head("case", *(NAMES.get(peer, peer) for peer in peers))
    for case, what in rows:
        row(what, *(f"{results.median(peer, case, 'p50_us'):.0f} / {results.median(peer, case, 'p99_us'):.0f}" for peer in peers))


def memory(results):
    peers = ["mini", *results.peers]
    idle = {peer: results.median(peer, "idle", "pss_kb") for peer in peers}
    if idle["mini"] == idle["mini"]:
        print("\nMemory")
        head("", *(NAMES.get(peer, peer) for peer in peers))
        row("at its start, MB", *(f"{results.median(peer, 'start', 'pss_kb') / 1000:.0f}" for peer in peers))
        standing = {peer: results.median(peer, "idle", "idle") for peer in peers}
        row("idle connections", *(f"{standing[peer]:.0f}" for peer in peers))
        row("with them, MB", *(f"{idle[peer] / 1000:.0f}" for peer in peers))
        row("each, KB", *(f"{(idle[peer] - results.median(peer, 'start', 'pss_kb')) / standing[peer]:.1f}" for peer in peers))
    for case, what in ("big-down", "a 10 GiB answer, peak MB"), ("big-up", "a 10 GiB upload, peak MB"):
        if results.rounds("mini", case, "peak_kb", "together"):
            row(what, *(f"{results.median(peer, case, 'peak_kb') / 1000:.0f}" for peer in peers))


def head(*cells):
    row(*cells)
    row("---", *("--:" for _ in cells[1:]))


def row(*cells):
    print("| " + " | ".join("" if cell.startswith("nan") else cell for cell in cells) + " |")


main(*sys.argv[1:])
