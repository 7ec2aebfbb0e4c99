# SPDX-License-Identifier: Apache-2.0
"""Random JSON, read and written by weir, compared with Python's json (exact integers and doubles)."""
import json
import random
import subprocess
import sys

random.seed(20180725)
ALPHABET = 'ab"\\/\n\r\t\b\f\x00\x1f\x7f é€\u2028日😀'


def text():
    return ''.join(random.choice(ALPHABET) for _ in range(random.randrange(12)))


def number():
    kind = random.randrange(4)
    if kind == 0:
        return random.randrange(-2**63, 2**63)
    if kind == 1:
        return random.randrange(100)
    if kind == 2:
        return round(random.uniform(-1e4, 1e4), random.randrange(8))
    return random.uniform(-1, 1) * 10.0 ** random.randrange(-300, 300)


def value(depth=0):
    kind = random.randrange(8 if depth < 5 else 5)
    if kind < 2:
        return number()
    if kind == 2:
        return text()
    if kind < 5:
        return random.choice([None, True, False, number(), text()])
    if kind == 5:
        return [value(depth + 1) for _ in range(random.randrange(5))]
    return {text(): value(depth + 1) for _ in range(random.randrange(6))}


def exactly(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(exactly(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(exactly, a, b))
    if isinstance(a, float) and a.is_integer():
        return a == b  # whole doubles are written without ".0" and read back as integers
    return type(a) is type(b) and a == b


def main():
    values = [value() for _ in range(4000)]
    lines = [json.dumps(v, ensure_ascii=random.random() < 0.5,
                        separators=random.choice([(',', ':'), (' , ', ' :\t')])) for v in values]
    out = subprocess.run([sys.argv[1], '--echo'], input='\n'.join(lines) + '\n',
                         capture_output=True, encoding='utf-8', check=True).stdout
    found = out.split('\n')[:-1]
    assert len(found) == len(values), (len(found), len(values))
    for v, line, got in zip(values, lines, found):
        if not exactly(v, json.loads(got)):
            sys.exit(f'wrote {got}\nfor   {line}')
    print(f'{len(values)} values agree')


main()
