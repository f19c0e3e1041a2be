"""Finds the groups of samples in a trainer's rows: neighbouring rows of one question are one group."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Sequence

from .errors import TornGroup


def find_groups(keys: Sequence[Hashable], size: int | None, remedy: str) -> list[range]:
    """Returns the rows of each group. Rows of one question have equal keys.

    Groups have `size` rows, or all the same number where it is not known. Fails with `TornGroup` and the remedy if they
    cannot be whole: an objective would take the answers of a part for the distribution of all.
    """
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]]
    runs = [range(start, end) for start, end in zip(starts, [*starts[1:], len(keys)], strict=True)]
    if size is not None:
        for run in runs:
            if len(run) % size:
                raise TornGroup(f"{_named(run)}, not {size}; {remedy}")
        return [range(first, first + size) for run in runs for first in range(run.start, run.stop, size)]
    sizes = Counter(len(run) for run in runs)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        odd = next(run for run in runs if len(run) != usual)
        raise TornGroup(f"{_named(odd)}, where other questions have {usual}; {remedy}")
    if sizes and 1 in sizes and len(set(keys)) < len(keys):
        raise TornGroup(f"the samples of a question are not in neighbouring rows; {remedy}")
    return runs


def _named(rows: range) -> str:
    return f"rows {rows[0]} to {rows[-1]} are one question with {len(rows)} samples"


def question_id(*parts: object) -> str:
    """Returns a name for a question that is the same in every step: a hash of its parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def unique_ids(ids: Sequence[str]) -> list[str]:
    """Returns the names with `#2`, `#3`, … behind those that occur again: a question may be drawn twice in a step."""
    seen: Counter[str] = Counter()
    unique = []
    for name in ids:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique
