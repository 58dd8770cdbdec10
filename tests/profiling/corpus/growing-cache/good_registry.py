_filters = {}
_modes = {}


def register(function):
    if function.__name__ in _filters:
        raise ValueError(f"there are two filters named {function.__name__}")
    _filters[function.__name__] = function
    return function


def declare(name, **more):
    made = dict(more)
    if name in _modes:
        raise ValueError(name)
    _modes[name] = made
    return made


def find(name):
    return _filters[name]
