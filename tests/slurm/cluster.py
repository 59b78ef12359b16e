"""A real Slurm cluster of three nodes on this machine, of Debian's packages.

Accounting is kept by slurmdbd on MariaDB, as on real clusters, where both are installed. Everything
lies in a directory of its own under /tmp and listens on ports of its own. Only the settings must
lie where Slurm's commands look for them by themselves: in a job, Snakemake's plugin drops
SLURM_CONF from the environment of `srun`. All processes end with the tests.
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
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
# CPUs of each node, however many the machine has.
NODES = {"n1": 8, "n2": 8, "n3": 4}
CPUS = max(NODES.values())
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
    """munged, slurmctld, a slurmd for each node, and for accounting slurmdbd and mariadbd.

    `accounting` says whether `sacct` answers, which takes slurmdbd and MariaDB.
    """

    def __init__(self):
        # Not pytest's directory: the path of a socket has room for 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.daemons: dict[str, subprocess.Popen] = {}
        self.accounting = not missing_for_accounting()
        self.ready = False

    def start(self) -> None:
        """Start the daemons and wait until all nodes take jobs."""
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
        settings = (f"--{name}={path}" for name, path in munged.items())
        self._run("munged", "munged", "--foreground", *settings)
        self._wait(munged["socket"].exists, "munged listens")
        if self.accounting:
            self._start_accounting()
        self.start_controller()
        for node in NODES:
            self._run(node, "slurmd", "-D", "-N", node, "-f", self.folder / "slurm.conf")
        self._wait(self._idle, "sinfo shows all nodes idle")
        self.ready = True

    def start_controller(self) -> None:
        """Start slurmctld, with the jobs that it knew when it was stopped."""
        self._run("slurmctld", "slurmctld", "-D", "-f", self.folder / "slurm.conf")

    @contextlib.contextmanager
    def without_controller(self, seconds: float) -> Iterator[None]:
        """Stop slurmctld as an administrator does, and start it so long after the block.

        Jobs go on meanwhile.
        """
        _end(self.daemons.pop("slurmctld"))
        try:
            yield
            time.sleep(seconds)
        finally:
            self.start_controller()
            self.wait_until_answers()

    def wait_until_answers(self) -> None:
        """Wait until slurmctld answers, and has heard of all nodes."""
        self._wait(self._up, "sinfo shows all nodes up")

    def resume_nodes(self) -> None:
        """Let nodes that were set down or drained take jobs again."""
        for node, state in self._nodes().items():
            if state.startswith(("down", "drain", "drng")):
                self("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.wait_until_answers()

    def end_jobs(self) -> None:
        """End all jobs, so that the next test has the cluster to itself."""
        self("scancel", "--user=root", "--full")
        wait_until(lambda: not self("squeue", "--noheader"), 60, "all jobs ended")

    def stop(self) -> None:
        """End all jobs and daemons."""
        if self.ready:
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                self.end_jobs()
        for daemon in reversed(self.daemons.values()):
            _end(daemon)
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

    def _wait(self, condition, what: str) -> None:
        """Wait until the condition is true, and fail at once where a daemon has ended."""

        def checked():
            for name, daemon in self.daemons.items():
                if daemon.poll() is not None:
                    log = (self.folder / f"{name}.out").read_text()
                    raise AssertionError(f"{name} ended: {log[-2000:]}")
            return condition()

        wait_until(checked, 90, f"{what}, see {self.folder}")

    def _nodes(self) -> dict[str, str]:
        """The state of each node; empty where slurmctld does not answer."""
        command = ["sinfo", "--noheader", "--Node", "--format=%N %t"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return dict(line.split() for line in done.stdout.splitlines())

    def _idle(self) -> bool:
        return self._nodes() == dict.fromkeys(NODES, "idle")

    def _up(self) -> bool:
        nodes = self._nodes()
        return nodes.keys() == NODES.keys() and set(nodes.values()) <= {"idle", "mix", "alloc"}

    def _start_accounting(self) -> None:
        """MariaDB on a directory of its own, reached on this machine alone, and slurmdbd on it."""
        data, password = self.folder / "mariadb", secrets.token_hex(16)
        database, accounting = self.ports
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, capture_output=True, text=True, check=True)
        (self.folder / "mariadb.sql").write_text(
            f"CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';\n"
        )
        settings = {
            "datadir": data,
            "socket": self.folder / "mariadb.socket",
            "pid-file": self.folder / "mariadb.pid",
            "init-file": self.folder / "mariadb.sql",
            "bind-address": "127.0.0.1",
            "port": database,
            "user": "root",
            "innodb-buffer-pool-size": "64M",
            "innodb-lock-wait-timeout": 900,
        }
        options = (f"--{name}={value}" for name, value in settings.items())
        self._run("mariadbd", "mariadbd", "--no-defaults", "--skip-name-resolve", *options)
        self._wait(lambda: _listens(database), "mariadbd listens")
        path = self.folder / "slurmdbd.conf"
        path.touch(0o600)
        path.write_text(f"""
