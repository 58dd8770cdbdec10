import json


def settings(path):
    # what the user chose last
    return json.load(open(path))  # a dictionary


def text(path):
    found = open(path, encoding="utf-8").read()
    return found.splitlines()
