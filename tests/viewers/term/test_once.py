#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# focal-term --once, as scripts use it.
import json
import os
import subprocess
import time

from screen import PATIENCE_S, TERM, run_promises


def run(runtime, *arguments, **how):
    environment = dict(os.environ, XDG_RUNTIME_DIR=runtime, LC_ALL="C.UTF-8")
    environment.pop("FOCALD_DATA", None)
    how.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([TERM, *arguments], env=environment, stderr=subprocess.PIPE, text=True,
                          timeout=PATIENCE_S, stdin=subprocess.DEVNULL, **how)


def json_is_one_label_message(daemon):
    done = run(daemon.runtime, "--once", "--json", "--stream", "kennel", "--timeout", "110")
    assert done.returncode == 0 and done.stderr == "", done
    assert done.stdout.count("\n") == 1
    said = json.loads(done.stdout)
    assert said["topic"] == "label" and said["stream"] == "kennel" and said["v"] == 1
    assert said["count"] == 80000 and said["first"] >= 0 and said["run"] > 0
    assert abs(said["t_ns"] / 1e9 - time.time()) < 60
    assert len(said["top"]) == 5
    assert all(0 <= top["p"] <= 1 and isinstance(top["label"], str) for top in said["top"])
    assert [top["p"] for top in said["top"]] == sorted((top["p"] for top in said["top"]),
                                                       reverse=True)


def text_names_stream_label_and_probability(daemon):
    done = run(daemon.runtime, "--once", "-s", "hens", "-t", "110")
    assert done.returncode == 0 and done.stderr == "", done
    stream, words = done.stdout.rstrip("\n").split(": ")
    assert stream == "hens" and words.endswith(" %"), done.stdout
    label, number, _ = words.rsplit(" ", 2)
    assert label and 0 <= int(number) <= 100


def nobody_there_is_status_1_in_time(daemon):
    begin = time.monotonic()
    done = run(daemon.runtime, "--once", "--json", "--timeout", "0.5", "--name", "nonesuch")
    took = time.monotonic() - begin
    assert done.returncode == 1 and done.stdout == "", done
    assert done.stderr.count("\n") == 1 and "within 0.5 s" in done.stderr, done.stderr
    assert 0.4 < took < 10, took


def a_stream_that_is_not_there_is_status_1(daemon):
    # "hen" is a prefix of "hens", and another stream
    done = run(daemon.runtime, "--once", "-s", "hen", "-t", "4")
    assert done.returncode == 1 and done.stdout == "" and "hen" in done.stderr, done


def an_output_that_cannot_be_written_is_status_1(daemon):
    with open("/dev/full", "w") as full:
        done = run(daemon.runtime, "--once", "--json", "-t", "110", stdout=full)
    assert done.returncode == 1 and "cannot be written" in done.stderr, done


def bad_usage_is_status_2_in_one_line(daemon):
    for arguments in (["--json"], ["--once", "--timeout", "soon"], ["--once", "--timeout", "0"],
                      ["--colors", "many"], ["--overlay", "x"], ["--seconds", "1"], ["dance"],
                      ["--dance"], ["--stream"], ["--stream", ""], ["--name", "a/b"]):
        done = run(daemon.runtime, *arguments)
        assert done.returncode == 2 and done.stdout == "", (arguments, done)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("focal-term: "), done.stderr
    assert run(daemon.runtime, "--help").stdout.startswith("usage: focal-term")
    assert run(daemon.runtime, "--version").stdout.startswith("focal-term ")


def a_key_or_endpoint_that_is_none_is_told(daemon):
    for arguments, word in ((["--data", "nowhere"], "nowhere"),
                            (["--server-key", "/nonesuch"], "/nonesuch")):
        done = run(daemon.runtime, "--once", "-t", "1", *arguments)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, done
        assert word in done.stderr, done.stderr


run_promises(json_is_one_label_message, text_names_stream_label_and_probability,
             nobody_there_is_status_1_in_time, a_stream_that_is_not_there_is_status_1,
             an_output_that_cannot_be_written_is_status_1, bad_usage_is_status_2_in_one_line,
             a_key_or_endpoint_that_is_none_is_told)
