#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# What comes from the network does nothing to the terminal and does not end focal-term. The
# publisher here is the test's own; the terminal is real.
import os
import random
import struct
import subprocess
import sys
import threading
import time

from screen import PATIENCE_S, TERM, Stage, need_tmux, run_promises, until

try:
    from liar import Liar
except ImportError:
    print("skipped: there is no python3-zmq here")
    sys.exit(77)

ESCAPES = ["\033[2J\033[H", "\033]0;owned\007", "\033[?1049l", "\033c", "\x9b31m", "\x85", "\b" * 9,
           "\r\n\n\n", "\x0e", "\033P1$r0m\033\\", "\u202egod", "\u2066a", "a\u0301" + "\u0301" * 50,
           "\U000e0041", "犬" * 60, "\u200b" * 30, "é" * 80, "\x7f", "%n%s%d", "\033[200~rm\n"]


class Lies:
    """A liar beside a stage, saying something again and again."""

    def __init__(self, stage, what):
        self.liar = Liar(stage.runtime)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.repeat, args=(what,))
        self.thread.start()

    def repeat(self, what):
        while not self.done.is_set():
            what(self.liar)
            time.sleep(0.05)

    def __enter__(self):
        return self.liar

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.liar.socket.close()


def labels_events_and_problems_cannot_steer_the_terminal(_):
    def lie(liar):
        text = random.choice(ESCAPES)
        liar.say("label", "yard", silence=False, peak_dbfs=-3.0, top=[
            {"index": 0, "label": text, "p": 0.9}, {"index": 1, "label": "tail" + text, "p": 0.1}])
        liar.say("event", "yard", id=1, ended=False, index=0, label=text, p=0.5, p_peak=0.5,
                 onset=0, end=0)
        liar.say("health", "yard", ok=False, problem="bad" + text, source_text=text,
                 source_kind=text, source_state=text)
        liar.say("info", "yard", labels=[text], model={"name": text})

    with Stage() as stage:
        screen = stage.screen
        title = screen.ask("pane_title")
        with Lies(stage, lie):
            screen.start()
            screen.shows("[yard!]")
            for _ in range(30):
                time.sleep(0.1)
                assert screen.asks("alternate_on", "cursor_flag", "pane_title") == ["1", "0", title]
                lines = screen.lines()
                assert lines[0].startswith(" focald"), lines[0]
                assert lines[23].startswith(" q quit"), lines[23]
                assert not any("\u202e" in line for line in lines)
        screen.keys("q")
        screen.shows("ended with 0")


def names_of_streams_cannot_either(_):
    # those that no stream may have are not shown at all
    refused = [b"\033[2JX", "\u202eX".encode(), b"\xff\xfeX", b"X X", b"\x9bX", b"100%X", b"X" * 64]
    names = [b"d" * 63] + [b"s%d" % i for i in range(60)]

    def lie(liar):
        liar.say("health", random.choice(refused), ok=True, problem="")
        liar.say("health", random.choice(names), ok=True, problem="")

    with Stage() as stage:
        screen = stage.screen
        with Lies(stage, lie):
            screen.start()
            until("a stream", lambda: "[" in screen.line(0))
            for _ in range(20):
                screen.keys("Tab")
                time.sleep(0.1)
                lines = screen.lines()
                assert lines[0].startswith(" focald") and "X" not in lines[0], lines[0]
                assert lines[23].startswith(" q quit"), lines[23]
            assert screen.ask("alternate_on") == "1"
        screen.keys("q")
        screen.shows("ended with 0")


def numbers(count, value=1.0):
    return struct.pack("<%df" % count, *([value] * count))


