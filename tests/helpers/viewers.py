"""What a browser gets of a viewer."""

SHAPE = (3, 11, 14)


def sent(viewer, name):
    """What a browser gets that asks for a panel's pixels."""
    messages = []
    viewer.send = lambda content, buffers: messages.append((content, buffers))
    viewer._send_pixels(viewer, {"wanted": [name]}, [])
    (content, (pixels,)), = messages
    return content, pixels
