"""A real Slurm cluster on this machine, of Debian's packages.

Everything lies in a directory of its own under /tmp and listens on ports of its own. Only the
settings must lie where Slurm's commands look for them by themselves: in a job, Snakemake's plugin
drops SLURM_CONF from the environment of `srun`. All processes end with the tests.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CPUS = 8
# Slurm looks here where there is no /etc/slurm/slurm.conf, which is for a real cluster.
CONF = Path("/run/slurm/conf/slurm.conf")
REAL_CONF = Path("/etc/slurm/slurm.conf")
# In the environment of every process of the cluster and of its jobs.
MARK = "NUCLEIFLOW_TEST_CLUSTER"


def wait_until(condition, seconds: float, what: str, pause: float = 0.2):
    """The first true value of `condition()`; fails the test where it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


class Cluster:
    """munged, slurmctld and slurmd of one node with 8 CPUs, however many the machine has."""

    def __init__(self):
        # Not pytest's directory: the path of a socket has room for 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.daemons: list[tuple[str, subprocess.Popen]] = []

    def start(self) -> None:
        """Start the daemons and wait until the node takes jobs."""
        (self.folder / "munge.key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge.key").chmod(0o400)
        (self.folder / "slurm.conf").write_text(self._settings())
        CONF.parent.mkdir(parents=True, exist_ok=True)
        CONF.unlink(missing_ok=True)
        CONF.symlink_to(self.folder / "slurm.conf")
        munged = {
            name: self.folder / f"munge.{name}"
            for name in ("socket", "key-file", "log-file", "pid-file", "seed-file")
        }
        munged["key-file"] = self.folder / "munge.key"
        self._run("munged", "--foreground", *(f"--{name}={path}" for name, path in munged.items()))
        wait_until(munged["socket"].exists, 20, "munged listens")
        self._run("slurmctld", "-D", "-c", "-f", self.folder / "slurm.conf")
        self._run("slurmd", "-D", "-f", self.folder / "slurm.conf")
        wait_until(self._idle, 60, f"sinfo shows the node idle, see {self.folder}")

    def stop(self) -> None:
        """End all jobs and daemons."""
        if len(self.daemons) == 3:
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                self("scancel", "--user=root", "--full")
                wait_until(lambda: not self("squeue", "--noheader"), 30, "all jobs ended")
        for _, daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        # What did not end in time.
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if CONF.is_symlink() and CONF.readlink().parent == self.folder:
            CONF.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[int]:
        """Processes of the cluster and of its jobs."""
        mine = f"{MARK}={self.folder}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def __call__(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    def environment(self) -> dict[str, str]:
        """The environment to run Snakemake in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        return kept | {MARK: str(self.folder)}

    def jobs(self) -> list[dict[str, str]]:
        """All jobs since the cluster started, as `scontrol show job` gives them."""
        text = self("scontrol", "show", "job", "--oneliner")
        lines = [line for line in text.splitlines() if line.startswith("JobId=")]
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]

    def jobs_after(self, earlier: list[dict[str, str]]) -> list[dict[str, str]]:
        """The jobs that were submitted since `jobs()` gave `earlier`."""
        known = {job["JobId"] for job in earlier}
        return [job for job in self.jobs() if job["JobId"] not in known]

    def _idle(self) -> bool:
        for name, daemon in self.daemons:
            if daemon.poll() is not None:
                log = (self.folder / f"{name}.out").read_text()
                raise AssertionError(f"{name} ended: {log[-2000:]}")
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() == "idle"

    def _run(self, name: str, *arguments) -> None:
        with (self.folder / f"{name}.out").open("w") as out:
            command = [name, *map(str, arguments)]
            # A session of its own: Ctrl-C in the terminal reaches the tests, which end it.
            daemon = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=self.environment(),
                start_new_session=True,
            )
        self.daemons.append((name, daemon))

    def _settings(self) -> str:
        host = socket.gethostname()
        control, node = _free_ports(2)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={control}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
CredType=cred/munge
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/spool
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/slurmd.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={memory}
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def alive(pid_file: Path) -> bool:
    return pid_file.exists() and Path("/proc", pid_file.read_text().strip()).exists()
