"""Fuzz every public estimator and function.

python -m tests.fuzz                             make 10,000 calls, and print the table
python -m tests.fuzz --seed 0 --index 17         repeat one of them, with its traceback
"""

from __future__ import annotations

import argparse
import sys
import time

from .fuzzer import format_table, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="first index")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--index", type=int, help="one call alone, with its traceback")
    options = parser.parse_args()
    start = time.perf_counter()
    if options.index is not None:
        _, findings = fuzz(options.seed, [options.index])
        for finding in findings:
            print(finding)
            print(finding.outcome.trace)
        print(f"{len(findings)} fault(s)")
        return bool(findings)
    table, findings = fuzz(options.seed, range(options.start, options.start + options.calls))
    for finding in findings:
        print(finding)
    print(format_table(table))
    print(f"{len(findings)} faults of {options.calls} calls, {time.perf_counter() - start:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
