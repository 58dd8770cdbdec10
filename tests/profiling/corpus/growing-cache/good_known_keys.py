MODES = ("light", "moderate", "aggressive")
_chains = {}
_tables = {}


def chain(mode, build):
    if mode in _chains:
        return _chains[mode]
    if mode not in MODES:
        raise ValueError(mode)
    _chains[mode] = build(mode)
    return _chains[mode]


def table(mode, build):
    if mode not in _tables:
        assert mode in MODES
        _tables[mode] = build(mode)
    return _tables[mode]
