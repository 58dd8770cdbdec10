_sizes = {}
LIMIT = 256


def size(path, probe):
    if path not in _sizes:
        if len(_sizes) >= LIMIT:
            _sizes.pop(next(iter(_sizes)))
        _sizes[path] = probe(path)
    return _sizes[path]
