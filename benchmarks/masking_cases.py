"""What masking costs: against a reader that masks nothing, and for a short execution.

What has no other side to be measured against is taken in processor time of the thread, which others' load moves less.
"""

from __future__ import annotations

import random
import string
import time
from statistics import median

from attune_tasks.masking import Masker
from attune_tasks.process.output import NoFilter, OutputFilter, TailBuffer
from benchmarks.measuring import interleaved
from benchmarks.rows import Row
from benchmarks.workspace import SECRETS, Bench

__all__ = ["kept", "set_up", "short", "speed"]

_MB = 1_000_000
_PIECE = 1 << 16
_CAP = 1 << 20


def speed(bench: Bench) -> list[Row]:  # noqa: ARG001 - the shape of a case
    """Measure a stream that is followed, masked in pieces as the pipe gives them."""
    data = _log(20 * _MB)
    rows = []
    for count, goal in ((20, 100), (200, 80)):
        stream = Masker(_secrets(count)).stream()
        stream.feed(data[:_PIECE])
        taken = []
        for _ in range(5):
            started = time.thread_time()
            for piece in _pieces(data):
                stream.feed(piece)
            taken.append(time.thread_time() - started)
        speed_in_mb = len(data) / _MB / median(taken)
        case = f"masking a stream, {count} secrets, MB a second (at least)"
        rows.append(Row(case, f"{goal} MB a second", speed_in_mb / goal, 1.0, at_least=True))
    return rows


def kept(bench: Bench) -> list[Row]:
    """Measure 100 MB of which 1 MiB is kept, with secrets and without: the reader alone, and a whole execution."""
    pieces = _pieces(_log(100 * _MB))
    secrets = _secrets(20)

    def read(output_filter: OutputFilter) -> None:
        buffer = TailBuffer(_CAP, output_filter)
        for piece in pieces:
            buffer.append(piece)
        buffer.finish()

    reader = interleaved(lambda: read(Masker(secrets)), lambda: read(NoFilter()), 15)
    whole = interleaved(lambda: bench.execute("bench.loud_secret"), lambda: bench.execute("bench.loud"), 9)
    return [
        Row("keeping 1 MiB of 100 MB in memory, 20 secrets", "the same unmasked", reader, None),
        Row("100 MB of output, 1 MiB kept, three secrets: time", "the same without secrets", whole, 1.25),
    ]


def set_up(bench: Bench) -> list[Row]:  # noqa: ARG001 - the shape of a case
    """Measure making all variants of 20 secrets and the matcher for them, against 5 ms."""
    taken = []
    data = _log(_PIECE)
    for seed in range(40):
        secrets = _secrets(20, seed)
        started = time.thread_time()
        stream = Masker(secrets).stream()
        stream.feed(b"x" * 100)
        made = time.thread_time() - started
        stream.feed(data)
        with_matcher = time.thread_time() - started
        started = time.thread_time()
        stream.feed(data)
        taken.append(max(made, with_matcher - (time.thread_time() - started)))
    return [Row("set-up for 20 secrets", "5 ms", median(taken) / 0.005, 1.0)]


def short(bench: Bench) -> list[Row]:  # noqa: ARG001 - the shape of a case
    """Measure what masking adds to an execution of three secrets and a line of output, against 0.05 ms."""
    taken = []
    for _ in range(500):
        started = time.thread_time()
        masker = Masker(SECRETS)
        buffers = [TailBuffer(_CAP, masker, name) for name in ("stdout", "stderr")]
        buffers[0].append(b"2026-01 24 18 17\n")
        for buffer in buffers:
            buffer.finish()
        masker.mask_json({"month": "2026-01", "length": 59}, "result")
        taken.append(time.thread_time() - started)
    return [Row("masking a line of output, three secrets", "0.05 ms", median(taken) / 0.00005, 1.0)]


def _secrets(count: int, seed: int = 1) -> dict[str, str]:
    """Make up secrets of 12 to 48 characters; each fifth has characters that are escaped."""
    chosen = random.Random(seed)  # noqa: S311 - the same in each run
    values = [
        "".join(chosen.choices(string.ascii_letters + string.digits, k=chosen.randrange(12, 49))) for _ in range(count)
    ]
    return {f"s{at}": value if at % 5 else f'{value[:6]}/+ "{value[6:]}' for at, value in enumerate(values)}


def _log(size: int) -> bytes:
    lines = []
    length = 0
    number = 0
    while length < size:
        number += 1
        line = b"2026-01-0%d 12:%02d:%02d INFO request %d done in %d ms path=/api/v1/%x\n" % (
            number % 9,
            number % 60,
            number % 59,
            number,
            number * 7919 % 999,
            number * 2654435761 % (1 << 40),
        )
        lines.append(line)
        length += len(line)
    return b"".join(lines)[:size]


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)]
