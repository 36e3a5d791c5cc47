"""Laws for whoever writes a driver or a store: subclass them in your tests. They need pytest."""

from pkgutil import iter_modules

import pytest

# So that a broken law shows what was there and what was wanted.
pytest.register_assert_rewrite(*(f"{__name__}.{one.name}" for one in iter_modules(__path__)))
