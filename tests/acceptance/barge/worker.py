"""Works until there is a storm; then it breaks whenever it begins."""

import os
import time

while not os.path.exists("/srv/test-storm"):
    time.sleep(0.05)
raise RuntimeError("the mast broke")
