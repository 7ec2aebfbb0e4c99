#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fraud features by brute force: what the training set must hold for given transactions.

usage: fraud_oracle.py TRANSACTIONS.csv OUT_DIR     exits with 1 and the first differences
"""
import csv
import glob
import math
import sys
from collections import defaultdict
from datetime import datetime, timezone

DAY = 86400000
WINDOWS = (1, 7, 30)
DELAY = 7 * DAY


def window(events, end, size, upto=None):
    """Events with time in (end - size, end]; of those at `upto` or before in file order."""
    return [e for e in events if end - size < e[0] <= end and (upto is None or e[1] <= upto)]


def expected(rows):
    customers, terminals = defaultdict(list), defaultdict(list)
    for number, r in enumerate(rows):
        event = (int(r["ts"]), number, float(r["amount"]), int(r["fraud"]))
        customers[r["customer_id"]].append(event)
        terminals[r["terminal_id"]].append(event)
    for number, r in enumerate(rows):
        t = int(r["ts"])
        when = datetime.fromtimestamp(t / 1000, timezone.utc)
        want = {"night": int(when.hour <= 6), "weekend": int(when.weekday() >= 5)}
        for days in WINDOWS:
            c = window(customers[r["customer_id"]], t, days * DAY, number)
            d = window(terminals[r["terminal_id"]], t - DELAY, days * DAY)
            want[f"customer_nb_tx_{days}d"] = len(c)
            want[f"customer_avg_amount_{days}d"] = math.fsum(e[2] for e in c) / len(c)
            want[f"terminal_nb_tx_{days}d"] = len(d)
            want[f"terminal_risk_{days}d"] = sum(e[3] for e in d) / len(d) if d else 0
        yield r, want


def main():
    rows = list(csv.DictReader(open(sys.argv[1])))
    got = {}
    for name in sorted(glob.glob(sys.argv[2] + "/tx_features-*.csv")):
        for r in csv.DictReader(open(name)):
            if r["tx_id"] in got:
                sys.exit(f"tx_id {r['tx_id']} came out twice")
            got[r["tx_id"]] = r
    bad = 0
    for r, want in expected(rows):
        row = got.pop(r["tx_id"], None)
        if row is None:
            sys.exit(f"tx_id {r['tx_id']} is missing")
        for name, value in want.items():
            if abs(float(row[name] or 0) - value) > (1e-9 if "avg" in name else 0):
                bad += 1
                if bad <= 5:
                    print(f"tx_id {r['tx_id']}: {name} is {row[name]}, should be {value}")
    if got:
        sys.exit(f"{len(got)} rows too many")
    print(f"{len(rows)} transactions, {bad} differences")
    return 1 if bad else 0


sys.exit(main())
