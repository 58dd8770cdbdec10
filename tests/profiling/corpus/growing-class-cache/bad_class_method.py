class Filters:
    _built: dict = {}

    @classmethod
    def build(cls, settings):
        if settings not in cls._built:
            cls._built[settings] = cls.make(settings)
        return cls._built[settings]

    @classmethod
    def make(cls, settings):
        return list(settings)
