"""The examples that the strict device cannot run, each by a piece of its code and the reason."""

_NO_DATA = "PyTorch takes no inference tensor as the data of a parameter on such a device"
LEFT_OUT = {
    'dist.init_process_group("gloo"': "gloo carries tensors of the CPU and of CUDA only",
    "torch.nn.Sequential(torch.nn.LazyLinear(8)": _NO_DATA,
}


def runs_on(device: str, language: str, source: str) -> bool:
    """Tell whether an example runs on a device: strict has no commands, which start processes."""
    if device != "strict":
        return True
    return language != "console" and not any(code in source for code in LEFT_OUT)
