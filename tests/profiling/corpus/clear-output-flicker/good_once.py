from IPython.display import clear_output


def reset(outputs):
    clear_output()
    for output in outputs:
        output.clear_output()
