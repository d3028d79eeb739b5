"""Requests to a server, and its answers as they come."""

import json
import socket
import time
import urllib.error
import urllib.request

from pytest_kernelbench.records import Task

RELU = Task(id="level1/19_ReLU", source="class Model: pass")
SETTINGS = {"protocol": "fast", "precision": "float32"}
# The last line of an answer about one source.
DONE = json.dumps({"done": 1, "task": {"id": RELU.id, "sizes": {}, "sha256": RELU.sha256}}) + "\n"


def answer(url, body=None, token=None):
    """Status and text of a request."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=30) as told:
            return told.status, told.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def raw_answer(url, *parts, method="POST /v1/evaluate HTTP/1.1", pause_s=0.0):
    """All bytes that a server sends until it ends the connection."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
        connection.settimeout(30)
        connection.sendall(f"{method}\r\nHost: there\r\nConnection: close\r\n".encode())
        for part in parts:
            time.sleep(pause_s)
            connection.sendall(part)
        told = b""
        while chunk := connection.recv(1 << 16):
            told += chunk
    return told.decode()


def body_of(*sources, **fields):
    """A request to judge these sources."""
    return json.dumps({"task": {"id": RELU.id, "source": RELU.source}, "sources": sources, **fields}).encode()
