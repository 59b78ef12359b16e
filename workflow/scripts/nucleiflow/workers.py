"""Processes that work side by side, and what is left of the work when one of them dies."""

import ctypes
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

# Forked, so that imports are paid once; nothing may have started a thread before.
FORK = multiprocessing.get_context("fork")


# Arrays up to so many bytes come from memory that was used before, where there is some; larger ones
# go back at once.
REUSED = 64 * 2**20
# Of mallopt in malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def reuse_memory() -> None:
    """Keep the memory of arrays for the next ones, rather than have it cleared by Linux each time.

    That takes a tenth of all the time. Only glibc can be told.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, REUSED)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * REUSED)


@dataclass(frozen=True)
class Crash:
    """In place of a result: the signal that ended the process which computed it."""

    signal: str


def in_processes(
    function: Callable[[Any], Any],
    arguments: Sequence[Any],
    workers: int,
    prepare: Callable[..., None] | None = None,
    prepare_arguments: tuple = (),
    together: int = 1,
) -> Iterator[Any]:
    """Results in the order of the arguments, from so many processes.

    So many arguments `together` go to a process at a time, and their results come back at a time:
    handing over each alone takes half a millisecond.

    Libraries that decode images can crash on a damaged file. Then what is left is computed one
    after another, each in a process of its own, and the one that crashes again gives a Crash.

    Raises what the function raises, and MemoryError where a process was killed from outside.
    """
    groups = [arguments[at : at + together] for at in range(0, len(arguments), together)]
    with ProcessPoolExecutor(workers, FORK, prepare, prepare_arguments) as pool:
        futures, done = [], 0
        try:
            # A process can die before all the work is handed in.
            for group in groups:
                futures.append(pool.submit(_each, function, group))
            while done < len(futures):
                # Each holds its results as long as it is there.
                results, futures[done] = futures[done].result(), None
                done += 1
                yield from results
        except BrokenProcessPool:
            pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for group, future in zip_longest(groups[done:], futures[done:]):
        if future and future.done() and not future.cancelled() and future.exception() is None:
            yield from future.result()
        else:
            for argument in group:
                yield _alone(function, argument, prepare, prepare_arguments)


def _each(function: Callable[[Any], Any], group: Sequence[Any]) -> list[Any]:
    return [function(argument) for argument in group]


def _alone(
    function: Callable[[Any], Any],
    argument: Any,
    prepare: Callable[..., None] | None,
    prepare_arguments: tuple,
) -> Any:
    """The result of one call in a process of its own, or a Crash."""
    receiving, sending = FORK.Pipe(duplex=False)

    def run() -> None:
        if prepare:
            prepare(*prepare_arguments)
        try:
            sending.send((function(argument), None))
        except Exception as error:
            sending.send((None, error))

    process = FORK.Process(target=run)
    process.start()
    sending.close()
    try:
        result, error = receiving.recv()
    except EOFError:
        result, error = None, None
    process.join()
    if process.exitcode == -signal.SIGKILL:
        raise MemoryError("a process was killed")
    if process.exitcode:
        return Crash(signal.Signals(-process.exitcode).name if process.exitcode < 0 else "exit")
    if error is not None:
        raise error
    return result
