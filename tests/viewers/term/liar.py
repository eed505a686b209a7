# SPDX-License-Identifier: Apache-2.0
# A publisher that tests have say what they like. Needs python3-zmq.
import json
import os
import time

import zmq


class Liar:
    """Publishes what it likes where focald would."""

    def __init__(self, runtime):
        os.makedirs(f"{runtime}/focald", exist_ok=True)
        self.socket = zmq.Context.instance().socket(zmq.XPUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(f"ipc://{runtime}/focald/data")
        self.sequence = 0

    def say(self, topic, stream, payload=b"", **fields):
        self.sequence += 1
        header = {"v": 1, "topic": topic, "run": 7, "seq": self.sequence, "first": 8000 *
                  self.sequence, "count": 80000, "t_ns": time.time_ns(), "dtype": "f32",
                  "shape": [], "unit": "1"}
        header.update(fields)
        self.raw(topic.encode() + b"/" + (stream if isinstance(stream, bytes) else stream.encode()),
                 json.dumps(header).encode(), payload)

    def raw(self, *frames):
        self.socket.send_multipart(frames, zmq.NOBLOCK)
