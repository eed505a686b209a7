#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# focal-term comes and goes without leaving a broken terminal, follows every size, and outlives its
# daemon.
import contextlib
import os
import pty
import random
import re
import signal
import subprocess
import time

from screen import PATIENCE_S, TERM, Daemon, Stage, has_half_blocks, need_tmux, run_promises, until

YARD = {"yard": "rooster.ogg"}


def settings(screen, name):
    screen.type(f"stty -g >{screen.socket}.{name}; echo told {name}")
    screen.shows(f"\ntold {name}")
    with open(f"{screen.socket}.{name}") as told:
        return told.read()


def is_whole(screen):
    return screen.asks("alternate_on", "cursor_flag", "keypad_flag") == ["0", "1", "0"]


def every_way_out_gives_the_terminal_back(daemon):
    with Stage(daemon=daemon) as stage:
        screen = stage.screen
        before = settings(screen, "before")
        for i, (way, status) in enumerate((
                (lambda: screen.keys("q"), 0), (lambda: screen.keys("C-c"), 0),
                (lambda: screen.signal(signal.SIGINT), 0),
                (lambda: screen.signal(signal.SIGTERM), 0),
                (lambda: screen.signal(signal.SIGHUP), 0), (lambda: screen.keys("C-\\"), 131),
                (lambda: screen.signal(signal.SIGABRT), 134),
                (lambda: screen.signal(signal.SIGSEGV), 139))):
            screen.start()
            until("half blocks", lambda: has_half_blocks(screen))
            way()
            until(f"a whole terminal after way {i}", lambda: is_whole(screen), 10)
            screen.shows(f"ended with {status}")
            screen.type("clear")
            after = settings(screen, f"after{i}")
            assert after == before, f"way {i}: stty {before} became {after}"
            screen.type("clear")


def suspended_it_leaves_the_terminal_and_comes_back(daemon):
    with Stage(daemon=daemon) as stage:
        screen = stage.screen
        before = settings(screen, "before")
        screen.type(f"{TERM}")
        for how in (lambda: screen.keys("C-z"), lambda: screen.signal(signal.SIGTSTP)):
            until("half blocks", lambda: has_half_blocks(screen))
            how()
            until("a whole terminal", lambda: is_whole(screen), 10)
            screen.shows("Stopped")
            assert settings(screen, "stopped") == before
            screen.resize(100, 30)
            screen.type("clear; fg")
        until("the screen again", lambda: screen.ask("alternate_on") == "1", 10)
        until("half blocks", lambda: has_half_blocks(screen))
        until("the new size", lambda: "q quit" in screen.line(29))
        # stopped by somebody else, it draws itself anew when it goes on
        screen.signal(signal.SIGSTOP)
        screen.shows("Stopped")
        screen.type("clear; fg")
        until("the screen again", lambda: has_half_blocks(screen) and
              "q quit" in screen.line(29))


def where_nobody_could_wake_it_it_goes_on(daemon):
    # as under `ssh -t HOST focal-term`: no shell is there that would say fg. Not in tmux, which
    # wakes whatever stops.
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(TERM, [TERM], dict(os.environ, TERM="xterm", XDG_RUNTIME_DIR=daemon.runtime))
    os.set_blocking(terminal, False)
    said = bytearray()

    def says(text):
        with contextlib.suppress(OSError):
            said.extend(os.read(terminal, 1 << 16))
        return text in said

    def ends():
        says(b"")
        ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        if not ended:
            os.write(terminal, b"q")
        return ended

    try:
        until("the help line", lambda: says(b"quit"))
        os.write(terminal, b"\x1a")
        until("the terminal given back", lambda: says(b"\033[?1049l"), 10)
        until("its end", ends, 10)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(terminal)


def a_terminal_that_goes_away_ends_it(daemon):
    with Stage(daemon=daemon) as stage:
        stage.screen.start()
        pid = stage.screen.pid()
        stage.screen.close()
        until("its end", lambda: not os.path.exists(f"/proc/{pid}"), 10)
        stage.screen = None


def every_size_at_any_moment_is_survived(daemon):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    sizes = random.Random(seed)
    with Stage(daemon=daemon) as stage:
        screen = stage.screen
        screen.start()
        pid = screen.pid()
        for i in range(120):
            columns, rows = sizes.choice([(1, 1), (2, 60), (400, 2), (40, 10), (39, 10), (40, 9),
                                          (sizes.randint(1, 300), sizes.randint(1, 100))])
            screen.resize(columns, rows)
            if i % 7 == 0:
                screen.keys(sizes.choice(["m", "+", "-", "Tab", "Space"]))
            time.sleep(sizes.uniform(0, 0.08))
        for columns, rows in ((80, 24), (40, 10), (67, 15), (200, 60), (80, 24)):
            screen.resize(columns, rows)
            until(f"the help line at {columns} x {rows}: {screen.text()}",
                  lambda: "q quit" in screen.line(rows - 1) and "focald" in screen.line(0))
            assert all(len(line) <= columns for line in screen.lines())
        assert screen.pid() == pid, "it is not the same process any more"
        for columns, rows in ((39, 24), (80, 9), (20, 5)):
            screen.resize(columns, rows)
            screen.shows("too small")
        screen.resize(80, 24)
        screen.shows("q quit")


def a_daemon_that_goes_and_comes_is_told_and_followed(daemon):
    with Stage(YARD) as stage:
        screen = stage.screen
        stage.daemon.stop()
        screen.start()
        screen.shows("nobody answers yet")
        stage.daemon.start()
        screen.shows("well: named")
        until("half blocks", lambda: has_half_blocks(screen))
        stage.daemon.stop()
        screen.shows("no word from focald for")
        screen.shows("focald fell silent")
        stage.daemon.start()
        screen.shows("focald was started anew")
        screen.shows("well: named")
        until("half blocks", lambda: has_half_blocks(screen))
        until("rooster", lambda: re.search(r"^ rooster +\d+ %", screen.text(), re.M))


def a_daemon_elsewhere_is_found_later(daemon):
    # the user's directory of sockets comes to be only when the daemon is started
    with Stage() as stage:
        stage.screen.start()
        stage.screen.shows("waiting for focald")
        stage.daemon = Daemon(stage.runtime, YARD)
        stage.screen.shows("well: named")


def what_is_no_terminal_is_refused_in_one_line(daemon):
    for kind in ({"stdout": subprocess.PIPE}, {"stdin": subprocess.DEVNULL}):
        run = subprocess.run([TERM], stderr=subprocess.PIPE, timeout=PATIENCE_S,
                             **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **kind})
        assert run.returncode == 1, run.returncode
        assert run.stderr.decode().count("\n") == 1 and b"--once" in run.stderr, run.stderr
    with Stage(term="nonesuch", colorterm="") as stage:
        stage.screen.type(f"{TERM}; echo ended with $?")
        stage.screen.shows("ended with 1")
        stage.screen.shows("TERM=nonesuch")


need_tmux()
run_promises(every_way_out_gives_the_terminal_back,
             suspended_it_leaves_the_terminal_and_comes_back,
             where_nobody_could_wake_it_it_goes_on,
             a_terminal_that_goes_away_ends_it,
             every_size_at_any_moment_is_survived,
             a_daemon_that_goes_and_comes_is_told_and_followed,
             a_daemon_elsewhere_is_found_later,
             what_is_no_terminal_is_refused_in_one_line)
