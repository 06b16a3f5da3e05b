"""Rows in: files of many formats → samples, quarantine, splits, samples on disk.

The public door; see docs/data-format.md. Needs no torch and no ray, and pyarrow only where parquet or a remote
filesystem is touched.
"""

from toolace.data.checking import CheckReport, check_file
from toolace.data.loading import FORMATS, RawRow, iter_rows, iter_samples, load_samples
from toolace.data.records import REASONS, SKIPS, BadRow, GoodRow, Loaded, SkippedRow
from toolace.data.splits import assign_groups, split_by_tools
from toolace.data.storing import count_samples, read_samples, write_samples

__all__ = [
    "FORMATS",
    "REASONS",
    "SKIPS",
    "BadRow",
    "CheckReport",
    "GoodRow",
    "Loaded",
    "RawRow",
    "SkippedRow",
    "assign_groups",
    "check_file",
    "count_samples",
    "iter_rows",
    "iter_samples",
    "load_samples",
    "read_samples",
    "split_by_tools",
    "write_samples",
]
