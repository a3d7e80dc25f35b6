"""Reads JSON values, one a line, and writes their canonical form by securesystemslib, in hexadecimal digits, one a line."""

import json
import sys

from securesystemslib.formats import encode_canonical

for line in sys.stdin.buffer:
    print(encode_canonical(json.loads(line)).encode("utf-8").hex())
