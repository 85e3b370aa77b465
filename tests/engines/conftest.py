"""A real Slurm of one node on this machine's loopback, with state, keys and sockets of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for of_tests, which workers import as well
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0
KillWait=20
MaxArraySize=6
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=day Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=night Nodes=ALL MaxTime=1 State=UP
"""


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def slurm_cluster() -> Iterator[None]:
    """It is what commands of Slurm talk to, here and in processes that are started."""
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]:
        pytest.skip(f"no Slurm here (apt-get install slurm-wlm munge): {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as place:  # munge wants one that everybody may enter
        yield from _running(Path(place))


def _running(folder: Path) -> Iterator[None]:
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    key, configuration = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    text = CONFIGURATION.format(host=host, ports=_free_ports(2), folder=folder, user=getpass.getuser())
    configuration.write_text(text)
    own = {**os.environ, "PATH": _path(), "SLURM_CONF": str(configuration)}
    munge = ["munged", "--foreground", f"--socket={folder}/munge.sock", f"--key-file={key}"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in (munge, ["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            with (folder / f"{command[0]}.out").open("wb") as out:
                started.append(subprocess.Popen(command, env=own, stdout=out, stderr=out))
            deadline = time.monotonic() + 10
            while command is munge and not (folder / "munge.sock").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
        deadline = time.monotonic() + 30
        while "idle" not in (found := _states(own)):
            if time.monotonic() > deadline:
                said = "\n".join(path.read_text()[-1000:] for path in sorted(folder.glob("*.log")))
                raise RuntimeError(f"Slurm does not come up ({found}):\n{said}")
            time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(configuration))
            yield
    finally:
        subprocess.run(["scancel", f"--user={os.getuid()}"], env=own, capture_output=True, check=False)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _states(own: dict[str, str]) -> str:
    asked = subprocess.run(["sinfo", "-h", "-o", "%t"], env=own, capture_output=True, text=True, check=False)
    return asked.stdout or asked.stderr
