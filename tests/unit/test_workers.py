"""Processes side by side: order, errors, and what a crash costs.

Each test runs in a process of its own, as forking from pytest's would copy its threads.
"""

import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
HEAD = f"""
import os, signal, sys, time
sys.path.insert(0, {str(SCRIPTS)!r})
from nucleiflow.workers import Crash, in_processes

def work(number):
    if number < 0:
        os.kill(os.getpid(), -number)
        time.sleep(60)
    if number == 13:
        raise OSError(28, "No space left on device")
    time.sleep(0.01 * (number % 3))
    return number, os.getpid()
"""


def run(text, success=True):
    done = subprocess.run(
        [sys.executable, "-c", HEAD + text], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode == 0) == success, done.stderr
    return done.stdout.strip() if success else done.stderr


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_from_other_processes(workers, together):
    text = f"found = list(in_processes(work, list(range(10)), {workers}, together={together}))\n"
    text += "print([n for n, _ in found], os.getpid() in [p for _, p in found],"
    text += " len({p for _, p in found}))"
    order, mine, processes = run(text).rsplit(maxsplit=2)
    assert order == str(list(range(10))) and mine == "False" and int(processes) <= workers


@pytest.mark.parametrize("together", [1, 3, 50])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE])
def test_crash_costs_its_own_result_alone(workers, number, together):
    arguments = [0, 1, -int(number), 3, 4, 5, -int(number), 7]
    text = f"print([r if isinstance(r, Crash) else r[0] for r in in_processes(work, {arguments}, "
    crash = f"Crash(signal='{signal.Signals(number).name}')"
    assert (
        run(text + f"{workers}, together={together})])") == f"[0, 1, {crash}, 3, 4, 5, {crash}, 7]"
    )


def test_process_that_is_killed_from_outside_ends_the_job():
    error = run(f"list(in_processes(work, [0, -{int(signal.SIGKILL)}, 2], 2))", success=False)
    assert error.strip().endswith("MemoryError: a process was killed")


def test_process_that_dies_while_work_is_handed_in_costs_only_its_own():
    text = "from concurrent.futures import ProcessPoolExecutor as Pool\nsubmit = Pool.submit\n"
    text += "def slow(*work):\n    time.sleep(0.5)\n    return submit(*work)\n"
    text += (
        f"Pool.submit = slow\nfound = list(in_processes(work, [-{int(signal.SIGSEGV)}, 0, 2], 1))\n"
    )
    assert run(text + "print(found[0], found[1][0], found[2][0])") == "Crash(signal='SIGSEGV') 0 2"


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("before", ["", f"-{int(signal.SIGSEGV)}, "], ids=["first", "after crash"])
def test_error_of_the_function_ends_the_job(before, together):
    text = f"list(in_processes(work, [0, {before}13, 2], 1, together={together}))"
    error = run(text, success=False)
    assert error.strip().endswith("OSError: [Errno 28] No space left on device")


def test_prepare_runs_in_each_process():
    text = "def prepared(n):\n    if n < 0: os.kill(os.getpid(), -n)\n"
    text += "    return os.popen('echo $NUCLEI').read().strip()\n"
    text += "print(list(in_processes(prepared, [1, -11, 2], 1, os.putenv, ('NUCLEI', '7'))))"
    assert run(text) == "['7', Crash(signal='SIGSEGV'), '7']"


def test_no_process_is_left():
    text = "import multiprocessing\nlist(in_processes(work, [0, -11, 2], 2))\n"
    assert run(text + "print(multiprocessing.active_children())") == "[]"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_of_arrays_is_kept_for_the_next_ones():
    text = """
import resource
import numpy as np
from nucleiflow.workers import reuse_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        # Larger than any that glibc keeps by itself.
        np.ones(40 * 2**20, np.uint8) + np.uint8(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults()
reuse_memory()
faults()
print(faults() * 10 < fresh)
"""
    assert run(text) == "True"


def test_results_that_were_taken_do_not_stay_in_memory():
    """A batch of a thousand images has a gigabyte of them."""
    alive = run("""
import weakref

class Rows:
    pass

def rows(number):
    return Rows()

taken, alive = [], []
for result in in_processes(rows, range(60), 2, together=3):
    taken.append(weakref.ref(result))
    del result
    # Those that came together with it are there still.
    alive.append(sum(each() is not None for each in taken))
print(max(alive))
""")
    assert int(alive) <= 3
