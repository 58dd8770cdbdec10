class Kind:
    table = {}


class Device:
    table = {}

    def __new__(cls, number):
        if number in cls.table:
            return cls.table[number]
        made = super().__new__(cls)
        cls.table[number] = made
        return made
