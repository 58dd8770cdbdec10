import subprocess


def version(program, **more):
    one = subprocess.check_output([program, "-version"], text=True, timeout=30)
    two = subprocess.run([program], check=True, **more)
    return one, two
