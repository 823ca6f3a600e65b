"""A process that reads inputs, and is ended from outside where it hangs, takes too much memory, or crashes.

A limit inside of the process would not do: code that is not Python never comes to it, and finalisers and context
managers swallow its exception.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from support.fuzzing import MARK, Target

SLOWEST_S = 10.0
"""Of the processor, however many share it."""
WAITED = 6
"""How many times longer an input may wait for something else."""
MOST_BYTES = 1 << 30
POLL_S = 0.1
READY_S = 300.0
TICKS = os.sysconf("SC_CLK_TCK")
FRAME = re.compile(r'File ".*?([^/"]+)", line (\d+)')


@dataclass(frozen=True)
class Fault:
    """What went wrong with an input, and where."""

    target: str
    data: bytes
    what: str
    where: str


class FuzzProcess:
    """Reads inputs in a process of its own, which is replaced when it has to be ended.

    module: of support, whose TARGETS are read. slowest_s: seconds of the processor for an input; most_bytes: memory
    that it may take.
    """

    def __init__(
        self, module: str = "fuzz_targets", *, slowest_s: float = SLOWEST_S, most_bytes: int = MOST_BYTES
    ) -> None:
        self.module, self.slowest_s, self.most_bytes = module, slowest_s, most_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        self._talk = Path(self._folder.name) / "talk.txt"
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def fault_of(self, target: Target, data: bytes) -> Fault | None:
        """Read an input with a target: None where it is read, or refused on purpose."""
        with TemporaryDirectory(dir=self._folder.name, ignore_cleanup_errors=True) as folder:
            path = Path(folder) / target.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            process = self._started()
            before = _most_memory(process.pid, start=True)
            self._talk.write_bytes(b"")
            self._ask(process, [target.name, str(path)])
            ended = self._watch(process, before)
        if isinstance(ended, Fault):
            return Fault(target.name, data, ended.what, ended.where)
        problem = json.loads(ended)
        if problem is not None:
            return Fault(target.name, data, *problem)
        grown = _most_memory(process.pid) - before
        return Fault(target.name, data, _memory_said(grown), "") if grown > self.most_bytes else None

    def _watch(self, process: subprocess.Popen[bytes], before: int) -> bytes | Fault:
        """Wait for the answer to an input, or end the process and say why."""
        began, spent = time.monotonic(), _seconds(process.pid)
        while True:
            answer = self._answer(process, POLL_S)
            if answer is not None:
                return answer
            if process.poll() is not None:
                return self._crash(process)
            grown = _most_memory(process.pid) - before
            waited = time.monotonic() - began
            if grown > 2 * self.most_bytes:
                what = _memory_said(grown)
            elif _seconds(process.pid) - spent > self.slowest_s:
                what = f"takes more than {self.slowest_s:g} s"
            elif waited > WAITED * self.slowest_s:
                what = f"waits for more than {WAITED * self.slowest_s:g} s"
            else:
                continue
            process.send_signal(signal.SIGUSR1)  # it writes where it is, in whatever code
            time.sleep(POLL_S)
            where = self._where()
            self._end()
            return Fault("", b"", what, where)

    def _crash(self, process: subprocess.Popen[bytes]) -> Fault:
        where = self._where()
        self._end()
        code = process.returncode
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return Fault("", b"", f"ends the process with {how}", where)

    def _where(self) -> str:
        """The innermost frames of the package, or else of anything, in what faulthandler has written."""
        lines = self._talk.read_text(errors="replace").splitlines()
        frames = [line for line in lines if FRAME.search(line)]
        ours = [line for line in frames if f"{os.sep}handopt{os.sep}" in line] or frames
        return " < ".join("{}:{}".format(*found.groups()) for line in ours[:3] if (found := FRAME.search(line)))

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, ready to read."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        code = f"from support.{self.module} import TARGETS; from support.fuzzing import serve; "
        code += "serve({each.name: each for each in TARGETS})"
        tests = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
        with self._talk.open("ab") as talk:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=talk,
                cwd=self._folder.name,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # ended with everything that it has started
            )
        self._left = b""
        if self._answer(self._process, READY_S) is None:
            talk_said = self._talk.read_text(errors="replace")
            self._end()
            raise RuntimeError(f"the process that reads inputs does not start: {talk_said}")
        return self._process

    @staticmethod
    def _ask(process: subprocess.Popen[bytes], question: list[str]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()

    def _answer(self, process: subprocess.Popen[bytes], timeout_s: float) -> bytes | None:
        """What the process answers, without its mark; None if it does not in time, or has ended."""
        assert process.stdout is not None
        ends = time.monotonic() + timeout_s
        while b"\n" not in self._left:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, ends - time.monotonic()))
            more = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
            if not more:
                if ready:
                    process.wait()
                return None
            self._left += more
        line, _, self._left = self._left.partition(b"\n")
        return line.removeprefix(MARK.encode()).strip()

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


def _memory_said(grown: int) -> str:
    return f"takes {grown >> 20} MiB"


def _seconds(pid: int) -> float:
    """Seconds of the processor that a process and the ended ones that it started have used."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, words[11:15])) / TICKS


def _most_memory(pid: int, *, start: bool = False) -> int:
    """Bytes of a process at most, since this was called with start=True."""
    try:
        if start:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * int(next((line.split()[1] for line in lines if line.startswith("VmHWM:")), 0))
