"""SGD as torch documents it (torch.optim.SGD), in NumPy: the oracle for ours."""


def run(w, gradients, *, rate, momentum, decay):
  buffer = None
  for gradient in gradients:
    gradient = gradient + decay * w
    buffer = gradient if buffer is None else momentum * buffer + gradient
    w = w - rate * buffer
  return w
