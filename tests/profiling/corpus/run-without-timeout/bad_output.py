from subprocess import check_output


def version(program):
    return check_output([program, "-version"], text=True)
