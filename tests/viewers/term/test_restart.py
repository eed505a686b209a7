#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A daemon that starts anew, as focal-term sees it. The publisher here is the test's own, so that its
# streams come in the order that a promise needs.
import sys
import time

from screen import Stage, need_tmux, run_promises, until

try:
    from liar import Liar
except ImportError:
    print("skipped: there is no python3-zmq here")
    sys.exit(77)


def what_is_chosen_stays_chosen(daemon):
    with Stage() as stage:
        screen, liar = stage.screen, Liar(stage.runtime)

        def say(run, *streams):
            for stream in streams:
                liar.say("health", stream, run=run, ok=True, problem="")
            return True

        screen.start()
        until("both streams", lambda: say(1, "door", "yard") and " yard " in screen.line(0))
        screen.keys("2")
        screen.shows("[yard]")
        say(2, "door")  # one after the other
        screen.shows("focald was started anew")
        time.sleep(1)
        say(2, "yard")
        screen.shows("[yard]", 10)
        say(3, "door")  # without that one, this time
        screen.shows("[door]", 20)
        liar.socket.close()


need_tmux()
run_promises(what_is_chosen_stays_chosen, with_daemon=False)