def malformed(liar):
    """One of many messages that are not as docs/protocol.md has them."""
    big = 2 ** 62
    r = random.Random()
    lies = [
        lambda: liar.say("spec", "yard", numbers(10), shape=[2, 6], peak=1),
        lambda: liar.say("spec", "yard", numbers(10), shape=[10 ** 9, 10 ** 9], peak=1),
        lambda: liar.say("spec", "yard", numbers(10), shape=[-2, -5], peak=1),
        lambda: liar.say("spec", "yard", numbers(10), shape="ten", peak="loud"),
        lambda: liar.say("spec", "yard", numbers(10, float("nan")), shape=[2, 5], peak=1e308),
        lambda: liar.say("spec", "yard", numbers(10), shape=[5, 2], peak=1, first=big),
        lambda: liar.say("spec", "yard", numbers(1026), shape=[2, 513], peak=1,
                         first=r.choice([0, 186, big // 4, 2 ** 40])),
        lambda: liar.say("spec", "yard", b"abc", shape=[1, 1]),
        lambda: liar.say("map", "yard", numbers(4), maps=[{"rows": 2, "cols": 2, "offset": 1}]),
        lambda: liar.say("map", "yard", numbers(4), maps=[{"rows": 1e18, "cols": 8, "offset": 0}]),
        lambda: liar.say("map", "yard", numbers(4), maps=[{"rows": 2, "cols": 2, "offset": -1}]),
        lambda: liar.say("map", "yard", numbers(4), maps=[{"rows": 2, "cols": 2}], count=big),
        lambda: liar.say("map", "yard", numbers(4), maps=[{"rows": 2, "cols": 2}] * 500),
        lambda: liar.say("map", "yard", numbers(4, float("inf")), maps=[{"rows": 2, "cols": 2}]),
        lambda: liar.say("map", "yard", b"", maps=[{"rows": 0, "cols": 0}]),
        lambda: liar.say("mask", "yard", b"\xff" * 3, shape=[4, 6]),
        lambda: liar.say("mask", "yard", b"\xff" * 2, shape=[4, 6]),
        lambda: liar.say("mask", "yard", b"\xff" * 3, shape=[4, 6], first=big // 8),
        lambda: liar.say("label", "yard", top=[{"p": 2}] * 50, first=big, count=big),
        lambda: liar.say("label", "yard", top=[{"p": "x", "label": 5}]),
        lambda: liar.say("label", "yard", top=[{"p": 0.5}] * 50, peak_dbfs=1e300),
        lambda: liar.say("label", "yard", top={"0": {"p": 0.5, "label": "o"}}, silence="no"),
        lambda: liar.say("event", "yard", t_ns=r.choice([-2 ** 62, 2 ** 62]), ended=True,
                         onset=-5, end=1e300, label="x", p_peak=-1),
        lambda: liar.say("health", "yard", ok=True, lost_samples=1e308, rate_hz=0, windows=-1,
                         skipped_windows=1e308, latency_ms_p50=1e308),
        lambda: liar.say("info", "yard", preprocess={"hop_length": r.choice(
            [0, -1, 1, 1e300, 186, 65536, "x"])}),
        lambda: liar.say("label", "yard", v=2),
        lambda: liar.say("nonesuch", "yard"),
        lambda: liar.say("health", "yard", run=r.randrange(3), ok=True),
        lambda: liar.raw(b"label/yard"),
        lambda: liar.raw(b"label/yard", b"{", b""),
        lambda: liar.raw(b"label/yard", b"\xff\xfe{}", b"", b"more"),
        lambda: liar.raw(b"spec/" + b"y" * 500, b"{}", b""),
    ]
    r.choice(lies)()


def malformed_messages_are_dropped(_):
    def lie(liar):
        for _ in range(20):
            malformed(liar)

    with Stage() as stage:
        screen = stage.screen
        with Lies(stage, lie):
            screen.start()
            screen.shows("[yard")
            pid = screen.pid()
            for key in ("m", "m", "-", "-", "-", "Space", "Space", "+", "m"):
                screen.keys(key)
                time.sleep(0.5)
                assert screen.pid() == pid, "focal-term has ended: " + screen.text()
            assert screen.line(23).startswith(" q quit"), screen.text()
        screen.keys("q")
        screen.shows("ended with 0")


def a_flood_does_not_keep_it_from_listening_to_keys(_):
    def lie(liar):
        for _ in range(300):
            liar.say("label", "yard", top=[{"p": 0.5, "label": "flood"}])

    with Stage() as stage:
        with Lies(stage, lie):
            stage.screen.start()
            stage.screen.shows("flood")
            stage.screen.keys("m")
            stage.screen.shows("overlay: mask", 10)
            stage.screen.keys("q")
            stage.screen.shows("ended with 0", 10)


def once_prints_one_harmless_line(_):
    def lie(liar):
        liar.say("label", "yard", silence=False,
                 top=[{"label": "\033[2J\x9b\u202eü\n", "p": 0.5}])

    with Stage() as stage:
        environment = dict(os.environ, XDG_RUNTIME_DIR=stage.runtime, LC_ALL="C.UTF-8")
        with Lies(stage, lie):
            for arguments in (["--once"], ["--once", "--json"]):
                out = subprocess.run([TERM, *arguments, "--timeout", "30"], env=environment,
                                     capture_output=True, check=True, timeout=PATIENCE_S).stdout
                text = out.decode()
                assert text.count("\n") == 1 and text.endswith("\n"), text
                assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or ord(c) == 0x202e
                               for c in text[:-1]), repr(text)


need_tmux()
run_promises(labels_events_and_problems_cannot_steer_the_terminal,
             names_of_streams_cannot_either,
             malformed_messages_are_dropped,
             a_flood_does_not_keep_it_from_listening_to_keys,
             once_prints_one_harmless_line, with_daemon=False)