DbdHost={socket.gethostname()}
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
LogFile={self.folder}/slurmdbd.log
PidFile={self.folder}/slurmdbd.pid
""")
        self._run("slurmdbd", "slurmdbd", "-D")
        self._wait(lambda: _listens(accounting), "slurmdbd listens")
        self("sacctmgr", "--immediate", "add", "cluster", "test")

    def _run(self, name: str, *command) -> None:
        with (self.folder / f"{name}.out").open("a") as out:
            # A session of its own: Ctrl-C in the terminal reaches the tests, which end it.
            daemon = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # slurmdbd finds its settings beside these.
                env=self.environment() | {"SLURM_CONF": str(self.folder / "slurm.conf")},
                start_new_session=True,
            )
        self.daemons[name] = daemon

    def _settings(self) -> str:
        host = socket.gethostname()
        control, *ports = _free_ports(1 + len(NODES) + 2)
        self.ports = ports[-2:]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} "
            f"RealMemory={memory}"
            for (name, cpus), port in zip(NODES.items(), ports, strict=False)
        )
        accounting = "AccountingStorageType=accounting_storage/none"
        if self.accounting:
            accounting = (
                "AccountingStorageType=accounting_storage/slurmdbd\n"
                f"AccountingStorageHost=127.0.0.1\nAccountingStoragePort={self.ports[1]}\n"
                f"AccountingStoragePass={self.folder}/munge.socket"
            )
        return f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={control}
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge.socket
CredType=cred/munge
StateSaveLocation={self.folder}/state
SlurmdSpoolDir={self.folder}/%n
SlurmctldPidFile={self.folder}/slurmctld.pid
SlurmdPidFile={self.folder}/%n.pid
SlurmctldLogFile={self.folder}/slurmctld.log
SlurmdLogFile={self.folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
{accounting}
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=2
{nodes}
PartitionName=test Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why there can be no cluster on this machine; empty where there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    missing = [name for name in ("munged", "slurmctld", "slurmd") if not shutil.which(name)]
    if missing:
        return f"{', '.join(missing)} missing: apt-get install slurm-wlm munge"
    if REAL_CONF.exists():
        return f"there is a Slurm on this machine already: {REAL_CONF}"
    if CONF.exists() and alive(CONF.resolve().with_name("slurmctld.pid")):
        return f"these tests are running on this machine already: {CONF.resolve()}"
    return ""


def missing_for_accounting() -> list[str]:
    """Commands without which there is no accounting."""
    commands = ("slurmdbd", "mariadbd", "mariadb-install-db")
    return [name for name in commands if not shutil.which(name)]


def _end(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def alive(pid_file: Path) -> bool:
    return pid_file.exists() and Path("/proc", pid_file.read_text().strip()).exists()
