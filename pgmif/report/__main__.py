"""`make report`: python -m pgmif.report [RUN]"""

import argparse
import sys

from pgmif.report import ReportError, write_report
from pgmif.runs.notebooks import INTERRUPTED
from pgmif.runs.run import find_root
from pgmif_core.files import DiskFullError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pgmif.report", description=__doc__)
    parser.add_argument("run", nargs="?", default="", help="a folder of results/; else the newest")
    root = find_root()
    try:
        page = write_report(root, parser.parse_args(arguments).run)
    except (ReportError, DiskFullError) as error:
        print(f"pgmif: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\npgmif: stopped by Ctrl-C; a former report is as it was.", file=sys.stderr)
        return INTERRUPTED
    print(f"Report: {page.relative_to(root)} ({page.stat().st_size / 2**20:.1f} MiB; files beside it)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
