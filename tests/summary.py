#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the results of meson's test logs (testlog.json, one JSON object a line) and prints
`N passed, N failed, N skipped` alone on a line. Names what failed, and what was skipped with its
reason. A log that is not there counts as a failure: its tests did not run."""

import json
import sys


def reason(test):
    """The line in which a test says why it was skipped."""
    for line in test.get("stdout", "").splitlines():
        if "skipped" in line:
            return line.strip()
    return "skipped"


def skipped_parts(test):
    """The tests of a passed program that were skipped, by cmocka or a script."""
    return [line.strip() for line in test.get("stdout", "").splitlines()
            if line.startswith("[  SKIPPED ] ") and not line.endswith(", listed below:")
            or line.startswith(("skip ", "skipped: "))]


def main():
    passed = failed = skipped = 0
    for path in sys.argv[1:]:
        try:
            log = open(path, encoding="utf-8")
        except OSError as error:
            print(f"{path}: {error.strerror}")
            failed += 1
            continue
        with log:
            for line in log:
                test = json.loads(line)
                result = test["result"]
                if result in ("OK", "EXPECTEDFAIL"):
                    passed += 1
                    for part in dict.fromkeys(skipped_parts(test)):
                        print(f"{test['name']}, a part of it: {part}")
                elif result == "SKIP":
                    skipped += 1
                    print(f"{test['name']}: {reason(test)}")
                else:
                    failed += 1
                    print(f"{test['name']}: {result}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
