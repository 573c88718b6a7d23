"""Registers the environments behind Gymnasium's import, so that `import understudy` needs none of
it."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

NAME = "gymnasium.envs.registration"


class Later:
    """Finds that one module as others do, and adds a call behind its execution: a finder and a
    loader as importlib.abc has them, which itself takes longer to import than all of this."""

    def __init__(self) -> None:
        self.loader: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's spec with this as its loader; None for other modules."""
        if name != NAME:
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        """As the module's own loader does."""
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """The module, then the ids."""
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        from understudy.registration import add

        add(module)
