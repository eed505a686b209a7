# SPDX-License-Identifier: Apache-2.0
# What the tests of focal-term share: a real focald in a directory of its own, and a real terminal,
# which is tmux: keys go in, the screen comes out.
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TERM = os.environ["FOCAL_TERM"]
FOCALD = os.environ["FOCALD"]
DEMO = os.environ["FOCALD_DEMO"]
PATIENCE_S = float(os.environ.get("PATIENCE_S", "120"))  # a machine that does much else


# ended by a timeout, a test still sweeps up
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def need_tmux():
    if shutil.which("tmux") is None:
        print("skipped: there is no tmux here; apt install tmux")
        sys.exit(77)


def until(what, condition, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


class Daemon:
    """`focald run` with these streams ({name: clip}), its sockets in DIR/focald."""

    def __init__(self, runtime, streams):
        self.runtime = runtime
        self.config = os.path.join(runtime, "focald.conf")
        with open(self.config, "w") as out:
            out.write(f"[ipc]\ndir = {runtime}/focald\n[paths]\ncache = {runtime}/cache\n")
            out.write("[model]\nthreads = 1\n[analysis]\nsilence_gate = -100 dBFS\n")
            for name, clip in streams.items():
                out.write(f"[stream {name}]\nsource = file:{DEMO}/{clip}\nloop = yes\n")
        self.process = None
        self.start()

    def start(self):
        log = open(os.path.join(self.runtime, "focald.log"), "a")
        self.process = subprocess.Popen([FOCALD, "run", "--config", self.config], stdout=log,
                                        stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        until("focald's socket", lambda: os.path.exists(f"{self.runtime}/focald/data"))

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process = None


class Screen:
    """A shell in a tmux of its own."""

    def __init__(self, directory, runtime, columns=80, rows=24, colorterm="truecolor", locale="C.UTF-8",
                 term="tmux-256color"):
        self.socket = os.path.join(directory, "tmux")
        self.environment = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR")}
        self.environment.update(LC_ALL="C.UTF-8", XDG_RUNTIME_DIR=runtime)
        shell = f"env LC_ALL={locale} TERM={term} COLORTERM={colorterm} bash --norc --noprofile -i"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  shell)
        try:
            until("the shell's prompt", lambda: re.search("[$#] ", self.text()))
        except BaseException:
            self.close()
            raise

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-u", "-S", self.socket, *arguments], check=True,
                              env=self.environment, capture_output=True).stdout.decode()

    def text(self):
        return self.tmux("capture-pane", "-p", "-N")

    def raw(self):
        return self.tmux("capture-pane", "-p", "-N", "-e")

    def lines(self):
        return self.text().rstrip("\n").split("\n")

    def line(self, number):
        lines = self.lines()
        return lines[number] if number < len(lines) else ""

    def ask(self, variable):
        return self.tmux("display-message", "-p", "#{%s}" % variable).strip()

    def asks(self, *variables):
        return self.tmux("display-message", "-p", "\t".join("#{%s}" % v for v in variables)
                         ).rstrip("\n").split("\t")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, line):
        self.tmux("send-keys", "-l", line)
        self.keys("Enter")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def start(self, *arguments):
        self.type(f"{TERM} {' '.join(arguments)}; echo ended with $?")
        self.shows("q quit")

    def pid(self):
        shell = self.ask("pane_pid")
        children = subprocess.run(["ps", "--ppid", shell, "-o", "pid=,comm="],
                                  capture_output=True, text=True).stdout.split("\n")
        for line in children:
            if "focal-term" in line:
                return int(line.split()[0])
        return None

    def signal(self, number):
        os.kill(self.pid(), number)

    def shows(self, text, seconds=PATIENCE_S):
        try:
            until(text, lambda: text in self.text(), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{self.text()}") from None

    def close(self):
        try:
            self.tmux("kill-server")
        except subprocess.CalledProcessError:
            pass


class Stage:
    """A screen, and beside it a daemon: one that is there already, or with these streams a new one,
    which ends with it."""

    def __init__(self, streams=None, daemon=None, **screen):
        self.directory = tempfile.mkdtemp(prefix="focal-term-")
        self.runtime = daemon.runtime if daemon is not None else self.directory
        self.daemon = self.screen = None
        try:
            if streams:
                self.daemon = Daemon(self.runtime, streams)
            self.screen = Screen(self.directory, self.runtime, **screen)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.screen is not None:
            self.screen.close()
        if self.daemon is not None:
            self.daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def has_half_blocks(screen):
    return len(re.findall("[▀▄]", screen.text())) > 50


@contextlib.contextmanager
def house(with_daemon):
    """A daemon for many tests: hens and a kennel."""
    if not with_daemon:
        yield None
        return
    runtime = tempfile.mkdtemp(prefix="focal-term-")
    daemon = Daemon(runtime, {"hens": "rooster.ogg", "kennel": "dog.ogg"})
    try:
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(runtime, ignore_errors=True)


def run_promises(*promises, with_daemon=True):
    """Runs each function, with a daemon that they share; its name is the promise."""
    failures = 0
    with house(with_daemon) as daemon:
        for promise in promises:
            try:
                promise(daemon)
                print(f"ok   {promise.__name__}", flush=True)
            except (AssertionError, subprocess.SubprocessError, OSError) as error:
                failures += 1
                print(f"FAIL {promise.__name__}: {error}", flush=True)
    sys.exit(1 if failures else 0)
