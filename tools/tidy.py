#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a machine can check: licence lines, essays, include boundaries, sizes, names.

usage: tools/tidy.py [ROOT]      exits with 1 and a list when something is off
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = sys.argv[1] if len(sys.argv) > 1 else "."

# Who may include whom: ARCHITECTURE.md, "Folders".
MAY = {
    "base": set(),
    "log": {"base"},
    "broker": {"base", "log"},
    "formats": {"base"},
    "state": {"base"},
    "operators": {"base", "formats", "state", "log"},
    "scripts": {"base", "formats", "operators", "log"},
    "connectors": {"base", "formats", "log", "operators"},
    "runtime": {"base", "formats", "log", "broker", "state", "operators", "scripts", "connectors"},
    "cli": {"base", "formats", "log", "broker", "operators", "scripts", "connectors", "runtime"},
}
EXTRA = {("log", "broker"): re.compile(r"log/native")}  # the client of the broker in this process

FOREIGN = {  # header: the files that may include it
    "rocksdb/c.h": r"state/db.*\.c",
    "lua.h": r"scripts/.*", "lauxlib.h": r"scripts/.*", "lualib.h": r"scripts/.*",
    "avro.h": r"formats/avro.*\.[ch]|tests/.*",
    "simdjson.h": r"formats/.*\.cc",
    "librdkafka/rdkafka.h": r"tests/.*|bench/.*",
}
LINES_MAX = 600
PATHS = re.compile(r"/(?:work|root|home)/[a-z.]")

problems = []


def say(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def check_source(path, text):
    folder = path.split("/")[0]
    lines = text.split("\n")
    if not lines[0].startswith("// SPDX-License-Identifier: Apache-2.0"):
        say(path, 1, "the first line must be the SPDX licence line")
    if len(lines) > (LINES_MAX if folder != "tests" else 2 * LINES_MAX):
        say(path, len(lines), "too long; what would a reader expect in two files?")
    if path.endswith(".h") and folder in MAY and not (len(lines) > 2 and lines[1].startswith("//")):
        say(path, 2, "a header opens with an essay: what it is, what it owns, how it fails")
    for number, line in enumerate(lines, 1):
        m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if m:
            check_include(path, folder, number, m.group(1))


def check_include(path, folder, number, what):
    for header, allowed in FOREIGN.items():
        if what == header and not re.fullmatch(allowed, path):
            say(path, number, f"{header} may only be included in {allowed}")
    other = what.split("/")[0]
    if folder in MAY and other in MAY and other != folder and other not in MAY[folder]:
        extra = EXTRA.get((folder, other))
        if extra is None or not extra.match(path):
            say(path, number, f"{folder}/ may not include {other}/ (ARCHITECTURE.md, Folders)")


def files():
    """What git knows; without git, what lies here, less the build and hidden folders."""
    if shutil.which("git"):
        listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
        if listed.returncode == 0:
            return listed.stdout.split("\n")
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in ("build", "weir-data") and f[0] != "."]
        found += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    return sorted(found)


def main():
    for path in files():
        full = os.path.join(ROOT, path)
        if not path or not os.path.isfile(full) or os.path.islink(full):
            continue
        try:
            text = open(full, encoding="utf-8").read()
        except UnicodeDecodeError:
            continue
        if re.search(r"\.(c|h|cc)$", path):
            check_source(path, text)
        if path != "tools/tidy.py":
            for number, line in enumerate(text.split("\n"), 1):
                if PATHS.search(line):
                    say(path, number, "names a path of some machine")
    for p in problems:
        print(p)
    print(f"tidy: {len(problems)} problem{'s' if len(problems) != 1 else ''}")
    return 1 if problems else 0


sys.exit(main())
