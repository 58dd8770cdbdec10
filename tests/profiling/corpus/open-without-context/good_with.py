import contextlib
import json


def settings(path):
    with open(path) as file:
        return json.load(file)


def both(one, other):
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path)) for path in (one, other)]
        return [file.read() for file in files]
