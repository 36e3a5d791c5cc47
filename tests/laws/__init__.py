"""What every supervisor and proxy must do, whatever it is: real deploys on a real host."""

import pytest

pytest.register_assert_rewrite("laws.bench", "laws.suite")
