#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""focal-web where this user and the system each have a daemon.
usage: test_web_two.py FOCAL_WEB SPEAKER"""
import os, shutil, subprocess, sys, tempfile, time

from client import Promises, Socket, Web, check, start_speaker

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


class WebOfTwo(Web):
    """One that looks for this user's daemon in `directory`/user and for the system's in /run, which is
    `directory`/system there."""

    def __init__(self, program, directory):
        self.start([*NAMESPACE, "sh", "-c",
                    f'mount --bind {directory}/system /run && exec "$@"', "sh", program], XDG_RUNTIME_DIR=f"{directory}/user")


def a_knob_never_reaches_another_daemon_than_is_heard(program, directory, speaker):
    users, systems = f"{directory}/user/focald", f"{directory}/system/focald"
    for path in (users, systems):
        os.makedirs(path, 0o700)
    speakers = [start_speaker(speaker, path) for path in (users, systems)]
    web = WebOfTwo(program, directory)
    s = Socket(web)

    def turn(number):
        s.send({"cmd": "set", "key": "quantile", "value": "0.8", "id": number})
        return s.until(lambda h: h["topic"] == "reply" and h["id"] == number)[0]

    first, _ = s.until(lambda h: h["topic"] == "event")
    check(turn(1)["ok"], "this user's daemon does not hear it")
    end = time.monotonic() + 6  # nobody turns a knob for a while
    s.until(lambda h: time.monotonic() > end)
    speakers[0].kill()
    speakers[0].wait()
    for name in ("data", "control"):
        os.unlink(f"{users}/{name}")
    reply = turn(2)
    check(not reply["ok"] and f"{users}/control" in reply["error"], f"another daemon took it: {reply}")
    s.until(lambda h: h["topic"] == "event" and h["run"] != first["run"])
    check(turn(3)["ok"], "the daemon that is heard now does not hear it")
    s.close()
    web.stop()
    speakers[1].terminate()
    speakers[1].wait()


def main():
    if subprocess.run([*NAMESPACE, "true"], stderr=subprocess.DEVNULL).returncode:
        print("skipped: no /run of one's own here, which takes a user's namespaces")
        sys.exit(77)
    directory = tempfile.mkdtemp(prefix="focal-web-")
    for name in ("FOCALD_DATA", "FOCALD_CONTROL"):
        os.environ.pop(name, None)
    os.environ["XDG_DATA_HOME"] = directory
    promises = Promises()
    try:
        promises.run(a_knob_never_reaches_another_daemon_than_is_heard, sys.argv[1], directory, sys.argv[2])
    finally:
        shutil.rmtree(directory)
    sys.exit(1 if promises.failed else 0)


main()
