#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pcm_listener.py ENDPOINT FILE: writes what focald publishes as input and audio, by itself and not through
focal-web: for each message topic (i for input, a for audio), first (u64), count (u32), samples (f32)."""
import json, struct, sys, zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe("input/")
socket.subscribe("audio/")
with open(sys.argv[2], "wb", buffering=0) as out:
    while True:
        topic, header, payload = socket.recv_multipart()
        h = json.loads(header)
        out.write(topic[:1] + struct.pack("<QI", h["first"], h["count"]) + payload)
